// The border as text: what the runtime reads instead of keeping copies of numbers.
#include "boot.h"
#include "kernel.h"

struct line {
    const char *name;
    u64 value;
};

static const struct line lines[] = {
#define X(name, nr) {"status." #name, nr},
    STATUS_TABLE(X)
#undef X
#define X(name, nr) {"event." #name, nr},
    EVENT_TABLE(X)
#undef X
#define X(name, nr) {"out." #name, nr},
    OUT_TABLE(X)
#undef X
#define X(name, nr) {"tap." #name, nr},
    TAP_TABLE(X)
#undef X
#define X(name, nr) {"hostfs." #name, nr},
    HOSTFS_TABLE(X)
#undef X
#define X(name, nr) {"agent_call." #name, nr},
    AGENT_CALL_TABLE(X)
#undef X
#define X(name, nr) {"chaos." #name, nr},
    CHAOS_TABLE(X)
#undef X
#define X(name, nr) {"debug." #name, nr},
    DEBUG_TABLE(X)
#undef X
#define X(name, nr, text) {"errno." #name, nr},
    ERRNO_TABLE(X)
#undef X
#define SYS(nr, name, args, waits, support, file) {"nr." #name, nr},
#include "syscalls.tbl"
#undef SYS
#define C(name) {"const." #name, (u64)(i64)(name)},
    C(ABI_VERSION) C(MACHINE_BASE) C(HART_MAX) C(CALL_WINDOW) C(PAGE_SIZE)
    C(BOOT_STRACE) C(BOOT_ORDERED) C(CALL_OUT_RESULT) C(SPAWN_PTY) C(SPAWN_STDERR_TO_STDOUT) C(SPAWN_NEW_SESSION)
    C(SPAWN_FD_NULL) C(SPAWN_FD_PIPE) C(ADMIT_CLONE) C(ADMIT_EXEC) C(LOG_INFO) C(LOG_WARN)
    C(LOG_STRACE) C(JIT_TAIL_CALLS) C(JIT_RELAXED_MADD) C(JIT_COLD_CALLS) C(JIT_LISTING)
    C(NOTICE_LIMIT) C(LIMIT_MEMORY) C(LIMIT_PIDS) C(LIMIT_DISK)
    C(TAP_END_FIN) C(TAP_END_RESET) C(TAP_END_CLOSE)
#undef C
#define S(type) {"size." #type, sizeof(struct type)},
    S(event) S(event_boot) S(event_clock) S(event_call) S(spawn) S(event_cancel) S(event_admit)
    S(event_limits) S(event_chaos) S(event_block) S(event_hostfs) S(out) S(out_call) S(out_block) S(out_hostfs)
    S(hostfs_attr) S(out_log) S(out_notice) S(out_tap) S(report) S(counters) S(jit_module) S(jit_counters)
    S(order_log)
    S(debug_note) S(debug_notes) S(debug_task) S(debug_tasks) S(debug_registers) S(debug_status) S(debug_map)
#undef S
#define O(type, field) {"offset." #type "." #field, offsetof(struct type, field)},
    O(event, kind) O(event, len)
    O(event_boot, ram_bytes) O(event_boot, realtime_ns) O(event_boot, cpus) O(event_boot, harts)
    O(event_boot, index_len) O(event_boot, flags) O(event_boot, seed) O(event_boot, hostname)
    O(event_clock, base_ns) O(event_clock, mul) O(event_clock, suspend_ns)
    O(event_call, id) O(event_call, nr) O(event_call, flags) O(event_call, window_args)
    O(event_call, out_off) O(event_call, out_len) O(event_call, args) O(event_call, data_len)
    O(spawn, flags) O(spawn, uid) O(spawn, gid) O(spawn, argc) O(spawn, argv_off) O(spawn, envc)
    O(spawn, envp_off) O(spawn, cwd_off) O(spawn, rows) O(spawn, cols) O(spawn, fds)
    O(event_cancel, id) O(event_admit, tid) O(event_admit, seq) O(event_admit, error)
    O(event_limits, tasks) O(event_limits, files) O(event_limits, admit) O(event_limits, disk)
    O(event_chaos, seed) O(event_chaos, rate)
    O(event_block, chunk) O(event_block, error) O(event_block, data_len)
    O(event_hostfs, id) O(event_hostfs, error) O(event_hostfs, data_len) O(event_hostfs, value)
    O(out, kind) O(out, len) O(out_call, id) O(out_call, data_len) O(out_call, result)
    O(out_block, chunk) O(out_block, size) O(out_block, hash)
    O(out_hostfs, id) O(out_hostfs, mount) O(out_hostfs, op) O(out_hostfs, data_len) O(out_hostfs, args)
    O(hostfs_attr, mode) O(hostfs_attr, nlink) O(hostfs_attr, uid) O(hostfs_attr, gid) O(hostfs_attr, ino)
    O(hostfs_attr, size) O(hostfs_attr, atime_ns) O(hostfs_attr, mtime_ns) O(hostfs_attr, ctime_ns)
    O(out_log, level) O(out_notice, what) O(out_notice, pid) O(out_notice, ppid) O(out_notice, status)
    O(out_tap, what) O(out_tap, data_len) O(out_tap, tick) O(out_tap, now_ns) O(out_tap, real_ns)
    O(out_tap, pid) O(out_tap, tid) O(out_tap, args)
    O(report, status) O(report, tid) O(report, pid) O(report, nr) O(report, pc) O(report, tick)
    O(report, now_ns) O(report, deadline_ns) O(report, retired) O(report, steps) O(report, seen)
    O(report, call_seq) O(report, outbox) O(report, detail) O(report, moment)
    O(report, order)
    O(counters, harts_inside) O(counters, harts_inside_max) O(counters, guest_inside)
    O(counters, guest_inside_max) O(counters, outbox_records)
    O(jit_module, id) O(jit_module, bytes) O(jit_module, len) O(jit_module, slot) O(jit_module, count)
    O(jit_module, record) O(jit_module, record_len) O(jit_module, listing) O(jit_module, listing_len) O(jit_module, ready)
    O(jit_module, kept)
    O(jit_counters, instructions) O(jit_counters, entries) O(jit_counters, compile_ns)
    O(jit_counters, regions) O(jit_counters, modules)
    O(jit_counters, region_instructions) O(jit_counters, module_bytes) O(jit_counters, refused)
    O(jit_counters, evictions) O(jit_counters, stale) O(jit_counters, queued)
    O(jit_counters, kept_regions) O(jit_counters, kept_modules)
    O(jit_counters, epochs) O(jit_counters, flushes)
    O(order_log, head) O(order_log, tail) O(order_log, size) O(order_log, data) O(order_log, feed)
    O(order_log, len) O(order_log, at) O(order_log, event)
    O(order_log, place) O(order_log, place_len) O(order_log, delivered) O(order_log, delivered_moment)
    O(order_log, until_ns)
    O(debug_note, tick) O(debug_note, after) O(debug_note, va) O(debug_note, pc) O(debug_note, kind)
    O(debug_note, pid) O(debug_note, tid) O(debug_notes, count) O(debug_tasks, count)
    O(debug_task, pid) O(debug_task, tid) O(debug_task, ppid) O(debug_task, state)
    O(debug_task, current) O(debug_task, nr) O(debug_task, instret) O(debug_task, name)
    O(debug_registers, x) O(debug_registers, pc) O(debug_registers, f) O(debug_registers, instret)
    O(debug_registers, fcsr) O(debug_map, start) O(debug_map, end) O(debug_map, offset)
    O(debug_status, pgid) O(debug_status, sid) O(debug_status, uid) O(debug_status, gid)
    O(debug_status, nice) O(debug_status, pending) O(debug_status, blocked)
    O(debug_status, utime) O(debug_status, stime)
    O(debug_status, child_utime) O(debug_status, child_stime)
    O(debug_map, prot) O(debug_map, flags) O(debug_map, main) O(debug_map, name_len)
#undef O
};

void abi_build(void) {
    u32 size = 0x8000, len = 0;
    char *text = palloc(size);
    assert(text);
    for (u32 i = 0; i < lengthof(lines); i++)
        len += (u32)ksnprintf(text + len, size - len, "%s %lld\n", lines[i].name, (long long)lines[i].value);
    assert(len < size);
    host.abi_text = text;
}

// NUL-terminated lines "group.NAME value".
__attribute__((export_name("k_abi"))) u32 k_abi(void) {
    return MADDR(host.abi_text);
}

// struct counters, for tests.
__attribute__((export_name("k_counters"))) u32 k_counters(void) {
    return MADDR(&host.counters);
}

// The panic's message, NUL-terminated; empty when there was none.
__attribute__((export_name("k_panic"))) u32 k_panic(void) {
    return MADDR(host.panic);
}
