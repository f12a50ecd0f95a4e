// The vDSO: a small shared object of ours that every program finds mapped (law 24).
#pragma once
#include "mm.h"

// Maps it into a new address space and sets mm->vdso. 0, -ENOMEM.
must_check i64 vdso_map(struct mm *mm);
u64 vdso_sigreturn(const struct mm *mm); // where signal handlers return to
