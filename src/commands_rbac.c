/* bulkhead rbac matrix: which built-in role has which right, from the routes of all modules that
 * the configuration wants. Neither a database nor a server is asked. */
#include "commands_rbac.h"

#include "module_list.h"
#include "modules/rbac/rbac.h"
#include "json/writer.h"

#include <stdio.h>

/* Errors are told. */
static int gather(const struct module_list *modules)
{
	int r = rights_begin();

	for (size_t i = 0; i < modules->count && r == 0; i++)
		r = rights_of_routes(modules->at[i]->routes, modules->at[i]->route_count);
	return r < 0 ? (void)command_fail(""), r : 0;
}

static bool is_among(struct str name, const struct str *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (str_eq(names[i], name))
			return true;
	return false;
}

static void pad(struct buf *out, struct str text, size_t width)
{
	buf_append(out, text);
	for (size_t i = text.len; i < width; i++)
		buf_byte(out, ' ');
}

static bool is_platform(struct str right)
{
	return str_starts(right, S("platform:"));
}

/* A line: the right, then a column for each role. */
static void print_line(
	struct buf *out, struct str right, size_t width, const struct str *roles, size_t count)
{
	struct str with[BUILT_IN_ROLES_MAX];
	size_t with_count = right_roles(right, with);
	bool system = is_platform(right);

	pad(out, right, width);
	for (size_t i = 0; i < count; i++) {
		buf_append(out, S("  "));
		if (is_among(roles[i], with, with_count))
			pad(out, system ? S("system") : S("yes"), MAX(roles[i].len, 6U));
		else
			pad(out, S("-"), MAX(roles[i].len, 6U));
	}
	while (out->len && out->at[out->len - 1] == ' ')
		out->len--;
	buf_byte(out, '\n');
}

static void print_matrix(struct buf *out)
{
	struct str roles[BUILT_IN_ROLES_MAX];
	size_t count = right_roles(S(RIGHT_SELF), roles), width = sizeof(RIGHT_SELF) - 1;

	for (size_t i = 0; i < rights_count(); i++)
		width = MAX(width, right_at(i).len);
	pad(out, S("RIGHT"), width);
	for (size_t i = 0; i < count; i++) {
		buf_append(out, S("  "));
		pad(out, roles[i], i + 1 < count ? MAX(roles[i].len, 6U) : 0);
	}
	buf_byte(out, '\n');
	for (size_t i = 0; i < rights_count(); i++)
		print_line(out, right_at(i), width, roles, count);
	print_line(out, S(RIGHT_SELF), width, roles, count);
	buf_append(out, S("\nsystem: in the tenant of the installation only. " RIGHT_SELF
			  ": every active user, no key.\n"));
}

static void print_json_right(struct json_writer *json, struct str right)
{
	struct str roles[BUILT_IN_ROLES_MAX];
	size_t count = right_roles(right, roles);

	json_write_object(json);
	json_write_key(json, S("right"));
	json_write_string(json, right);
	json_write_key(json, S("roles"));
	json_write_array(json);
	for (size_t i = 0; i < count; i++)
		json_write_string(json, roles[i]);
	json_write_array_end(json);
	json_write_key(json, S("systemOnly"));
	json_write_bool(json, is_platform(right));
	json_write_object_end(json);
}

static void print_json(struct buf *out)
{
	struct json_writer json;

	json_writer_init(&json, out);
	json_write_object(&json);
	json_write_key(&json, S("rights"));
	json_write_array(&json);
	for (size_t i = 0; i < rights_count(); i++)
		print_json_right(&json, right_at(i));
	print_json_right(&json, S(RIGHT_SELF));
	json_write_array_end(&json);
	json_write_object_end(&json);
	if (json_writer_done(&json) == 0)
		buf_byte(out, '\n');
}

static int run_matrix(const struct command_line *line)
{
	struct module_list modules = { 0 };
	const struct config *config;
	int exit_code = COMMAND_FAILED;
	struct buf out;

	if (command_load(&config) < 0)
		return COMMAND_FAILED;

	buf_init(&out, COMMAND_OUTPUT_MAX);
	if (module_list_load(&modules, config) < 0) {
		(void)command_fail("");
	} else if (gather(&modules) == 0) {
		if (line->options & COMMAND_JSON)
			print_json(&out);
		else
			print_matrix(&out);
		exit_code = COMMAND_DONE;
	}
	exit_code = exit_code == COMMAND_DONE ? command_print(&out, exit_code) : exit_code;
	buf_done(&out);
	module_list_done(&modules);
	config_free(config);
	return exit_code;
}

static const struct command commands[] = {
	{ "rbac", "matrix", .text = "Print which built-in role has which right.",
		.options = COMMAND_JSON, .run = run_matrix,
		.more = "Rights are those that routes need; GET /api/v1/rights has those that "
			"code\n"
			"asks for, too." },
};

const struct command_family rbac_commands = { commands, LEN(commands) };
