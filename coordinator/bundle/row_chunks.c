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

/* Goes on from where it was: neither a line nor the start of a long one is looked at again with each read. */
static void find_lines(struct row_chunks *c)
{
    while (c->whole_lines < CHUNK_ROWS && c->whole < c->read.size) {
        size_t from = c->searched > c->whole ? c->searched : c->whole;
        const char *line = c->read.data + c->whole, *end = memchr(c->read.data + from, '\n', c->read.size - from);
        size_t length = end ? (size_t)(end - line) + 1 : c->read.size - c->whole;
        c->searched = end ? 0 : c->read.size;
        if (!end && !c->ended)
            break;
        for (size_t i = 0; i < length && !c->filled; i++)
            c->filled = !strchr(" \t\r\n", line[i]);
        c->whole += length;
        c->whole_lines++;
    }
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
    c->searched -= c->searched > c->taken ? c->taken : c->searched;
    c->taken = c->whole = c->whole_lines = 0;
    c->filled = false;
}

int row_chunks_next(struct row_chunks *c, const char **bytes, size_t *size, size_t *lines_before,
                    void (*idle)(void *context, double seconds), void *context, struct error *e)
{
    double since = clock_seconds();
    drop_taken(c);
    for (;;) {
        find_lines(c);
        struct pollfd p = {.fd = c->file, .events = POLLIN};
        int ready =
            c->ended || c->whole_lines == CHUNK_ROWS || c->whole >= CHUNK_BYTES ? 0 : poll(&p, 1, c->filled ? MORE_MS : 1000);
        if (stop_check(e))
            return -1;
        if (ready > 0) {
            if (read_more(c, e))
                return -1;
            continue;
        }
        if (c->filled || (c->whole && (c->ended || c->whole_lines == CHUNK_ROWS))) {
            *bytes = c->read.data;
            *size = c->taken = c->whole;
            *lines_before = c->lines;
            c->lines += c->whole_lines;
            if (c->filled)
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
