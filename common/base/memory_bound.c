/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/memory_bound.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LEAST (64.0 * 1024 * 1024) /* what the programs need anyway */

/* 0: it is none. */
static double given_bytes(void)
{
    static const char letters[] = "KMG";
    const char *text = getenv("MUSTER_MEMORY");
    char *end = NULL;
    if (!text || !*text)
        return 0;
    double value = strtod(text, &end);
    if (end == text || text[strspn(text, "0123456789.KMGkmg")] || !isfinite(value))
        return 0;
    if (*end) {
        const char *letter = strchr(letters, *end >= 'a' ? *end - 'a' + 'A' : *end);
        if (!letter || end[1])
            return 0;
        value *= pow(1024, (double)(letter - letters) + 1);
    }
    return value >= LEAST && value < 0x1p62 ? value : 0;
}

uint64_t memory_bound(void)
{
    double given = given_bytes();
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    double quarter = pages > 0 && size > 0 ? (double)pages * (double)size / 4 : 1024.0 * 1024 * 1024;
    return (uint64_t)(given > 0 ? given : fmax(quarter, LEAST));
}

static atomic_size_t held;

bool memory_bound_take(size_t bytes)
{
    if (atomic_fetch_add(&held, bytes) + bytes <= memory_bound() / 8)
        return true;
    atomic_fetch_sub(&held, bytes);
    return false;
}

void memory_bound_count(size_t bytes)
{
    atomic_fetch_add(&held, bytes);
}

void memory_bound_give_back(size_t bytes)
{
    atomic_fetch_sub(&held, bytes);
}

int memory_bound_check(struct error *e)
{
    const char *text = getenv("MUSTER_MEMORY");
    if (!text || !*text || given_bytes() > 0)
        return 0;
    return error_set(e, ERROR_USAGE, "MUSTER_MEMORY is \"%.100s\"; give bytes, or a number with K, M or G, of at least 64M",
                     text);
}
