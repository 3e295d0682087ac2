/* Which modules there are, and what is done with each at the start and at the end. */
#include "module_list.h"

#include "base/mem.h"
#include "http/server.h"
#include "modules/api_keys/api_keys.h"
#include "modules/audit/audit.h"
#include "modules/auth/auth.h"
#include "modules/hello/hello.h"
#include "modules/jobs/jobs.h"
#include "modules/jobs/jobs_worker.h"
#include "modules/mails/mails.h"
#include "modules/operators/operators.h"
#include "modules/ops/ops.h"
#include "modules/rbac/rbac.h"
#include "modules/tenants/tenants.h"
#include "modules/users/users.h"
#include "observe/log.h"
#include "rest/idempotency.h"

static bool hello_enabled(const struct config *config)
{
	return config->hello_enabled;
}

static const struct {
	const struct module *module;
	bool (*enabled)(const struct config *); /* NULL: always */
} compiled_in[] = {
	{ &ops_module, NULL },
	{ &hello_module, hello_enabled },
	{ &rest_module, NULL },
	{ &tenants_module, NULL },
	{ &audit_module, NULL },
	{ &rbac_module, NULL },
	{ &jobs_module, NULL },
	{ &jobs_admin_module, NULL },
	{ &jobs_queues_module, NULL },
	{ &job_workers_module, NULL },
	{ &mails_module, NULL },
	{ &users_module, NULL },
	{ &auth_module, NULL },
	{ &api_keys_module, NULL },
	{ &operators_module, NULL },
};

/* --- loading ---------------------------------------------------------------------- */

static bool name_is_taken(const struct module_list *list, const char *name)
{
	for (size_t i = 0; i < LEN(compiled_in); i++)
		if (strcmp(compiled_in[i].module->name, name) == 0)
			return true;
	for (size_t i = 0; i < list->count; i++)
		if (strcmp(list->at[i]->name, name) == 0)
			return true;
	return false;
}

static int load_one(struct module_list *list, struct str path, bool strict)
{
	struct module_file *file = &list->files[list->file_count];
	int r = module_open(path, strict, file);

	if (r < 0)
		return r;
	list->file_count++;
	if (name_is_taken(list, file->module->name))
		return fail(ERR_CONFLICT, "MODULES: %.*s: there is a module %s already",
			STR_ARG(path), file->module->name);
	list->at[list->count++] = file->module;
	log_info("module loaded", LOG_STR("module", str_from_c(file->module->name)),
		LOG_STR("version", str_from_c(file->module->version)), LOG_STR("path", path));
	return 0;
}

int module_list_load(struct module_list *list, const struct config *config)
{
	const struct config_list *paths = &config->modules;
	int r = 0;

	*list = (struct module_list){ .room = LEN(compiled_in) + paths->count };
	CHECK(list->room <= MODULES_MAX);
	list->at = mem_alloc(list->room * sizeof(*list->at));
	if (paths->count)
		list->files = mem_zalloc(paths->count * sizeof(*list->files));
	if (!list->at || (paths->count && !list->files))
		return -ERR_NO_MEMORY;

	for (size_t i = 0; i < LEN(compiled_in); i++)
		if (!compiled_in[i].enabled || compiled_in[i].enabled(config))
			list->at[list->count++] = compiled_in[i].module;
	for (size_t i = 0; i < paths->count && r == 0; i++)
		r = load_one(list, paths->at[i], config->app_env == APP_PRODUCTION);
	return r;
}

void module_list_done(struct module_list *list)
{
	size_t paths = list->room - LEN(compiled_in);

	if (list->room == 0)
		return;
	while (list->file_count > 0)
		module_close(&list->files[--list->file_count]);
	mem_free(list->files, list->files ? paths * sizeof(*list->files) : 0);
	mem_free(list->at, list->at ? list->room * sizeof(*list->at) : 0);
	*list = (struct module_list){ 0 };
}

/* --- what they bring ---------------------------------------------------------------- */

int module_list_add(const struct module_list *list, struct server *server, bool probes_only)
{
	int r = 0;

	for (size_t i = 0; i < list->count && r == 0; i++)
		if (!probes_only || list->at[i] == &ops_module)
			r = server_add(server, list->at[i]);
	return r;
}

static size_t add_source(
	const struct module *module, struct migration_source *sources, size_t count)
{
	if (!module->migrations)
		return count;
	sources[count] = (struct migration_source){ module->name, module->migrations };
	return count + 1;
}

size_t module_list_migrations(
	const struct module_list *list, struct migration_source ret[MIGRATION_SOURCES_MAX])
{
	size_t count = 0;

	ret[count++] = (struct migration_source){ "store", store_migrations };
	for (size_t i = 0; i < LEN(compiled_in); i++)
		count = add_source(compiled_in[i].module, ret, count);
	for (size_t i = 0; i < list->file_count; i++)
		count = add_source(list->files[i].module, ret, count);
	return count;
}

int module_list_register(const struct module_list *list, struct server *server)
{
	int r = 0;

	for (size_t i = 0; i < list->count && r == 0; i++) {
		const struct module *module = list->at[i];

		if (module->statement_count == 0)
			continue;
		r = store_register(server->store, module->statements, module->statement_count);
		if (r < 0)
			r = err_wrap("module %s", module->name);
	}
	return r;
}

/* --- open and close ------------------------------------------------------------------ */

int module_list_open(struct module_list *list, struct server *server)
{
	struct err err;

	while (list->opened < list->count) {
		const struct module *module = list->at[list->opened];

		if (module->open && module->open(server) < 0) {
			(void)err_wrap("module %s", module->name);
			err = *err_last();
			module_list_close(list, server);
			return err_restore(&err);
		}
		list->opened++;
	}
	return 0;
}

void module_list_close(struct module_list *list, struct server *server)
{
	while (list->opened > 0) {
		const struct module *module = list->at[--list->opened];

		if (module->close)
			module->close(server);
	}
}
