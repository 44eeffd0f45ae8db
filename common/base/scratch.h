/* SPDX-License-Identifier: Apache-2.0 */
/* A table over many rows whose memory need not stay resident: of the process while all of these are small (memory_bound_take),
 * else mapped from a temporary file without a name (of TMPDIR), to which the kernel writes what it takes back. Where no such file
 * can be made or the file system is full, memory of the process. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct scratch { /* zero-initialise; scratch_free ends it */
    void *data;
    size_t size;
    bool mapped;
    int file; /* of what is mapped */
};

/* To `size` bytes: what was there stays, more is zero; data may move. */
void scratch_resize(struct scratch *s, size_t size);
/* Pages need not stay resident for now: the content does not change, whoever reads or writes meanwhile. */
void scratch_rest(const struct scratch *s);
void scratch_free(struct scratch *s);
