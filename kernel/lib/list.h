// Intrusive doubly linked lists. A list head is an element that carries nothing.
#pragma once
#include "../types.h"

struct list {
    struct list *next, *prev;
};

static inline void list_init(struct list *l) {
    l->next = l->prev = l;
}
static inline bool list_empty(const struct list *l) {
    return l->next == l;
}
static inline void list_insert(struct list *before, struct list *l) {
    l->next = before;
    l->prev = before->prev;
    before->prev->next = l;
    before->prev = l;
}
static inline void list_push(struct list *head, struct list *l) { // at the end
    list_insert(head, l);
}
static inline void list_push_front(struct list *head, struct list *l) {
    list_insert(head->next, l);
}
// Safe on an element that is in no list, if it was initialised. Leaves it initialised.
static inline void list_remove(struct list *l) {
    l->prev->next = l->next;
    l->next->prev = l->prev;
    list_init(l);
}
#define list_entry(p, type, field) container_of(p, type, field)
#define list_first(head, type, field)                                                              \
    (list_empty(head) ? (type *)0 : list_entry((head)->next, type, field))
#define list_each(it, head, field)                                                                 \
    for (__typeof__(it) it##_next,                                                                 \
         it##_start = it = list_entry((head)->next, __typeof__(*it), field);                       \
         (void)it##_start, it##_next = list_entry(it->field.next, __typeof__(*it), field),         \
         &it->field != (head);                                                                     \
         it = it##_next) // the current element may be removed
