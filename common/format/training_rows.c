/* SPDX-License-Identifier: Apache-2.0 */
/* The marks of the rows that a bundle knows: of each part a sorted list. */
#include "common/format/training_rows.h"

#include "common/base/buffer.h"
#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/base/sha256.h"

#include <stdlib.h>
#include <string.h>

struct training_rows {
    struct {
        uint64_t *marks; /* rising */
        uint64_t count;
    } part[PART_COUNT];
};

static const char head[8] = "rows 1\n";

static uint64_t mark_of(const struct dataset *d, uint32_t row)
{
    struct token_row t = dataset_tokens(d, row);
    struct sha256 *h;
    char text[SHA256_HEX];
    sha256_create(&h);
    sha256_update(h, &t.first, sizeof t.first);
    sha256_update(h, t.ids, t.length * sizeof *t.ids);
    sha256_finish(&h, text);
    text[16] = 0;
    return strtoull(text, NULL, 16);
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

void training_rows_make(struct training_rows **ret, const struct dataset *d, const struct split *s)
{
    struct training_rows *k = allocate(1, sizeof *k);
    for (int p = 0; p < PART_COUNT; p++) {
        k->part[p].count = s->part[p].count;
        k->part[p].marks = allocate(s->part[p].count, sizeof(uint64_t));
        for (uint32_t i = 0; i < s->part[p].count; i++)
            k->part[p].marks[i] = mark_of(d, s->part[p].rows[i]);
        if (s->part[p].count)
            qsort(k->part[p].marks, s->part[p].count, sizeof(uint64_t), by_value);
    }
    *ret = k;
}

void training_rows_destroy(struct training_rows **known)
{
    struct training_rows *k = *known;
    for (int p = 0; k && p < PART_COUNT; p++)
        free(k->part[p].marks);
    free(k);
    *known = NULL;
}

int training_rows_write(const char *path, const struct training_rows *k, struct error *e)
{
    struct buffer b = {0};
    buffer_append(&b, head, sizeof head);
    for (int p = 0; p < PART_COUNT; p++)
        buffer_append(&b, &k->part[p].count, sizeof k->part[p].count);
    for (int p = 0; p < PART_COUNT; p++)
        buffer_append(&b, k->part[p].marks, k->part[p].count * sizeof(uint64_t));
    int status = file_write(path, b.data, b.size, e);
    buffer_free(&b);
    return status;
}

int training_rows_read(struct training_rows **ret, const char *path, struct error *e)
{
    char *bytes;
    size_t size, at = sizeof head + PART_COUNT * sizeof(uint64_t), left;
    if (file_read(&bytes, &size, path, e))
        return -1;
    struct training_rows *k = allocate(1, sizeof *k);
    bool right = size >= at && !memcmp(bytes, head, sizeof head);
    left = right ? (size - at) / sizeof(uint64_t) : 0;
    for (int p = 0; right && p < PART_COUNT; p++) {
        uint64_t count;
        memcpy(&count, bytes + sizeof head + (size_t)p * sizeof count, sizeof count);
        if (!(right = count <= left))
            break;
        k->part[p].marks = allocate(count, sizeof(uint64_t));
        k->part[p].count = count;
        memcpy(k->part[p].marks, bytes + at, count * sizeof(uint64_t));
        at += count * sizeof(uint64_t);
        left -= count;
    }
    free(bytes);
    if (right && at == size) {
        *ret = k;
        return 0;
    }
    training_rows_destroy(&k);
    return error_set(e, ERROR_DATA, "%s: is damaged; publish the bundle again", path);
}

enum part training_rows_find(const struct training_rows *k, const struct dataset *d, uint32_t row)
{
    uint64_t mark = mark_of(d, row);
    int p = 0;
    while (p < PART_COUNT && !(k->part[p].count && bsearch(&mark, k->part[p].marks, k->part[p].count, sizeof mark, by_value)))
        p++;
    return (enum part)p;
}
