// execve(2) in phases (law 21): RESOLVE path, permission and strings; ADMIT; BUILD the new address
// space beside the old one; ALONE, when the other threads have gone; SWAP, which cannot fail. Until
// then a failed exec is the caller's errno and the program goes on as it was.
#include "../kernel.h"
#include "../lib/heap.h"
#include "../lib/string.h"
#include "../mem/vdso.h"
#include "../task/itimer.h"
#include "elf.h"
#include "reap.h"
#include "strings.h"

#define SCRIPTS_MAX 5u
#define PIE_BASE                                                                                   \
    align_down(USER_END / 3 * 2, (u64)PAGE_SIZE) // where Linux puts position-independent programs
#define STACK_SLACK (128u << 10)
#define HWCAP                                                                                      \
    (1u << ('I' - 'A') | 1u << ('M' - 'A') | 1u << ('A' - 'A') | 1u << ('F' - 'A') |               \
     1u << ('D' - 'A') | 1u << ('C' - 'A'))

enum {
    AT_NULL = 0,
    AT_PHDR = 3,
    AT_PHENT,
    AT_PHNUM,
    AT_PAGESZ,
    AT_BASE,
    AT_FLAGS,
    AT_ENTRY,
    AT_UID = 11,
    AT_EUID,
    AT_GID,
    AT_EGID,
    AT_HWCAP = 16,
    AT_CLKTCK,
    AT_SECURE = 23,
    AT_RANDOM = 25,
    AT_EXECFN = 31,
    AT_SYSINFO_EHDR = 33,
    AT_MINSIGSTKSZ = 51,
};
enum { PHASE_RESOLVE, PHASE_ADMIT, PHASE_BUILD, PHASE_ZERO, PHASE_ALONE };

// State of an exec: task->exec, dropped when the call or the task ends.
struct exec {
    struct inode *program, *interp; // with references; interp NULL for static programs
    struct elf elf, ld;
    char *name; // as AT_EXECFN and comm give it
    struct strings strings;
    struct cred cred; // the new one
    bool secure;
    struct mm *mm;
    u64 sp, entry;
    struct elf_zero zero[2 * ELF_PHDRS_MAX];
    u32 zeros, zeroed;
};

static void exec_reset(struct exec *exec) { // back to the start of RESOLVE
    if (exec->program)
        inode_put(exec->program);
    if (exec->interp)
        inode_put(exec->interp);
    kfree(exec->name);
    kfree(exec->strings.data);
    *exec = (struct exec){0};
}

void exec_drop(struct task *task) {
    struct exec *exec = task->exec;
    if (task->process->execer == task)
        task->process->execer = NULL;
    task->exec = NULL;
    if (!exec)
        return;
    struct mm *mm = exec->mm;
    exec_reset(exec);
    mm_put(mm);
    kfree(exec);
}

static void exec_undo(struct task *task, struct call *call) {
    exec_drop(task);
}

// ---- RESOLVE: files ----------------------------------------------------------------------------
static i64 open_program(struct task *task, i32 dirfd, const char *path, u32 walk_flags,
                        struct inode **out) {
    struct walk walk = {0};
    i64 error = path_walk(task, dirfd, path, walk_flags, &walk);
    if (error)
        return error;
    if (S_ISLNK(walk.inode->mode))
        error = -ELOOP; // AT_SYMLINK_NOFOLLOW
    else if (!S_ISREG(walk.inode->mode) || (walk.inode->fs && walk.inode->fs->flags & MS_NOEXEC))
        error = -EACCES;
    else
        error = inode_permission(task, walk.inode, X_OK);
    if (!error && walk.inode->writers)
        error = -ETXTBSY;
    if (error)
        walk_end(&walk);
    else
        *out = walk.inode; // takes over the reference
    return error;
}

static char *skip_blanks(char *p) {
    while (*p == ' ' || *p == '\t')
        p++;
    return p;
}

// Splits the line in place. -ENOEXEC when it names no interpreter.
static i64 script_line(char *line, char **interp, char **arg) {
    char *end = strchr(line, '\n');
    if (end)
        *end = 0;
    for (end = line + strlen(line); end > line && (end[-1] == ' ' || end[-1] == '\t'); end--)
        end[-1] = 0;
    char *p = *interp = skip_blanks(line);
    if (!*p)
        return -ENOEXEC;
    while (*p && *p != ' ' && *p != '\t')
        p++;
    *arg = NULL;
    if (*p) {
        *p = 0;
        *arg = skip_blanks(p + 1);
    }
    return 0;
}

// Follows `#!` lines until a program is found; exec->program holds it.
static i64 follow_scripts(struct task *task, struct exec *exec) {
    char line[257];
    for (u32 depth = 0;; depth++) {
        i64 n = inode_read(task, exec->program, 0, line, 256);
        if (n < 0)
            return n;
        line[n] = 0;
        if (n < 2 || line[0] != '#' || line[1] != '!')
            return 0;
        if (depth == SCRIPTS_MAX)
            return -ELOOP;
        char *interp, *arg;
        i64 error = n == 256 && !memchr(line, '\n', 256) && !strchr(skip_blanks(line + 2), ' ')
                        ? -ENOEXEC // the path itself may be cut off
                        : script_line(line + 2, &interp, &arg);
        if (error)
            return error;
        struct inode *inode = NULL;
        error = open_program(task, AT_FDCWD, interp, WALK_FOLLOW, &inode);
        if (error)
            return error;
        char *script =
            depth ? strdup_k(exec->strings.data) : NULL; // the outer interpreter is the script now
        if (depth && !script) {
            inode_put(inode);
            return -ENOMEM;
        }
        error = strings_script(&exec->strings, interp, arg, script ? script : exec->name);
        kfree(script);
        inode_put(exec->program);
        exec->program = inode;
        if (error)
            return error;
    }
}

static i64 find_interp(struct task *task, struct exec *exec) {
    char path[PATH_MAX];
    i64 n = elf_interp(task, exec->program, &exec->elf, path, sizeof path);
    if (n <= 0)
        return n;
    i64 error = open_program(task, AT_FDCWD, path, WALK_FOLLOW, &exec->interp);
    return error ? error : elf_read(task, exec->interp, &exec->ld);
}

// Set-user-ID programs and capabilities(7): what root and others get.
static void new_credentials(struct task *task, struct exec *exec) {
    struct cred *cred = &exec->cred;
    const struct inode *inode = exec->program;
    *cred = task->cred;
    if (!cred->no_new_privs && !(inode->fs && inode->fs->flags & MS_NOSUID)) {
        if (inode->mode & S_ISUID)
            cred->euid = inode->uid;
        if ((inode->mode & (S_ISGID | 010)) == (S_ISGID | 010))
            cred->egid = inode->gid;
    }
    cred->suid = cred->fsuid = cred->euid;
    cred->sgid = cred->fsgid = cred->egid;
    u64 all = (1ull << (CAP_LAST + 1)) - 1;
    bool root = cred->euid == 0 || cred->ruid == 0;
    cred->cap_permitted = root ? all : 0;
    cred->cap_effective = cred->euid == 0 ? all : 0;
    cred->keep_caps = 0;
    exec->secure = cred->euid != cred->ruid || cred->egid != cred->rgid;
}

static i64 resolve(struct task *task, struct exec *exec, i32 dirfd, const char *path, u32 flags,
                   const struct strings_source *from) {
    exec_reset(exec); // a wait starts it over: nothing was done yet
    u32 walk_flags =
        (flags & AT_SYMLINK_NOFOLLOW ? 0 : WALK_FOLLOW) | (flags & AT_EMPTY_PATH ? WALK_EMPTY : 0);
    i64 error = open_program(task, dirfd, path, walk_flags, &exec->program);
    if (error)
        return error;
    if (dirfd == AT_FDCWD || path[0] == '/') {
        exec->name = strdup_k(path);
    } else {
        exec->name = kmalloc(strlen(path) + 24);
        if (exec->name)
            ksnprintf(exec->name, strlen(path) + 24, path[0] ? "/dev/fd/%d/%s" : "/dev/fd/%d%s",
                      dirfd, path);
    }
    if (!exec->name)
        return -ENOMEM;
    if ((error = strings_take(task, &exec->strings, from)) ||
        (error = follow_scripts(task, exec)) ||
        (error = elf_read(task, exec->program, &exec->elf)) || (error = find_interp(task, exec)))
        return error;
    new_credentials(task, exec);
    return 0;
}

// ---- BUILD -------------------------------------------------------------------------------------
static void push(struct mm *mm, u64 type, u64 value) {
    mm->auxv[mm->auxv_count++] = type;
    mm->auxv[mm->auxv_count++] = value;
}

static void auxv(struct exec *exec, u64 random, u64 name) {
    struct mm *mm = exec->mm;
    const struct elf *elf = &exec->elf;
    push(mm, AT_SYSINFO_EHDR, mm->vdso);
    push(mm, AT_MINSIGSTKSZ, 1088);
    push(mm, AT_HWCAP, HWCAP);
    push(mm, AT_PAGESZ, PAGE_SIZE);
    push(mm, AT_CLKTCK, USER_HZ);
    push(mm, AT_PHDR, elf->phdr_va ? elf->phdr_va + elf->bias : 0);
    push(mm, AT_PHENT, sizeof(struct elf_phdr));
    push(mm, AT_PHNUM, elf->phnum);
    push(mm, AT_BASE, exec->interp ? exec->ld.bias + exec->ld.low : 0);
    push(mm, AT_FLAGS, 0);
    push(mm, AT_ENTRY, elf->entry + elf->bias);
    push(mm, AT_UID, exec->cred.ruid);
    push(mm, AT_EUID, exec->cred.euid);
    push(mm, AT_GID, exec->cred.rgid);
    push(mm, AT_EGID, exec->cred.egid);
    push(mm, AT_SECURE, exec->secure);
    push(mm, AT_RANDOM, random);
    push(mm, AT_EXECFN, name);
    push(mm, AT_NULL, 0);
}

// Pointers to `count` strings that start at `va`, and a NULL.
static u64 *pointers(u64 *out, const char *strings, u32 count, u64 va) {
    for (u32 i = 0; i < count; i++) {
        u64 n = strlen(strings) + 1;
        *out++ = va;
        strings += n;
        va += n;
    }
    *out++ = 0;
    return out;
}

// From the top: 8 zero bytes, the name, environment, arguments, 16 random bytes, the vectors.
static i64 build_stack(struct task *task, struct exec *exec) {
    struct mm *mm = exec->mm;
    const struct strings *strings = &exec->strings;
    u64 name_bytes = strlen(exec->name) + 1;
    u64 name = STACK_TOP - 8 - name_bytes;
    u64 args = name - strings->used;
    u64 random = align_down(args, 16ull) - 16;
    u64 words = 1 + strings->argc + 1 + strings->envc + 1;
    auxv(exec, random, name);
    words += mm->auxv_count;
    exec->sp = align_down(random - words * 8, 16ull);
    mm->arg_start = args;
    mm->arg_end = mm->env_start = args + strings->argv_bytes;
    mm->env_end = name;

    u64 low = align_down(exec->sp, (u64)PAGE_SIZE) - STACK_SLACK;
    u32 prot = PROT_READ | PROT_WRITE | (exec->elf.exec_stack ? PROT_EXEC : 0);
    i64 r = mm_map(mm, low, STACK_TOP - low, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
                   VMA_GROWSDOWN, NULL, 0, "[stack]");
    if (r < 0)
        return r;
    u64 *vector = kmalloc(words * 8);
    if (!vector)
        return -ENOMEM;
    u64 *p = vector;
    *p++ = strings->argc;
    p = pointers(p, strings->data, strings->argc, args);
    p = pointers(p, strings->data + strings->argv_bytes, strings->envc, mm->env_start);
    memcpy(p, mm->auxv, mm->auxv_count * 8);
    u8 bytes[16];
    random_bytes(&kernel->random, bytes, sizeof bytes);

    struct mm *own = task->mm; // anonymous memory: these cannot wait
    task->mm = mm;
    if ((r = copy_out(task, UPTR(exec->sp), vector, words * 8)) == 0 &&
        (r = copy_out(task, UPTR(random), bytes, sizeof bytes)) == 0 &&
        (r = copy_out(task, UPTR(args), strings->data, strings->used)) == 0)
        r = copy_out(task, UPTR(name), exec->name, name_bytes);
    task->mm = own;
    kfree(vector);
    assert(r != E_WAIT);
    return r;
}

static i64 build(struct task *task, struct exec *exec) {
    struct mm *mm = exec->mm = mm_create();
    if (!mm)
        return -ENOMEM;
    u64 stack = task->process->rlimit[RLIMIT_STACK][0];
    stack = min(max(stack, 128ull << 10), USER_END / 6 * 5);
    mm->stack_limit = align_up(STACK_TOP - stack, (u64)PAGE_SIZE);
    i64 error = elf_map(mm, exec->program, &exec->elf, PIE_BASE, exec->zero, &exec->zeros);
    if (error)
        return error;
    mm->brk_start = mm->brk = exec->elf.high + exec->elf.bias;
    exec->entry = exec->elf.entry + exec->elf.bias;
    if (exec->interp) {
        error = elf_map(mm, exec->interp, &exec->ld, 0, exec->zero, &exec->zeros);
        if (error)
            return error;
        exec->entry = exec->ld.entry + exec->ld.bias;
        mm->ld_start = exec->ld.low + exec->ld.bias;
        mm->ld_end = exec->ld.high + exec->ld.bias;
    }
    if ((error = vdso_map(mm)) || (error = build_stack(task, exec)))
        return error;
    mm->exe = &exec->program->object;
    inode_get(exec->program);
    return 0;
}

// The ends of data segments; their pages come from the files, so this may wait.
static i64 zero_tails(struct task *task, struct exec *exec) {
    i64 error = 0;
    struct mm *own = task->mm;
    task->mm = exec->mm;
    for (; !error && exec->zeroed < exec->zeros; exec->zeroed += !error)
        error = zero_out(task, UPTR(exec->zero[exec->zeroed].va), exec->zero[exec->zeroed].len);
    task->mm = own;
    return error;
}

// ---- ALONE -------------------------------------------------------------------------------------
static i64 alone(struct task *task) {
    struct process *process = task->process;
    if (process->execer && process->execer != task)
        return wait_alone(task, STATUS_VFORK_WAIT); // somebody else's exec won: it kills us
    process->execer = task;
    if (process->live_count == 1)
        return 0;
    struct task *other;
    list_each(other, &process->tasks, sibling)
        if (other != task && other->state != TASK_DEAD && !other->killed) {
            other->killed = true;
            signal_kick(other);
        }
    return wait_alone(task, STATUS_VFORK_WAIT);
}

// ---- SWAP --------------------------------------------------------------------------------------
static void become_leader(struct task *task) {
    struct process *process = task->process;
    struct task *old = process->leader;
    if (old == task)
        return;
    u32 tid = task->tid;
    process->leader = task;
    task_unlist(old);
    tid_free(tid);
    task->tid = process->pid;
    kernel->tids[task->tid] = task;
}

static void reset_handlers(struct sighand *sighand) {
    for (u32 i = 0; i < 64; i++)
        sighand->action[i] = (struct sigaction){
            .handler = sighand->action[i].handler == SIG_IGN ? SIG_IGN : SIG_DFL};
}

// What exec makes its own that was shared with other processes. The last step that can fail.
static i64 unshare_all(struct task *task) {
    if (task->files->refs > 1) {
        struct fdtable *files = fdtable_clone(task->files);
        if (!files)
            return -ENOMEM;
        fdtable_put(task->files);
        task->files = files;
    }
    if (task->sighand->refs > 1) {
        struct sighand *sighand = sighand_clone(task->sighand);
        if (!sighand)
            return -ENOMEM;
        sighand_put(task->sighand);
        task->sighand = sighand;
    }
    return 0;
}

static void set_comm(struct task *task, const char *name) {
    const char *slash = strrchr(name, '/');
    memset(task->comm, 0, sizeof task->comm);
    strlcpy(task->comm, slash ? slash + 1 : name, sizeof task->comm);
}

static void tap_exec(struct task *task, const struct exec *exec) {
    u32 name = (u32)strlen(exec->name) + 1, len = name + (u32)exec->strings.argv_bytes;
    char *text = palloc(len);
    if (!text)
        return;
    memcpy(text, exec->name, name);
    memcpy(text + name, exec->strings.data, len - name);
    TAP(EXEC, task, text, len, task->process->parent->pid, exec->strings.argc);
    pfree(text);
}

static void swap(struct task *task, struct exec *exec) {
    struct process *process = task->process;
    task_release_mm(task); // robust list, clear_child_tid; the vfork parent goes on
    become_leader(task);
    struct mm *old = task->mm;
    process->rss_max = old ? max(process->rss_max, old->rss_max) : process->rss_max;
    task->mm = exec->mm;
    exec->mm = NULL;
    mm_sharing(task->mm);
    if (host.running)
        tlb_select(host.running, task->mm); // before the old one can be freed
    mm_put(old);

    fdtable_close_on_exec(task->files);
    reset_handlers(task->sighand);
    task->sas_base = task->sas_size = 0;
    task->sas_flags = SS_DISABLE;
    task->rseq = 0;
    if (exec->cred.euid != task->cred.euid || exec->cred.egid != task->cred.egid || exec->secure)
        task->pdeath_signal = 0;
    process->dumpable = !exec->secure;
    task->cred = exec->cred;
    set_comm(task, exec->name);
    posix_timers_exit(process);
    process->exit_signal = SIGCHLD;
    process->did_exec = true;
    process->execer = NULL;

    u64 instret = task->cpu.instret;
    task->cpu = (struct cpu){.pc = exec->entry, .instret = instret};
    task->cpu.x[2] = exec->sp;
    cpu_reservation_clear(&task->cpu);

    if (unlikely(host.taps))
        tap_exec(task, exec);
    debug_exec(process);
}

// ---- The phases --------------------------------------------------------------------------------
static i64 exec_phases(struct task *task, struct call *call, i32 dirfd, const char *path, u32 flags,
                       const struct strings_source *from) {
    struct exec *exec = task->exec;
    i64 error;
    switch (call->phase) {
    case PHASE_RESOLVE:
        error = resolve(task, exec, dirfd, path, flags, from);
        if (error)
            return error;
        call->phase = PHASE_ADMIT;
        [[fallthrough]];
    case PHASE_ADMIT:
        error = from->in_kernel ? 0 : admission(task, call, STATUS_EXECVE_SPAWN);
        if (error)
            return error;
        call->why = 0;
        call->phase = PHASE_BUILD;
        [[fallthrough]];
    case PHASE_BUILD:
        error = build(task, exec);
        if (error)
            return error;
        call->phase = PHASE_ZERO;
        [[fallthrough]];
    case PHASE_ZERO:
        error = zero_tails(task, exec);
        if (error)
            return error;
        call->phase = PHASE_ALONE;
        [[fallthrough]];
    default:
        error = alone(task);
        return error ? error : unshare_all(task);
    }
}

static i64 exec_run(struct task *task, struct call *call, i32 dirfd, const char *path, u32 flags,
                    const struct strings_source *from) {
    if (!task->exec) {
        task->exec = knew(struct exec);
        if (!task->exec)
            return -ENOMEM;
        call->undo = exec_undo;
        call->phase = PHASE_RESOLVE;
    }
    i64 error = exec_phases(task, call, dirfd, path, flags, from);
    if (error == E_WAIT)
        return error;
    call->undo = NULL;
    if (error &&
        task->process->execer == task) { // the other threads are gone: there is no way back
        process_exit(task->process, SIGKILL);
        task_exit(task, SIGKILL);
        return E_DONE;
    }
    if (!error)
        swap(task, task->exec);
    exec_drop(task);
    return error ? error : E_DONE;
}

i64 process_exec(struct task *task, struct call *call, i32 dirfd, const char *path, u32 flags,
                 uptr argv, uptr envp) {
    struct strings_source from = {.argv = argv, .envp = envp};
    return exec_run(task, call, dirfd, path, flags, &from);
}

i64 process_exec_kernel(struct task *task, struct call *call, const char *path, u32 argc,
                        const char *argv, u32 envc, const char *envp) {
    struct strings_source from = {
        .in_kernel = true, .args = argv, .argc = argc, .env = envp, .envc = envc};
    return exec_run(task, call, AT_FDCWD, path, 0, &from);
}
