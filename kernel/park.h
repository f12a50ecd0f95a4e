// Doorbells: how a hart sleeps and is woken.
#pragma once
#include "mem/hart.h"

void hart_ring(struct hart *hart);
void harts_attend(u32 reason); // ATTN_* to all harts, and wake those that are parked
