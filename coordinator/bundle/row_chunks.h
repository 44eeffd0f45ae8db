/* SPDX-License-Identifier: Apache-2.0 */
/* JSON Lines that somebody still writes, in chunks: what has come, at once, and at most CHUNK_ROWS lines of it. */
#pragma once

#include "common/base/buffer.h"
#include "common/base/error.h"

#include <stdbool.h>
#include <stddef.h>

#define CHUNK_ROWS 1024
#define CHUNK_BYTES (8u << 20) /* from which a chunk is not waited for to grow */

struct row_chunks {
    int file;
    struct buffer read; /* what came and was not taken, beginning with a line */
    size_t taken;       /* bytes of it that the last chunk had */
    size_t lines;       /* before `read` */
    size_t whole;       /* bytes of the whole lines at the front of `read`, up to a chunk of them */
    size_t whole_lines; /* how many */
    size_t searched;    /* bytes of `read` in which no further line ends */
    bool filled;        /* one of them is not blank */
    bool ended;
};

/* Blocks until one line is whole; then waits a moment for more. 1 with a chunk of whole lines, one of them not blank (borrowed
 * until the next call), and how many lines came before it; 0 at the end. Polls stop_check, and calls idle (NULL: nothing) once a
 * second while nothing comes. -1: ERROR_DATA, ERROR_STOPPED. */
int row_chunks_next(struct row_chunks *c, const char **bytes, size_t *size, size_t *lines_before,
                    void (*idle)(void *context, double seconds), void *context, struct error *e);
void row_chunks_free(struct row_chunks *c);
