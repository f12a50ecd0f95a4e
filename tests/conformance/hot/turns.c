// Processes that take turns, each with code of its own at the same address. Between two turns code is written anew, mapped
// elsewhere, or changed by another process that shares it; no one may go on with what stood there before, or with another's. A
// process that shares changed code maps it anew, but with an argument only makes its caches forget it, which qemu's do not.
#include "../check.h"
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define PAGE 4096
#define OWN ((char *)0x123450000)
#define SHARED (OWN + PAGE)
enum { TURNS = 60, CALLS = 400, MOST = 11, FUNCTIONS = 4 };

typedef int function(int);
static uint32_t *shared; // two pages of code that all have, to be written
static int file;
static int maps_anew = 1;

// Functions that add so much, 16 bytes apart.
static void put(void *page, int more) {
    for (int i = 0; i < FUNCTIONS; i++) {
        uint32_t *word = (uint32_t *)((char *)page + i * 16);
        word[0] = (uint32_t)(more + i) << 20 | 10 << 15 | 10 << 7 | 0x13; // addi a0, a0, more + i
        word[1] = 0x00008067;                                             // ret
    }
}

static void own(int more) {
    CHECK(!mprotect(OWN, PAGE, PROT_READ | PROT_WRITE));
    put(OWN, more);
    CHECK(!mprotect(OWN, PAGE, PROT_READ | PROT_EXEC));
    __builtin___clear_cache(OWN, OWN + PAGE);
}

static void map_shared(int page) {
    CHECK(mmap(SHARED, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED, file, page * PAGE) == SHARED);
}

// All functions of a page, called through a register from a loop and from a function.
static int all(char *page) {
    int sum = 0;
    for (int i = 0; i < FUNCTIONS; i++)
        sum += ((function *)(page + i * 16))(0);
    return sum;
}
static int expected(int more) { return FUNCTIONS * more + FUNCTIONS * (FUNCTIONS - 1) / 2; }

// What the shared pages hold is told from turn to turn.
struct token {
    int turn, holds[2];
};

struct mine {
    int own, mapped, held; // what its code adds; the shared page that it has mapped, and what that held when it last looked
};

static void turn(struct token *token, int me, struct mine *mine) {
    if (mine->held != token->holds[mine->mapped]) {
        if (maps_anew)
            map_shared(mine->mapped);
        __builtin___clear_cache((char *)SHARED, (char *)SHARED + PAGE);
        mine->held = token->holds[mine->mapped];
    }
    for (int i = 0; i < CALLS; i++) {
        CHECK(all(OWN) == expected(mine->own));
        CHECK(all(SHARED) == expected(mine->held));
    }
    if (token->turn % 7 == me % 7)
        own(mine->own = (mine->own + 100) % 1500);
    if (token->turn % 5 == 2) {
        map_shared(mine->mapped = !mine->mapped);
        mine->held = -1; // looks when it is back
    }
    if (token->turn % 11 == 4) {
        int page = token->turn & 1;
        put(shared + page * (PAGE / 4), token->holds[page] = (token->holds[page] + 7) % 1500);
    }
    token->turn++;
}

static void take_turns(int processes) {
    int pipes[MOST][2];
    struct token token = {.holds = {1, 2}};
    put(shared, 1);
    put(shared + PAGE / 4, 2);
    for (int i = 0; i < processes; i++)
        CHECK(!pipe(pipes[i]));
    for (int me = 0; me < processes; me++) {
        if (fork())
            continue;
        struct mine mine = {me * 10, me & 1, -1};
        own(mine.own);
        map_shared(mine.mapped);
        for (int i = 0; i < TURNS; i++) {
            CHECK(read(pipes[me][0], &token, sizeof token) == sizeof token);
            turn(&token, me, &mine);
            CHECK(write(pipes[(me + 1) % processes][1], &token, sizeof token) == sizeof token);
        }
        _exit(0);
    }
    CHECK(write(pipes[0][1], &token, sizeof token) == sizeof token);
    for (int i = 0; i < processes; i++) {
        int status;
        CHECK(wait(&status) > 0 && !status);
    }
    for (int i = 0; i < processes; i++)
        CHECK(!close(pipes[i][0]) && !close(pipes[i][1]));
}

int main(int argc, char **argv) {
    (void)argv;
    maps_anew = argc < 2;
    file = memfd_create("code", 0);
    CHECK(file >= 0 && !ftruncate(file, 2 * PAGE));
    shared = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    CHECK(shared != MAP_FAILED);
    CHECK(mmap(OWN, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == OWN);
    take_turns(2);
    take_turns(3);
    take_turns(MOST);
    return done();
}
