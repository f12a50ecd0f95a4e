// Host operations: system calls that the runtime asks for, run by tasks of process 1 that never
// execute a guest instruction (law 14). Each has a window of its own in one address space and
// shares one descriptor table.
#include "../fs/path.h"
#include "../fs/pipe.h"
#include "../fs/pty.h"
#include "../kernel.h"
#include "proc.h"
#include "../task/signal.h"

#define WINDOWS 0x100000000ull // address of the first window
#define AGENT_MAX 1024u

struct agent {
    struct list link; // kernel->agents
    struct task *task;
    u64 window;
    u32 id; // of the call being run; 0: none
    u32 flags, out_off, out_len;
    bool cancelled; // before it waited: it ends instead of waiting
};

i64 agent_boot(void) {
    i64 pid = tid_alloc();
    if (pid < 0)
        return pid;
    assert(pid == 1);
    struct process *process = process_new(1);
    if (!process)
        return -ENOMEM;
    process->is_agent = true;
    kernel->tids[1] = NULL;
    kernel->agent = process;
    process->rlimit[RLIMIT_NOFILE][0] = process->rlimit[RLIMIT_NOFILE][1] = FD_MAX;
    static const u8 unlimited[] = {RLIMIT_CPU,    RLIMIT_FSIZE, RLIMIT_DATA,
                                   RLIMIT_RSS,    RLIMIT_AS,    RLIMIT_LOCKS,
                                   RLIMIT_RTTIME, RLIMIT_NPROC, RLIMIT_SIGPENDING};
    for (u32 i = 0; i < lengthof(unlimited); i++)
        process->rlimit[unlimited[i]][0] = process->rlimit[unlimited[i]][1] = RLIM_INFINITY;
    process->rlimit[RLIMIT_STACK][0] = 8 << 20;
    process->rlimit[RLIMIT_STACK][1] = RLIM_INFINITY;
    process->rlimit[RLIMIT_MEMLOCK][0] = process->rlimit[RLIMIT_MEMLOCK][1] = 8 << 20;
    process->rlimit[RLIMIT_MSGQUEUE][0] = process->rlimit[RLIMIT_MSGQUEUE][1] = 819200;
    return 0;
}

static i64 agent_new(struct agent **out) {
    struct process *process = kernel->agent;
    struct task *first = process->leader;
    if (process->task_count >= AGENT_MAX)
        return -EAGAIN;
    i64 tid = first ? tid_alloc() : 1;
    if (tid < 0)
        return tid;
    struct task *task = task_new(process, (u32)tid);
    struct agent *agent = knew(struct agent);
    if (!task || !agent)
        return -ENOMEM; // the machine is at its end; the task stays with process 1, unused
    agent->task = task;
    task->agent = agent;
    task->blocked = ~0ull;
    strlcpy(task->comm, "init", sizeof task->comm);
    task->cred.cap_effective = task->cred.cap_permitted = (1ull << (CAP_LAST + 1)) - 1;
    if (first) {
        task->mm = first->mm, mm_get(task->mm);
        task->files = first->files, task->files->refs++;
        task->fs = first->fs, task->fs->refs++;
        task->sighand = first->sighand, task->sighand->refs++;
    } else {
        process->leader = task;
        task->mm = mm_create();
        task->files = fdtable_new();
        task->fs = knew(struct fs_context);
        task->sighand = knew(struct sighand);
        if (!task->mm || !task->files || !task->fs || !task->sighand)
            return -ENOMEM;
        *task->fs =
            (struct fs_context){.refs = 1, .umask = 022, .root = kernel->root, .cwd = kernel->root};
        inode_get(kernel->root), inode_get(kernel->root);
        task->sighand->refs = 1;
    }
    agent->window = WINDOWS + (u64)(process->task_count - 1) * 2 * CALL_WINDOW;
    i64 r = mm_map(task->mm, agent->window, CALL_WINDOW, PROT_READ | PROT_WRITE, MAP_FIXED, 0, NULL,
                   0, NULL);
    if (r < 0)
        return r;
    list_push(&kernel->agent_all, &agent->link);
    *out = agent;
    return 0;
}

static void answer(u32 id, i64 result, struct agent *agent) {
    u32 n = 0;
    if (agent && result >= 0) {
        n = agent->out_len;
        if (agent->flags & CALL_OUT_RESULT)
            n = (u32)min((u64)n, (u64)result);
        if (agent->out_off > CALL_WINDOW || n > CALL_WINDOW - agent->out_off)
            n = 0;
    }
    struct out_call *out = out_begin(OUT_CALL, sizeof *out, n);
    out->id = id;
    out->result = result;
    out->data_len = n;
    if (n && copy_in(agent->task, out + 1, UPTR(agent->window + agent->out_off), n))
        panic("an agent's window is not mapped");
    out_send(out);
}

// Which calls an agent must not make: they would end or replace process 1.
static bool forbidden(u32 nr) {
    static const u16 calls[] = {93, 94, 97, 139, 220, 221, 281, 435};
    for (u32 i = 0; i < lengthof(calls); i++)
        if (nr == calls[i])
            return true;
    return false;
}

void agent_call(const struct event_call *event) {
    struct agent *agent = NULL;
    struct task *task = list_first(&kernel->agent_idle, struct task, run_link);
    i64 r = 0;
    if (event->data_len > CALL_WINDOW || forbidden(event->nr))
        r = -EINVAL;
    else if (task)
        agent = task->agent;
    else
        r = agent_new(&agent);
    if (!r) {
        task = agent->task;
        list_remove(&task->run_link);
        agent->id = event->id;
        agent->cancelled = false;
        agent->flags = event->flags;
        agent->out_off = event->out_off;
        agent->out_len = event->out_len;
        task->cpu.x[17] = event->nr;
        for (u32 i = 0; i < 6; i++)
            task->cpu.x[10 + i] =
                event->args[i] + (event->window_args >> i & 1 ? agent->window : 0);
        r = copy_out(task, UPTR(agent->window), event + 1, event->data_len);
        if (r)
            list_push(&kernel->agent_idle, &task->run_link);
    }
    if (r) {
        answer(event->id, r, NULL);
        return;
    }
    sched_call(task);
}

void agent_finish(struct task *task, i64 result) {
    struct agent *agent = task->agent;
    answer(agent->id, result, agent);
    agent->id = 0;
    task->state = TASK_IDLE;
    task->killed = false;
    list_push(&kernel->agent_idle, &task->run_link);
}

void agent_cancel(u32 id) {
    struct agent *agent;
    list_each(agent, &kernel->agent_all, link) {
        struct task *task = agent->task;
        if (agent->id != id)
            continue;
        agent->cancelled = true;
        if (task->state == TASK_WAITING && !task->call.granted)
            agent_abort(task);
        return;
    }
}

bool agent_cancelled(struct task *task) {
    return task->agent && task->agent->cancelled;
}

void agent_abort(struct task *task) {
    call_abort(task);
    agent_finish(task, task->call.progress ? (i64)task->call.progress : -EINTR);
}

// ---- SPAWN -------------------------------------------------------------------------------------
// The agent makes the child and waits; the child's first act is SPAWN_EXEC, which answers the
// agent. This is the child's call->captured, machine heap.
struct spawn_state {
    struct task *parent;                         // the agent's task, with a reference
    u32 parent_seq;                              // its call
    u32 argc, argv_off, envc, envp_off, cwd_off; // offsets into strings
    u32 candidate;                               // which PATH entry is being tried
    bool trying;                                 // `path` holds it
    i64 error;                                   // the most telling one so far
    char path[PATH_MAX];
    char strings[];
};

static void close_all(struct file *files[], u32 n) {
    for (u32 i = 0; i < n; i++)
        if (files[i])
            file_put(files[i]);
}

// The child's three descriptors and the host's ends. References in both arrays on success.
static i64 spawn_files(struct task *task, const struct spawn *spawn, struct task *child,
                       struct file *theirs[3], struct file *ours[3]) {
    if (spawn->flags & SPAWN_PTY) {
        u32 index;
        i64 r = pty_new(&ours[0], &index);
        if (!r)
            r = pty_open_slave(child, index, &theirs[0]);
        if (r)
            return r;
        file_get(theirs[0]), file_get(theirs[0]);
        theirs[1] = theirs[2] = theirs[0];
        return pty_resize(ours[0], spawn->rows, spawn->cols);
    }
    for (u32 i = 0; i < 3; i++) {
        i64 r = 0;
        if (i == 2 && (spawn->flags & SPAWN_STDERR_TO_STDOUT)) {
            theirs[2] = theirs[1];
            file_get(theirs[2]);
        } else if (spawn->fds[i] == SPAWN_FD_PIPE) {
            r = i ? pipe_new(&ours[i], &theirs[i], 0) : pipe_new(&theirs[i], &ours[i], 0);
        } else if (spawn->fds[i] == SPAWN_FD_NULL) {
            r = file_open(task, AT_FDCWD, "/dev/null", i ? O_WRONLY : O_RDONLY, 0, 0, &theirs[i]);
        } else {
            theirs[i] = fd_file(task, spawn->fds[i]);
            if (theirs[i])
                file_get(theirs[i]);
            else
                r = -EBADF;
        }
        if (r)
            return r;
    }
    return 0;
}

static void cred_set(struct cred *cred, u32 uid, u32 gid) {
    *cred = (struct cred){.ruid = uid,
                          .euid = uid,
                          .suid = uid,
                          .fsuid = uid,
                          .rgid = gid,
                          .egid = gid,
                          .sgid = gid,
                          .fsgid = gid,
                          .group_count = 1,
                          .groups = {gid}};
    if (!uid)
        cred->cap_effective = cred->cap_permitted = (1ull << (CAP_LAST + 1)) - 1;
}

static bool strings_fit(const char *base, u32 len, u32 off, u32 count) {
    while (count--) {
        u32 n = off < len ? (u32)strnlen(base + off, len - off) : 0;
        if (off >= len || off + n >= len)
            return false;
        off += n + 1;
    }
    return true;
}

static void close_fds(struct task *task, u64 fds[3]) { // the host's ends: descriptor + 1, 0: none
    for (u32 i = 0; i < 3; i++)
        if (fds[i])
            (void)!fd_close(task, (i32)fds[i] - 1);
}

// Make the child with its descriptors, directory and terminal.
static i64 spawn_child(struct task *task, const struct spawn *spawn, struct spawn_state *state,
                       struct task **out, u64 fds[3]) {
    struct task *child;
    i64 r = process_spawn(task, &child);
    if (r)
        return r;
    struct file *theirs[3] = {}, *ours[3] = {};
    struct walk walk = {};
    *out = child;
    cred_set(&child->cred, spawn->uid, spawn->gid);
    process_new_session(child->process);
    r = spawn_files(task, spawn, child, theirs, ours);
    for (u32 i = 0; !r && i < 3; i++) {
        file_get(theirs[i]);
        r = fd_install(child, theirs[i], 0, false);
        r = r > 0 ? 0 : r;
    }
    if (!r)
        r = path_walk(child, AT_FDCWD, state->strings + state->cwd_off,
                      WALK_FOLLOW | WALK_DIRECTORY, &walk);
    if (!r) {
        inode_put(child->fs->cwd);
        child->fs->cwd = walk.inode;
        if (spawn->flags & SPAWN_PTY)
            r = pty_set_controlling(child, theirs[0]);
    }
    for (u32 i = 0; !r && i < 3; i++) {
        if (!ours[i])
            continue;
        file_get(ours[i]);
        i64 fd = fd_install(task, ours[i], 3, true);
        if (fd < 0)
            r = fd;
        else
            fds[i] = (u64)fd + 1;
    }
    close_all(theirs, 3);
    close_all(ours, 3);
    return r;
}

static i64 spawn_begin(struct task *task, struct call *call) {
    struct spawn spawn;
    u32 len = arg_u32(call, 1);
    if (len < sizeof spawn || len > CALL_WINDOW)
        return -EINVAL;
    i64 r = copy_in(task, &spawn, arg_ptr(call, 0), sizeof spawn);
    if (r)
        return r;
    u32 rest = len - (u32)sizeof spawn;
    struct spawn_state *state = kmalloc(sizeof *state + rest + 1);
    if (!state)
        return -ENOMEM;
    r = copy_in(task, state->strings, UPTR(call->args[0] + sizeof spawn), rest);
    state->argc = spawn.argc, state->envc = spawn.envc;
    state->argv_off = spawn.argv_off - (u32)sizeof spawn;
    state->envp_off = spawn.envp_off - (u32)sizeof spawn;
    state->cwd_off = spawn.cwd_off - (u32)sizeof spawn;
    state->error = -ENOENT;
    if (!r && (!spawn.argc || !strings_fit(state->strings, rest, state->argv_off, spawn.argc) ||
               !strings_fit(state->strings, rest, state->envp_off, spawn.envc) ||
               !strings_fit(state->strings, rest, state->cwd_off, 1)))
        r = -EINVAL;
    struct task *child = NULL;
    if (!r)
        r = spawn_child(task, &spawn, state, &child, call->scratch);
    if (r) {
        close_fds(task, call->scratch);
        if (child)
            task_exit(child, 0); // not host_child: process 1 reaps it
        kfree(state);
        return r;
    }
    state->parent = task;
    state->parent_seq = call->seq;
    task_get(task);
    child->call = (struct call){
        .live = true, .nr = NR_SPAWN_EXEC, .seq = ++kernel->call_seq, .captured = state};
    child->process->host_child = true;
    if (kernel->files_max)
        child->process->rlimit[RLIMIT_NOFILE][0] = child->process->rlimit[RLIMIT_NOFILE][1] =
            min(kernel->files_max, FD_MAX);
    sched_enqueue(child);
    call->phase = 1;
    return wait_alone(task, STATUS_CHILD_WAIT);
}

i64 sys_spawn(struct task *task, struct call *call) {
    if (!call->phase)
        return spawn_begin(task, call);
    if (!call->granted)
        return wait_alone(task, STATUS_CHILD_WAIT);
    if (call->result < 0) {
        close_fds(task, call->scratch);
        return call->result;
    }
    i32 fds[3];
    for (u32 i = 0; i < 3; i++)
        fds[i] = (i32)call->scratch[i] - 1;
    i64 r = copy_out(task, arg_ptr(call, 2), fds, sizeof fds);
    return r ? r : call->result;
}

// The next name to try: the argument itself, or each entry of PATH in turn. False when there are no
// more.
static bool candidate(struct spawn_state *state) {
    const char *name = state->strings + state->argv_off;
    if (strchr(name, '/')) {
        strlcpy(state->path, name, PATH_MAX);
        return state->candidate == 0;
    }
    const char *path = "/usr/bin:/bin", *env = state->strings + state->envp_off;
    for (u32 i = 0; i < state->envc; i++, env += strlen(env) + 1)
        if (!strncmp(env, "PATH=", 5))
            path = env + 5;
    for (u32 i = 0;; i++) {
        const char *end = strchr(path, ':');
        u32 n = end ? (u32)(end - path) : (u32)strlen(path);
        if (i == state->candidate) {
            ksnprintf(state->path, PATH_MAX, "%.*s/%s", (int)(n ? n : 1), n ? path : ".", name);
            return true;
        }
        if (!end)
            return false;
        path = end + 1;
    }
}

static void spawn_answer(struct spawn_state *state, i64 result) {
    struct task *parent = state->parent;
    state->parent = NULL;
    if (parent->call.live && parent->call.seq == state->parent_seq)
        wait_grant(parent, result);
    task_put(parent);
}

i64 sys_spawn_exec(struct task *task, struct call *call) {
    struct spawn_state *state = call->captured;
    while (state->trying || candidate(state)) {
        state->trying = true;
        i64 r = process_exec_kernel(task, call, state->path, state->argc,
                                    state->strings + state->argv_off, state->envc,
                                    state->strings + state->envp_off);
        if (r == E_WAIT || r == E_AGAIN)
            return r;
        if (r == E_DONE) {
            spawn_answer(state, task->process->pid);
            return E_DONE;
        }
        state->trying = false;
        call->phase = 0;
        if (r != -ENOENT && r != -ENOTDIR && state->error == -ENOENT)
            state->error = r;
        if (r != -ENOENT && r != -ENOTDIR && r != -EACCES)
            break;
        state->candidate++;
    }
    task->process->host_child = false; // nobody waits for it
    spawn_answer(state, state->error);
    task_exit(task, 127 << 8);
    return E_DONE;
}

// ---- KILL_TREE ---------------------------------------------------------------------------------
// Its session too, so that what a dead root has left behind is found.
static bool descends(struct process *process, u32 root) {
    for (; process && process != kernel->agent; process = process->parent)
        if (process->pid == root || process->sid == root)
            return true;
    return false;
}

i64 sys_kill_tree(struct task *task, struct call *call) {
    u32 root = arg_u32(call, 0), signo = arg_u32(call, 1);
    bool found = process_find(root);
    if (!root || root == kernel->agent->pid)
        return -ESRCH;
    if (signo > SIGRTMAX)
        return -EINVAL;
    struct process *process;
    list_each(process, &kernel->processes, all)
        if (descends(process, root)) {
            found = true;
            if (signo && !process->zombie)
                signal_kernel(process, signo);
        }
    (void)task;
    return found ? 0 : -ESRCH;
}
