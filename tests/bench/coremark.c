// In the manner of CoreMark: a linked list, a small integer matrix, a state machine, a CRC.
#include "bench.h"
#define NODES 400
struct node {
    struct node *next;
    int16_t value, index;
};
static struct node nodes[NODES];
static int16_t matrix[3][12][12];
static uint16_t crc16(uint16_t crc, uint16_t data) {
    for (int i = 0; i < 16; i++, data >>= 1)
        crc = (crc ^ data) & 1 ? (uint16_t)(crc >> 1 ^ 0xa001) : crc >> 1;
    return crc;
}
static struct node *reverse(struct node *list) {
    struct node *out = NULL;
    while (list) {
        struct node *next = list->next;
        list->next = out;
        out = list;
        list = next;
    }
    return out;
}
static const char *inputs[] = {"5012", "1234.5", "-7.25e+3", "+0.1e-2", "xyz", ".25", "1e9x", "99"};
static int machine(const char *s) {
    enum { START, SIGN, INT, FRACTION, EXPONENT, POWER, BAD } state = START;
    for (; *s; s++) {
        int digit = *s >= '0' && *s <= '9';
        switch (state) {
        case START:
            state = digit ? INT : *s == '+' || *s == '-' ? SIGN : *s == '.' ? FRACTION : BAD;
            break;
        case SIGN:
            state = digit ? INT : *s == '.' ? FRACTION : BAD;
            break;
        case INT:
            state = digit ? INT : *s == '.' ? FRACTION : *s == 'e' ? EXPONENT : BAD;
            break;
        case FRACTION:
            state = digit ? FRACTION : *s == 'e' ? EXPONENT : BAD;
            break;
        case EXPONENT:
        case POWER:
            state = digit || *s == '+' || *s == '-' ? POWER : BAD;
            break;
        case BAD:
            return BAD;
        }
    }
    return state;
}
uint64_t work(void) {
    uint16_t crc = 0;
    for (int round = 0; round < 300; round++) {
        for (int i = 0; i < NODES; i++)
            nodes[i] = (struct node){i + 1 < NODES ? &nodes[i + 1] : NULL, (int16_t)(i * 37 % 251), (int16_t)i};
        struct node *list = reverse(nodes);
        for (struct node *n = list; n; n = n->next)
            if (n->value & 1)
                crc = crc16(crc, (uint16_t)(n->value + n->index));
        for (int i = 0; i < 12; i++)
            for (int j = 0; j < 12; j++) {
                matrix[0][i][j] = (int16_t)(i * j + round);
                matrix[1][i][j] = (int16_t)(i - j);
            }
        for (int i = 0; i < 12; i++)
            for (int j = 0; j < 12; j++) {
                int32_t sum = 0;
                for (int k = 0; k < 12; k++)
                    sum += matrix[0][i][k] * matrix[1][k][j];
                matrix[2][i][j] = (int16_t)(sum >> 2);
            }
        crc = crc16(crc, (uint16_t)matrix[2][round % 12][3]);
        for (unsigned i = 0; i < sizeof inputs / sizeof *inputs; i++)
            crc = crc16(crc, (uint16_t)machine(inputs[i]));
    }
    return crc;
}
