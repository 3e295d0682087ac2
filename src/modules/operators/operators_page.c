/*
 * The one page of the program's own for people: it makes the first operator, or sets an operator's
 * password. Plain HTML that works without scripts and asks nobody for anything; who has no good
 * link is told that there is nothing here.
 */
#include "modules/operators/operators_internal.h"

#include "base/err.h"
#include "crypto/base64.h"
#include "crypto/digest.h"
#include "http/server.h"

/* --- pieces --------------------------------------------------------------------------------- */

static const char style[] =
	"body{margin:0;background:#f3f4f6;color:#111827;font:16px/1.5 system-ui,sans-serif}"
	"main{max-width:26rem;margin:8vh auto;padding:2rem;background:#fff;border-radius:.75rem;"
	"box-shadow:0 1px 4px #0003}"
	"h1{margin:0 0 .5rem;font-size:1.4rem}p{margin:.5rem 0 1rem;color:#4b5563}"
	"label{display:block;margin-top:1rem;font-weight:600}"
	"input{box-sizing:border-box;width:100%;margin-top:.25rem;padding:.6rem;font:inherit;"
	"border:1px solid #9ca3af;border-radius:.4rem}"
	"button{width:100%;margin-top:1.5rem;padding:.7rem;border:0;border-radius:.4rem;"
	"background:#1d4ed8;color:#fff;font:inherit;font-weight:600;cursor:pointer}"
	"input:focus,button:focus{outline:3px solid #93c5fd}"
	"small{font-weight:400;color:#4b5563}"
	".problem{padding:.6rem .8rem;border-radius:.4rem;background:#fee2e2;color:#991b1b}"
	"@media(prefers-color-scheme:dark){body{background:#111827;color:#f9fafb}"
	"main{background:#1f2937}p,small{color:#d1d5db}"
	"input{background:#111827;color:#f9fafb}.problem{background:#7f1d1d;color:#fee2e2}}";

/* Text between tags or in a quoted attribute. */
static void write_text(struct buf *out, struct str text)
{
	for (size_t i = 0; i < text.len; i++)
		switch (text.at[i]) {
		case '&': buf_append(out, S("&amp;")); break;
		case '<': buf_append(out, S("&lt;")); break;
		case '>': buf_append(out, S("&gt;")); break;
		case '"': buf_append(out, S("&quot;")); break;
		case '\'': buf_append(out, S("&#39;")); break;
		default: buf_byte(out, text.at[i]);
		}
}

static void begin_page(struct buf *out, struct str title)
{
	buf_append(
		out, S("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
		       "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
		       "<meta name=\"robots\" content=\"noindex\">\n<title>"));
	write_text(out, title);
	buf_append(out, S("</title>\n<style>"));
	buf_append(out, str_from_c(style));
	buf_append(out, S("</style>\n</head>\n<body>\n<main>\n<h1>"));
	write_text(out, title);
	buf_append(out, S("</h1>\n"));
}

static void end_page(struct buf *out)
{
	buf_append(out, S("</main>\n</body>\n</html>\n"));
}

/* Only this style, and forms that come back here. */
static int send_page(struct req *req, int status, struct buf *out)
{
	uint8_t hash[SHA256_LEN];
	char text[BASE64_SIZE(SHA256_LEN)];
	struct str policy;
	int r;

	if (out->failed)
		return out->failed;
	digest(DIGEST_SHA256, str_from_c(style), hash);
	policy = arena_printf(&req->arena,
		"default-src 'none';style-src 'sha256-%.*s';form-action 'self';base-uri 'none';"
		"frame-ancestors 'none'",
		(int)base64_write(BASE64_PADDED, text, str_of((const char *)hash, sizeof(hash))),
		text);
	if (!policy.at)
		return -(int)err_last()->code;
	r = reply_header(req, S("content-security-policy"), policy);
	return r < 0 ? r : reply_send(req, status, S("text/html; charset=utf-8"), buf_str(out));
}

/* --- pages ---------------------------------------------------------------------------------- */

/* The same for every link that is no good. */
static int send_nothing(struct req *req)
{
	struct buf *out = req_text(req);

	begin_page(out, S("Nothing here"));
	buf_append(out, S("<p>This link was used, is too old, or never was. The server prints a "
			  "new one when it starts, as long as there is no operator; "
			  "<code>bulkhead admin reset</code> makes one for an operator who "
			  "lost the password.</p>\n"));
	end_page(out);
	return send_page(req, 404, out);
}

/* What stands in the form, and what is wrong with it. */
struct form {
	struct str token, email, name, password;
	struct str problem;
	bool reset; /* an operator is there: only the password is asked for */
};

static void write_field(
	struct buf *out, const char *label, const char *attributes, struct str value)
{
	buf_printf(out, "<label>%s<input %s required value=\"", label, attributes);
	write_text(out, value);
	buf_append(out, S("\"></label>\n"));
}

static void write_form(struct buf *out, const struct form *form)
{
	buf_append(out, S("<form method=\"post\" action=\"setup\" autocomplete=\"on\">\n"
			  "<input type=\"hidden\" name=\"token\" value=\""));
	write_text(out, form->token);
	buf_append(out, S("\">\n"));
	if (form->reset) {
		buf_append(out, S("<input type=\"hidden\" name=\"email\" autocomplete=\"username\" "
				  "value=\""));
		write_text(out, form->email);
		buf_append(out, S("\">\n"));
	} else {
		write_field(out, "E-mail address",
			"type=\"email\" name=\"email\" maxlength=\"254\" autofocus "
			"autocomplete=\"username\"",
			form->email);
		write_field(out, "Name",
			"type=\"text\" name=\"name\" maxlength=\"200\" autocomplete=\"name\"",
			form->name);
	}
	write_field(out, "Password <small>a long one; any characters</small>",
		"type=\"password\" name=\"password\" maxlength=\"1024\" "
		"autocomplete=\"new-password\"",
		str_of(NULL, 0));
	buf_append(out, form->reset ? S("<button>Set the password</button>\n</form>\n")
				    : S("<button>Make the account</button>\n</form>\n"));
}

static int send_form(struct req *req, int status, const struct form *form)
{
	struct str product = operators_options()->product;
	struct buf *out = req_text(req);
	struct str title = form->reset ? S("Choose a new password")
				       : arena_printf(&req->arena, "Set up %.*s", STR_ARG(product));

	if (!title.at)
		return -(int)err_last()->code;
	begin_page(out, title);
	if (form->reset) {
		buf_append(out, S("<p>For the operator "));
		write_text(out, form->email);
		buf_append(out, S(". All sessions end.</p>\n"));
	} else {
		buf_append(out, S("<p>Make the first account. It is an operator's: it may do "
				  "everything in this installation.</p>\n"));
	}
	if (form->problem.len) {
		buf_append(out, S("<p class=\"problem\" role=\"alert\">"));
		write_text(out, form->problem);
		buf_append(out, S("</p>\n"));
	}
	write_form(out, form);
	end_page(out);
	return send_page(req, status, out);
}

static int send_done(struct req *req, const struct form *form, const struct user *user)
{
	struct buf *out = req_text(req);

	begin_page(out, form->reset ? S("The password is set") : S("Done"));
	buf_append(out, S("<p>Sign in as <strong>"));
	write_text(out, user->email);
	buf_append(out, S("</strong> in the tenant <code>system</code>:</p>\n"
			  "<p><code>POST /api/v1/auth/login</code></p>\n"
			  "<p>This page is gone now.</p>\n"));
	end_page(out);
	return send_page(req, 200, out);
}

/* --- links ----------------------------------------------------------------------------------- */

struct look {
	const struct setup_ref *ref;
	struct setup_link link;
	struct user user;
};

static int look_in_tx(struct tx *tx, void *arg)
{
	struct look *look = arg;

	return setup_get_in_tx(tx, look->ref, &look->link, &look->user);
}

/* Whether the form's link is good, and what it is for. -ERR_NOT_FOUND. */
static int look(struct req *req, struct form *form, struct setup_ref *ref)
{
	struct db db = db_of(req_server(req)->store, &tenant_system, &req->arena);
	struct look look = { .ref = ref };
	int r;

	if (!setup_read(form->token, ref))
		return fail(ERR_NOT_FOUND, "this is no link");
	r = db_read(&db, look_in_tx, &look);
	if (r < 0)
		return r;
	form->reset = look.link.user_id.set;
	if (form->reset) {
		form->email = look.user.email;
		form->name = look.user.name;
	}
	return 0;
}

/* The fields of a query or a form. Others are none of ours. */
static int read_form(struct req *req, struct str text, struct form *form)
{
	struct {
		struct str name, *value;
	} fields[] = {
		{ S("token"), &form->token },
		{ S("email"), &form->email },
		{ S("name"), &form->name },
		{ S("password"), &form->password },
	};
	struct query_walk walk;
	struct query_pair pair;
	int r;

	query_start(&walk, text);
	while ((r = query_next(&walk, &req->arena, &pair)) > 0)
		for (size_t i = 0; i < LEN(fields); i++)
			if (str_eq(pair.name, fields[i].name))
				*fields[i].value = pair.value;
	return r;
}

int setup_show(struct req *req)
{
	struct form form = { 0 };
	struct setup_ref ref;
	int r = read_form(req, req->head.target.query, &form);

	form.email = form.name = form.password = str_of(NULL, 0);
	if (r == 0)
		r = look(req, &form, &ref);
	if (r == -ERR_NOT_FOUND || r == -ERR_INVALID)
		return send_nothing(req);
	return r < 0 ? r : send_form(req, 200, &form);
}

/* --- using one ------------------------------------------------------------ */

static bool is_form(const struct req *req)
{
	struct str type = h1_value(&req->head, H1_CONTENT_TYPE);

	return str_eq_nocase(str_trim(str_cut(&type, ';')), S("application/x-www-form-urlencoded"));
}

/* The error as a sentence: "Password: is too short". */
static struct str problem_of(struct req *req, int r)
{
	const struct err *err = err_last();

	if (r == -ERR_CONFLICT)
		return S("There is an account with this address already.");
	if (!err->field[0])
		return arena_str(&req->arena, str_from_c(err_text()));
	return arena_printf(&req->arena, "%s: %s", err->field, err_text());
}

static int use(
	struct req *req, const struct form *form, const struct setup_ref *ref, struct user *ret)
{
	struct db db = db_of(req_server(req)->store, &tenant_system, &req->arena);
	struct setup_use use = { .ref = ref,
		.actor = audit_actor_of(req),
		.email = form->email,
		.name = form->name,
		.ret = ret };
	int r = auth_password_hash(form->password, form->email, form->name, &req->arena, &use.hash);

	return r < 0 ? r : db_write(&db, setup_use_in_tx, &use);
}

int setup_do(struct req *req)
{
	struct form form = { 0 };
	struct setup_ref ref;
	struct user user = { 0 };
	struct str body;
	int r;

	if (!is_form(req))
		return fail(ERR_MEDIA_TYPE, "this takes application/x-www-form-urlencoded");
	r = req_read_all(req, &body);
	if (r == 0)
		r = read_form(req, body, &form);
	if (r < 0)
		return r;
	r = look(req, &form, &ref);
	if (r == 0)
		r = use(req, &form, &ref, &user);
	if (r == -ERR_NOT_FOUND)
		return send_nothing(req);
	if (r == -ERR_INVALID || r == -ERR_CONFLICT) {
		form.problem = problem_of(req, r);
		return form.problem.at ? send_form(req, 400, &form) : -(int)err_last()->code;
	}
	return r < 0 ? r : send_done(req, &form, &user);
}
