/* Renders what never changes at the start; compares origins as text. */
#include "http/cors.h"

#include "base/err.h"
#include "http/chars.h"

enum { LINES_MAX = 16 * 1024 };

static const struct str default_methods[] = { S_INIT("GET"), S_INIT("HEAD"), S_INIT("PUT"),
	S_INIT("PATCH"), S_INIT("POST"), S_INIT("DELETE") };

/* What browsers do not show to scripts by themselves. */
static const struct str default_exposed[] = { S_INIT("ETag"), S_INIT("Location"), S_INIT("Link"),
	S_INIT("Retry-After"), S_INIT("RateLimit"), S_INIT("RateLimit-Policy"),
	S_INIT("X-RateLimit-Limit"), S_INIT("X-RateLimit-Remaining"), S_INIT("X-RateLimit-Reset"),
	S_INIT("X-Request-Id"), S_INIT("Content-Disposition"), S_INIT("WWW-Authenticate"),
	S_INIT("Idempotent-Replayed") };

/* --- the configuration -------------------------------------------------- */

/* scheme://host[:port], as browsers serialise it (RFC 6454 6.2). */
static bool origin_good(struct str origin)
{
	ptrdiff_t colon = str_find(origin, S("://"));
	struct authority authority;
	struct str scheme, rest;

	for (size_t i = 0; i < origin.len; i++)
		if (origin.at[i] >= 'A' && origin.at[i] <= 'Z')
			return false;
	if (colon <= 0)
		return false;

	scheme = str_first(origin, (size_t)colon);
	rest = str_from(origin, (size_t)colon + 3);
	for (size_t i = 0; i < scheme.len; i++)
		if (!(scheme.at[i] >= 'a' && scheme.at[i] <= 'z') &&
			(i == 0 || !char_is(scheme.at[i], CHAR_HOST)))
			return false;
	if (rest.len == 0 || authority_parse(rest, &authority) < 0)
		return false;
	return !(authority.port == 80 && str_eq(scheme, S("http"))) &&
	       !(authority.port == 443 && str_eq(scheme, S("https")));
}

static int check_origins(const struct cors_config *config, bool *ret_any)
{
	bool any = false;

	if (config->origins.count > CORS_ORIGINS_MAX)
		return fail(ERR_INVALID, "more than %d origins", CORS_ORIGINS_MAX);
	for (size_t i = 0; i < config->origins.count; i++) {
		struct str origin = config->origins.names[i];

		if (str_eq(origin, S("*")))
			any = true;
		else if (!origin_good(origin))
			return fail(ERR_INVALID,
				"\"%.*s\" is no origin; one looks like https://app.example, "
				"without path, slash or default port, in lower case",
				STR_ARG(str_first(origin, 80)));
	}
	if (any && config->origins.count > 1)
		return fail(ERR_INVALID, "* stands for all origins, so it stands alone");
	if (any && config->credentials)
		return fail(ERR_INVALID, "* and credentials exclude each other");

	*ret_any = any;
	return 0;
}

static int append_list(struct buf *lines, struct str title, struct cors_list list)
{
	if (list.count > CORS_NAMES_MAX)
		return fail(ERR_INVALID, "more than %d names in a list", CORS_NAMES_MAX);
	buf_append(lines, title);
	for (size_t i = 0; i < list.count; i++) {
		if (!chars_token(list.names[i]))
			return fail(ERR_INVALID, "\"%.*s\" is no name of a method or header",
				STR_ARG(str_first(list.names[i], 80)));
		buf_append(lines, i ? S(",") : S(": "));
		buf_append(lines, list.names[i]);
	}
	buf_append(lines, S("\r\n"));
	return 0;
}

static struct cors_list or_default(struct cors_list list, const struct str *names, size_t count)
{
	return list.count ? list : (struct cors_list){ names, count };
}

static int render(struct cors *cors, const struct cors_config *config)
{
	uint64_t max_age_s = config->max_age_s ? config->max_age_s : CORS_MAX_AGE_S;
	int r;

	if (config->credentials)
		buf_append(&cors->granted, S("access-control-allow-credentials: true\r\n"));
	r = append_list(&cors->granted, S("access-control-expose-headers"),
		or_default(config->exposed, default_exposed, LEN(default_exposed)));
	if (r < 0)
		return r;

	r = append_list(&cors->preflight, S("access-control-allow-methods"),
		or_default(config->methods, default_methods, LEN(default_methods)));
	if (r == 0 && config->headers.count)
		r = append_list(
			&cors->preflight, S("access-control-allow-headers"), config->headers);
	if (r < 0)
		return r;
	buf_append(&cors->preflight, S("access-control-max-age: "));
	buf_u64(&cors->preflight, max_age_s);
	buf_append(&cors->preflight, S("\r\n"));
	return cors->granted.failed ? cors->granted.failed : cors->preflight.failed;
}

int cors_init(struct cors *cors, const struct cors_config *config)
{
	struct cors made = { .origins = config->origins, .reflect = config->headers.count == 0 };
	int r = check_origins(config, &made.any);

	if (r < 0)
		return r;
	buf_init(&made.granted, LINES_MAX);
	buf_init(&made.preflight, LINES_MAX);
	r = render(&made, config);
	if (r < 0) {
		cors_done(&made);
		return r;
	}
	*cors = made;
	return 0;
}

void cors_done(struct cors *cors)
{
	buf_done(&cors->granted);
	buf_done(&cors->preflight);
}

/* --- a request ---------------------------------------------------------- */

/* What to answer to an origin, in our own words; NULL: nothing. */
static const struct str *grant(const struct cors *cors, struct str origin)
{
	if (cors->any)
		return &cors->origins.names[0];
	for (size_t i = 0; i < cors->origins.count; i++)
		if (str_eq(origin, cors->origins.names[i]))
			return &cors->origins.names[i];
	return NULL;
}

/* Appends the names of headers that are asked for; false when they are not all good. */
static bool append_asked(const struct h1_head *head, struct buf *lines)
{
	size_t at = 0, count = 0, bytes = 0;
	struct str value, name;

	while (h1_each(head, H1_ACCESS_CONTROL_REQUEST_HEADERS, &at, &value))
		while (h1_list_next(&value, &name)) {
			bytes += name.len;
			if (!chars_token(name) || ++count > CORS_NAMES_MAX ||
				bytes > CORS_NAMES_BYTES)
				return false;
			buf_append(
				lines, count == 1 ? S("access-control-allow-headers: ") : S(","));
			buf_append(lines, name);
		}
	if (count)
		buf_append(lines, S("\r\n"));
	return true;
}

static void append_preflight(const struct cors *cors, const struct h1_head *head, struct buf *lines)
{
	size_t before;

	buf_append(lines, buf_str(&cors->preflight));
	before = lines->len;
	if (cors->reflect && !append_asked(head, lines) && !lines->failed)
		lines->len = before;
}

bool cors_apply(const struct cors *cors, const struct h1_head *head, struct buf *lines)
{
	struct str origin = h1_value(head, H1_ORIGIN);
	bool preflight = head->method == HTTP_OPTIONS && origin.at &&
			 h1_has(head, H1_ACCESS_CONTROL_REQUEST_METHOD);
	const struct str *granted;

	if (cors->origins.count == 0)
		return false;
	if (!cors->any)
		buf_append(lines, S("vary: origin\r\n"));
	if (preflight && cors->reflect)
		buf_append(lines, S("vary: access-control-request-headers\r\n"));
	granted = grant(cors, origin);
	if (!granted)
		return preflight;

	buf_append(lines, S("access-control-allow-origin: "));
	buf_append(lines, *granted);
	buf_append(lines, S("\r\n"));
	buf_append(lines, buf_str(&cors->granted));
	if (preflight)
		append_preflight(cors, head, lines);
	return preflight;
}
