#ifndef NET_TLS_H
#define NET_TLS_H
#include "net/stream.h"
struct tls_server;
struct tls {
	struct stream stream;
	struct stream *below;
};
int tls_accept(struct tls *tls, struct tls_server *server, struct stream *below);
int tls_handshake(struct tls *tls);
#endif
