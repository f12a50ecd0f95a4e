#include "wait.h"
#include "../kernel.h"

void waitq_init(struct waitq *queue) {
    list_init(&queue->nodes);
}

// ---- Waiting -----------------------------------------------------------------------------------
static i64 wait_node(struct task *task, struct waitq *queue, u8 why, u32 flags, u32 events) {
    if (!task)
        return E_WAIT; // a TLB miss only asks; the fault comes again with a task
    struct call *call = task->active;
    call->why = why;
    struct waitnode *node = call->nodes;
    while (node && node->queue != queue)
        node = node->next;
    if (!node) {
        node = knew(struct waitnode);
        if (!node)
            return -ENOMEM;
        list_init(&node->link);
        node->queue = queue;
        node->task = task;
        node->next = call->nodes;
        call->nodes = node;
    }
    node->flags = flags;
    node->key =
        node->key && events ? node->key | events : events; // two ends of a pipe are one queue
    if (list_empty(&node->link))
        list_push(&queue->nodes, &node->link);
    return E_WAIT;
}

i64 wait_on(struct task *task, struct waitq *queue, u8 why) {
    return wait_node(task, queue, why, 0, 0);
}

i64 wait_on_exclusive(struct task *task, struct waitq *queue, u8 why) {
    return wait_node(task, queue, why, WAIT_EXCLUSIVE, 0);
}

i64 wait_on_events(struct task *task, struct waitq *queue, u8 why, u32 events) {
    return wait_node(task, queue, why, 0, events);
}

i64 wait_alone(struct task *task, u8 why) {
    task->active->why = why;
    return E_WAIT;
}

static void deadline_passed(struct timer *timer) {
    struct task *task = timer->owner;
    task->call.timed_out = true;
    wait_wake(task);
}

void wait_deadline(struct task *task, u64 deadline_ns) {
    struct call *call = &task->call;
    call->deadline = deadline_ns;
    if (deadline_ns == ~0ull)
        return;
    if (deadline_ns <= now_ns() || timer_arm(&call->timer, deadline_ns, deadline_passed, task))
        call->timed_out = true; // already over, or no memory for the timer: do not sleep
}

// ---- Waking ------------------------------------------------------------------------------------
void wait_wake(struct task *task) {
    if (task->state == TASK_WAITING)
        sched_enqueue(task);
    // Stopped tasks look again after SIGCONT; running and runnable ones will anyway.
}

static void node_fire(struct waitnode *node, u32 events) {
    if (node->fire) {
        node->fire(node, events);
        return;
    }
    node->flags |= WAIT_FIRED;
    if (node->flags & WAIT_EXCLUSIVE)
        list_remove(&node->link);
    wait_wake(node->task);
}

static bool wake_queue(struct waitq *queue, u32 events, u32 exclusive) {
    bool any = false;
    struct waitnode *node;
    list_each(node, &queue->nodes, link) {
        if (node->key && events && !(node->key & events))
            continue;
        bool is_exclusive = node->flags & WAIT_EXCLUSIVE;
        if (is_exclusive && !exclusive)
            continue;
        node_fire(node, events);
        any = true;
        exclusive -= is_exclusive;
    }
    return any;
}

void wake(struct waitq *queue) {
    wake_queue(queue, 0, 1);
}

void wake_events(struct waitq *queue, u32 events) {
    wake_queue(queue, events, 1);
}

void wake_all(struct waitq *queue) {
    wake_queue(queue, 0, ~0u);
}

bool wake_one(struct waitq *queue) {
    struct waitnode *node = list_first(&queue->nodes, struct waitnode, link);
    if (node)
        node_fire(node, 0);
    return node;
}

void wait_grant(struct task *task, i64 result) {
    task->call.granted = true;
    task->call.result = result;
    wait_wake(task);
}

void waitq_abandon(struct waitq *queue) {
    while (!list_empty(&queue->nodes))
        list_remove(queue->nodes.next);
}

void waitnode_remove(struct waitnode *node) {
    list_remove(&node->link);
}

static void nodes_free(struct call *call, bool hand_on) {
    while (call->nodes) {
        struct waitnode *node = call->nodes;
        call->nodes = node->next;
        list_remove(&node->link);
        if (hand_on && (node->flags & WAIT_EXCLUSIVE) && (node->flags & WAIT_FIRED))
            wake(node->queue); // not wake_one: the first in line may be a poll
        kfree(node);
    }
    timer_cancel(&call->timer);
}

void wait_cancel(struct call *call) {
    nodes_free(call, true);
}

void wait_finish(struct call *call) {
    nodes_free(call, false);
}
