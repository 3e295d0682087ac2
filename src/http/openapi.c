/* A document is written in one pass over the routes, which notes the schemas it refers to, and one
 * over those. */
#include "http/openapi.h"

#include "base/version.h"
#include "schema/decode.h"
#include "schema/export.h"

#include <stdio.h>

/* What is remembered while it is written. */
struct document {
	const struct schema **schemas; /* each once, in the order of their first use */
	size_t schema_count;
	openapi_right *right; /* the caller's; may be NULL */
};

static void put_text(struct json_writer *json, struct str key, struct str value)
{
	json_write_key(json, key);
	json_write_string(json, value);
}

static void put_raw(struct json_writer *json, struct str key, struct str value)
{
	json_write_key(json, key);
	json_write_raw(json, value);
}

static bool reads(const struct route *route)
{
	return route->method == HTTP_GET || route->method == HTTP_HEAD;
}

static void open_object(struct json_writer *json, struct str key)
{
	json_write_key(json, key);
	json_write_object(json);
}

/* --- schemas ------------------------------------------------------------ */

/* One of a route's, and those it refers to. Beyond the limit they are only counted, which
 * openapi_write tells. */
static void note_schema(const struct schema *schema, void *arg)
{
	struct document *document = arg;

	for (size_t i = 0; i < MIN(document->schema_count, (size_t)OPENAPI_SCHEMAS_MAX); i++)
		if (document->schemas[i] == schema)
			return;
	if (document->schema_count < OPENAPI_SCHEMAS_MAX)
		document->schemas[document->schema_count] = schema;
	document->schema_count++;
}

/* An input that has only parameters has no document of its own. */
static bool has_document(const struct schema *schema)
{
	return schema_has(schema, FROM_BODY);
}

static void write_schemas(const struct document *document, struct json_writer *json)
{
	for (size_t i = 0; i < document->schema_count; i++) {
		json_write_key(json, schema_name(document->schemas[i]));
		schema_write_component(document->schemas[i], SCHEMA_ALL, json);
	}
}

static void write_schema_ref(const struct schema *schema, struct json_writer *json)
{
	struct str name = schema_name(schema);
	char text[200];
	int len = snprintf(text, sizeof(text), "#/components/schemas/%.*s", STR_ARG(name));

	CHECK(len > 0 && (size_t)len < sizeof(text));
	json_write_object(json);
	put_text(json, S("$ref"), str_of(text, (size_t)len));
	json_write_object_end(json);
}

/* --- responses ---------------------------------------------------------- */

static void write_media(struct json_writer *json)
{
	open_object(json, S("content"));
	open_object(json, S("application/json"));
	open_object(json, S("schema"));
}

static void close_media(struct json_writer *json)
{
	json_write_object_end(json);
	json_write_object_end(json);
	json_write_object_end(json);
}

static void write_envelope(const struct schema *schema, int status, struct json_writer *json)
{
	put_text(json, S("type"), S("object"));
	open_object(json, S("properties"));
	open_object(json, S("success"));
	json_write_key(json, S("const"));
	json_write_bool(json, true);
	json_write_object_end(json);
	open_object(json, S("statusCode"));
	json_write_key(json, S("const"));
	json_write_i64(json, status);
	json_write_object_end(json);
	json_write_key(json, S("data"));
	write_schema_ref(schema, json);
	json_write_key(json, S("meta"));
	json_write_raw(json, S("{\"$ref\":\"#/components/schemas/Meta\"}"));
	open_object(json, S("requestId"));
	put_text(json, S("type"), S("string"));
	json_write_object_end(json);
	json_write_object_end(json);
	json_write_key(json, S("required"));
	json_write_raw(json, S("[\"success\",\"statusCode\",\"data\",\"requestId\"]"));
}

/* The headers of the answer that a caller can rely on. */
static void write_headers(const struct route *route, struct json_writer *json)
{
	bool version = route->versioned && route->out;

	if (!version && !route->idempotent)
		return;
	open_object(json, S("headers"));
	if (version)
		put_raw(json, S("ETag"), S("{\"$ref\":\"#/components/headers/ETag\"}"));
	if (route->idempotent)
		put_raw(json, S("Idempotent-Replayed"),
			S("{\"$ref\":\"#/components/headers/Replayed\"}"));
	json_write_object_end(json);
}

/* A GET with If-None-Match. */
static void write_not_modified(const struct route *route, struct json_writer *json)
{
	if (route->versioned && route->out && reads(route))
		put_raw(json, S("304"),
			S("{\"description\":\"The version that the caller has is the "
			  "newest.\",\"headers\":{\"ETag\":{\"$ref\":\"#/components/headers/"
			  "ETag\"}}}"));
}

static void write_success(const struct route *route, struct json_writer *json)
{
	int status = route->status ? route->status : route->handler && !route->out ? 204 : 200;
	char code[4] = { (char)('0' + status / 100), (char)('0' + status / 10 % 10),
		(char)('0' + status % 10) };

	open_object(json, str_of(code, 3));
	put_text(json, S("description"), str_from_c(route->summary));
	write_headers(route, json);
	if (route->out) {
		write_media(json);
		if (route->shape == ROUTE_BARE) {
			json_write_key(json, S("allOf"));
			json_write_array(json);
			write_schema_ref(route->out, json);
			json_write_array_end(json);
		} else {
			write_envelope(route->out, status, json);
		}
		close_media(json);
	}
	json_write_object_end(json);
}

/* What the pipeline itself answers for such a route, beside what the route declares. */
static uint64_t failures_of(const struct route *route)
{
	/* 401 and 403 also where nobody is left out: of credentials that are no good, and of a
	 * tenant that is not served. */
	uint64_t fails = route->may_fail | ROUTE_FAILS(INVALID) | ROUTE_FAILS(UNAUTHORIZED) |
			 ROUTE_FAILS(FORBIDDEN) | ROUTE_FAILS(SLOW_REQUEST) |
			 ROUTE_FAILS(TARGET_TOO_LONG) | ROUTE_FAILS(HEAD_TOO_LARGE) |
			 ROUTE_FAILS(INTERNAL) | ROUTE_FAILS(UNAVAILABLE) | ROUTE_FAILS(TIMEOUT);

	if (route->in && schema_has(route->in, FROM_BODY))
		fails |= ROUTE_FAILS(TOO_LARGE) | ROUTE_FAILS(MEDIA_TYPE);
	if (route->limit != ROUTE_LIMIT_NONE)
		fails |= ROUTE_FAILS(TOO_MANY);
	if (route->idempotent)
		fails |= ROUTE_FAILS(CONFLICT) | ROUTE_FAILS(IDEMPOTENCY);
	if (route->versioned)
		fails |= ROUTE_FAILS(PRECONDITION);
	return fails;
}

static void write_ref_to_response(int status, struct json_writer *json)
{
	char text[40];
	int len = snprintf(text, sizeof(text), "#/components/responses/Error%d", status);

	json_write_object(json);
	put_text(json, S("$ref"), str_of(text, (size_t)len));
	json_write_object_end(json);
}

/* One entry for a status, though several codes may share it. */
static void write_failures(uint64_t fails, struct json_writer *json,
	void (*write)(int code, struct json_writer *json), const char *prefix)
{
	bool done[600] = { 0 };

	for (int code = 1; code < ERR_CODES; code++) {
		int status = err_info(code)->status;
		char name[20];
		int len = snprintf(name, sizeof(name), "%s%d", prefix, status);

		if (!(fails >> code & 1) || done[status])
			continue;
		done[status] = true;
		json_write_key(json, str_of(name, (size_t)len));
		write(code, json);
	}
}

static void write_failure_ref(int code, struct json_writer *json)
{
	write_ref_to_response(err_info(code)->status, json);
}

static void write_failure(int code, struct json_writer *json)
{
	json_write_object(json);
	put_text(json, S("description"), err_info(code)->text);
	write_media(json);
	put_text(json, S("$ref"), S("#/components/schemas/Error"));
	close_media(json);
	json_write_object_end(json);
}

/* --- operations --------------------------------------------------------- */

/* "getFlagsByKey": the method, then the segments behind /api/v1. */
static void write_operation_id(const struct router_entry *entry, struct json_writer *json)
{
	struct str rest = str_from(entry->pattern, 1);
	struct str method = http_method_text(entry->route->method);
	char text[256];
	size_t len = 0;

	if (str_starts(rest, S("api/v1/")))
		rest = str_from(rest, 7);
	for (size_t i = 0; i < method.len; i++)
		text[len++] = (char)(method.at[i] | 0x20);
	for (bool upper = true; rest.len && len + 3 < sizeof(text); rest = str_from(rest, 1)) {
		char byte = rest.at[0];
		bool letter = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');

		if (byte == '{') {
			text[len++] = 'B';
			text[len++] = 'y';
		}
		if (letter || (byte >= '0' && byte <= '9'))
			text[len++] = (char)(upper && letter ? byte & ~0x20 : byte);
		upper = !letter && !(byte >= '0' && byte <= '9');
	}
	put_text(json, S("operationId"), str_of(text, len));
}

/* The first segment behind /api/v1. */
static void write_tag(const struct router_entry *entry, struct json_writer *json)
{
	struct str rest = str_from(entry->pattern, 1);

	if (str_starts(rest, S("api/v1/")))
		rest = str_from(rest, 7);
	json_write_key(json, S("tags"));
	json_write_array(json);
	json_write_string(json, str_cut(&rest, '/'));
	json_write_array_end(json);
}

static void write_security(
	const struct document *document, const struct route *route, struct json_writer *json)
{
	struct str need = str_from_c(route->need);
	struct str schemes = S("[{\"bearer\":[]},{\"apiKey\":[]}]");

	if (str_eq(need, S(RIGHT_PUBLIC)))
		schemes = S("[]");
	else if (str_eq(need, S(RIGHT_SELF)))
		schemes = S("[{\"bearer\":[]}]");
	put_raw(json, S("security"), schemes);
	put_text(json, S("x-right"), need);
	if (document->right)
		document->right(need, json);
}

static void write_params(const struct route *route, struct json_writer *json)
{
	if (!route->in && !route->idempotent && !route->versioned)
		return;
	json_write_key(json, S("parameters"));
	json_write_array(json);
	if (route->in)
		schema_write_parameters(route->in, json);
	if (route->idempotent)
		json_write_raw(json, S("{\"$ref\":\"#/components/parameters/IdempotencyKey\"}"));
	if (route->versioned) {
		json_write_raw(json, S("{\"$ref\":\"#/components/parameters/IfMatch\"}"));
		json_write_raw(json, S("{\"$ref\":\"#/components/parameters/IfNoneMatch\"}"));
	}
	json_write_array_end(json);
}

static void write_body(const struct route *route, struct json_writer *json)
{
	if (!route->in || !has_document(route->in))
		return;
	open_object(json, S("requestBody"));
	json_write_key(json, S("required"));
	json_write_bool(json, schema_requires(route->in, FROM_BODY));
	open_object(json, S("content"));
	open_object(json, S("application/json"));
	json_write_key(json, S("schema"));
	write_schema_ref(route->in, json);
	json_write_object_end(json);
	json_write_object_end(json);
	json_write_object_end(json);
}

static void write_operation(
	const struct router_entry *entry, struct document *document, struct json_writer *json)
{
	const struct route *route = entry->route;
	char method[8];
	struct str text = http_method_text(route->method);

	for (size_t i = 0; i < text.len; i++)
		method[i] = (char)(text.at[i] | 0x20);
	open_object(json, str_of(method, text.len));
	write_operation_id(entry, json);
	put_text(json, S("summary"), str_from_c(route->summary));
	write_tag(entry, json);
	write_security(document, route, json);
	write_params(route, json);
	write_body(route, json);
	open_object(json, S("responses"));
	write_success(route, json);
	write_not_modified(route, json);
	write_failures(failures_of(route), json, write_failure_ref, "");
	json_write_object_end(json);
	json_write_object_end(json);

	if (route->in && has_document(route->in))
		schema_each(route->in, note_schema, document);
	if (route->out)
		schema_each(route->out, note_schema, document);
}

/* --- the document ------------------------------------------------------- */

static bool is_first_of_path(const struct router *router, const struct router_entry *entry)
{
	for (const struct router_entry *each = router->first; each != entry; each = each->next)
		if (str_eq(each->pattern, entry->pattern))
			return false;
	return true;
}

static void write_paths(
	const struct router *router, struct document *document, struct json_writer *json)
{
	open_object(json, S("paths"));
	for (const struct router_entry *entry = router->first; entry; entry = entry->next) {
		if (!is_first_of_path(router, entry))
			continue;
		open_object(json, entry->pattern);
		for (const struct router_entry *each = entry; each; each = each->next)
			if (str_eq(each->pattern, entry->pattern))
				write_operation(each, document, json);
		json_write_object_end(json);
	}
	json_write_object_end(json);
}

static void write_info(struct json_writer *json)
{
	put_text(json, S("openapi"), S("3.1.0"));
	open_object(json, S("info"));
	put_text(json, S("title"), S("Bulkhead"));
	put_text(json, S("version"), S(BULKHEAD_VERSION));
	put_text(json, S("description"),
		S("The API of this Bulkhead, from the tables that it runs on."));
	json_write_key(json, S("license"));
	json_write_raw(json, S("{\"name\":\"MIT\",\"identifier\":\"MIT\"}"));
	json_write_object_end(json);
	json_write_key(json, S("servers"));
	json_write_raw(json, S("[{\"url\":\"/\"}]"));
}

/* The shapes of DESIGN's contract that no module owns. */
static const char error_schema[] =
	"{\"type\":\"object\",\"description\":\"What went wrong.\",\"properties\":{"
	"\"success\":{\"const\":false},"
	"\"statusCode\":{\"type\":\"integer\",\"minimum\":400,\"maximum\":599},"
	"\"error\":{\"type\":\"object\",\"properties\":{"
	"\"code\":{\"type\":\"string\",\"examples\":[\"VALIDATION_ERROR\"]},"
	"\"message\":{\"type\":\"string\"},"
	"\"details\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/components/schemas/Problem\"}},"
	"\"causes\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}}},"
	"\"required\":[\"code\",\"message\"]},"
	"\"requestId\":{\"type\":\"string\"}},"
	"\"required\":[\"success\",\"statusCode\",\"error\",\"requestId\"]}";
static const char problem_schema[] =
	"{\"type\":\"object\",\"description\":\"One thing that is wrong with the "
	"input.\",\"properties\":{"
	"\"field\":{\"type\":\"string\",\"examples\":[\"items.0.email\"]},"
	"\"message\":{\"type\":\"string\",\"examples\":[\"must be an e-mail address\"]},"
	"\"code\":{\"type\":\"string\",\"examples\":[\"invalid_email\"]}},"
	"\"required\":[\"field\",\"message\",\"code\"]}";
static const char meta_schema[] =
	"{\"type\":\"object\",\"description\":\"About a list.\",\"properties\":{"
	"\"nextCursor\":{\"type\":\"string\",\"description\":\"Where the next page begins.\"}}}";
static const char security_schemes[] =
	"{\"bearer\":{\"type\":\"http\",\"scheme\":\"bearer\",\"bearerFormat\":\"JWT\"},"
	"\"apiKey\":{\"type\":\"apiKey\",\"in\":\"header\",\"name\":\"X-API-Key\"}}";

/* Parameters and headers that come with a word in a route's line; only those that some route has.
 */
static const char idempotency_key[] =
	"{\"name\":\"Idempotency-Key\",\"in\":\"header\",\"description\":\"Makes it safe to ask "
	"again: "
	"the same request under the same key is done once. Kept for 24 "
	"hours.\",\"schema\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":255}}";
static const char if_match[] = "{\"name\":\"If-Match\",\"in\":\"header\",\"description\":\"Entity "
			       "tags, one of which must be that "
			       "of the current version.\",\"schema\":{\"type\":\"string\"}}";
static const char if_none_match[] =
	"{\"name\":\"If-None-Match\",\"in\":\"header\",\"description\":\"Entity tags, none of "
	"which may be "
	"that of the current version.\",\"schema\":{\"type\":\"string\"}}";
static const char etag_header[] =
	"{\"description\":\"The version of the answer, for If-Match and "
	"If-None-Match.\",\"schema\":{\"type\":\"string\",\"examples\":[\"\\\"3\\\"\"]}}";
static const char replayed_header[] =
	"{\"description\":\"There when the answer is the one to an earlier request with the same "
	"Idempotency-Key.\",\"schema\":{\"const\":\"true\"}}";

static bool any_route(const struct router *router, bool (*wanted)(const struct route *))
{
	for (const struct router_entry *entry = router->first; entry; entry = entry->next)
		if (wanted(entry->route))
			return true;
	return false;
}

static bool is_idempotent(const struct route *route)
{
	return route->idempotent;
}

static bool is_versioned(const struct route *route)
{
	return route->versioned;
}

static bool has_etag(const struct route *route)
{
	return route->versioned && route->out;
}

#define TEXT_OF(constant) str_of(constant, sizeof(constant) - 1)

static void write_shared(const struct router *router, struct json_writer *json)
{
	bool keys = any_route(router, is_idempotent), versions = any_route(router, is_versioned);

	if (!keys && !versions)
		return;
	open_object(json, S("parameters"));
	if (keys)
		put_raw(json, S("IdempotencyKey"), TEXT_OF(idempotency_key));
	if (versions) {
		put_raw(json, S("IfMatch"), TEXT_OF(if_match));
		put_raw(json, S("IfNoneMatch"), TEXT_OF(if_none_match));
	}
	json_write_object_end(json);
	open_object(json, S("headers"));
	if (any_route(router, has_etag))
		put_raw(json, S("ETag"), TEXT_OF(etag_header));
	if (keys)
		put_raw(json, S("Replayed"), TEXT_OF(replayed_header));
	json_write_object_end(json);
}

static uint64_t all_failures(const struct router *router)
{
	uint64_t fails = 0;

	for (const struct router_entry *entry = router->first; entry; entry = entry->next)
		fails |= failures_of(entry->route);
	return fails;
}

static bool has_envelopes(const struct router *router)
{
	for (const struct router_entry *entry = router->first; entry; entry = entry->next)
		if (entry->route->out && entry->route->shape == ROUTE_ENVELOPE)
			return true;
	return false;
}

static void write_components(
	const struct router *router, struct document *document, struct json_writer *json)
{
	open_object(json, S("components"));
	open_object(json, S("schemas"));
	json_write_key(json, S("Error"));
	json_write_raw(json, str_of(error_schema, sizeof(error_schema) - 1));
	json_write_key(json, S("Problem"));
	json_write_raw(json, str_of(problem_schema, sizeof(problem_schema) - 1));
	if (has_envelopes(router)) {
		json_write_key(json, S("Meta"));
		json_write_raw(json, str_of(meta_schema, sizeof(meta_schema) - 1));
	}
	write_schemas(document, json);
	json_write_object_end(json);
	open_object(json, S("responses"));
	write_failures(all_failures(router), json, write_failure, "Error");
	json_write_object_end(json);
	write_shared(router, json);
	json_write_key(json, S("securitySchemes"));
	json_write_raw(json, str_of(security_schemes, sizeof(security_schemes) - 1));
	json_write_object_end(json);
}

int openapi_write(const struct router *router, openapi_right *right, struct arena *arena,
	struct json_writer *writer)
{
	struct document document = {
		.schemas = arena_alloc(arena, OPENAPI_SCHEMAS_MAX * sizeof(void *)),
		.right = right,
	};

	if (!document.schemas)
		return -(int)err_last()->code;
	json_write_object(writer);
	write_info(writer);
	write_paths(router, &document, writer);
	if (document.schema_count > OPENAPI_SCHEMAS_MAX)
		return fail(ERR_FULL, "more than %d schemas", OPENAPI_SCHEMAS_MAX);
	write_components(router, &document, writer);
	json_write_object_end(writer);
	return 0;
}
