// Doorbells: how a hart sleeps and is woken.
#pragma once
#include "mem/hart.h"

void hart_ring(struct hart *hart);
void hart_attend(struct hart *hart, u32 reason); // ATTN_* to a hart, and wake it if it is parked
void harts_attend(u32 reason);                    // to all
