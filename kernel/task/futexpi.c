// Locks whose word holds the owner's tid: FUTEX_LOCK_PI, FUTEX_UNLOCK_PI, FUTEX_TRYLOCK_PI of futex(2).
//
// The word is the lock; waiters stand in the queue of its futex and know the owner, so that whoever
// leaves, by unlocking or by dying, hands the word to the next one: it is never free in between.
// The scheduler knows no priorities, so none is inherited.
#include "../kernel.h"
#include "../lib/atomic.h"
#include "futexq.h"

#define CHAIN_MAX 1024u

// Whether `task`, if it waited for `owner`, would wait for itself.
static bool would_deadlock(const struct task *task, const struct task *owner) {
    for (u32 i = 0; owner && i < CHAIN_MAX; i++) {
        if (owner == task)
            return true;
        owner = owner->futex && owner->futex->locks ? owner->futex->owner : NULL;
    }
    return false;
}

// Takes the word if nobody owns it; else says in the word that somebody waits. 0: it is ours.
static i64 take(struct task *task, u32 *word, bool others_wait, struct task **owner) {
    u32 old, new;
    do { // guest code on other harts may change the word meanwhile
        old = atomic_load(word);
        u32 tid = old & FUTEX_TID_MASK;
        if (tid == task->tid)
            return -EDEADLK;
        *owner = tid ? task_find(tid) : NULL;
        if (tid && (!*owner || (*owner)->state == TASK_DEAD))
            return -ESRCH;
        if (*owner && (*owner)->process->is_agent)
            return -EPERM;
        new = tid ? old | FUTEX_WAITERS
                  : (old & FUTEX_OWNER_DIED) | task->tid | (others_wait ? FUTEX_WAITERS : 0);
    } while (!atomic_cas(word, old, new));
    return *owner ? -EAGAIN : 0;
}

i64 futex_lock_pi(struct task *task, struct call *call, uptr word, bool shared, bool try) {
    if (call->granted)
        return call->result;
    if (!task->futex) {
        u32 *p;
        i64 error = user_word(task, word, ACCESS_WRITE, &p);
        if (error)
            return error;
        struct futex_key key = futex_key_of(task, word.va, shared);
        struct list *bucket = futex_bucket(key);
        if (!bucket)
            return -ENOMEM;
        struct futex_wait *first = futex_first(bucket, key);
        if (first && !first->locks)
            return -EINVAL;
        struct task *owner;
        error = take(task, p, first, &owner);
        if (error != -EAGAIN || try)
            return error;
        if (would_deadlock(task, owner))
            return -EDEADLK;
        error = futex_enqueue(task, (struct futex_wait){.key = key, .locks = true, .owner = owner});
        if (error)
            return error;
    }
    if (call->timed_out) {
        futex_dequeue(task);
        return -ETIMEDOUT;
    }
    return wait_alone(task, STATUS_FUTEX_WAIT);
}

// The waiter owns the word, or (with an error) has waited in vain; those behind it wait for it.
static void hand_over(struct futex_wait *to, struct list *bucket, i64 result) {
    struct task *task = to->task;
    struct futex_key key = to->key;
    struct task *before = to->owner;
    futex_dequeue(task);
    wait_grant(task, result);
    struct futex_wait *wait;
    list_each(wait, bucket, link)
        if (!result && wait->locks && wait->owner == before && wait->key.space == key.space &&
            wait->key.offset == key.offset)
            wait->owner = task;
}

i64 futex_unlock_pi(struct task *task, uptr word, bool shared) {
    u32 *p, old, new;
    i64 error = user_word(task, word, ACCESS_WRITE, &p);
    if (error)
        return error;
    struct futex_key key = futex_key_of(task, word.va, shared);
    struct list *bucket = futex_bucket(key);
    if (!bucket)
        return -ENOMEM;
    struct futex_wait *next = futex_first(bucket, key);
    do {
        old = atomic_load(p);
        if ((old & FUTEX_TID_MASK) != task->tid)
            return -EPERM;
        if (next && !next->locks)
            return -EINVAL;
        new = next ? FUTEX_WAITERS | next->task->tid : 0;
    } while (!atomic_cas(p, old, new));
    if (next)
        hand_over(next, bucket, 0);
    return 0;
}

// One that waits for what `task` owns: its oldest waiter.
static struct futex_wait *waits_for(const struct task *task, struct list **bucket) {
    for (u32 i = 0; i < FUTEX_BUCKETS; i++) {
        *bucket = &kernel->futexes->bucket[i];
        struct futex_wait *wait;
        list_each(wait, *bucket, link)
            if (wait->locks && wait->owner == task)
                return wait;
    }
    return NULL;
}

void futex_pi_exit(struct task *task) {
    struct list *bucket;
    struct futex_wait *next;
    while (kernel->futexes && kernel->futexes->locking && (next = waits_for(task, &bucket))) {
        u32 *p, old;
        bool there = futex_word_there(next->task, next->task->call.args[0], &p);
        if (there) {
            do
                old = atomic_load(p);
            while (!atomic_cas(p, old, next->task->tid | FUTEX_WAITERS | FUTEX_OWNER_DIED));
        }
        hand_over(next, bucket, there ? 0 : -EFAULT);
    }
}
