// Advisory locks, as ranges on the inode. Waiting is a condition wait on inode->wait: whoever frees
// a range wakes all, and they test again.
#include "flock.h"
#include "../kernel.h"
#include "../lib/heap.h"
#include "../task/task.h"

struct held {
    struct list link; // inode->locks, in order of taking
    struct lock_range range;
};

static bool same_family(const struct lock_range *a, const struct lock_range *b) {
    return (a->kind == LOCK_FLOCK) == (b->kind == LOCK_FLOCK);
}

static bool same_owner(const struct lock_range *a, const struct lock_range *b) {
    return a->kind == b->kind && a->owner == b->owner;
}

static struct held *conflict(struct inode *inode, const struct lock_range *want) {
    struct held *held;
    list_each(held, &inode->locks, link) {
        struct lock_range *r = &held->range;
        if (same_family(r, want) && !same_owner(r, want) && r->start <= want->end &&
            want->start <= r->end && (r->type == LOCK_WRITE || want->type == LOCK_WRITE))
            return held;
    }
    return NULL;
}

void lock_test(struct inode *inode, const struct lock_range *want, struct lock_range *found) {
    struct held *held = conflict(inode, want);
    *found = held ? held->range : *want;
    if (!held)
        found->type = LOCK_NONE;
}

static void drop(struct held *held) {
    list_remove(&held->link);
    kfree(held);
}

void lock_release_owner(struct inode *inode, void *owner) {
    bool any = false;
    struct held *held;
    list_each(held, &inode->locks, link) {
        if (held->range.owner == owner) {
            drop(held);
            any = true;
        }
    }
    if (any)
        wake_all(&inode->wait);
}

// ---- Deadlock ----------------------------------------------------------------------------------
// A task that waits for a process's record lock notes in its call whom it waits for (scratch[3],
// with scratch[2] set).
enum { WAITS_FOR_LOCK = 0x6c6f636b };

static void *waits_for(void *owner) {
    for (u32 i = 0; i < kernel->tid_cap; i++) {
        struct task *task = kernel->tids[i];
        if (task && task->files == owner && task->call.live && task->state == TASK_WAITING &&
            task->call.scratch[2] == WAITS_FOR_LOCK)
            return (void *)(uintptr_t)task->call.scratch[3];
    }
    return NULL;
}

static bool would_deadlock(void *me, void *blocker) {
    for (u32 steps = 0; blocker && steps < 64; steps++) {
        if (blocker == me)
            return true;
        blocker = waits_for(blocker);
    }
    return false;
}

static i64 wait_for(struct task *task, struct inode *inode, const struct lock_range *want,
                    const struct lock_range *blocker) {
    struct call *call = call_of(task);
    call->scratch[2] = 0;
    if (want->kind == LOCK_POSIX && blocker->kind == LOCK_POSIX) {
        if (would_deadlock(want->owner, blocker->owner))
            return -EDEADLK;
        call->scratch[2] = WAITS_FOR_LOCK;
        call->scratch[3] = (uintptr_t)blocker->owner;
    }
    return wait_on(task, &inode->wait, STATUS_FS_WAIT);
}

// ---- Taking ------------------------------------------------------------------------------------
// Cuts [want->start, want->end] out of what the owner holds. `spare` serves the one split that may
// be needed.
static bool cut(struct inode *inode, const struct lock_range *want, struct held **spare) {
    bool any = false;
    struct held *held;
    list_each(held, &inode->locks, link) {
        struct lock_range *r = &held->range;
        if (!same_owner(r, want) || r->end < want->start || want->end < r->start)
            continue;
        any = true;
        bool head = r->start<want->start, tail = r->end> want->end;
        if (head && tail) {
            (*spare)->range = *r;
            (*spare)->range.start = want->end + 1;
            list_push(&inode->locks, &(*spare)->link);
            *spare = NULL;
            r->end = want->start - 1;
        } else if (head) {
            r->end = want->start - 1;
        } else if (tail) {
            r->start = want->end + 1;
        } else {
            drop(held);
        }
    }
    return any;
}

static void merge(struct inode *inode, struct held *mine) {
    struct held *held;
    list_each(held, &inode->locks, link) {
        struct lock_range *r = &held->range, *m = &mine->range;
        if (held == mine || !same_owner(r, m) || r->type != m->type)
            continue;
        if (r->end != ~0ull && r->end + 1 == m->start)
            m->start = r->start;
        else if (m->end != ~0ull && m->end + 1 == r->start)
            m->end = r->end;
        else
            continue;
        drop(held);
    }
}

i64 lock_set(struct task *task, struct inode *inode, const struct lock_range *want, bool wait) {
    struct held *spare = knew(struct held), *mine = knew(struct held);
    i64 r = -ENOLCK;
    if (!spare || !mine)
        goto out;
    list_init(&spare->link);
    list_init(&mine->link);
    r = 0;
    // A conversion by flock(2) first gives up what it has.
    bool freed = want->kind == LOCK_FLOCK ? cut(inode, want, &spare) : false;
    struct held *blocker = want->type != LOCK_NONE ? conflict(inode, want) : NULL;
    if (blocker) {
        r = wait ? wait_for(task, inode, want, &blocker->range) : -EAGAIN;
    } else {
        freed |= cut(inode, want, &spare);
        if (want->type != LOCK_NONE) {
            mine->range = *want;
            list_push(&inode->locks, &mine->link);
            merge(inode, mine);
            mine = NULL;
        }
    }
    if (freed)
        wake_all(&inode->wait);
out:
    kfree(spare);
    kfree(mine);
    return r;
}
