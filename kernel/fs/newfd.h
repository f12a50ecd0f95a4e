// Descriptors made out of nothing: each call in sys/newfd.c stands on one of these files.
#pragma once
#include "inode.h"

// eventfd.c
#define EFD_SEMAPHORE 1u
must_check i64 eventfd_new(u32 count, u32 flags, struct file **out);

// timerfd.c
enum { TFD_TIMER_ABSTIME = 1, TFD_TIMER_CANCEL_ON_SET = 2 };
must_check i64 timerfd_new(u32 clock, u32 flags, struct file **out);
// -EINVAL when `file` is none. Times in ns; value 0 disarms.
must_check i64 timerfd_set(struct file *file, u32 flags, u64 value_ns, u64 interval_ns);
must_check i64 timerfd_get(struct file *file, u64 *value_ns, u64 *interval_ns);

// signalfd.c
must_check i64 signalfd_new(u64 mask, u32 flags, struct file **out);
must_check i64 signalfd_set(struct file *file, u64 mask); // -EINVAL when it is none

// inotify.c
must_check i64 inotify_new(u32 flags, struct file **out);
must_check i64 inotify_watch(struct file *file, struct inode *inode, u32 mask); // watch descriptor
must_check i64 inotify_unwatch(struct file *file, i32 wd);
void inotify_event(struct inode *inode, u32 mask, u32 cookie, const char *name, u32 len);

// memfd.c
enum { MFD_CLOEXEC = 1, MFD_ALLOW_SEALING = 2, MFD_NOEXEC_SEAL = 8, MFD_EXEC = 16 };
must_check i64 memfd_new(struct task *task, const char *name, u32 flags, struct file **out);
i64 memfd_get_seals(struct file *file);
i64 memfd_add_seals(struct file *file, u32 seals);

// pidfd.c
struct file *pidfd_new(struct process *process, u32 flags); // NULL: out of memory. flags: O_NONBLOCK
struct process *pidfd_process(struct file *file); // NULL: not a pidfd. It may be dead.
