/*
 * TLS 1.2 and 1.3 over any stream, as a stream. Nothing here waits: the record layer tries the
 * stream below and passes its STREAM_WANT_x on. After the handshake, reading only ever wants to
 * read and writing only to write, so that one fiber may read while another writes.
 *
 * How it ends. What a server reads is framed by its protocol, so there an end of the stream below
 * is an end (0), with or without close_notify. A client reads answers that may end with the
 * connection, so there a missing close_notify is -ERR_CLOSED: somebody may have cut it short.
 */
#ifndef NET_TLS_H
#define NET_TLS_H

#include "net/stream.h"
#include "net/tls_client.h"
#include "net/tls_server.h"

struct tls {
	struct stream stream; /* first */
	struct stream *below;
	struct ssl_st *ssl;
	size_t writing;   /* bytes in the record that is on its way; 0: none */
	int below_says;   /* why the last try below moved nothing: STREAM_WANT_x or an error */
	int failed;       /* 0, or the error after which it is good for closing only */
	bool below_ended; /* the stream below has told its proper end */
	bool established; /* the handshake is done */
	bool notified;    /* close_notify is sent */
};

/*
 * Makes the server's or the client's side of a connection over `below`, which belongs to it from
 * then on; on failure (-ERR_NO_MEMORY, -ERR_INVALID) `below` stays the caller's. `server_name`, the
 * DNS name or IP address that the certificate must be good for, is copied. Nothing is sent yet:
 * tls_handshake first, then read and write.
 */
int tls_accept(struct tls *tls, struct tls_server *server, struct stream *below);
int tls_connect(struct tls *tls, const struct tls_client *client, struct stream *below,
	struct str server_name);

/*
 * Does what can be done now of the handshake; also outside fibers. 0 when it is complete,
 * STREAM_WANT_x, or an error after which only closing is left:
 *   -ERR_INVALID  a server was spoken to in plain HTTP; nothing was sent, so that the caller may
 *                 still answer through `below`
 *   -ERR_CLOSED   the other side went away
 *   -ERR_IO       no agreement, no trust, or not TLS: the sentence says which
 */
int tls_handshake(struct tls *tls);

/* The same for fibers: parks until it is complete, `deadline_ns`, or the end of the scope. */
int tls_handshake_wait(struct tls *tls, uint64_t deadline_ns);

/* After the handshake. Valid until the stream is closed; empty when there is none. */
struct str tls_alpn(const struct tls *tls);        /* the protocol agreed on */
struct str tls_version(const struct tls *tls);     /* "TLSv1.3" */
struct str tls_server_name(const struct tls *tls); /* the DNS name that the client asked for */

/* True when the handshake took up an earlier session. */
bool tls_resumed(const struct tls *tls);

#endif
