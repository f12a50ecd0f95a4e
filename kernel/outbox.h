// Records for the runtime, oldest first, in the private heap. Draining them is invisible to the guest.
#pragma once
#include "abi.h"


void *out_begin(u32 kind, u32 size, u32 extra);
void out_send(void *record);
bool outbox_full(void);
bool mail_waits(void);
void mail_pass_on(void);
