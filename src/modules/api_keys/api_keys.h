/* API keys: credentials of programs. bh_sk_... are for servers, bh_pk_... may be seen in a browser.
 */
#ifndef API_KEYS_H
#define API_KEYS_H

#include "http/module.h"

extern const struct module api_keys_module;

#endif
