/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/bundle/row_chunks.h"

#include "common/base/clock.h"
#include "common/base/stop.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define READ_SIZE 65536
#define LINE_MOST (1u << 30)
#define MORE_MS 20 /* that a chunk waits for another line */

/* Whole lines at the front, up to a chunk of them: their bytes; *filled: one is not blank. */
static size_t whole_lines(const struct row_chunks *c, size_t *lines, bool *filled)
{
    size_t size = 0;
    *lines = 0;
    *filled = false;
    while (*lines < CHUNK_ROWS && size < c->read.size) {
        const char *line = c->read.data + size, *end = memchr(line, '\n', c->read.size - size);
        size_t length = end ? (size_t)(end - line) + 1 : c->read.size - size;
        if (!end && !c->ended)
            break;
        for (size_t i = 0; i < length && !*filled; i++)
            *filled = !strchr(" \t\r\n", line[i]);
        size += length;
        ++*lines;
    }
    return size;
}

static int read_more(struct row_chunks *c, struct error *e)
{
    char bytes[READ_SIZE];
    ssize_t n = read(c->file, bytes, sizeof bytes);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return 0;
    if (n < 0)
        return error_set(e, ERROR_DATA, "-: cannot be read: %s", strerror(errno));
    c->ended = n == 0;
    if (n > 0)
        buffer_append(&c->read, bytes, (size_t)n);
    return c->read.size > LINE_MOST ? error_set(e, ERROR_DATA, "-: line %zu is longer than 1 GiB", c->lines + 1) : 0;
}

static void drop_taken(struct row_chunks *c)
{
    if (c->taken)
        memmove(c->read.data, c->read.data + c->taken, c->read.size - c->taken);
    c->read.size -= c->taken;
    c->taken = 0;
}

int row_chunks_next(struct row_chunks *c, const char **bytes, size_t *size, size_t *lines_before,
                    void (*idle)(void *context, double seconds), void *context, struct error *e)
{
    double since = clock_seconds();
    drop_taken(c);
    for (;;) {
        size_t lines;
        bool filled;
        size_t whole = whole_lines(c, &lines, &filled);
        struct pollfd p = {.fd = c->file, .events = POLLIN};
        int ready = c->ended || lines == CHUNK_ROWS || whole >= CHUNK_BYTES ? 0 : poll(&p, 1, filled ? MORE_MS : 1000);
        if (stop_check(e))
            return -1;
        if (ready > 0) {
            if (read_more(c, e))
                return -1;
            continue;
        }
        if (filled || (whole && (c->ended || lines == CHUNK_ROWS))) {
            *bytes = c->read.data;
            *size = c->taken = whole;
            *lines_before = c->lines;
            c->lines += lines;
            if (filled)
                return 1;
            drop_taken(c);
        } else if (c->ended) {
            return 0;
        } else if (idle) {
            idle(context, clock_seconds() - since);
        }
    }
}

void row_chunks_free(struct row_chunks *c)
{
    buffer_free(&c->read);
}
