/* SPDX-License-Identifier: Apache-2.0 */
/* An error has one message: whoever first knows the cause writes it, callers return it unchanged.
 *
 * A function that can fail takes `struct error *e` last and returns 0, or -1 with *e filled. Its outputs are set only on success,
 * unless its header says otherwise. The kind is the exit code that the program ends with if nobody recovers. */
#pragma once

#include <stdbool.h>

enum error_kind {
    ERROR_NONE = 0,
    ERROR_FAILED = 1,  /* the machine, the network, a bug: anything not named below */
    ERROR_USAGE = 2,   /* command line or job file */
    ERROR_DATA = 3,    /* the input is refused */
    ERROR_GATE = 4,    /* a quality gate is not met */
    ERROR_STOPPED = 75 /* stopped on request; the same command resumes */
};

struct error {
    enum error_kind kind;
    char message[1024]; /* one line: what, where, what to do */
};

/* Fills *e and returns -1, so that a failing function can `return error_set(...)`. The arguments may point into *e. Control
 * characters in the message are replaced by '?', since file names and data end up in it; what does not fit is cut off.
 * These three do nothing but return -1 where e is NULL; whether another function takes NULL, its own header says. */
int error_set(struct error *e, enum error_kind kind, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Like error_set with ERROR_FAILED, with ": " and the description of `number` (an errno) appended. */
int error_errno(struct error *e, int number, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Puts a place in front of the text already in *e ("pairs.jsonl:7: "), and returns -1. */
int error_prefix(struct error *e, const char *format, ...) __attribute__((format(printf, 2, 3)));
