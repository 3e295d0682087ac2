#include "net/tls.h"
int tls_accept(struct tls *tls, struct tls_server *server, struct stream *below)
{
	(void)tls, (void)server, (void)below;
	return fail(ERR_IO, "no TLS");
}
int tls_handshake(struct tls *tls)
{
	(void)tls;
	return fail(ERR_IO, "no TLS");
}
