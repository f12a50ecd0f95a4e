// Maps the vDSO. The image is assembled from vdso/vdso.S into vdso.so before the kernel is compiled, and embedded.
#include "vdso.h"
#include "../kernel.h"
#include "../lib/string.h"

static const u8 image[] = {
#embed <vdso.so>
};
static_assert(sizeof image <= PAGE_SIZE);

static i64 vdso_make(void) {
    struct page *page;
    struct memobject *object = memobject_anonymous();
    if (!object)
        return -ENOMEM;
    i64 error = object->ops->frame(object, 0, WANT_WRITE, NULL, &page);
    if (error) {
        object->ops->put(object);
        return error;
    }
    memcpy(page_data(page), image, sizeof image);
    page_put(page);
    kernel->vdso = object; // for ever
    return 0;
}

i64 vdso_map(struct mm *mm) {
    i64 at = kernel->vdso ? 0 : vdso_make();
    if (at < 0)
        return at;
    at = mm_map(mm, 0, PAGE_SIZE, PROT_READ | PROT_EXEC, MAP_PRIVATE, 0, kernel->vdso, 0, "[vdso]");
    if (at < 0)
        return at;
    mm->vdso = (u64)at;
    return 0;
}

u64 vdso_sigreturn(const struct mm *mm) {
    u64 entry; // e_entry of the ELF header
    memcpy(&entry, image + 24, sizeof entry);
    return mm->vdso + entry;
}
