/*
 * Idempotency-Key. What is taken is 1 to 255 bytes of visible ASCII, and the same key again when it
 * is written in quotes.
 */
#include "http/idempotency_key.h"

#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	char quoted[2 * IDEMPOTENCY_KEY_MAX + 2];
	struct idempotency_key key, again;
	size_t len = 0;

	if (idempotency_key_parse(str_of((const char *)bytes, size), &key) < 0)
		return 0;

	CHECK(key.len >= 1 && key.len <= IDEMPOTENCY_KEY_MAX);
	quoted[len++] = '"';
	for (size_t i = 0; i < key.len; i++) {
		CHECK(key.text[i] > 0x20 && key.text[i] < 0x7f);
		if (key.text[i] == '"' || key.text[i] == '\\')
			quoted[len++] = '\\';
		quoted[len++] = key.text[i];
	}
	quoted[len++] = '"';
	CHECK(idempotency_key_parse(str_of(quoted, len), &again) == 0);
	CHECK(str_eq(idempotency_key_str(&again), idempotency_key_str(&key)));
	return 0;
}
