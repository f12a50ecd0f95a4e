// Signals that a program causes itself: addresses and codes, repair by a handler, and what cannot be refused.
#include "../check.h"
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/wait.h>

static sigjmp_buf back;
static volatile siginfo_t seen;
static char *volatile repair;

static void handler(int number, siginfo_t *info, void *context) {
    seen = *info;
    if (repair) {
        CHECK(mprotect(repair, 4096, PROT_READ | PROT_WRITE) == 0);
        repair = NULL;
        return; // the store is done again
    }
    siglongjmp(back, 1);
}

#define FAULT(statement, number, code, address)                                                    \
    do {                                                                                           \
        seen.si_signo = seen.si_code = 0;                                                          \
        if (!sigsetjmp(back, 1)) {                                                                 \
            statement;                                                                             \
            CHECK(!"no fault");                                                                    \
        }                                                                                          \
        CHECK(seen.si_signo == (number) && seen.si_code == (code));                                \
        CHECK(seen.si_addr == (void *)(address));                                                  \
    } while (0)

static int dies(void (*act)(char *), char *page) {
    int status;
    pid_t pid = fork();
    if (!pid) {
        act(page);
        _exit(0);
    }
    CHECK(waitpid(pid, &status, 0) == pid);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void ignored(char *page) {
    signal(SIGSEGV, SIG_IGN);
    *(volatile char *)page = 1;
}
static void blocked(char *page) {
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    *(volatile char *)page = 1;
}
static void in_handler(int number) {
    *(volatile char *)8 = 1;
}
static void twice(char *page) {
    signal(SIGSEGV, in_handler);
    *(volatile char *)page = 1;
}
static void no_stack(char *page) {
    struct sigaction action = {.sa_handler = in_handler, .sa_flags = SA_ONSTACK};
    stack_t stack = {.ss_sp = page, .ss_size = 4096};
    sigaction(SIGUSR1, &action, NULL);
    signal(SIGSEGV, SIG_DFL);
    sigaltstack(&stack, NULL);
    raise(SIGUSR1); // the frame cannot be written
}

int main(void) {
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    for (int number = SIGILL; number <= SIGSEGV; number++)
        if (number != SIGKILL && number != SIGABRT && number != SIGUSR1)
            CHECK(sigaction(number, &action, NULL) == 0);
    char *page = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(page != MAP_FAILED && munmap(page + 4096, 4096) == 0);
    FAULT(*(volatile char *)(page + 17) = 1, SIGSEGV, SEGV_ACCERR, page + 17);
    FAULT(*(volatile char *)(page + 4096 + 5), SIGSEGV, SEGV_MAPERR, page + 4096 + 5);
    FAULT(((void (*)(void))(page + 64))(), SIGSEGV, SEGV_ACCERR, page + 64);
    repair = page;
    *(volatile char *)(page + 9) = 7;
    CHECK(!repair && page[9] == 7 && seen.si_addr == page + 9);
    CHECK(mprotect(page, 4096, PROT_READ) == 0);

    CHECK(dies(ignored, page) == SIGSEGV);
    CHECK(dies(blocked, page) == SIGSEGV);
    CHECK(dies(twice, page) == SIGSEGV);
    CHECK(dies(no_stack, page) == SIGSEGV);
    return done();
}
