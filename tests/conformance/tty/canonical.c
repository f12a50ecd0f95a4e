// termios(3), canonical mode: lines, editing, echo, ends of file, translations of input and output.
#include "pty.h"

static void defaults(void) {
    struct termios t = settings();
    CHECK(t.c_iflag == (ICRNL | IXON) && t.c_oflag == (OPOST | ONLCR));
    CHECK(t.c_lflag == (ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN));
    CHECK(t.c_cc[VINTR] == 3 && t.c_cc[VERASE] == 127 && t.c_cc[VEOF] == 4 && t.c_cc[VMIN] == 1);
    CHECK(isatty(slave) && isatty(master));
    struct termios of_master;
    CHECK(tcgetattr(master, &of_master) == 0 && of_master.c_lflag == t.c_lflag);
}

static void lines(void) {
    type("hello");
    SCREEN("hello");
    LINE("(nothing)");
    type("\r");
    SCREEN("\r\n");
    LINE("hello\n");
    type("one\ntwo\n");
    SCREEN("one\r\ntwo\r\n");
    char buf[10];
    CHECK(read(slave, buf, 2) == 2 && !memcmp(buf, "on", 2)); // a line in pieces
    CHECK(read(slave, buf, 10) == 2 && !memcmp(buf, "e\n", 2));
    int n;
    CHECK(ioctl(slave, FIONREAD, &n) == 0 && n == 4);
    LINE("two\n");
    type("partial\004");
    LINE("partial");
    type("\004");
    LINE(""); // end of file
    type("full\004");
    CHECK(read(slave, buf, 4) == 4);
    LINE("(nothing)"); // the end of file went with it
    screen(0);
}

static void editing(void) {
    type("abc\177\177x\n");
    SCREEN("abc\b \b\b \bx\r\n");
    LINE("ax\n");
    type("one two  \027y\n");
    SCREEN("one two  \b \b\b \b\b \b\b \b\b \by\r\n");
    LINE("one y\n");
    type("gone\025z\n");
    SCREEN("gone\b \b\b \b\b \b\b \bz\r\n");
    LINE("z\n");
    type("\001b\177\177c\n"); // a control character takes two columns
    SCREEN("^Ab\b \b\b \b\b \bc\r\n");
    LINE("c\n");
    type("a\tb\177\177d\n"); // a tab goes back to where it began
    SCREEN("a\tb\b \b\b\b\b\b\b\b\bd\r\n");
    LINE("ad\n");
    type("x\026\003y\026\177\n"); // literal next
    SCREEN("x^\b^Cy^\b^?\r\n");
    LINE("x\003y\177\n");
    type("ab\022c\n"); // reprint
    SCREEN("ab^R\r\nabc\r\n");
    LINE("abc\n");
    type("\177\177\027\025ok\n"); // nothing to erase
    SCREEN("ok\r\n");
    LINE("ok\n");
    control(VEOL, '!');
    type("wow!");
    LINE("wow!");
    control(VEOL, 0);
    screen(0);
    flags(0, ECHOKE, 0, 0, 0, 0);
    type("kill\025");
    SCREEN("kill^U\r\n");
    flags(0, ECHOE, 0, 0, 0, 0);
    type("ab\177\n");
    SCREEN("ab^?\r\n");
    LINE("a\n");
    flags(ECHOPRT | ECHOE, 0, 0, 0, 0, 0);
    type("abc\177\177d\n");
    SCREEN("abc\\cb/d\r\n");
    LINE("ad\n");
    flags(ECHOKE, ECHOPRT, 0, 0, 0, 0);
}

static void echoes(void) {
    flags(0, ECHO, 0, 0, 0, 0);
    type("secret\n");
    SCREEN("");
    LINE("secret\n");
    flags(ECHONL, 0, 0, 0, 0, 0);
    type("s\n");
    SCREEN("\r\n");
    LINE("s\n");
    flags(ECHO, ECHONL | ECHOCTL, 0, 0, 0, 0);
    type("\001\n");
    SCREEN("\001\r\n");
    LINE("\001\n");
    flags(ECHOCTL, 0, 0, 0, 0, 0);
}

static void utf8(void) {
    flags(0, 0, IUTF8, 0, 0, 0);
    type("\xc3\xa4\xe2\x82\xac\177!\n");
    SCREEN("\xc3\xa4\xe2\x82\xac\b \b!\r\n");
    LINE("\xc3\xa4!\n");
    flags(0, 0, 0, IUTF8, 0, 0);
}

static void translations(void) {
    flags(0, 0, 0, ICRNL, 0, 0);
    type("a\rb\n");
    SCREEN("a^Mb\r\n");
    LINE("a\rb\n");
    flags(0, 0, IGNCR, 0, 0, 0);
    type("a\rb\n");
    LINE("ab\n");
    flags(0, 0, INLCR, IGNCR, 0, 0);
    control(VEOL, '\r');
    type("ab\n");
    LINE("ab\r");
    control(VEOL, 0);
    flags(0, 0, ICRNL | ISTRIP, INLCR, 0, 0);
    type("\xe1\n");
    LINE("a\n");
    flags(0, 0, 0, ISTRIP, 0, 0);
    screen(0);
    CHECK(write(slave, "a\nb\tc\n", 6) == 6);
    SCREEN("a\r\nb\tc\r\n");
    flags(0, 0, 0, 0, TAB3, 0);
    CHECK(write(slave, "b\tc\n", 4) == 4);
    SCREEN("b       c\r\n");
    flags(0, 0, 0, 0, OCRNL, TAB3 | ONLCR);
    CHECK(write(slave, "a\rb\n", 4) == 4);
    SCREEN("a\nb\n");
    flags(0, 0, 0, 0, ONLCR | ONOCR, OCRNL);
    CHECK(write(slave, "\n\rx\r", 4) == 4);
    SCREEN("\r\nx\r");
    flags(0, 0, 0, 0, 0, OPOST);
    CHECK(write(slave, "a\nb", 3) == 3);
    SCREEN("a\nb");
    flags(0, 0, 0, 0, OPOST, ONOCR);
}

// A line is at most 4096 bytes with its end; what is typed beyond is dropped, the end is not.
static void longest(void) {
    flags(0, ECHO, 0, IMAXBEL, 0, 0);
    static char text[5001];
    memset(text, 'q', 5000);
    type(text);
    type("\n");
    const char *got = line(2000);
    CHECK(strlen(got) == 4096 && got[4095] == '\n' && got[4094] == 'q');
    LINE("(nothing)");
    flags(ECHO, 0, 0, 0, 0, 0);
}

int main(void) {
    pty_open();
    defaults();
    lines();
    editing();
    echoes();
    utf8();
    translations();
    longest();
    pty_close();
    return done();
}
