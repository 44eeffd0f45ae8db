/* SPDX-License-Identifier: Apache-2.0 */
/* A growing run of bytes, always followed by a NUL that `size` does not count. Zero-initialise; buffer_free ends it. */
#pragma once

#include <stddef.h>

struct buffer {
    char *data; /* NULL until the first append */
    size_t size, capacity;
};

void buffer_append(struct buffer *b, const void *bytes, size_t size);
void buffer_text(struct buffer *b, const char *text);
void buffer_printf(struct buffer *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buffer_clear(struct buffer *b); /* keeps the memory */
void buffer_free(struct buffer *b);
