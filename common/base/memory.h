/* SPDX-License-Identifier: Apache-2.0 */
/* Host memory that is not available ends the program with one line and exit code 1, since no caller could go on. What else comes
 * from outside is reported to the caller as an error; only a mistake of the program itself (a broken invariant) aborts. Sizes
 * that come from a file are checked against a limit before they get here. */
#pragma once

#include <stdarg.h>
#include <stddef.h>

void *allocate(size_t count, size_t size);                  /* zeroed; freed with free(); count 0 gives a valid pointer */
void *reallocate(void *pointer, size_t count, size_t size); /* as reallocarray */
char *duplicate(const char *text);                          /* NULL gives NULL; freed with free() */
char *format_string(const char *format, ...) __attribute__((format(printf, 1, 2))); /* freed with free() */
char *format_string_list(const char *format, va_list arguments) __attribute__((format(printf, 1, 0)));

/* Ends the program as these do where memory is not available. */
_Noreturn void memory_end(size_t count, size_t size);

/* Grows *items (elements of `size` bytes, capacity in *capacity) so that `needed` of them fit; doubles. */
void *grow(void *items, size_t *capacity, size_t needed, size_t size);
