#pragma once
#include "abi.h"

must_check i64 machine_boot(const struct event_boot *boot);
void abi_build(void); // abi.c: the text of k_abi
