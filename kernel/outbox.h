// Records for the runtime, oldest first, in the private heap. Draining them is invisible to the guest.
#pragma once
#include "abi.h"

#define EVENT_ENUM(name, nr) EVENT_##name = nr,
enum { EVENT_TABLE(EVENT_ENUM) };
#define OUT_ENUM(name, nr) OUT_##name = nr,
enum { OUT_TABLE(OUT_ENUM) };

void *out_begin(u32 kind, u32 size, u32 extra);
void out_send(void *record);
bool outbox_full(void);
