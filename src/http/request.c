/* Looking things up in a request. */
#include "http/request.h"

#include "http/conn.h"

const struct server *req_server(const struct req *req)
{
	return req->conn->home->server;
}

void req_give_up_after(struct req *req, uint64_t after_ns)
{
	if (req->conn->own_tcp)
		tcp_give_up_after(&req->conn->tcp, after_ns);
}

struct buf *req_text(struct req *req)
{
	struct buf *text = &CONTAINER_OF(req, struct exchange, req)->text;

	buf_reset(text);
	return text;
}

const struct router *req_router(const struct req *req)
{
	return &req->conn->site->router;
}

bool req_from_operator(const struct req *req)
{
	return req->conn->site->place & ROUTE_OPS;
}

struct str req_param(const struct req *req, struct str name)
{
	for (size_t i = 0; i < req->entry->param_count; i++)
		if (str_eq(req->entry->param_names[i], name))
			return req->params[i];

	CHECK(!"the route has a parameter of that name");
	return str_of(NULL, 0);
}
