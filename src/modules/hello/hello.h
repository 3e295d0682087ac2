/* Something to try a fresh server with, and to measure it by: GET /hello, POST /api/v1/echo. */
#ifndef HELLO_H
#define HELLO_H

#include "http/module.h"
#include "schema/schema.h"

struct greeting {
	struct str message;
	struct str version;
};

struct echo_address {
	struct str city;
	struct opt_str zip;
};

struct echo {
	struct str name;
	struct str email;
	struct opt_i64 age;
	LIST_OF(struct str) tags;
	struct echo_address *address;
};

extern const struct schema greeting_schema, echo_schema;

extern const struct module hello_module;

#endif
