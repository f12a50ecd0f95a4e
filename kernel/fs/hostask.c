// What the host was asked, and its answers. A call that waits is entered again from its beginning,
// walks its paths again and puts the same questions: it finds the answers here, so each question
// leaves the machine once and what the host was told to change is changed once. Answers live as
// long as the call that asked.
#include "hostask.h"
#include "../kernel.h"
#include "../lib/heap.h"
#include "../lib/string.h"

#define WAIT_QUEUES 16u

struct asked {
    struct list link; // host_asks->all, in order of asking
    u32 id, tid, seq; // seq: the call's; 0: a fault of the task
    u32 mount, op;
    u64 arg;
    bool answered;
    i32 error;
    u64 value;
    u8 *data;
    u32 len;
    u32 path_len;
    char path[];
};

struct host_asks { // kernel lock
    struct list all;
    u32 next_id;
    struct waitq wait[WAIT_QUEUES]; // by id; longer-lived than what is asked
};

static struct host_asks *asks(void) {
    if (!kernel->host_asks) {
        struct host_asks *a = knew(struct host_asks);
        if (!a)
            return NULL;
        list_init(&a->all);
        for (u32 i = 0; i < WAIT_QUEUES; i++)
            waitq_init(&a->wait[i]);
        kernel->host_asks = a;
    }
    return kernel->host_asks;
}

static u32 sequence(const struct task *task) {
    return task->active == &task->fault ? 0 : task->call.seq;
}

// Nobody will come for it: the call has ended, or the task has.
static bool stale(const struct asked *asked) {
    struct task *task = task_find(asked->tid);
    if (!task)
        return true;
    return asked->seq ? !task->call.live || task->call.seq != asked->seq
                      : !task->fault_live && task->active != &task->fault;
}

static void forget(struct asked *asked) {
    list_remove(&asked->link);
    kfree(asked->data);
    kfree(asked);
}

static struct asked *find(struct task *task, const struct host_ask *ask) {
    u32 seq = sequence(task);
    struct asked *a;
    list_each(a, &kernel->host_asks->all, link) {
        if (a->answered && stale(a)) {
            forget(a);
            continue;
        }
        if (a->tid == task->tid && a->seq == seq && a->mount == ask->mount && a->op == ask->op &&
            a->arg == ask->args[0] && a->path_len == ask->path_len &&
            !memcmp(a->path, ask->path, a->path_len))
            return a;
    }
    return NULL;
}

static struct asked *send(struct task *task, const struct host_ask *ask) {
    struct asked *a = kmalloc(sizeof *a + ask->path_len);
    if (!a)
        return NULL;
    a->id = ++kernel->host_asks->next_id;
    a->tid = task->tid;
    a->seq = sequence(task);
    a->mount = ask->mount;
    a->op = ask->op;
    a->arg = ask->args[0];
    a->path_len = ask->path_len;
    memcpy(a->path, ask->path, ask->path_len);
    list_push(&kernel->host_asks->all, &a->link);
    struct out_hostfs *out = out_begin(OUT_HOSTFS, sizeof *out, ask->path_len + ask->payload_len);
    out->id = a->id;
    out->mount = ask->mount;
    out->op = ask->op;
    out->data_len = ask->path_len + ask->payload_len;
    memcpy(out->args, ask->args, sizeof ask->args);
    out->args[3] = ask->path_len;
    u8 *data = (u8 *)(out + 1);
    memcpy(data, ask->path, ask->path_len);
    memcpy(data + ask->path_len, ask->payload, ask->payload_len);
    out_send(out);
    return a;
}

i64 host_ask(struct task *task, const struct host_ask *ask, struct host_answer *out) {
    if (!task || !asks())
        return -ENOMEM;
    struct asked *a = find(task, ask);
    if (!a)
        a = send(task, ask);
    if (!a)
        return -ENOMEM;
    if (!a->answered)
        return wait_on(task, &kernel->host_asks->wait[a->id % WAIT_QUEUES], STATUS_FS_WAIT);
    *out = (struct host_answer){a->value, a->data, a->len, a};
    return a->error < 0 ? a->error : 0;
}

void host_consume(struct host_answer *answer) {
    forget(answer->asked);
}

void host_answered(const struct event_hostfs *event, const u8 *data) {
    struct asked *a;
    if (!kernel->host_asks)
        return;
    list_each(a, &kernel->host_asks->all, link) {
        if (a->id != event->id || a->answered)
            continue;
        a->answered = true;
        a->error = event->error;
        a->value = event->value;
        a->data = kmalloc(event->data_len + 1);
        if (a->data) {
            memcpy(a->data, data, event->data_len);
            a->len = event->data_len;
        } else {
            a->error = -ENOMEM;
        }
        wake_all(&kernel->host_asks->wait[a->id % WAIT_QUEUES]);
        if (stale(a))
            forget(a);
        return;
    }
}
