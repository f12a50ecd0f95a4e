// The machine's root and the host's: the only mutable globals.
//
// struct machine is machine memory, at MACHINE_BASE: what it reaches decides the guest's future and is what a
// snapshot holds. struct host is private: caches and mail, rebuilt by k_attach.
//
// Locks, outermost first. host.lock (the kernel lock) guards all machine memory but the registers of running
// tasks; host.mail_lock, host.heap_lock and host.miss_lock are leaves. Debug builds check the order.
#pragma once
#include "abi.h"
#include "debug.h"
#include "outbox.h"
#include "order.h"
#include "tap.h"
#include "lib/clock.h"
#include "lib/list.h"
#include "lib/lock.h"
#include "lib/hash.h"
#include "lib/random.h"
#include "lib/heap.h"
#include "lib/fmt.h"
#include "lib/string.h"
#include "task/task.h"

#define HARTS_ALL (HART_MAX + 1) // the last stands for the kernel role's instance


struct machine {
    u32 magic; // KERNEL_MAGIC once booted
    u32 abi;
    // Memory.
    u64 ram_bytes;
    maddr frames;     // struct page[]
    maddr heap_start, heap_end, heap_limit;
    maddr heap_free[128];
    u32 frame_count;
    u32 frame_low;    // lowest frame ever used: frames are taken from the top
    u32 frame_free;   // free list, frame number + 1
    u32 frames_used;
    u32 disk_used, disk_max; // frames that files hold beyond the image; 0: as many as there are
    bool for_host; // this pass serves the host: it may use the heap's reserve
    maddr zero_page;
    // Time.
    u64 tick;
    struct clock clock;
    u64 boot_realtime_ns;
    struct timer **timers;
    u32 timer_count, timer_cap;
    u64 timer_seq;
    struct random random;
    struct chaos *chaos; // NULL: none
    // Tasks.
    u32 cpus, harts;
    struct list run_queue; // struct task.run_link
    u32 run_count;
    struct task *current[HART_MAX]; // one hart when recorded, so machine state
    u8 last_wait[HART_MAX];         // STATUS_* of the last task that blocked there
    struct list processes;
    struct task **tids; // by tid; tid_cap entries
    u32 tid_cap, tid_next, task_count, task_max;
    u32 files_max; // open files of a process; 0: FD_MAX
    u32 admit;
    u32 asked[2]; // clones, execs: how many requests were put to the owner
    u64 mm_next_id;
    u32 fetch_gen_next;
    u32 call_seq;
    u64 forks, switches;
    struct list exited;     // struct exit_record: EXITED statuses still to be raised
    struct list admissions; // struct task.admission_link: SPAWN statuses still to be raised
    struct process *agent;
    struct list agent_all; // struct agent.link
    struct list agent_idle;
    // Files.
    struct list mounts; // struct filesystem.link
    struct inode *root; // of the root file system
    u32 dev_next;
    struct image *image; // fs/imagefs.c
    struct host_asks *host_asks; // fs/hostask.c
    u64 anon_ino;
    struct devices *devices; // fs/devfs.c
    struct net *net;
    struct futexes *futexes;
    u64 proc_warned[8]; // unknown system calls already logged, one bit each
    u32 flags; // BOOT_*
    char hostname[65], domainname[65];
    u8 boot_id[16]; // /proc/sys/kernel/random/boot_id, made when first asked for
    u64 load_avg[3]; // task/load.c
    u64 load_next_ns; // of the next sample
    u32 load_count;   // tasks that count now
    struct memobject *vdso;
};
#define KERNEL_MAGIC 0x31626245 // "Ebb1"
#define kernel MPTR(struct machine, MACHINE_BASE)

struct mail {
    _Alignas(16) struct mail *next;
    u32 len;
    // bytes follow
};

struct host {
    struct lock lock;      // the kernel lock
    struct lock mail_lock; // inbox and outbox lists
    struct lock heap_lock; // private heap
    struct hart *hart[HARTS_ALL];
    u32 hart_count;
    struct mail *inbox_head, *inbox_tail;
    struct mail *mail_taken; // being delivered
    struct mail *outbox_head, *outbox_tail;
    u32 outbox_bytes;
    u32 outbox_bell; // [atomic]
    u32 freeze;      // [atomic]
    u32 idle;        // bit per parked hart, by the kernel lock
    u32 ran_last;    // [atomic] whose guest code it was
    bool queued;     // tasks may wait that an idle hart could run: since `queued_tick`
    u64 queued_tick;
    u32 shootdown;   // generation
    u32 ram_pages;
    maddr stack[HARTS_ALL]; // tops
    maddr heap_start, heap_end;
    maddr heap_free[128];
    u32 *frame_code; // per frame: generation << 2 | may have a write entry << 1 | holds decoded code
    u32 code_drops;  // changes of any generation in it
    char panic[256];
    u32 panicked; // [atomic]
    struct counters counters;
    const char *abi_text;
    struct debug debug;
    struct order order;
    struct lock miss_lock; // frame_code, where misses do not take the kernel lock (tlb.c)
    struct hart *running; // hart of this kernel pass; belongs to the kernel lock
    u64 pass_ticks;       // tick cost of the current pass
    u32 taps;             // bits of TAP_*
    u32 tapped_gen;       // mappings of address space `tapped_mm` were sent last
    u64 tapped_mm;
};
extern struct host host;

// order.h, for machines of one hart at the cost of a test.
static inline bool ordered(void) {
    return unlikely(kernel->flags & BOOT_ORDERED);
}
// Where this is in the run.
static inline u64 moment(void) {
    return ordered() ? host.order.place.moment : kernel->tick;
}
static inline void tick_add(u64 ticks) { // of a pass
    kernel->tick += ticks;
    host.order.place.moment += ticks;
}
static inline void order_pause(const struct mm *mm) {
    if (ordered())
        order_stop(mm);
}
static inline void order_page(const struct page *page, bool writes) {
    if (ordered())
        order_stop_page(page, writes);
}

// step.c
void kernel_lock(struct hart *hart);
void kernel_unlock(struct hart *hart);
void kernel_unlock_to_guest(struct hart *hart); // which it goes on with
// Deterministic cost of work done in this pass, in ticks (bytes / 16, objects).
static inline void pass_cost(u64 ticks) {
    host.pass_ticks += ticks;
}



// log.c
void limit_met(struct process *process, u32 limit); // LIMIT_*: tells the host
void klog(u32 level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void exited_push(u32 pid, u32 status); // EXITED is still to be raised for it
// syscall.c
bool syscall_local(struct task *task); // answers one that needs no pass, as cpu_run would have, and says so to the taps
void syscall_run(struct task *task); // an ecall, or the same call again after a wait
const char *syscall_name(u32 nr);
bool syscall_restarts(u32 nr); // after a handler with SA_RESTART
// The call ends without an answer: its phase is undone and what it held is dropped.
void call_abort(struct task *task);
// strace.c
// "name(arguments) = result", as far as it fits; `ended` false: without results. Bytes.
u32 strace_text(struct task *task, u32 nr, i64 result, bool ended, char *out, u32 size);
bool strace_first(const struct task *task); // it does not come back to its arguments
void strace_enter(struct task *task);
void strace_exit(struct task *task, i64 result);
// proc/agent.c: host operations
i64 agent_boot(void);
void agent_call(const struct event_call *event);
void agent_cancel(u32 id);
bool agent_cancelled(struct task *task);
void agent_abort(struct task *task); // a cancelled call ends with what it has, or -EINTR
void agent_finish(struct task *task, i64 result);
#define NR_NONE 0xffff // no call has that number
#define NR_SPAWN_EXEC 1001 // the first act of a spawned child; nobody can ask for it
// Filled by the file systems.
i64 rootfs_mount(const u8 *index, u32 len);
void image_block_in(u32 chunk, i32 error, const u8 *data, u32 len);
// proc/admit.c
void admission_answer(u32 tid, u32 seq, i32 error);
