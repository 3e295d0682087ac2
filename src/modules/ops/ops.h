/* What platforms and operators ask: is it alive, may it be sent requests, how is it, what has it
 * counted. */
#ifndef OPS_H
#define OPS_H

#include "http/module.h"

extern const struct module ops_module;

#endif
