/* What stands between the bytes of a request and the structs of a handler. */
#include "http/handler.h"

#include "http/conn.h"
#include "http/match.h"
#include "schema/decode.h"
#include "schema/encode.h"
#include "schema/export.h"
#include "schema/row.h"

/* What the server itself answers on behalf of any handler, whatever its line says. */
#define IMPLIED                                                                                    \
	(ROUTE_FAILS(INTERNAL) | ROUTE_FAILS(UNAVAILABLE) | ROUTE_FAILS(NO_MEMORY) |               \
		ROUTE_FAILS(FULL) | ROUTE_FAILS(TIMEOUT) | ROUTE_FAILS(IO) | ROUTE_FAILS(CLOSED) | \
		ROUTE_FAILS(CANCELLED) | ROUTE_FAILS(SLOW_REQUEST) | ROUTE_FAILS(TOO_LARGE))

/* The same for what the line of this route brings with it. */
static uint64_t implied(const struct route *route)
{
	bool guarded = strcmp(route->need, RIGHT_PUBLIC) != 0;

	return IMPLIED | (route->in ? ROUTE_FAILS(INVALID) : 0) |
	       (guarded ? ROUTE_FAILS(FORBIDDEN) : 0) |
	       (route->versioned ? ROUTE_FAILS(PRECONDITION) | ROUTE_FAILS(INVALID) : 0) |
	       (route->idempotent ? ROUTE_FAILS(CONFLICT) | ROUTE_FAILS(IDEMPOTENCY) : 0);
}

/* --- at the start ------------------------------------------------------- */

static const char *undeclared(uint64_t fails)
{
	return err_info(__builtin_ctzll(fails))->name;
}

static int check_typed(const struct route *route)
{
	const struct handler *handler = route->handler;
	uint64_t missing = handler->fails & ~route->may_fail & ~implied(route);
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

/* The row of `out` that is the ETag; NULL when there is none of that name and type. */
static const struct field *version_of(const struct schema *out)
{
	for (size_t i = 0; i < out->count; i++)
		if (strcmp(out->fields[i].member, "version") == 0)
			return out->fields[i].kind == FIELD_INTEGER ? &out->fields[i] : NULL;
	return NULL;
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
	if (route->idempotent && !route->handler)
		return fail(ERR_INVALID, "only a typed handler's answers can be kept");
	if (route->versioned && route->out && !version_of(route->out))
		return fail(ERR_INVALID, "versioned, but `out` has no int64_t version");
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

/* Also when it was read before: what is kept of repeated requests has a digest of it. */
static bool has_body(const struct h1_head *head)
{
	return head->framing == H1_BODY_CHUNKED ||
	       (head->framing == H1_BODY_LENGTH && head->length > 0);
}

static int take_body(struct req *req, struct schema_input *input)
{
	struct json_limits limits = json_limits_default;
	struct str body;
	int r;

	if (!has_body(&req->head))
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

/* Writes `data`, or the handler's output when that is empty. */
static void write_data(struct req *req, struct str data, struct json_writer *json)
{
	if (data.len)
		json_write_raw(json, data);
	else
		schema_encode(req->entry->route->out, SCHEMA_OUTPUT, req->out, json);
}

static void write_envelope(struct req *req, int status, struct str data, struct json_writer *json)
{
	json_write_object(json);
	json_write_key(json, S("success"));
	json_write_bool(json, true);
	json_write_key(json, S("statusCode"));
	json_write_i64(json, status);
	json_write_key(json, S("data"));
	write_data(req, data, json);
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

static int check_text(struct json_writer *json, const struct buf *text)
{
	int r = json_writer_done(json);

	if (r == -ERR_TOO_LARGE) /* of the caller's request this would say nothing true */
		return fail(ERR_INTERNAL, "the answer has more than %zu bytes", text->limit);
	return r;
}

int req_success(const struct req *req)
{
	const struct route *route = req->entry->route;

	if (req->success)
		return req->success;
	return route->status ? route->status : route->handler && !route->out ? 204 : 200;
}

/* Not in req_text, where the answer may be already. */
int req_data(struct req *req, struct str *ret)
{
	struct json_writer json;
	struct str data;
	struct buf text;
	int r;

	CHECK(req->out);
	buf_init(&text, req_server(req)->limits.request_memory);
	json_writer_init(&json, &text);
	write_data(req, str_of(NULL, 0), &json);
	r = check_text(&json, &text);
	if (r == 0) {
		data = arena_str(&req->arena, buf_str(&text));
		r = data.at ? 0 : -(int)err_last()->code;
	}
	buf_done(&text);
	if (r == 0)
		*ret = data;
	return r;
}

/* With `data`, or with what the handler has made. */
static int answer_with(struct req *req, int status, struct str data)
{
	struct buf *text = req_text(req);
	struct json_writer json;
	int r;

	json_writer_init(&json, text);
	if (req->entry->route->shape == ROUTE_BARE)
		write_data(req, data, &json);
	else
		write_envelope(req, status, data, &json);
	r = check_text(&json, text);
	return r < 0 ? r : reply_json(req, status, buf_str(text));
}

int reply_data(struct req *req, int status, struct str data)
{
	return data.len ? answer_with(req, status, data) : reply_empty(req, status);
}

bool req_version(const struct req *req, int64_t *ret)
{
	const struct route *route = req->entry->route;

	if (!route->versioned || !req->out)
		return false;
	memcpy(ret, (const char *)req->out + version_of(route->out)->offset, sizeof(*ret));
	return true;
}

static int answer(struct req *req)
{
	int status = req_success(req), r = 0;
	int64_t version;

	if (req->reply.status) { /* the handler wanted to answer by itself */
		if (req->entry->route->idempotent)
			return fail(ERR_INTERNAL, "an idempotent route answers with its output");
		return 0;
	}
	if (req_version(req, &version))
		r = reply_etag(req, version);
	if (r < 0 || req->reply.status)
		return r;
	return req->out ? answer_with(req, status, req->data) : reply_empty(req, status);
}

/* A code that the contract does not know must not reach the caller, who could not be prepared for
 * it. */
static int check_declared(const struct req *req, int r)
{
	const struct route *route = req->entry->route;
	uint64_t allowed = route->handler->fails | implied(route);

	if (r >= 0 || (allowed >> -r & 1))
		return r;
	return fail(ERR_INTERNAL, "the handler of %.*s returned %s, which it does not declare: %s",
		STR_ARG(req->entry->title), err_info(r)->name, err_last()->frames[0].text);
}

static int call(struct req *req)
{
	const struct route *route = req->entry->route;
	static struct nothing none;
	int r;

	if (!route->handler)
		return route->run(req);

	if (route->out) {
		req->out = arena_zalloc(&req->arena, route->out->size);
		if (!req->out)
			return -(int)err_last()->code;
	}
	r = route->handler->call(req, req->in ? req->in : &none, req->out ? req->out : &none);
	if (req->replayed)
		return 0;
	return r < 0 ? r : answer(req);
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
	(void)err_restore(&own);
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
