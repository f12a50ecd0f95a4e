#include "fmt.h"
#include "heap.h"
#include "string.h"

struct sink {
    char *out;
    size_t size, len;
};

static void sink_char(struct sink *s, char c) {
    if (s->len + 1 < s->size)
        s->out[s->len] = c;
    s->len++;
}

static void sink_field(struct sink *s, const char *text, size_t len, int width, bool left,
                       bool zero) {
    int pad = width > (int)len ? width - (int)len : 0;
    if (zero && !left && len && text[0] == '-') {
        sink_char(s, '-');
        text++, len--;
    }
    for (; pad && !left; pad--)
        sink_char(s, zero ? '0' : ' ');
    for (size_t i = 0; i < len; i++)
        sink_char(s, text[i]);
    for (; pad; pad--)
        sink_char(s, ' ');
}

static size_t number(char *end, u64 v, u32 base, bool upper) {
    size_t n = 0;
    do {
        u32 d = (u32)(v % base);
        *--end = (char)(d < 10 ? '0' + d : (upper ? 'A' : 'a') + d - 10);
        v /= base;
        n++;
    } while (v);
    return n;
}

int kvsnprintf(char *out, size_t size, const char *fmt, va_list args) {
    struct sink s = {out, size, 0};
    for (; *fmt; fmt++) {
        if (*fmt != '%') {
            sink_char(&s, *fmt);
            continue;
        }
        bool left = false, zero = false, alt = false, plus = false;
        for (fmt++;; fmt++) {
            if (*fmt == '-')
                left = true;
            else if (*fmt == '0')
                zero = true;
            else if (*fmt == '#')
                alt = true;
            else if (*fmt == '+')
                plus = true;
            else
                break;
        }
        int width = 0, precision = -1;
        if (*fmt == '*')
            width = va_arg(args, int), fmt++;
        else
            while (*fmt >= '0' && *fmt <= '9')
                width = width * 10 + *fmt++ - '0';
        if (*fmt == '.') {
            fmt++;
            precision = 0;
            if (*fmt == '*')
                precision = va_arg(args, int), fmt++;
            else
                while (*fmt >= '0' && *fmt <= '9')
                    precision = precision * 10 + *fmt++ - '0';
        }
        int longs = 0;
        for (; *fmt == 'l' || *fmt == 'z' || *fmt == 'h'; fmt++)
            longs += *fmt == 'l' ? 1 : *fmt == 'z' ? 3 : 0;
        char buf[32], *end = buf + sizeof buf;
        u64 v;
        size_t n;
        switch (*fmt) {
        case 'd':
        case 'i': {
            i64 d = longs == 3   ? (i64)va_arg(args, ptrdiff_t)
                    : longs >= 2 ? va_arg(args, long long)
                    : longs      ? va_arg(args, long)
                                 : va_arg(args, int);
            n = number(end, d < 0 ? 0 - (u64)d : (u64)d, 10, false);
            if (d < 0 || plus)
                end[-(int)++n] = d < 0 ? '-' : '+';
            sink_field(&s, end - n, n, width, left, zero);
            break;
        }
        case 'u':
        case 'x':
        case 'X':
        case 'o':
            v = longs == 3   ? va_arg(args, size_t)
                : longs >= 2 ? va_arg(args, unsigned long long)
                : longs      ? va_arg(args, unsigned long)
                             : va_arg(args, unsigned);
            n = number(end, v, *fmt == 'u' ? 10 : *fmt == 'o' ? 8 : 16, *fmt == 'X');
            if (alt && *fmt == 'x') {
                end[-(int)++n] = 'x';
                end[-(int)++n] = '0';
            }
            sink_field(&s, end - n, n, width, left, zero);
            break;
        case 'p':
            n = number(end, (uintptr_t)va_arg(args, void *), 16, false);
            end[-(int)++n] = 'x';
            end[-(int)++n] = '0';
            sink_field(&s, end - n, n, width, left, false);
            break;
        case 'c':
            buf[0] = (char)va_arg(args, int);
            sink_field(&s, buf, 1, width, left, false);
            break;
        case 's': {
            const char *text = va_arg(args, const char *);
            if (!text)
                text = "(null)";
            n = precision >= 0 ? strnlen(text, (size_t)precision) : strlen(text);
            sink_field(&s, text, n, width, left, false);
            break;
        }
        case '%':
            sink_char(&s, '%');
            break;
        default:
            panic("unknown format");
        }
    }
    if (size)
        out[min(s.len, size - 1)] = 0;
    return (int)s.len;
}

int ksnprintf(char *out, size_t size, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    int n = kvsnprintf(out, size, fmt, args);
    va_end(args);
    return n;
}

static bool text_room(struct text *text, u32 len) {
    if (text->len + len <= text->cap)
        return true;
    u32 cap = max(text->cap * 2, max(256u, text->len + len));
    char *data = text->fixed ? NULL : krealloc(text->data, cap);
    if (!data) {
        text->failed = true;
        return false;
    }
    text->data = data;
    text->cap = cap;
    return true;
}

void text_append(struct text *text, const void *data, u32 len) {
    if (!text_room(text, len))
        return;
    memcpy(text->data + text->len, data, len);
    text->len += len;
}

void text_printf(struct text *text, const char *fmt, ...) {
    char buf[512];
    va_list args;
    va_start(args, fmt);
    int n = kvsnprintf(buf, sizeof buf, fmt, args);
    va_end(args);
    if ((size_t)n < sizeof buf) {
        text_append(text, buf, (u32)n);
        return;
    }
    if (!text_room(text, (u32)n + 1))
        return;
    va_start(args, fmt);
    kvsnprintf(text->data + text->len, (size_t)n + 1, fmt, args);
    va_end(args);
    text->len += (u32)n;
}

void text_free(struct text *text) {
    kfree(text->data);
    *text = (struct text){};
}
