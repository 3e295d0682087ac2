/* When a mail is tried again. Pure. */
#include "modules/mails/mails_internal.h"

uint64_t mail_backoff(int64_t attempts)
{
	static const uint64_t minutes[] = { 1, 5, 15, 60, 120, 240 };
	size_t at = attempts < 1 ? 0 : MIN((size_t)attempts - 1, LEN(minutes) - 1);

	return minutes[at] * MINUTE;
}
