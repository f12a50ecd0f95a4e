// Two heaps, one algorithm: size classes (four per power of two) with free lists over a bump pointer.
// kmalloc serves machine objects and may fail (NULL: answer -ENOMEM). palloc serves the private region.
// Both return zeroed memory. The kernel lock guards the first, its own lock the second.
#pragma once
#include "../types.h"

must_check void *kmalloc(size_t size);
void kfree(void *p); // NULL is fine
must_check void *krealloc(void *p, size_t size); // new bytes are zero
size_t kmalloc_size(const void *p);

must_check void *palloc(size_t size); // NULL when the private region is full
void pfree(void *p);
#define knew(type) ((type *)kmalloc(sizeof(type)))
