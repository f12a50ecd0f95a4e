// Unwinding through a signal frame: a handler returns to the vDSO's rt_sigreturn, and the unwinder finds the
// interrupted function behind it, down to main.
// flags: -funwind-tables -lunwind
#include "../check.h"
#include <signal.h>
#include <unwind.h>

static volatile unsigned long frames[32];
static volatile int count;

static _Unwind_Reason_Code note(struct _Unwind_Context *context, void *arg) {
    if (count < 32)
        frames[count++] = _Unwind_GetIP(context);
    return _URC_NO_REASON;
}

static void handler(int number) {
    _Unwind_Backtrace(note, NULL);
    __asm__ volatile(""); // no tail call: we want our own frame
}

// The function of a frame, by its start.
static int seen(void *function) {
    for (int i = 0; i < count; i++)
        if (_Unwind_FindEnclosingFunction((void *)(frames[i] - 1)) == function)
            return i + 1;
    return 0;
}

__attribute__((noinline)) static void interrupted(void) {
    kill(getpid(), SIGUSR1);
    __asm__ volatile("");
}

int main(void) {
    signal(SIGUSR1, handler);
    interrupted();
    CHECK(count >= 5); // handler, sigreturn, kill, interrupted, main
    CHECK(seen(handler) == 1);
    CHECK(seen(interrupted) > 2);
    CHECK(seen(main) == seen(interrupted) + 1);
    return done();
}
