/* What anybody may know of the tokens: keys and metadata, for programs that verify them. */
#ifndef MODULES_AUTH_DOCUMENTS_H
#define MODULES_AUTH_DOCUMENTS_H

struct req;

/* The JWK Set (RFC 7517). */
int document_jwks(struct req *req);

/* OpenID Connect Discovery 1.0, and RFC 8414. */
int document_openid(struct req *req);
int document_oauth(struct req *req);

#endif
