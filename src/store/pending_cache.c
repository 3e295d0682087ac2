#include "store/cache.h"
__attribute__((weak)) int cache_open(struct store *s, const struct cache_options *o, struct cache **r){(void)s,(void)o,(void)r;return 0;}
__attribute__((weak)) void cache_close(struct cache *c){(void)c;}
__attribute__((weak)) int cache_get_or_load(struct cache *cache, const struct db *db, struct str key,	int (*load)(const struct db *db, void *arg, struct cache_value *ret), void *arg,	struct str *ret){struct cache_value v={0};(void)cache,(void)key; int r=load(db,arg,&v); *ret=v.bytes; return r;}
__attribute__((weak)) int cache_forget(struct tx *tx, struct cache *cache, struct str key){(void)tx,(void)cache,(void)key;return 0;}
