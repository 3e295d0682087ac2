/* What becomes of the keys of a user: whoever is suspended has no rights, so neither have the keys;
 * whoever is deleted takes them along. */
#include "modules/api_keys/api_keys_internal.h"

#include "modules/users/users.h"
#include "schema/encode.h"

static int end_keys(struct tx *tx, const struct uuid *user)
{
	char id[UUID_TEXT_LEN];
	struct api_key_ref owner = { str_of(id, sizeof(id)) };
	int r;

	uuid_write(id, user);
	r = tx_exec(tx, &key_end_owned, &owner);
	return r < 0 ? r : known_forget_owner(tx, user);
}

static int write_key(void *row, void *arg)
{
	schema_encode(&api_key_schema, SCHEMA_OUTPUT, row, arg);
	return 0;
}

static int export_keys(struct tx *tx, const struct uuid *user, struct json_writer *writer)
{
	char id[UUID_TEXT_LEN];
	struct api_key_ref owner = { str_of(id, sizeof(id)) };
	struct api_key key;
	int r;

	uuid_write(id, user);
	json_write_array(writer);
	r = tx_each(tx, &key_owned, &owner, &key, write_key, writer);
	json_write_array_end(writer);
	return r;
}

void owner_open(void)
{
	static struct user_watcher watcher = {
		.deleted = end_keys,
		.export_name = "apiKeys",
		.export = export_keys,
	};

	users_watch(&watcher);
}
