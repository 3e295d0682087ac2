/* What stands between the bytes of a request and the structs of a handler. */
#include "http/handler.h"

#include "http/conn.h"
#include "schema/decode.h"
#include "schema/encode.h"
#include "schema/export.h"
#include "schema/row.h"

/* What the server itself answers on behalf of any handler, whatever its line says. */
#define IMPLIED                                                                                    \
	(ROUTE_FAILS(INTERNAL) | ROUTE_FAILS(UNAVAILABLE) | ROUTE_FAILS(NO_MEMORY) |               \
		ROUTE_FAILS(FULL) | ROUTE_FAILS(TIMEOUT) | ROUTE_FAILS(IO) | ROUTE_FAILS(CLOSED) | \
		ROUTE_FAILS(CANCELLED) | ROUTE_FAILS(SLOW_REQUEST) | ROUTE_FAILS(TOO_LARGE))

/* --- at the start ------------------------------------------------------- */

static const char *undeclared(uint64_t fails)
{
	return err_info(__builtin_ctzll(fails))->name;
}

static int check_typed(const struct route *route)
{
	const struct handler *handler = route->handler;
	uint64_t missing = handler->fails & ~route->may_fail & ~IMPLIED;
	size_t in = route->in ? route->in->size : sizeof(struct nothing);
	size_t out = route->out ? route->out->size : sizeof(struct nothing);

	if (handler->in_size != in || handler->out_size != out)
		return fail(ERR_INVALID, "the structs of the handler are not those of the schemas");
	if (missing)
		return fail(ERR_INVALID,
			"the handler can return %s, which the route does not declare",
			undeclared(missing));
	return 0;
}

/* Each table that a schema refers to is compiled for itself, too, since the OpenAPI document writes
 * it on its own. */
struct compiling {
	size_t done;
	int r;
};

static void compile_one(const struct schema *schema, void *arg)
{
	struct compiling *compiling = arg;

	if (compiling->r == 0)
		compiling->r = schema_compile(schema);
	if (compiling->r == 0)
		compiling->done++;
}

static void release_one(const struct schema *schema, void *arg)
{
	struct compiling *compiling = arg;

	if (compiling->done == 0)
		return;
	compiling->done--;
	schema_release(schema);
}

static int compile_tree(const struct schema *schema)
{
	struct compiling compiling = { 0 };
	int r = schema_compile(schema);

	if (r < 0)
		return r;
	schema_each(schema, compile_one, &compiling);
	if (compiling.r < 0) {
		schema_each(schema, release_one, &compiling);
		schema_release(schema);
	}
	return compiling.r;
}

static void release_tree(const struct schema *schema)
{
	struct compiling all = { .done = SIZE_MAX };

	schema_each(schema, release_one, &all);
	schema_release(schema);
}

static int compile(const struct schema *const *schemas, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		int r = compile_tree(schemas[i]);

		if (r == 0)
			continue;
		while (i-- > 0)
			release_tree(schemas[i]);
		return r;
	}
	return 0;
}

/* True when the path has that parameter. */
static bool path_has(const char *path, struct str name)
{
	struct str rest = str_from_c(path);

	while (rest.at) {
		struct str segment = str_cut(&rest, '/');

		if (segment.len == name.len + 2 && segment.at[0] == '{' &&
			str_eq(str_of(segment.at + 1, name.len), name))
			return true;
	}
	return false;
}

static bool takes_from_path(const struct schema *schema, struct str name)
{
	for (size_t i = 0; !schema->tag && i < schema->count; i++)
		if (schema->fields[i].from == FROM_PATH && str_eq(row_wire_name(schema, i), name))
			return true;
	return false;
}

/* The parameters of the path and the members that come from it are the same ones. */
static int check_path(const struct route *route)
{
	const struct schema *in = route->in;
	struct str rest = str_from_c(route->path);

	while (rest.at) {
		struct str segment = str_cut(&rest, '/');
		struct str name = str_of(segment.at + 1, segment.len < 2 ? 0 : segment.len - 2);

		if (segment.len && segment.at[0] == '{' && !takes_from_path(in, name))
			return fail(ERR_INVALID, "no member of %s comes from {%.*s}", in->type,
				STR_ARG(name));
	}
	for (size_t i = 0; !in->tag && i < in->count; i++)
		if (in->fields[i].from == FROM_PATH && !path_has(route->path, row_wire_name(in, i)))
			return fail(ERR_INVALID, "%s.%s comes from a path without {%.*s}", in->type,
				in->fields[i].member, STR_ARG(row_wire_name(in, i)));
	return 0;
}

int handler_check(const struct route *route)
{
	const struct schema *const schemas[] = { route->in, route->out };
	size_t first = route->in ? 0 : 1, last = route->out ? 2 : 1;

	if (!route->need || !*route->need)
		return fail(ERR_INVALID, "no right is declared");
	if (!route->run == !route->handler)
		return fail(ERR_INVALID, "it wants either run or handler");
	if (!route->handler && (route->in || route->out))
		return fail(ERR_INVALID, "only a typed handler has schemas");
	if (route->idempotent && route->method != HTTP_POST)
		return fail(ERR_INVALID, "only POST takes an Idempotency-Key");
	if (route->handler && check_typed(route) < 0)
		return -(int)err_last()->code;
	if (compile(schemas + first, last > first ? last - first : 0) < 0)
		return -(int)err_last()->code;
	if (route->in && check_path(route) < 0) {
		handler_release(route);
		return -(int)err_last()->code;
	}
	return 0;
}

void handler_release(const struct route *route)
{
	if (route->in)
		release_tree(route->in);
	if (route->out)
		release_tree(route->out);
}

/* --- input -------------------------------------------------------------- */

bool handler_takes_input(const struct route *route)
{
	return route && route->in;
}

static bool is_utf8(struct str charset)
{
	return str_eq_nocase(charset, S("utf-8")) || str_eq_nocase(charset, S("\"utf-8\""));
}

/* application/json, or a type that is JSON by its suffix (RFC 6839). Of the parameters only a
 * charset says something; UTF-8 is the only one of JSON (RFC 8259 8.1). */
static bool is_json(struct str content_type)
{
	static const struct str prefix = S_INIT("application/"), suffix = S_INIT("+json");
	struct str rest = content_type;
	struct str type = str_trim(str_cut(&rest, ';'));

	while (rest.at) {
		struct str value = str_cut(&rest, ';');
		struct str name = str_trim(str_cut(&value, '='));

		if (str_eq_nocase(name, S("charset")) && !is_utf8(str_trim(value)))
			return false;
	}
	if (str_eq_nocase(type, S("application/json")))
		return true;
	return type.len > prefix.len + suffix.len &&
	       str_eq_nocase(str_first(type, prefix.len), prefix) &&
	       str_eq_nocase(str_from(type, type.len - suffix.len), suffix);
}

static int take_params(struct req *req, struct schema_input *input)
{
	for (size_t i = 0; i < req->entry->param_count; i++) {
		int r = schema_input_text(
			input, FROM_PATH, req->entry->param_names[i], req->params[i]);

		if (r < 0)
			return r;
	}
	return 0;
}

static int take_query(struct req *req, struct schema_input *input)
{
	struct query_walk walk;
	struct query_pair pair;
	int more;

	query_start(&walk, req->head.target.query);
	while ((more = query_next(&walk, &req->arena, &pair)) > 0) {
		int r = schema_input_text(input, FROM_QUERY, pair.name, pair.value);

		if (r < 0)
			return r;
	}
	return more;
}

static int take_headers(struct req *req, struct schema_input *input)
{
	for (size_t i = 0; i < req->head.count; i++) {
		const struct h1_field *field = &req->head.fields[i];
		int r = schema_input_text(input, FROM_HEADER, field->name, field->value);

		if (r < 0)
			return r;
	}
	return 0;
}

static int take_body(struct req *req, struct schema_input *input)
{
	struct json_limits limits = json_limits_default;
	struct str body;
	int r;

	if (req->body.ended)
		return 0; /* what is required and not there will be told */
	if (!is_json(h1_value(&req->head, H1_CONTENT_TYPE)))
		return fail(ERR_MEDIA_TYPE,
			"the body must be JSON, with content-type: application/json");

	r = req_read_all(req, &body);
	if (r < 0)
		return r;
	limits.bytes = MAX(limits.bytes, body.len);
	return schema_input_json(input, body, &limits);
}

int handler_decode(struct req *req)
{
	const struct schema *schema = req->entry->route->in;
	struct schema_input *input;
	int r = 0;

	req->in = arena_zalloc(&req->arena, schema->size);
	if (!req->in)
		return -(int)err_last()->code;
	problems_init(&req->problems, &req->arena);
	input = schema_input_start(schema, SCHEMA_INPUT, &req->arena, &req->problems, req->in);
	if (!input)
		return -(int)err_last()->code;

	if (schema_has(schema, FROM_PATH))
		r = take_params(req, input);
	if (r == 0)
		r = take_query(req, input);
	if (r == 0 && schema_has(schema, FROM_HEADER))
		r = take_headers(req, input);
	if (r == 0 && schema_has(schema, FROM_BODY))
		r = take_body(req, input);
	return r < 0 ? r : schema_input_end(input);
}

/* --- the handler -------------------------------------------------------- */

static void write_envelope(struct req *req, int status, const void *out, struct json_writer *json)
{
	const struct schema *schema = req->entry->route->out;

	json_write_object(json);
	json_write_key(json, S("success"));
	json_write_bool(json, true);
	json_write_key(json, S("statusCode"));
	json_write_i64(json, status);
	json_write_key(json, S("data"));
	schema_encode(schema, SCHEMA_OUTPUT, out, json);
	if (req->next_cursor.len) {
		json_write_key(json, S("meta"));
		json_write_object(json);
		json_write_key(json, S("nextCursor"));
		json_write_string(json, req->next_cursor);
		json_write_object_end(json);
	}
	json_write_key(json, S("requestId"));
	json_write_string(json, req->id);
	json_write_object_end(json);
}

static int answer(struct req *req, const void *out)
{
	const struct route *route = req->entry->route;
	int status = route->status ? route->status : route->out ? 200 : 204;
	struct buf *text = req_text(req);
	struct json_writer json;
	int r;

	if (req->reply.status) /* the handler wanted to answer by itself */
		return 0;
	if (!route->out)
		return reply_empty(req, status);

	json_writer_init(&json, text);
	if (route->shape == ROUTE_BARE)
		schema_encode(route->out, SCHEMA_OUTPUT, out, &json);
	else
		write_envelope(req, status, out, &json);
	r = json_writer_done(&json);
	if (r == -ERR_TOO_LARGE) /* of the caller's request this would say nothing true */
		return fail(ERR_INTERNAL, "the answer has more than %zu bytes", text->limit);
	return r < 0 ? r : reply_json(req, status, buf_str(text));
}

/* A code that the contract does not know must not reach the caller, who could not be prepared for
 * it. */
static int check_declared(const struct req *req, int r)
{
	const struct route *route = req->entry->route;
	uint64_t allowed = route->handler->fails | IMPLIED | (route->in ? ROUTE_FAILS(INVALID) : 0);

	if (r >= 0 || (allowed >> -r & 1))
		return r;
	return fail(ERR_INTERNAL, "the handler of %.*s returned %s, which it does not declare: %s",
		STR_ARG(req->entry->title), err_info(r)->name, err_last()->frames[0].text);
}

static int call(struct req *req)
{
	const struct route *route = req->entry->route;
	static struct nothing none;
	void *out = &none;
	int r;

	if (!route->handler)
		return route->run(req);

	if (route->out) {
		out = arena_zalloc(&req->arena, route->out->size);
		if (!out)
			return -(int)err_last()->code;
	}
	r = route->handler->call(req, req->in ? req->in : &none, out);
	return r < 0 ? r : answer(req, out);
}

/* Waits for the handler's children; returns what the whole came to. An error of the handler's own
 * counts more than that of a child, unless it only was cancelled because of it. */
static int close_scope(struct req *req, int r)
{
	struct err own;
	int child;

	if (r == 0)
		return scope_close(&req->scope);

	own = *err_last();
	scope_cancel(&req->scope); /* nobody wants what the children still do */
	child = scope_close(&req->scope);
	if (r == -ERR_CANCELLED && child < 0)
		return child;
	fiber_current()->err = own;
	return r;
}

int handler_run(struct req *req)
{
	const struct route *route = req->entry->route;
	struct conn *conn = req->conn;
	uint64_t time =
		route->deadline_ns ? route->deadline_ns : conn->home->server->limits.handler_ns;
	int r;

	scope_open(&req->scope, time == TIME_NEVER ? TIME_NEVER : sched_now() + time);
	conn->scope = &req->scope;
	r = call(req);
	r = close_scope(req, r);
	conn->scope = NULL; /* only now: children may have made it wait */
	return route->handler ? check_declared(req, r) : r;
}
