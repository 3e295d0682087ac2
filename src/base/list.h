/*
 * Intrusive doubly linked lists. A struct that can be in a list has a `struct link` member; a link
 * that is in no list points at itself, so removing it again does nothing. The list head is a link,
 * too.
 */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include "base/check.h"

#include <stdbool.h>

struct link {
	struct link *prev, *next;
};

#define LIST_INIT(head) ((struct link){ &(head), &(head) })

static inline void link_init(struct link *link)
{
	link->prev = link->next = link;
}

/* True when the head has no members, or when the link is in no list. */
static inline bool list_empty(const struct link *head)
{
	return head->next == head;
}

static inline void list_insert_before(struct link *place, struct link *link)
{
	link->prev = place->prev;
	link->next = place;
	place->prev->next = link;
	place->prev = link;
}

static inline void list_push(struct link *head, struct link *link) /* at the end */
{
	list_insert_before(head, link);
}

static inline void list_push_first(struct link *head, struct link *link)
{
	list_insert_before(head->next, link);
}

static inline void link_remove(struct link *link)
{
	link->prev->next = link->next;
	link->next->prev = link->prev;
	link_init(link);
}

/* The first link, removed; NULL when the list is empty. */
static inline struct link *list_pop(struct link *head)
{
	struct link *first = head->next;

	if (first == head)
		return NULL;
	link_remove(first);
	return first;
}

/* Moves all members of `from` to the end of `to`. */
static inline void list_take(struct link *to, struct link *from)
{
	if (list_empty(from))
		return;

	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	link_init(from);
}

/* Visits the structs of `type` whose `member` is in the list. The visited one may remove itself. */
#define LIST_EACH(variable, head, type, member)                                                    \
	for (struct link *each_link = (head)->next, *each_next = each_link->next;                  \
		each_link != (head) && ((variable) = CONTAINER_OF(each_link, type, member), 1);    \
		each_link = each_next, each_next = each_link->next)

#endif
