/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a zip archive: refused in words, or every entry is found by its name and unpacked, or refused in words. */
#include "common/format/zip.h"

#include "common/base/memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 1 << 22 }; /* bytes of an entry that are unpacked here */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_refusal(const struct error *e)
{
    if (e->kind != ERROR_DATA || strncmp(e->message, "fuzz", 4) || strchr(e->message, '\n'))
        abort();
}

static void read_entry(const struct archive *a, const char *name)
{
    size_t index, size;
    struct error e = {0};
    if (!archive_find(a, name, &index, &size))
        return;
    if (index >= archive_count(a))
        abort();
    if (size > MOST)
        return;
    char *bytes = allocate(size + 1, 1);
    if (archive_read(a, index, bytes, size, &e))
        check_refusal(&e);
    else if (size && archive_read(a, index, bytes, size - 1, &e) == 0)
        abort(); /* it is longer than that */
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct archive *a;
    struct error e = {0};
    if (archive_open(&a, data, size, "fuzz", &e)) {
        check_refusal(&e);
        return 0;
    }
    for (size_t i = 0; i < archive_count(a) && i < 100; i++) {
        const char *name = archive_name(a, i);
        if (name)
            read_entry(a, name);
    }
    archive_close(&a);
    return 0;
}
