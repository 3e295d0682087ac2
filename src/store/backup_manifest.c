/* The manifest beside each copy: one JSON object, written by its table and read back strictly. */
#include "store/backup_internal.h"

#include "schema/decode.h"
#include "schema/encode.h"

#include <pthread.h>
#include <unistd.h>

enum { MANIFEST_MAX = 2 * 1024 * 1024 };

static const struct schema backup_migration_schema =
	SCHEMA(backup_migration, "A migration that was applied.",
		FIELD(backup_migration, module, "Whose.", .flags = REQUIRED, RANGE(1, 100)),
		FIELD(backup_migration, number, "Which.", .flags = REQUIRED, RANGE(1, INT32_MAX)));

const struct schema backup_schema = SCHEMA(backup, "A backup of the database.",
	FIELD(backup, format, "Of this description.", .flags = REQUIRED, RANGE(1, 1)),
	FIELD(backup, name, "Its name.", .flags = REQUIRED,
		RANGE(BACKUP_NAME_LEN, BACKUP_NAME_LEN)),
	FIELD(backup, created_at, "The state of the database is that of this time.",
		.flags = REQUIRED, .format = FORMAT_DATE_TIME),
	FIELD(backup, program, "Version of the program that made it.", .flags = REQUIRED,
		RANGE(1, 64)),
	FIELD(backup, size, "Bytes of the copy.", .flags = REQUIRED, RANGE(1, INT64_MAX)),
	FIELD(backup, sha256, "SHA-256 of the copy, in hex.", .flags = REQUIRED,
		RANGE(2 * SHA256_LEN, 2 * SHA256_LEN), .pattern = "[0-9a-f]+"),
	LIST(backup, migrations, "What was applied to it.", .flags = REQUIRED,
		RANGE(0, BACKUP_MIGRATIONS_MAX), .nested = &backup_migration_schema));

/* Several threads may come at once, and the table must be compiled before they do. */
static int ready(void)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static bool compiled;
	int r = 0;

	(void)pthread_mutex_lock(&lock);
	if (!compiled)
		r = schema_compile(&backup_schema);
	compiled = compiled || r == 0;
	(void)pthread_mutex_unlock(&lock);
	return r;
}

int manifest_write(const struct folder *folder, const char *file, const struct backup *backup)
{
	struct json_writer writer;
	struct buf out;
	int fd, r;

	r = ready();
	if (r < 0)
		return r;

	buf_init(&out, MANIFEST_MAX);
	json_writer_init(&writer, &out);
	schema_encode(&backup_schema, SCHEMA_ALL, backup, &writer);
	r = json_writer_done(&writer);
	buf_byte(&out, '\n');
	if (r == 0)
		r = out.failed;
	if (r == 0)
		r = file_create(folder, file, &fd);
	if (r == 0) {
		r = file_write(fd, file, buf_str(&out));
		if (r == 0)
			r = file_sync(fd, file);
		(void)close(fd);
	}
	buf_done(&out);
	return r;
}

int manifest_read(
	const struct folder *folder, struct str name, struct arena *arena, struct backup *ret)
{
	char file[BACKUP_FILE_MAX];
	struct problems problems;
	struct backup backup;
	struct str text = { 0 };
	int r;

	backup_file_name(name, ".json", file);
	r = ready();
	if (r == 0)
		r = file_read(folder, file, MANIFEST_MAX, arena, &text);
	if (r < 0)
		return r;

	problems_init(&problems, arena);
	r = schema_decode(&backup_schema, SCHEMA_ALL, text, arena, &problems, &backup);
	if (r == -ERR_INVALID && problems.count > 0)
		return fail(ERR_INVALID, "%s is damaged: %.*s %.*s", file,
			STR_ARG(problems.at[0].field), STR_ARG(problems.at[0].message));
	if (r < 0)
		return r;
	if (!str_eq(backup.name, name))
		return fail(ERR_INVALID, "%s describes another backup, %.*s", file,
			STR_ARG(backup.name));
	*ret = backup;
	return 0;
}
