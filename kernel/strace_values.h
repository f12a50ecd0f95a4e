// Values in traces: each is put on the line under way, as strace(1) shows it (strace_values.c).
#pragma once
#include "strace.h"

#define STRING_MAX 32u // as strace -s; names of files are shown whole

// ---- Words: tables of strace_words.h -------------------------------------------------------------
struct word;
void put_flags(struct text *text, u64 v, const struct word *words, const char *zero);
void put_one(struct text *text, u64 v, const struct word *words);
void put_signal(struct text *text, u32 signal, bool prefix);
void put_open(struct text *text, u32 v);
void put_mode(struct text *text, u32 mode);

// ---- Guest memory: if it cannot be had, the address -----------------------------------------------
void put_hex(struct trace *trace, u64 va);
// `size` bytes at `va`; false: they cannot be had, and the address is shown.
bool trace_given(struct trace *trace, u64 va, void *out, u32 size);
void put_buffer(struct trace *trace, u64 va, u64 len);
void put_string(struct trace *trace, u64 va, u32 most);
// Pointers to strings until NULL (`argv`), or their number (`envp`).
void put_strings(struct trace *trace, u64 va, bool whole);
void put_address(struct trace *trace, u64 va, u32 len);
// `most` bytes of data are in all of them together; more are not shown.
void put_vector(struct trace *trace, u64 va, u64 count, u64 most);
void put_message(struct trace *trace, u64 va, u64 most, bool in);

// ---- Structures, already copied ------------------------------------------------------------------
typedef void put_fn(struct trace *trace, const void *data);
put_fn put_timespec, put_timespecs, put_timeval, put_itimerval, put_itimerspec, put_rusage, put_rlimit, put_kstat,
    put_statx, put_sigset, put_sigarg, put_sigaction, put_sigstack, put_siginfo, put_status, put_int, put_off, put_pipe, put_event,
    put_pollfd, put_uname, put_sysinfo, put_flock, put_termios, put_winsize, put_clone_args;
void put_items(struct trace *trace, u64 va, u64 count, u32 size, put_fn *put);
