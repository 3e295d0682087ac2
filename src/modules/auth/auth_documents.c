/*
 * The documents under /.well-known. They say what is true today: keys, issuer and claims. There are
 * no authorization and token endpoints of OAuth yet, so none is named.
 */
#include "modules/auth/auth_documents.h"

#include "http/server.h"
#include "modules/auth/auth_internal.h"
#include "modules/auth/auth_keys.h"

#include <stdio.h>

enum { KEPT_SECONDS_MAX = 300 };

/* A new key signs only when nobody keeps a set any more that lacks it. */
static int64_t kept_seconds(void)
{
	int64_t half_s = (int64_t)(auth_options()->key_overlap_ns / 2 / SECOND);

	return MIN(half_s, (int64_t)KEPT_SECONDS_MAX);
}

/* Any page may read them. What CORS has said already stays. */
static int open_to_all(struct req *req)
{
	if (str_find(buf_str(&req->reply.headers), S("access-control-allow-origin:")) >= 0)
		return 0;
	return reply_header(req, S("access-control-allow-origin"), S("*"));
}

static int send_document(struct req *req, struct buf *text)
{
	struct str kept =
		arena_printf(&req->arena, "public, max-age=%lld", (long long)kept_seconds());
	int r = kept.at ? reply_header(req, S("cache-control"), kept) : -(int)err_last()->code;

	if (r == 0)
		r = open_to_all(req);
	return r < 0 ? r : reply_json(req, 200, buf_str(text));
}

int document_jwks(struct req *req)
{
	struct buf *text = req_text(req);
	struct token_keys *keys;
	struct json_writer json;
	int r = keys_published(req_server(req)->store, &keys);

	if (r < 0)
		return r;
	json_writer_init(&json, text);
	token_keys_write(keys, &json);
	token_keys_unref(keys);
	r = json_writer_done(&json);
	return r < 0 ? r : send_document(req, text);
}

static void put_url(struct json_writer *json, struct str key, const char *path)
{
	struct str issuer = auth_options()->public_url;
	char at[1024];
	int len = snprintf(at, sizeof(at), "%.*s%s", STR_ARG(issuer), path);

	CHECK(len > 0 && (size_t)len < sizeof(at)); /* auth_configure bounds it */
	json_write_key(json, key);
	json_write_string(json, str_of(at, (size_t)len));
}

static void put_texts(
	struct json_writer *json, struct str key, const struct str *texts, size_t count)
{
	json_write_key(json, key);
	json_write_array(json);
	for (size_t i = 0; i < count; i++)
		json_write_string(json, texts[i]);
	json_write_array_end(json);
}

static void put_openid(struct json_writer *json)
{
	static const struct str subjects[] = { S_INIT("public") };
	static const struct str claims[] = { S_INIT("iss"), S_INIT("sub"), S_INIT("aud"),
		S_INIT("exp"), S_INIT("iat"), S_INIT("jti"), S_INIT("client_id"), S_INIT("tenant"),
		S_INIT("sid"), S_INIT("roles"), S_INIT("act") };
	const struct str algorithm = sign_alg(auth_options()->algorithm);

	put_texts(json, S("subject_types_supported"), subjects, LEN(subjects));
	put_texts(json, S("id_token_signing_alg_values_supported"), &algorithm, 1);
	put_texts(json, S("claims_supported"), claims, LEN(claims));
}

static int send_metadata(struct req *req, bool openid)
{
	struct buf *text = req_text(req);
	struct json_writer json;
	int r;

	json_writer_init(&json, text);
	json_write_object(&json);
	json_write_key(&json, S("issuer"));
	json_write_string(&json, auth_options()->public_url);
	put_url(&json, S("jwks_uri"), "/.well-known/jwks.json");
	put_texts(&json, S("response_types_supported"), NULL, 0);
	put_texts(&json, S("grant_types_supported"), NULL, 0);
	if (openid)
		put_openid(&json);
	json_write_object_end(&json);
	r = json_writer_done(&json);
	return r < 0 ? r : send_document(req, text);
}

int document_openid(struct req *req)
{
	return send_metadata(req, true);
}

int document_oauth(struct req *req)
{
	return send_metadata(req, false);
}
