/* getaddrinfo as a task that may be abandoned: it owns the name, and its results travel inside. */
#include "net/resolve.h"

#include "base/mem.h"
#include "base/num.h"

#include <errno.h>
#include <netdb.h>

enum { HOST_MAX = 253, LABEL_MAX = 63 };

struct lookup {
	struct offload_task task;
	char host[HOST_MAX + 1];
	uint16_t port;
	int error;  /* EAI_x */
	int number; /* errno, for EAI_SYSTEM */
	struct addresses found;
};

/* --- names -------------------------------------------------------------- */

/* Letters, digits, hyphens; and underscores, which names in private networks have. */
static bool label_ok(struct str label)
{
	for (size_t i = 0; i < label.len; i++) {
		char byte = label.at[i];
		char folded = (char)(byte | 0x20);
		bool word = (folded >= 'a' && folded <= 'z') || (byte >= '0' && byte <= '9');

		if (!word && byte != '-' && byte != '_')
			return false;
	}
	return label.len > 0 && label.len <= LABEL_MAX && label.at[0] != '-';
}

/* True for a label that only an IP address can end with: the resolver would read "127.1",
 * "2130706433" and "0x7f.1" as addresses. */
static bool label_is_number(struct str label)
{
	uint64_t value;

	if (str_starts(label, S("0x")) || str_starts(label, S("0X")))
		return label.len == 2 || num_parse_hex(str_from(label, 2), &value);
	for (size_t i = 0; i < label.len; i++)
		if (label.at[i] < '0' || label.at[i] > '9')
			return false;
	return true;
}

static bool name_ok(struct str host)
{
	struct str label = { 0 };

	if (str_ends(host, S("."))) /* the absolute form */
		host.len--;
	if (host.len == 0 || host.len > HOST_MAX)
		return false;

	while (host.at) {
		label = str_cut(&host, '.');
		if (!label_ok(label))
			return false;
	}
	return !label_is_number(label);
}

/* --- on the pool -------------------------------------------------------- */

static void collect(struct lookup *lookup, const struct addrinfo *list)
{
	struct addresses *found = &lookup->found;

	for (; list && found->count < ADDRESSES_MAX; list = list->ai_next) {
		struct address *address = &found->at[found->count];

		if (list->ai_addrlen > sizeof(address->v6) ||
			(list->ai_family != AF_INET && list->ai_family != AF_INET6))
			continue;
		memcpy(&address->any, list->ai_addr, list->ai_addrlen);
		address->len = list->ai_addrlen;
		address_normalise(address);
		if (address->any.sa_family == AF_INET6)
			address->v6.sin6_port = htons(lookup->port);
		else
			address->v4.sin_port = htons(lookup->port);
		found->count++;
	}
}

static void look_up(struct offload_task *task)
{
	static const struct addrinfo hints = {
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_ADDRCONFIG,
	};
	struct lookup *lookup = CONTAINER_OF(task, struct lookup, task);
	struct addrinfo *list = NULL;

	lookup->error = getaddrinfo(lookup->host, NULL, &hints, &list);
	lookup->number = errno;
	if (lookup->error)
		return;
	collect(lookup, list);
	freeaddrinfo(list);
}

static void free_lookup(struct offload_task *task)
{
	struct lookup *lookup = CONTAINER_OF(task, struct lookup, task);

	mem_free(lookup, sizeof(*lookup));
}

/* --- in the fiber ------------------------------------------------------- */

static int not_resolved(const struct lookup *lookup)
{
	switch (lookup->error) {
	case 0:
	case EAI_NONAME:
	case EAI_NODATA:
	case EAI_ADDRFAMILY: return fail(ERR_NOT_FOUND, "there is no host \"%s\"", lookup->host);
	case EAI_MEMORY: return fail(ERR_NO_MEMORY, "no memory to resolve \"%s\"", lookup->host);
	case EAI_SYSTEM:
		return fail(ERR_UNAVAILABLE, "cannot resolve \"%s\": %s", lookup->host,
			err_errno_text(lookup->number));
	default:
		return fail(ERR_UNAVAILABLE, "cannot resolve \"%s\": %s", lookup->host,
			gai_strerror(lookup->error));
	}
}

int resolve(struct offload *pool, struct str host, uint16_t port, struct addresses *ret)
{
	struct lookup *lookup;
	int r;

	if (address_parse(host, port, &ret->at[0]) == 0) {
		ret->count = 1;
		return 0;
	}
	if (!name_ok(host))
		return fail(ERR_INVALID, "\"%.*s\" is no host name", STR_ARG(str_first(host, 80)));

	if (str_ends(host, S(".")) && host.len > HOST_MAX) /* the dot may be the 254th */
		host.len--;
	lookup = mem_zalloc(sizeof(*lookup));
	if (!lookup)
		return -ERR_NO_MEMORY;
	memcpy(lookup->host, host.at, host.len);
	lookup->port = port;
	lookup->task.run = look_up;
	lookup->task.free = free_lookup;
	r = offload_start(pool, &lookup->task);
	if (r < 0)
		return r; /* the task is not ours any more */

	r = lookup->error || lookup->found.count == 0 ? not_resolved(lookup) : 0;
	if (r == 0)
		*ret = lookup->found;
	mem_free(lookup, sizeof(*lookup));
	return r;
}
