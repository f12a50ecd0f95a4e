// uname(2), sysinfo(2), getrandom(2), prctl(2) and other questions about the system.
#include "../task/load.h"
#include "sys.h"

i64 sys_uname(struct task *task, struct call *call) {
    struct utsname u = {.sysname = "Linux", .release = UTS_RELEASE, .version = UTS_VERSION, .machine = "riscv64"};
    strlcpy(u.nodename, kernel->hostname, sizeof u.nodename);
    strlcpy(u.domainname, kernel->domainname, sizeof u.domainname);
    return copy_out(task, arg_ptr(call, 0), &u, sizeof u);
}

static i64 set_name(struct task *task, struct call *call, char *name) {
    u64 len = call->args[1];
    char text[65] = {};
    if (!(task->cred.cap_effective >> CAP_SYS_ADMIN & 1))
        return -EPERM;
    if (len > 64)
        return -EINVAL;
    i64 r = copy_in(task, text, arg_ptr(call, 0), len);
    if (!r)
        memcpy(name, text, sizeof text);
    return r;
}

i64 sys_sethostname(struct task *task, struct call *call) {
    return set_name(task, call, kernel->hostname);
}

i64 sys_setdomainname(struct task *task, struct call *call) {
    return set_name(task, call, kernel->domainname);
}

i64 sys_sysinfo(struct task *task, struct call *call) {
    struct {
        i64 uptime;
        u64 loads[3], totalram, freeram, sharedram, bufferram, totalswap, freeswap;
        u16 procs, pad;
        u32 pad2;
        u64 totalhigh, freehigh;
        u32 mem_unit, pad3;
    } info = {
        .uptime = (i64)(now_boot_ns() / NSEC),
        .totalram = pages_total() * PAGE_SIZE,
        .freeram = pages_free() * PAGE_SIZE,
        .procs = (u16)kernel->task_count,
        .mem_unit = 1,
    };
    load_account();
    for (u32 i = 0; i < lengthof(info.loads); i++)
        info.loads[i] = kernel->load_avg[i] << (16 - LOAD_SHIFT);
    return copy_out(task, arg_ptr(call, 0), &info, sizeof info);
}

i64 sys_getrandom(struct task *task, struct call *call) {
    if (call->args[2] & ~7ull)
        return -EINVAL;
    u64 left = min(call->args[1], 0x2000000ull), done = 0;
    i64 r = user_ready(task, arg_ptr(call, 0), left, ACCESS_WRITE);
    while (!r && done < left) {
        u8 bytes[256];
        u64 n = min(left - done, (u64)sizeof bytes);
        random_bytes(&kernel->random, bytes, n);
        r = copy_out(task, UPTR(call->args[0] + done), bytes, n);
        done += n;
    }
    pass_cost(done / 16);
    return r ? r : (i64)done;
}

i64 sys_personality(struct task *task, struct call *call) {
    (void)task;
    u32 want = arg_u32(call, 0);
    return want == 0xffffffff || !(want & ~0x0040000u) ? 0 : -EINVAL; // PER_LINUX; ASLR is off already
}

i64 sys_syslog(struct task *task, struct call *call) {
    (void)task;
    switch (arg_int(call, 0)) {
    case 9:  // unread bytes
    case 10: // size of the buffer
    case 3:
        return 0;
    }
    return -EPERM;
}

i64 sys_reboot(struct task *task, struct call *call) {
    (void)task, (void)call;
    return -EPERM; // the machine's life is its owner's business
}

i64 sys_seccomp(struct task *task, struct call *call) {
    (void)task, (void)call;
    return -EINVAL; // as a kernel built without it
}

i64 sys_riscv_hwprobe(struct task *task, struct call *call) {
    struct {
        i64 key;
        u64 value;
    } pair;
    if (call->args[4])
        return -EINVAL;
    uptr p = arg_ptr(call, 0);
    for (u64 i = 0; i < call->args[1]; i++, p.va += sizeof pair) {
        i64 r = copy_in(task, &pair, p, sizeof pair);
        if (r)
            return r;
        switch (pair.key) {
        case 0: // MVENDORID
        case 1: // MARCHID
        case 2: // MIMPID
            pair.value = 0;
            break;
        case 3: // BASE_BEHAVIOR: IMA
            pair.value = 1;
            break;
        case 4: // IMA_EXT_0: FD, C
            pair.value = 3;
            break;
        case 5: // CPUPERF_0: misaligned access is fast
            pair.value = 3;
            break;
        case 7: // HIGHEST_VIRT_ADDRESS
            pair.value = USER_END - 1;
            break;
        case 8: // TIME_CSR_FREQ
            pair.value = NSEC;
            break;
        default:
            pair.key = -1;
            pair.value = 0;
        }
        r = copy_out(task, p, &pair, sizeof pair);
        if (r)
            return r;
    }
    return 0;
}

enum {
    PR_SET_PDEATHSIG = 1, PR_GET_PDEATHSIG, PR_GET_DUMPABLE, PR_SET_DUMPABLE, PR_GET_KEEPCAPS = 7, PR_SET_KEEPCAPS = 8,
    PR_SET_NAME = 15, PR_GET_NAME = 16, PR_GET_SECCOMP = 21, PR_CAPBSET_READ = 23, PR_CAPBSET_DROP = 24,
    PR_GET_SECUREBITS = 27, PR_SET_TIMERSLACK = 29, PR_GET_TIMERSLACK = 30, PR_SET_CHILD_SUBREAPER = 36, PR_GET_CHILD_SUBREAPER = 37,
    PR_SET_NO_NEW_PRIVS = 38, PR_GET_NO_NEW_PRIVS = 39, PR_GET_TID_ADDRESS = 40, PR_SET_THP_DISABLE = 41, PR_GET_THP_DISABLE = 42,
    PR_CAP_AMBIENT = 47, PR_SET_VMA = 0x53564d41,
};

i64 sys_prctl(struct task *task, struct call *call) {
    u64 a = call->args[1];
    struct process *process = task->process;
    switch (arg_int(call, 0)) {
    case PR_SET_PDEATHSIG:
        if (a > SIGRTMAX)
            return -EINVAL;
        task->pdeath_signal = (u32)a;
        return 0;
    case PR_GET_PDEATHSIG:
        return put_user(task, UPTR(a), task->pdeath_signal);
    case PR_GET_DUMPABLE:
        return process->dumpable;
    case PR_SET_DUMPABLE:
        if (a > 1)
            return -EINVAL;
        process->dumpable = a;
        return 0;
    case PR_GET_KEEPCAPS:
        return task->cred.keep_caps;
    case PR_SET_KEEPCAPS:
        if (a > 1)
            return -EINVAL;
        task->cred.keep_caps = (u8)a;
        return 0;
    case PR_SET_NAME: {
        char name[16] = {};
        i64 r = copy_in_string(task, name, UPTR(a), sizeof name);
        if (r < 0 && r != -ENAMETOOLONG)
            return r;
        name[15] = 0;
        memcpy(task->comm, name, sizeof name);
        return 0;
    }
    case PR_GET_NAME:
        return copy_out(task, UPTR(a), task->comm, sizeof task->comm);
    case PR_GET_SECCOMP:
    case PR_GET_SECUREBITS:
    case PR_GET_THP_DISABLE:
        return 0;
    case PR_CAPBSET_READ:
        return a <= CAP_LAST ? 1 : -EINVAL;
    case PR_CAPBSET_DROP:
        return a <= CAP_LAST ? 0 : -EINVAL;
    case PR_SET_TIMERSLACK:
        task->timer_slack = a ? a : 50000;
        return 0;
    case PR_GET_TIMERSLACK:
        return (i64)(task->timer_slack ? task->timer_slack : 50000);
    case PR_SET_CHILD_SUBREAPER:
        process->child_subreaper = a;
        return 0;
    case PR_GET_CHILD_SUBREAPER:
        return put_user(task, UPTR(a), (i32)process->child_subreaper);
    case PR_SET_NO_NEW_PRIVS:
        if (a != 1 || call->args[2] || call->args[3] || call->args[4])
            return -EINVAL;
        task->cred.no_new_privs = 1;
        return 0;
    case PR_GET_NO_NEW_PRIVS:
        return task->cred.no_new_privs;
    case PR_GET_TID_ADDRESS:
        return put_user(task, UPTR(a), task->clear_child_tid);
    case PR_SET_THP_DISABLE:
        return 0;
    }
    return -EINVAL;
}
