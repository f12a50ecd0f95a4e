// Translations that the host has kept from other runs: which there are, and whether one is right for what is
// mapped now. An answer rests on the guest's bytes alone, all of which a record holds; see kept.c.
#pragma once
#include "jit.h"

struct translation;

#define RECORD_BYTES 0x20000u // of one module

enum kept_answer {
    KEPT_NONE,  // there is none for these bytes
    KEPT_LATER, // there may be one, but not all of its pages are here yet
    KEPT_TAKEN, // it is ready, or on its way
};

// Is it worth asking about the code at this place? By the first of its bytes, so it may be in vain.
bool kept_likely(const struct jit *jit, maddr frame, u32 offset);
// Take the one for `region`, whose entry is mapped at pc; its state and all that belongs to it are set. `beyond`: not 0: only one whose
// dispatch leads to more places.
enum kept_answer kept_take(struct jit *jit, struct region *region, u64 pc, u32 beyond);
bool kept_waits(const struct jit *jit); // a module is wanted from the host
// The next wanted one, with slots from `slot` on, or false.
bool kept_next(struct jit *jit, struct jit_module *module, u32 slot, u32 room);
void kept_arrived(struct jit *jit, u32 number, bool ok); // its module `number`, as struct jit_module has it
void kept_dropped(struct jit *jit); // no module is in the table any more

// What region was made from, if it is kept and no other's entry.
struct kept_span {
    i32 off; // from the entry
    u32 len;
};
const struct kept_span *kept_spans(const struct jit *jit, const struct region *region, u32 *count);

// A record of what is being translated: of a module, then of each of its regions, as it was written.
void kept_begin(struct jit *jit);
void kept_add(struct jit *jit, const struct translation *t, const struct region *region);
void kept_add_inside(struct jit *jit, const struct region *region, i32 off); // an entry of that, so far from its own
void kept_end(struct jit *jit); // jit->module says where it lies
