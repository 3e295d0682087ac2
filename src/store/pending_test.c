/* Until the harness brings a server of its own. */
#include "store/store_test.h"

__attribute__((weak)) struct str store_test_postgres(bool owner)
{
	(void)owner;
	test_skip("no PostgreSQL server yet");
}
