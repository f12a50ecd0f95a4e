// The only file that parks or wakes tasks.
//
// A handler that cannot go on says `return wait_on(task, &queue, STATUS_X)` and is entered again
// when woken (`task` may be NULL where nothing should be queued). It tests its condition each time (condition wait) unless call->granted (grant wait: the waker
// stored call->result and dequeued it). Signals, kills and stops are the dispatcher's business, never the handler's.
#pragma once
#include "../lib/list.h"

struct task;
struct call;
struct waitnode;

struct waitq {
    struct list nodes; // struct waitnode.link
};

// What happens to a node when its queue is woken; the default wakes the task.
typedef void (*wait_fire)(struct waitnode *node, u32 events);

struct waitnode {
    struct list link;
    struct waitq *queue;
    struct waitnode *next; // other nodes of the same call
    struct task *task;
    wait_fire fire;
    void *owner; // for fire functions (epoll items)
    u32 flags;   // WAIT_*
    u32 key;     // events of interest; 0: all
};
enum { WAIT_EXCLUSIVE = 1, WAIT_FIRED = 2 };

void waitq_init(struct waitq *queue);

// Queue the active record of `task` (once; a node that is queued already stays) and return E_WAIT (or -ENOMEM).
must_check i64 wait_on(struct task *task, struct waitq *queue, u8 why);
must_check i64 wait_on_exclusive(struct task *task, struct waitq *queue, u8 why);
must_check i64 wait_on_events(struct task *task, struct waitq *queue, u8 why, u32 events);
// Wait for nothing but the deadline, a grant or a signal.
must_check i64 wait_alone(struct task *task, u8 why);
// The time limit of the call, set on first entry: absolute virtual ns (~0: none). call->timed_out tells.
void wait_deadline(struct task *task, u64 deadline_ns);

void wake(struct waitq *queue);                    // all, but at most one exclusive waiter
void wake_events(struct waitq *queue, u32 events); // those interested in any of `events`
void wake_all(struct waitq *queue);                // all, exclusive ones too
bool wake_one(struct waitq *queue);                // the first
// Store the answer of a waiting call and make its task runnable. A stored grant wins over a signal.
void wait_grant(struct task *task, i64 result);
void wait_wake(struct task *task);    // make the task look again
void wait_cancel(struct call *call);  // off all queues and timers; hands on an exclusive wake not used
void wait_finish(struct call *call);  // the same at a normal end
void waitq_abandon(struct waitq *queue); // the queue is freed: nodes of others stay behind, on no queue
void waitnode_remove(struct waitnode *node); // a node owned by someone else than a call
