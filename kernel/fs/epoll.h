// Interest lists over open files: epoll(7).
#pragma once
#include "file.h"

struct epoll_event { // not packed on riscv64
    u32 events, pad;
    u64 data;
};
enum { EPOLL_CTL_ADD = 1, EPOLL_CTL_DEL, EPOLL_CTL_MOD };
#define EPOLLEXCLUSIVE (1u << 28)
#define EPOLLWAKEUP (1u << 29)
#define EPOLLONESHOT (1u << 30)
#define EPOLLET (1u << 31)

must_check i64 epoll_new(struct file **out);
bool file_is_epoll(const struct file *file);
must_check i64 epoll_ctl(struct file *ep, i32 op, struct file *target, i32 fd, const struct epoll_event *event);
// Copies out what is ready: their number (0: nothing), -EFAULT, E_WAIT.
must_check i64 epoll_harvest(struct task *task, struct file *ep, uptr events, u32 most);
must_check i64 epoll_sleep(struct task *task, struct file *ep); // E_WAIT until something may be ready
// The last reference of a watched file is going: called by file_put before the file's queues are freed.
void epoll_file_closed(struct file *file);
