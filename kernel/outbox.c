#include "outbox.h"
#include "kernel.h"
#include "park.h"

#define OUTBOX_MAX (8u << 20) // above this harts wait for the runtime before they step on

static void mail_push(struct mail **head, struct mail **tail, struct mail *mail) {
    mail->next = NULL;
    if (*tail)
        (*tail)->next = mail;
    else
        *head = mail;
    *tail = mail;
}

static struct mail *mail_pop(struct mail **head, struct mail **tail) {
    struct mail *mail = *head;
    if (mail) {
        *head = mail->next;
        if (!*head)
            *tail = NULL;
    }
    return mail;
}

static struct mail *mail_of(u32 address) {
    return MPTR(struct mail, address) - 1;
}

void *out_begin(u32 kind, u32 size, u32 extra) {
    struct mail *mail = palloc(sizeof *mail + size + extra);
    if (!mail)
        panic("the outbox does not fit into the private region");
    mail->len = size + extra;
    struct out *out = (struct out *)(mail + 1);
    out->kind = kind;
    out->len = mail->len;
    return out;
}

void out_send(void *record) {
    struct mail *mail = (struct mail *)record - 1;
    lock_take(&host.mail_lock);
    mail_push(&host.outbox_head, &host.outbox_tail, mail);
    host.outbox_bytes += mail->len;
    host.counters.outbox_records++;
    lock_drop(&host.mail_lock);
    atomic_add(&host.outbox_bell, 1);
    atomic_notify(&host.outbox_bell, 1);
}

bool outbox_full(void) {
    return atomic_load(&host.outbox_bytes) > OUTBOX_MAX;
}

__attribute__((export_name("k_out_take"))) u32 k_out_take(void) {
    lock_take(&host.mail_lock);
    struct mail *mail = mail_pop(&host.outbox_head, &host.outbox_tail);
    if (mail)
        host.outbox_bytes -= mail->len;
    lock_drop(&host.mail_lock);
    return mail ? MADDR(mail + 1) : 0;
}

__attribute__((export_name("k_out_free"))) u32 k_out_free(u32 record) {
    pfree(mail_of(record));
    return 0;
}

__attribute__((export_name("k_out_bell"))) u32 k_out_bell(void) {
    return MADDR(&host.outbox_bell);
}

__attribute__((export_name("k_out_wait"))) u32 k_out_wait(u32 seen, u32 timeout_lo,
                                                          u32 timeout_hi) {
    return (u32)atomic_wait(&host.outbox_bell, seen, (i64)((u64)timeout_hi << 32 | timeout_lo));
}

__attribute__((export_name("k_mail_alloc"))) u32 k_mail_alloc(u32 len) {
    struct mail *mail = palloc(sizeof *mail + len);
    if (!mail)
        return 0;
    mail->len = len;
    return MADDR(mail + 1);
}

// Is there mail that nobody comes for? Who delivers some looks for more.
bool mail_waits(void) {
    return host.inbox_head && !host.mail_taken;
}

// One hart is enough: best the one that ran last, for its code is warm, unless it is in guest code; else one that is
// parked; else one that leaves its guest code. Who is away may be long (a policy is asked); if all are, the first that
// is back takes it.
static void mail_tell(void) {
    struct hart *best = NULL;
    u32 rank = 0;
    for (u32 i = 0; i < host.hart_count; i++) {
        struct hart *hart = host.hart[i];
        u32 where = hart ? atomic_load(&hart->where) : HART_AWAY;
        if (where == HART_AWAY)
            continue;
        bool parked = where == HART_PARKED, free = parked || !atomic_load(&hart->in_guest);
        u32 own = free && i == atomic_load(&host.ran_last) ? 3 : 1 + parked;
        if (own > rank) {
            best = hart;
            rank = own;
        }
    }
    if (best)
        hart_attend(best, ATTN_MAIL);
    else
        harts_attend(ATTN_MAIL);
}

// A hart goes away that may have been told: another one takes what has come.
void mail_pass_on(void) {
    lock_take(&host.mail_lock);
    bool waits = mail_waits();
    lock_drop(&host.mail_lock);
    if (waits)
        mail_tell();
}

__attribute__((export_name("k_mail_post"))) u32 k_mail_post(u32 event) {
    lock_take(&host.mail_lock);
    mail_push(&host.inbox_head, &host.inbox_tail, mail_of(event));
    bool waits = mail_waits();
    lock_drop(&host.mail_lock);
    if (waits)
        mail_tell();
    return 0;
}

__attribute__((export_name("k_mail_take"))) u32 k_mail_take(u32 hart) {
    atomic_and(&host.hart[hart]->attn, ~(u32)ATTN_MAIL);
    atomic_store(&host.hart[hart]->where, HART_STEPS); // a step is next
    struct mail *mail = NULL;
    lock_take(&host.mail_lock);
    // One at a time, so that events are delivered in the order they were posted: BOOT first.
    if (!host.mail_taken)
        mail = host.mail_taken = mail_pop(&host.inbox_head, &host.inbox_tail);
    lock_drop(&host.mail_lock);
    return mail ? MADDR(mail + 1) : 0;
}

__attribute__((export_name("k_mail_free"))) u32 k_mail_free(u32 event) {
    lock_take(&host.mail_lock);
    if (host.mail_taken == mail_of(event))
        host.mail_taken = NULL;
    lock_drop(&host.mail_lock);
    pfree(mail_of(event));
    return 0;
}
