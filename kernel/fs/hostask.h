// Questions to the host on behalf of a system call or a fault, each asked once however often that is entered.
#pragma once
#include "../abi.h"
#include "../task/task.h"

struct host_ask { // a question: op, numbers, path and what follows it (abi.h)
    u32 mount, op;
    u64 args[3];
    const char *path;
    u32 path_len;
    const void *payload;
    u32 payload_len;
};
struct host_answer {
    u64 value;
    const u8 *data; // valid in this pass
    u32 len;
    void *asked; // for host_consume
};
// 0 with the answer, -errno, or E_WAIT. Within one call the same question (op, path, first number) has one answer.
must_check i64 host_ask(struct task *task, const struct host_ask *ask, struct host_answer *out);
// The answer has had its effect: asking again in this call is a new question.
void host_consume(struct host_answer *answer);
void host_answered(const struct event_hostfs *event, const u8 *data); // deliver.c
