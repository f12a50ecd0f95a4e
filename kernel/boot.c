// The private region is built by k_attach, the machine by the BOOT event. Reads as a list.
#include "boot.h"
#include "kernel.h"

struct host host;
extern u8 __heap_base;

#define STACK_SIZE 0x40000u

// Builds the private region over a machine region, fresh or restored. Once per memory.
__attribute__((export_name("k_attach"))) u32 k_attach(u32 ram_pages, u32 harts) {
    if (!harts || harts > HART_MAX)
        return (u32)-EINVAL;
    host.ram_pages = ram_pages;
    host.hart_count = harts;
    host.heap_start = host.heap_end = align_up(MADDR(&__heap_base), 16u);
    host.frame_code = palloc(ram_pages * sizeof(u32));
    assert(host.frame_code);
    for (u32 i = 0; i < HARTS_ALL; i++) {
        if (i >= harts && i != HART_MAX)
            continue;
        u8 *stack = palloc(STACK_SIZE);
        assert(stack);
        host.stack[i] = MADDR(stack + STACK_SIZE - 64) & ~15u;
    }
    for (u32 i = 0; i < harts; i++) {
        struct hart *hart = palloc(sizeof *hart);
        assert(hart);
        hart->id = i;
        hart->stack_top = host.stack[i];
        host.hart[i] = hart;
    }
    abi_build();
    return 0;
}

// Top of a hart's stack; HART_MAX: the kernel role's. Uses no stack itself.
__attribute__((export_name("k_stack"))) u32 k_stack(u32 hart) {
    return host.stack[hart];
}

__attribute__((export_name("k_hart"))) u32 k_hart(u32 id) {
    struct hart *hart = host.hart[id];
    if (!hart->cpu)
        cpu_cache_init(hart, host.hart_count);
    cpu_smp(hart, host.hart_count > 1);
    return MADDR(&hart->report);
}

i64 machine_boot(const struct event_boot *event) {
    assert(!kernel->magic);
    kernel->abi = ABI_VERSION;
    kernel->ram_bytes = min(event->ram_bytes, (u64)host.ram_pages << PAGE_SHIFT);
    kernel->frame_count = (u32)(kernel->ram_bytes >> PAGE_SHIFT);
    kernel->frame_low = kernel->frame_count;
    kernel->frames = align_up(MACHINE_BASE + (maddr)sizeof(struct machine), PAGE_SIZE);
    kernel->heap_start = kernel->heap_end =
        align_up(kernel->frames + kernel->frame_count * (maddr)sizeof(struct page), PAGE_SIZE);
    kernel->heap_limit = MACHINE_BASE + (maddr)(kernel->ram_bytes - PAGE_SIZE);
    kernel->clock = (struct clock){.mul = 1u << 24, .realtime_offset_ns = event->realtime_ns};
    kernel->boot_realtime_ns = event->realtime_ns;
    kernel->cpus = event->cpus;
    kernel->harts = event->harts;
    kernel->flags = event->flags;
    kernel->task_max = 4096;
    kernel->tid_next = 1;
    random_seed(&kernel->random, event->seed);
    strlcpy(kernel->hostname, event->hostname, sizeof kernel->hostname);
    strlcpy(kernel->domainname, "(none)", sizeof kernel->domainname);
    list_init(&kernel->run_queue);
    list_init(&kernel->processes);
    list_init(&kernel->exited);
    list_init(&kernel->admissions);
    list_init(&kernel->agent_idle);
    list_init(&kernel->agent_all);
    list_init(&kernel->mounts);
    struct page *zero = page_alloc();
    u8 *index = kmalloc(event->index_len);
    if (!zero || !index)
        return -ENOMEM;
    kernel->zero_page = page_address(zero);
    memcpy(index, event + 1, event->index_len);
    i64 r = rootfs_mount(index, event->index_len);
    if (!r)
        r = agent_boot();
    if (!r)
        kernel->magic = KERNEL_MAGIC;
    return r;
}
