/* For tests: a real mail server (tests/smtp), which keeps what it is sent. */
#ifndef CLIENT_SMTP_SERVER_TEST_H
#define CLIENT_SMTP_SERVER_TEST_H

#include "base/test.h"

#include <sys/types.h>

struct smtp_server {
	pid_t pid;
	int input; /* it ends when this closes */
	char folder[64];
	uint16_t port;
};

/* A port that nobody listens at. */
uint16_t smtp_free_port(void);

/* Starts it on some port, with more arguments (NULL: none); or on a certain one. */
void smtp_server_start(struct smtp_server *server, const char *const *options);
void smtp_server_start_at(struct smtp_server *server, uint16_t port);

/* Ends it and removes its mails. */
void smtp_server_stop(struct smtp_server *server);

/* The Nth mail (1, 2, ...) as it came, with a NUL; 0 bytes when there is none. */
size_t smtp_server_read(const struct smtp_server *server, unsigned number, char *at, size_t size);

#endif
