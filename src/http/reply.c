/* Writing replies: the head in one place, bodies whole or in pieces, errors in the one shape. */
#include "http/conn.h"
#include "http/limit_headers.h"
#include "http/security.h"
#include "observe/clock.h"

#include <stdio.h>

enum {
	ERROR_MAX = 64 * 1024, /* bytes of an error with its details */
};

static struct exchange *exchange_of(struct req *req)
{
	return CONTAINER_OF(req, struct exchange, req);
}

/* --- headers ------------------------------------------------------------ */

static bool value_byte(unsigned char byte)
{
	return byte == '\t' || (byte >= ' ' && byte != 0x7f);
}

/* Lines that the server writes itself, and could contradict. */
static bool reserved(struct str name)
{
	static const struct str names[] = { S_INIT("content-length"), S_INIT("transfer-encoding"),
		S_INIT("connection"), S_INIT("date"), S_INIT("content-type"),
		S_INIT("content-encoding"), S_INIT("x-request-id"), S_INIT("upgrade") };

	for (size_t i = 0; i < LEN(names); i++)
		if (str_eq(name, names[i]))
			return true;
	return false;
}

static void append_line(struct buf *buf, struct str name, struct str value)
{
	buf_append(buf, name);
	buf_append(buf, S(": "));
	buf_append(buf, value);
	buf_append(buf, S("\r\n"));
}

int reply_header(struct req *req, struct str name, struct str value)
{
	struct buf *headers = &req->reply.headers;
	size_t need = name.len + value.len + sizeof(": \r\n") - 1;

	CHECK(name.len > 0 && !reserved(name) && !req->reply.streaming);
	for (size_t i = 0; i < value.len; i++)
		if (!value_byte((unsigned char)value.at[i]))
			return fail(ERR_INTERNAL, "the value of header %.*s has a control byte",
				STR_ARG(name));

	/* A line is added whole or not at all: half of one would swallow the next. */
	if (need > headers->limit - headers->len)
		return fail(ERR_INTERNAL, "more than %zu bytes of headers", headers->limit);
	if (!buf_room(headers, need)) {
		headers->failed = 0;
		return -ERR_NO_MEMORY;
	}
	append_line(headers, name, value);
	return 0;
}

/* --- the head ----------------------------------------------------------- */

static void append_framing(struct req *req, struct buf *out)
{
	struct reply *reply = &req->reply;

	if (reply->chunked) {
		buf_append(out, S("transfer-encoding: chunked\r\n"));
	} else if (reply->has_length &&
		   !(http_status_bodyless(reply->status) && reply->length == 0)) {
		buf_append(out, S("content-length: "));
		buf_u64(out, reply->length);
		buf_append(out, S("\r\n"));
	}
	if (reply->encoding != ENCODING_IDENTITY)
		append_line(out, S("content-encoding"), encoding_name(reply->encoding));
}

static void append_connection(struct req *req, struct buf *out)
{
	if (req->reply.upgraded)
		return;
	if (req->close)
		buf_append(out, S("connection: close\r\n"));
	else if (req->head.minor == 0)
		buf_append(out, S("connection: keep-alive\r\n"));
}

static bool has_header(const struct req *req, struct str start)
{
	return str_find(buf_str(&req->reply.headers), start) >= 0;
}

/* Answers are not to be kept by caches, unless the handler says how long. */
static unsigned security_flags(const struct req *req)
{
	return (req->secure ? SECURITY_TLS : 0) |
	       (has_header(req, S("cache-control:")) ? 0 : SECURITY_NO_STORE) |
	       (has_header(req, S("content-security-policy:")) ? SECURITY_OWN_POLICY : 0);
}

static int write_head(struct req *req)
{
	struct reply *reply = &req->reply;
	struct buf *out = &exchange_of(req)->out;

	if (atomic_load_explicit(&req->conn->home->server->draining, memory_order_relaxed))
		req->close = true;

	buf_append(out, http_status_line(reply->status));
	append_line(out, S("date"), worker_http_date(&req->conn->home->worker));
	if (reply->content_type.len)
		append_line(out, S("content-type"), reply->content_type);
	append_framing(req, out);
	append_line(out, S("x-request-id"), req->id);
	if (content_compressible(reply->content_type))
		buf_append(out, S("vary: accept-encoding\r\n"));
	buf_append(out, security_headers(security_flags(req)));
	limit_headers(out, req->verdicts, req->verdict_count, clock_wall_us());
	buf_append(out, buf_str(&reply->headers));
	append_connection(req, out);
	buf_append(out, S("\r\n"));
	return out->failed;
}

/* --- compression -------------------------------------------------------- */

static enum encoding wanted_encoding(struct req *req)
{
	struct encoding_wish wish = { 0 };
	struct str value;
	size_t at = 0;

	if (!content_compressible(req->reply.content_type))
		return ENCODING_IDENTITY;
	while (h1_each(&req->head, H1_ACCEPT_ENCODING, &at, &value))
		encoding_wish_add(&wish, value);
	return encoding_wish_choose(&wish);
}

/* Replaces a whole body by its compressed form, when that is wanted and smaller. Failing is no
 * error: the body then goes out as it is. */
static void compress_body(struct req *req)
{
	struct reply *reply = &req->reply;
	struct server_worker *home = req->conn->home;
	struct buf *packed = &exchange_of(req)->packed;
	enum encoding encoding;

	if (reply->body.len < home->server->limits.compress_from || reply->body.at == packed->at)
		return;
	encoding = wanted_encoding(req);
	if (encoding == ENCODING_IDENTITY)
		return;

	buf_reset(packed);
	packed->limit = reply->body.len;
	if (compress_whole(&home->compress, encoding, reply->body, packed) < 0 ||
		packed->len >= reply->body.len) /* what it had already may be more than the limit */
		return;
	reply->body = buf_str(packed);
	reply->encoding = encoding;
}

/* --- whole replies ------------------------------------------------------ */

int reply_send(struct req *req, int status, struct str content_type, struct str body)
{
	struct reply *reply = &req->reply;

	CHECK(!reply->status && !(http_status_bodyless(status) && body.len));
	reply->status = status;
	reply->content_type = content_type;
	reply->body = body;
	return 0;
}

int reply_json(struct req *req, int status, struct str body)
{
	return reply_send(req, status, S("application/json"), body);
}

int reply_empty(struct req *req, int status)
{
	return reply_send(req, status, str_of(NULL, 0), str_of(NULL, 0));
}

static int finish_whole(struct req *req)
{
	struct reply *reply = &req->reply;
	struct exchange *exchange = exchange_of(req);
	int r;

	compress_body(req);
	reply->has_length = true;
	reply->length = reply->body.len;
	r = write_head(req);
	if (r < 0)
		return r;
	if (req->head.method == HTTP_HEAD || reply->body.len == 0)
		return 0;

	reply->sent = reply->body.len;
	if (reply->body.len > REPLY_COPY_MAX)
		return conn_send(req->conn, &reply->body, 1);
	buf_append(&exchange->out, reply->body);
	return exchange->out.failed;
}

/* --- in pieces ---------------------------------------------------------- */

int reply_begin(struct req *req, int status, struct str content_type, uint64_t length)
{
	struct reply *reply = &req->reply;

	CHECK(!reply->status && !http_status_bodyless(status));
	reply->status = status;
	reply->content_type = content_type;
	reply->has_length = length != UINT64_MAX;
	reply->length = reply->has_length ? length : 0;

	if (!reply->has_length || length >= req->conn->home->server->limits.compress_from)
		reply->encoding = wanted_encoding(req);
	if (reply->encoding != ENCODING_IDENTITY &&
		compress_begin(&reply->compressor, &req->conn->home->compress, reply->encoding) < 0)
		reply->encoding = ENCODING_IDENTITY;
	if (reply->encoding != ENCODING_IDENTITY)
		reply->has_length = false;

	reply->chunked = !reply->has_length && req->head.minor >= 1;
	if (!reply->has_length && !reply->chunked) /* HTTP/1.0: the end of the connection ends it */
		req->close = true;
	reply->streaming = true;
	reply->failed = write_head(req); /* so that nothing follows half a head */
	return reply->failed;
}

/* Sends encoded bytes in the transfer coding. */
static int send_piece(struct req *req, struct str piece)
{
	char size[H1_CHUNK_HEAD_MAX];
	struct str parts[3];

	if (piece.len == 0 || req->head.method == HTTP_HEAD)
		return conn_flush(req->conn);
	if (!req->reply.chunked)
		return conn_send(req->conn, &piece, 1);

	parts[0] = str_of(size, h1_chunk_head(size, piece.len));
	parts[1] = piece;
	parts[2] = H1_CHUNK_TAIL;
	return conn_send(req->conn, parts, LEN(parts));
}

static int send_compressed(struct req *req, struct str piece, bool last)
{
	struct reply *reply = &req->reply;
	struct buf *packed = &exchange_of(req)->packed;
	int r = 0;

	buf_reset(packed);
	packed->limit = SIZE_MAX / 2; /* the caller's piece bounds it */
	if (piece.len)
		r = compress_write(&reply->compressor, piece, packed);
	if (r == 0)
		r = last ? compress_end(&reply->compressor, packed)
			 : compress_flush(&reply->compressor, packed);
	return r < 0 ? r : send_piece(req, buf_str(packed));
}

int reply_write(struct req *req, struct str piece)
{
	struct reply *reply = &req->reply;
	int r;

	CHECK(reply->streaming);
	if (reply->failed)
		return fail((enum err_code) - reply->failed, "the reply broke off before");
	if (reply->has_length && piece.len > reply->length - reply->sent)
		r = fail(ERR_INTERNAL, "the reply is longer than announced");
	else if (reply->encoding != ENCODING_IDENTITY)
		r = send_compressed(req, piece, false);
	else
		r = send_piece(req, piece);

	reply->sent += r == 0 ? piece.len : 0;
	reply->failed = r;
	return r;
}

static int finish_stream(struct req *req)
{
	struct reply *reply = &req->reply;
	struct buf *out = &exchange_of(req)->out;
	int r = reply->failed;

	if (r == 0 && reply->encoding != ENCODING_IDENTITY)
		r = send_compressed(req, str_of(NULL, 0), true);
	compress_done(&reply->compressor);
	if (r < 0)
		return r;
	if (req->head.method == HTTP_HEAD)
		return 0;
	if (reply->has_length && reply->sent != reply->length)
		return fail(ERR_INTERNAL, "the reply is shorter than announced");
	if (reply->chunked)
		buf_append(out, H1_CHUNK_LAST);
	return out->failed;
}

int reply_finish(struct req *req)
{
	if (req->reply.upgraded)
		return 0;
	return req->reply.streaming ? finish_stream(req) : finish_whole(req);
}

/* --- upgrade ------------------------------------------------------------ */

static bool asked_for(const struct req *req, struct str protocol)
{
	struct str rest = h1_value(&req->head, H1_UPGRADE);
	struct str member;

	if (!req->head.upgrade || req->head.framing != H1_BODY_NONE)
		return false;
	while (h1_list_next(&rest, &member))
		if (str_eq_nocase(member, protocol))
			return true;
	return false;
}

int reply_upgrade(
	struct req *req, struct str protocol, struct stream **ret_stream, struct str *ret_rest)
{
	struct reply *reply = &req->reply;
	struct exchange *exchange = exchange_of(req);
	struct buf *out = &exchange->out;
	int r;

	CHECK(!reply->status);
	if (!asked_for(req, protocol))
		return fail(ERR_UPGRADE, "this address speaks %.*s after an upgrade",
			STR_ARG(protocol));

	reply->status = 101;
	reply->upgraded = true;
	req->close = true;
	buf_append(out, S("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: "));
	buf_append(out, protocol);
	buf_append(out, S("\r\n"));
	append_line(out, S("x-request-id"), req->id);
	buf_append(out, buf_str(&reply->headers));
	buf_append(out, S("\r\n"));
	r = out->failed ? out->failed : conn_flush(req->conn);
	if (r < 0)
		return r;

	*ret_stream = req->conn->stream;
	*ret_rest = inbox_str(&exchange->in);
	exchange->in.start = exchange->in.end;
	return 0;
}

/* --- errors ------------------------------------------------------------- */

/* The one detail of an error that names a member of the input (fail_field). */
static void write_blame(struct json_writer *json, const struct err *err)
{
	json_write_array(json);
	json_write_object(json);
	json_write_key(json, S("field"));
	json_write_string(json, str_from_c(err->field));
	json_write_key(json, S("message"));
	json_write_string(json, str_from_c(err->frames[0].text));
	json_write_key(json, S("code"));
	json_write_string(json, str_from_c(err->rule));
	json_write_object_end(json);
	json_write_array_end(json);
}

/* What the caller may read of an error: of ours (5xx) nothing but the table's sentence. */
static void write_error(struct req *req, struct json_writer *json, const struct err *err,
	const struct err_info *info)
{
	bool show_causes = req->conn->home->server->show_causes;
	bool blames = info->status < 500 && err->depth > 0 && err->field[0];
	struct str message = info->text;
	char text[ERR_FIELD_MAX + 1 + ERR_TEXT_MAX];

	if (blames && err->depth == 1) {
		(void)snprintf(text, sizeof(text), "%s %s", err->field, err->frames[0].text);
		message = str_from_c(text);
	} else if (info->status < 500 && err->depth > 0) {
		message = str_from_c(err->frames[err->depth - 1].text);
	}

	json_write_key(json, S("error"));
	json_write_object(json);
	json_write_key(json, S("code"));
	json_write_string(json, info->wire);
	json_write_key(json, S("message"));
	json_write_string(json, message);
	if (info->status < 500 && req->problems.count) {
		json_write_key(json, S("details"));
		problems_write(&req->problems, json);
	} else if (blames) {
		json_write_key(json, S("details"));
		write_blame(json, err);
	}
	if (info->status >= 500 && show_causes) {
		json_write_key(json, S("causes"));
		json_write_array(json);
		for (unsigned i = err->depth; i-- > 0;)
			json_write_string(json, str_from_c(err->frames[i].text));
		json_write_array_end(json);
	}
	json_write_object_end(json);
}

static int write_error_body(
	struct req *req, const struct err *err, const struct err_info *info, struct buf *body)
{
	struct json_writer json;

	json_writer_init(&json, body);
	json_write_object(&json);
	json_write_key(&json, S("success"));
	json_write_bool(&json, false);
	json_write_key(&json, S("statusCode"));
	json_write_u64(&json, (uint64_t)info->status);
	write_error(req, &json, err, info);
	json_write_key(&json, S("requestId"));
	json_write_string(&json, req->id);
	json_write_object_end(&json);
	return json_writer_done(&json);
}

int reply_error(struct req *req, int code)
{
	const struct err_info *info = err_info(code);
	struct buf *body = &exchange_of(req)->packed;
	struct err err = *err_last();

	CHECK(!req->reply.streaming);
	req->reply.status = 0; /* whatever the handler had in mind */
	req->reply.body = str_of(NULL, 0);
	if (info->status == 503 || (info->status == 429 && !req->verdict_count))
		(void)reply_header(req, S("retry-after"), S("1"));

	buf_reset(body);
	body->limit = ERROR_MAX;
	if (write_error_body(req, &err, info, body) < 0)
		return reply_send(req, info->status, S("application/json"), str_of(NULL, 0));
	return reply_json(req, info->status, buf_str(body));
}
