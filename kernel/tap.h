// Taps: what programs do, told to a replay that has asked to see it (k_tap). While a run is recorded nobody asks.
//
// The mask is private and no tap writes to machine memory or charges a tick: a replay with taps is the same machine.
#pragma once
#include "abi.h"

struct task;
struct sock;

// Sends TAP_`what` if it is asked for; the arguments are not looked at otherwise. `task` NULL: whoever runs.
#define TAP(what, task, data, len, ...)                                                            \
    do {                                                                                           \
        if (unlikely(host.taps >> TAP_##what & 1))                                                 \
            tap_send(TAP_##what, task, (const i64[TAP_ARGS]){__VA_ARGS__}, data, (u32)(len));      \
    } while (0)

void tap_send(u32 what, const struct task *task, const i64 args[TAP_ARGS], const void *data, u32 len);
i32 tap_fd(const struct sock *sock); // what the running task calls it; -1: it has no descriptor for it
// With text: CALL and RETURN.
void tap_call(struct task *task);
void tap_return(struct task *task, u32 nr, i64 result);
// With registers and stack: SAMPLE and BLOCKED.
void tap_stack(u32 what, struct task *task);
