/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as split.json of ten rows: refused in one line, or every row is in one part, and what is written from it reads back
 * as the same. */
#include "common/base/file.h"
#include "common/format/split.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { ROWS = 10 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct dataset *rows; /* row-0 to row-9 */
static char again[64];

static void set_up(void)
{
    struct error e = {0};
    struct dataset_writer *w;
    char path[64];
    snprintf(path, sizeof path, "/tmp/fuzz_split.%d.rows", (int)getpid());
    snprintf(again, sizeof again, "%s/fuzz_split.%d.json", directory_exists("/dev/shm") ? "/dev/shm" : "/tmp", (int)getpid());
    if (dataset_writer_create(&w, path, 2, false, &e))
        abort();
    for (int i = 0; i < ROWS; i++) {
        char id[16];
        const int32_t ids[] = {101, i};
        snprintf(id, sizeof id, "row-%d", i);
        if (dataset_writer_append(w, id, "g", i % 2, NULL, (struct token_row){ids, 2, 1}, &e))
            abort();
    }
    if (dataset_writer_commit(&w, &e) || dataset_open(&rows, path, &e))
        abort();
    remove(path);
}

static void check_parts(const struct split *s)
{
    bool seen[ROWS] = {0};
    size_t total = 0;
    for (int p = 0; p < PART_COUNT; p++)
        for (uint32_t i = 0; i < s->part[p].count; i++, total++) {
            uint32_t row = s->part[p].rows[i];
            if (row >= ROWS || seen[row] || (i && row <= s->part[p].rows[i - 1]))
                abort();
            seen[row] = true;
        }
    if (total != ROWS)
        abort();
}

static void check_again(struct split *s)
{
    struct split read = {0};
    struct error e = {0};
    if (split_write(again, s, rows, &e) || split_read(&read, again, rows, &e))
        abort();
    check_parts(&read);
    for (int p = 0; p < PART_COUNT; p++)
        if (read.part[p].count != s->part[p].count)
            abort();
    if (strcmp(read.sha256, s->sha256) || strcmp(read.method, s->method))
        abort();
    split_free(&read);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    if (!rows)
        set_up();
    int fd = memfd_create("fuzz", 0);
    if (write(fd, data, size) != (ssize_t)size)
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    struct split s = {0};
    struct error e = {0};
    if (split_read(&s, path, rows, &e) == 0) {
        check_parts(&s);
        check_again(&s);
        split_free(&s);
    } else if (e.kind != ERROR_DATA || strncmp(e.message, path, strlen(path)) || strchr(e.message, '\n')) {
        abort();
    }
    close(fd);
    return 0;
}
