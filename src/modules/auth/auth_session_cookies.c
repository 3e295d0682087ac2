/*
 * The cookies of browsers, and what keeps pages of others from using them.
 *
 *     __Host-bh_access    the access token; HttpOnly, SameSite=Lax
 *     __Host-bh_refresh   the refresh token; HttpOnly, SameSite=Strict
 *     __Host-bh_csrf      an HMAC of the session, for scripts to send along in x-csrf-token
 *
 * The prefix __Host- binds them to this host, the whole of it, over TLS, and no other host of the
 * site can set or overwrite them; a narrower path would give that up and protect nothing, since
 * pages of one origin reach all its paths. Without TLS (in development) they have no prefix.
 */
#include "modules/auth/auth_session.h"

#include "crypto/digest.h"
#include "http/server.h"
#include "modules/auth/token.h"
#include "observe/clock.h"

static const struct {
	struct str secure, plain; /* names */
	const char *flags;
} cookies[SESSION_COOKIES] = {
	[COOKIE_ACCESS] = { S_INIT("__Host-bh_access"), S_INIT("bh_access"),
		"HttpOnly; SameSite=Lax" },
	[COOKIE_REFRESH] = { S_INIT("__Host-bh_refresh"), S_INIT("bh_refresh"),
		"HttpOnly; SameSite=Strict" },
	[COOKIE_CSRF] = { S_INIT("__Host-bh_csrf"), S_INIT("bh_csrf"), "SameSite=Strict" },
};

static struct str name_of(enum session_cookie which)
{
	return auth_options()->secure_cookies ? cookies[which].secure : cookies[which].plain;
}

/* --- reading ------------------------------------------------------------------------------- */

/* Looks through one header line; false when the cookie comes with another value than before. */
static bool take_from(struct str line, struct str name, struct str *value)
{
	while (line.at) {
		struct str pair = str_trim(str_cut(&line, ';'));
		struct str left = str_cut(&pair, '=');

		if (!str_eq(left, name) || !pair.at)
			continue;
		if (value->at && !str_eq(*value, pair))
			return false;
		*value = pair;
	}
	return true;
}

struct str cookie_get(const struct req *req, enum session_cookie which)
{
	struct str line, value = { 0 };
	size_t at = 0;

	while (h1_each(&req->head, H1_COOKIE, &at, &line))
		if (!take_from(line, name_of(which), &value))
			return str_of(NULL, 0);
	return value;
}

bool cookies_wanted(const struct req *req)
{
	return str_eq(h1_find(&req->head, S("x-session")), S("cookie"));
}

/* --- setting -------------------------------------------------------------------------------- */

static int set(struct req *req, enum session_cookie which, struct str value, int64_t seconds)
{
	struct str line = arena_printf(&req->arena, "%.*s=%.*s; Path=/; Max-Age=%lld; %s%s",
		STR_ARG(name_of(which)), STR_ARG(value), (long long)seconds,
		auth_options()->secure_cookies ? "Secure; " : "", cookies[which].flags);

	return line.at ? reply_header(req, S("set-cookie"), line) : -(int)err_last()->code;
}

int cookies_set(struct req *req, const struct session_made *made, struct str access,
	int64_t access_s, struct opt_str *ret_csrf)
{
	int64_t left_s = (made->expires_us - clock_wall_us()) / 1000000;
	int64_t refresh_s = MIN(left_s, (int64_t)(auth_options()->refresh_ns / SECOND));
	char csrf[CSRF_LEN];
	struct str kept;
	int r;

	csrf_write(session_keys(), &made->id, csrf);
	kept = arena_str(&req->arena, str_of(csrf, sizeof(csrf)));
	if (!kept.at)
		return -(int)err_last()->code;
	r = set(req, COOKIE_ACCESS, access, access_s);
	if (r == 0)
		r = set(req, COOKIE_REFRESH, str_of(made->refresh, sizeof(made->refresh)),
			refresh_s);
	if (r == 0)
		r = set(req, COOKIE_CSRF, kept, refresh_s);
	if (r == 0)
		*ret_csrf = (struct opt_str){ .set = true, .value = kept };
	return r;
}

int cookies_clear(struct req *req)
{
	int r = 0;

	for (int which = 0; which < SESSION_COOKIES && r == 0; which++)
		r = set(req, (enum session_cookie)which, S(""), 0);
	/* Cookies of others and the device's are not ours to take away. */
	return r < 0 ? r : reply_header(req, S("clear-site-data"), S("\"cache\", \"storage\""));
}

/* --- pages of others ------------------------------------------------------ */

/* "https://app.example:8443" -> "app.example:8443". */
static struct str host_of(struct str url)
{
	ptrdiff_t at = str_find(url, S("://"));
	struct str rest = at < 0 ? str_of(NULL, 0) : str_from(url, (size_t)at + 3);

	return str_cut(&rest, '/');
}

/* Our own page, or one that CORS lets in with credentials. */
static bool origin_is_ours(const struct req *req, struct str origin)
{
	const struct cors *cors = req_server(req)->cors;
	struct str host = host_of(origin);

	if (host.len == 0)
		return false;
	if (str_eq_nocase(host, h1_value(&req->head, H1_HOST)) ||
		str_eq_nocase(host, host_of(auth_options()->public_url)))
		return true;
	for (size_t i = 0; cors && !cors->any && i < cors->origins.count; i++)
		if (str_eq(origin, cors->origins.names[i]))
			return true;
	return false;
}

/* What the browser itself says of where the request comes from. */
static int check_origin(const struct req *req)
{
	struct str origin = h1_value(&req->head, H1_ORIGIN);
	struct str site = h1_value(&req->head, H1_SEC_FETCH_SITE);

	if (origin.at && !origin_is_ours(req, origin))
		return fail(ERR_FORBIDDEN, "a page of another origin has made this request");
	if (!origin.at && site.at && !str_eq(site, S("same-origin")) && !str_eq(site, S("none")))
		return fail(ERR_FORBIDDEN, "a page of another site has made this request");
	return 0;
}

static bool is_safe(const struct req *req)
{
	enum http_method method = req->head.method;

	return method == HTTP_GET || method == HTTP_HEAD || method == HTTP_OPTIONS;
}

int csrf_check(const struct req *req, const struct uuid *session)
{
	int r;

	if (is_safe(req))
		return 0;
	r = check_origin(req);
	if (r < 0)
		return r;
	if (!csrf_is(session_keys(), session, h1_value(&req->head, H1_X_CSRF_TOKEN)))
		return fail(ERR_FORBIDDEN, "with cookies the header x-csrf-token is needed");
	return 0;
}
