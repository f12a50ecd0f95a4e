// Advisory locks of files: record locks of processes and of open files, flock(2). All are ranges with an owner.
#pragma once
#include "inode.h"

enum { LOCK_READ = 0, LOCK_WRITE = 1, LOCK_NONE = 2 };      // F_RDLCK, F_WRLCK, F_UNLCK
enum { LOCK_POSIX = 1, LOCK_OFD = 2, LOCK_FLOCK = 3 };      // POSIX and OFD locks conflict; flock(2) is apart
struct lock_range {
    u32 kind, type;
    u64 start, end; // last byte, ~0: to infinity
    u32 pid;        // for F_GETLK
    void *owner;    // POSIX: struct fdtable; else struct file
};
// Take or drop. wait: E_WAIT until it can be had, -EDEADLK; else -EAGAIN.
must_check i64 lock_set(struct task *task, struct inode *inode, const struct lock_range *want, bool wait);
// The first lock that would stand in the way, or type LOCK_NONE.
void lock_test(struct inode *inode, const struct lock_range *want, struct lock_range *found);
void lock_release_owner(struct inode *inode, void *owner); // a close
