/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/scoring.h"

#include "common/base/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define MAGIC 0x4d535432u /* "MST2" */

struct header {
    uint32_t magic, kind, count, size;
};

static int send_all(int socket, const void *bytes, size_t size, struct error *e)
{
    for (size_t at = 0; at < size;) {
        ssize_t n = send(socket, (const char *)bytes + at, size - at, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_errno(e, errno, "the other process cannot be written to");
        at += (size_t)n;
    }
    return 0;
}

/* Bytes that came: fewer than `size` at the end of the stream; -1. */
static ssize_t receive_all(int socket, void *bytes, size_t size, struct error *e)
{
    size_t at = 0;
    while (at < size) {
        ssize_t n = recv(socket, (char *)bytes + at, size - at, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_errno(e, errno, "the other process cannot be read from");
        if (n == 0)
            break;
        at += (size_t)n;
    }
    return (ssize_t)at;
}

int scoring_send(int socket, enum scoring_kind kind, uint32_t count, const void *payload, size_t size, struct error *e)
{
    const struct header h = {MAGIC, kind, count, (uint32_t)size};
    if (size > SCORING_MOST)
        return error_set(e, ERROR_FAILED, "a batch of %zu bytes is too large; lower --max-batch-tokens", size);
    return send_all(socket, &h, sizeof h, e) || send_all(socket, payload, size, e) ? -1 : 0;
}

int scoring_receive(struct scoring_frame *ret, int socket, struct error *e)
{
    struct header h;
    ssize_t got = receive_all(socket, &h, sizeof h, e);
    if (got <= 0)
        return (int)got;
    if ((size_t)got < sizeof h)
        return error_set(e, ERROR_FAILED, "the other process ended within a message");
    if (h.magic != MAGIC || h.kind >= SCORING_KINDS || h.size > SCORING_MOST)
        return error_set(e, ERROR_FAILED, "the other process sent something that is no message: is it of the same build?");
    struct scoring_frame f = {.kind = (enum scoring_kind)h.kind, .count = h.count, .size = h.size};
    f.payload = allocate(f.size + 1, 1);
    got = receive_all(socket, f.payload, f.size, e);
    if (got < 0 || (size_t)got < f.size) {
        scoring_frame_free(&f);
        return got < 0 ? -1 : error_set(e, ERROR_FAILED, "the other process ended within a message");
    }
    *ret = f;
    return 1;
}

void scoring_frame_free(struct scoring_frame *f)
{
    free(f->payload);
    *f = (struct scoring_frame){0};
}

void scoring_rows_encode(struct buffer *to, uint32_t model, const struct scoring_row *rows, uint32_t count)
{
    buffer_append(to, &model, sizeof model);
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t sizes[2] = {rows[i].length, rows[i].first};
        buffer_append(to, sizes, sizeof sizes);
    }
    for (uint32_t i = 0; i < count; i++)
        buffer_append(to, rows[i].ids, rows[i].length * sizeof *rows[i].ids);
}

int scoring_rows_decode(struct scoring_row **ret, uint32_t *model, const struct scoring_frame *f, struct error *e)
{
    size_t heads = (1 + (size_t)f->count * 2) * sizeof(uint32_t), tokens = 0;
    if (f->size < heads)
        return error_set(e, ERROR_FAILED, "a message of %zu bytes cannot hold %u rows", f->size, f->count);
    const uint32_t *numbers = (const void *)f->payload, *sizes = numbers + 1;
    const int32_t *ids = (const void *)(f->payload + heads);
    struct scoring_row *rows = allocate(f->count, sizeof *rows);
    for (uint32_t i = 0; i < f->count; i++) {
        rows[i] = (struct scoring_row){ids + tokens, sizes[2 * i], sizes[2 * i + 1]};
        tokens += rows[i].length;
    }
    if (tokens * sizeof *ids != f->size - heads) {
        free(rows);
        return error_set(e, ERROR_FAILED, "a message of %zu bytes does not hold the %zu tokens of its rows", f->size, tokens);
    }
    *model = numbers[0];
    *ret = rows;
    return 0;
}
