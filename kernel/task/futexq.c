// Futex queues. One hash table of first-come queues; a key is what two tasks must agree on to meet:
// in private memory the address space and the address, in shared mappings the object and the
// offset, never a frame (law 4).
#include "futexq.h"
#include "../kernel.h"
#include "../lib/heap.h"

#define ROBUST_MAX 2048u

struct list *futex_bucket(struct futex_key key) {
    if (!kernel->futexes) {
        kernel->futexes = knew(struct futexes);
        if (!kernel->futexes)
            return NULL;
        for (u32 i = 0; i < FUTEX_BUCKETS; i++)
            list_init(&kernel->futexes->bucket[i]);
    }
    u64 hash = (key.space * 0x9e3779b97f4a7c15ull) ^ ((key.offset >> 2) * 0xc2b2ae3d27d4eb4full);
    return &kernel->futexes->bucket[hash >> 56 & (FUTEX_BUCKETS - 1)];
}

struct futex_key futex_key_of(struct task *task, u64 va, bool shared) {
    struct vma *vma = shared ? mm_find(task->mm, va) : NULL;
    if (vma && vma->object && (vma->flags & VMA_SHARED))
        return (struct futex_key){1ull << 63 | MADDR(vma->object),
                                  (vma->index << PAGE_SHIFT) + (va - vma->start)};
    return (struct futex_key){task->mm->id, va};
}

static bool key_equal(struct futex_key a, struct futex_key b) {
    return a.space == b.space && a.offset == b.offset;
}

void futex_dequeue(struct task *task) {
    struct futex_wait *wait = task->futex;
    if (!wait)
        return;
    task->futex = NULL;
    kernel->futexes->locking -= wait->locks;
    list_remove(&wait->link);
    kfree(wait);
}

static void futex_undo(struct task *task, struct call *call) {
    futex_dequeue(task);
}

i64 futex_enqueue(struct task *task, struct futex_wait what) {
    struct list *bucket = futex_bucket(what.key);
    struct futex_wait *wait = bucket ? knew(struct futex_wait) : NULL;
    if (!wait)
        return -ENOMEM;
    *wait = what;
    wait->task = task;
    list_init(&wait->link);
    list_push(bucket, &wait->link);
    kernel->futexes->locking += wait->locks;
    task->futex = wait;
    task->call.undo = futex_undo;
    return 0;
}

struct futex_wait *futex_first(struct list *bucket, struct futex_key key) {
    struct futex_wait *wait;
    list_each(wait, bucket, link)
        if (key_equal(wait->key, key))
            return wait;
    return NULL;
}

// Whether it is waited for as a lock: then nothing but unlocking ends that.
static bool locked_by_others(struct futex_key key) {
    struct list *bucket = futex_bucket(key);
    struct futex_wait *wait = bucket ? futex_first(bucket, key) : NULL;
    return wait && wait->locks;
}

// Loads and compares as one step with queueing: stores by other harts are seen or come later, and
// every wake needs the kernel lock.
i64 futex_wait(struct task *task, struct call *call, uptr word, u32 expected, u32 bitset,
               bool shared) {
    if (call->granted)
        return call->result;
    if (!task->futex) {
        u32 *p;
        i64 error = user_word(task, word, ACCESS_READ, &p);
        if (error)
            return error;
        if (atomic_load(p) != expected)
            return -EAGAIN;
        struct futex_key key = futex_key_of(task, word.va, shared);
        error = futex_enqueue(task, (struct futex_wait){.key = key, .bitset = bitset});
        if (error)
            return error;
    }
    if (call->timed_out) {
        futex_dequeue(task);
        return -ETIMEDOUT;
    }
    return wait_alone(task, STATUS_FUTEX_WAIT);
}

static u32 wake_key(struct futex_key key, u32 count, u32 bitset) {
    struct list *bucket = futex_bucket(key);
    struct futex_wait *wait;
    u32 woken = 0;
    if (!bucket)
        return 0;
    list_each(wait, bucket, link) {
        if (!key_equal(wait->key, key) || !(wait->bitset & bitset) || wait->locks)
            continue;
        struct task *task = wait->task;
        futex_dequeue(task);
        wait_grant(task, 0);
        if (++woken >= count)
            break;
    }
    return woken;
}

i64 futex_wake(struct task *task, uptr word, u32 count, u32 bitset, bool shared) {
    struct futex_key key = futex_key_of(task, word.va, shared);
    return locked_by_others(key) ? -EINVAL : wake_key(key, count, bitset);
}

i64 futex_requeue(struct task *task, uptr from, u32 wake, u32 move, uptr to, const u32 *expected,
                  bool shared) {
    if (expected) {
        u32 *p;
        i64 error = user_word(task, from, ACCESS_READ, &p);
        if (error)
            return error;
        if (atomic_load(p) != *expected)
            return -EAGAIN;
    }
    struct futex_key key = futex_key_of(task, from.va, shared), target = futex_key_of(task, to.va, shared);
    struct list *bucket = futex_bucket(key), *target_bucket = futex_bucket(target);
    if (!bucket || !target_bucket)
        return -ENOMEM;
    if (locked_by_others(key) || locked_by_others(target))
        return -EINVAL;
    u32 woken = wake ? wake_key(key, wake, ~0u) : 0, moved = 0;
    if (key_equal(key, target) || !move)
        return woken;
    struct futex_wait *wait;
    list_each(wait, bucket, link) {
        if (!key_equal(wait->key, key))
            continue;
        list_remove(&wait->link);
        wait->key = target;
        list_push(target_bucket, &wait->link); // later in a shared bucket: it no longer has the key
        if (++moved >= move)
            break;
    }
    return woken + moved;
}

// op: 4 bits operation (bit 3: 1 << argument), 4 bits comparison, 12 bits argument, 12 bits
// comparand.
i64 futex_wake_op(struct task *task, uptr word, u32 count, uptr word2, u32 count2, u32 op,
                  bool shared) {
    u32 operation = op >> 28 & 7, compare = op >> 24 & 15;
    i32 argument = (i32)(op << 8) >> 20, comparand = (i32)(op << 20) >> 20;
    if (op >> 31)
        argument = 1 << (argument & 31);
    u32 *p, old, new;
    i64 error = user_word(task, word2, ACCESS_WRITE, &p);
    if (error)
        return error;
    if (operation > 4 || compare > 5)
        return -ENOSYS;
    do { // guest code on other harts may change the word meanwhile
        old = atomic_load(p);
        u32 by = (u32)argument;
        new = operation == 0   ? by
              : operation == 1 ? old + by
              : operation == 2 ? old | by
              : operation == 3 ? old & ~by
                               : old ^ by;
    } while (!atomic_cas(p, old, new));
    i32 was = (i32)old;
    bool holds = compare == 0   ? was == comparand
                 : compare == 1 ? was != comparand
                 : compare == 2 ? was < comparand
                 : compare == 3 ? was <= comparand
                 : compare == 4 ? was > comparand
                                : was >= comparand;
    u32 woken = wake_key(futex_key_of(task, word.va, shared), count, ~0u);
    if (holds)
        woken += wake_key(futex_key_of(task, word2.va, shared), count2, ~0u);
    return woken;
}

void futex_wake_word(struct task *task, u64 va, u32 count) {
    wake_key(futex_key_of(task, va, true), count, ~0u);
}

// ---- Robust lists: get_robust_list(2) ----------------------------------------------------------
// Leaving must never wait: a page that is not there holds no lock word of ours.
bool futex_word_there(struct task *task, u64 va, u32 **out) {
    return !(va & 3) && mm_present(task->mm, va) &&
           user_word(task, UPTR(va), ACCESS_WRITE, out) == 0;
}

static void robust_release(struct task *task, u64 va, bool pending) {
    u32 *p, old;
    if (!futex_word_there(task, va, &p))
        return;
    do {
        old = atomic_load(p);
        if (pending && !old) { // died between unlocking and its wake
            futex_wake_word(task, va, 1);
            return;
        }
        if ((old & FUTEX_TID_MASK) != task->tid)
            return;
    } while (!atomic_cas(p, old, (old & FUTEX_WAITERS) | FUTEX_OWNER_DIED));
    if (old & FUTEX_WAITERS)
        futex_wake_word(task, va, 1);
}

static bool load(struct task *task, u64 va, u64 *out) {
    return mm_present(task->mm, va) && mm_present(task->mm, va + 7) &&
           get_user(task, *out, UPTR(va)) == 0;
}

void futex_robust_exit(struct task *task) {
    u64 head = task->robust_list, entry, offset, pending;
    task->robust_list = 0;
    if (!head || !load(task, head, &entry) || !load(task, head + 8, &offset) ||
        !load(task, head + 16, &pending))
        return;
    pending &= ~1ull; // bit 0 marks a priority-inheriting lock
    for (u32 i = 0; i < ROBUST_MAX && (entry & ~1ull) != head; i++) {
        u64 at = entry & ~1ull, next;
        bool more = load(task, at, &next);
        if (at != pending)
            robust_release(task, at + offset, false);
        if (!more)
            break;
        entry = next;
    }
    if (pending)
        robust_release(task, pending + offset, true);
}
