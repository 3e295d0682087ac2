/* GET /hello: something to try a fresh server with, and to measure it by. */
#ifndef HELLO_H
#define HELLO_H

#include "http/module.h"

extern const struct module hello_module;

#endif
