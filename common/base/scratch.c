/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/scratch.h"

#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/base/memory_bound.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void unmap(struct scratch *s)
{
    munmap(s->data, s->size);
    close(s->file);
}

/* Space on the disk is taken before it is written to, since a write to a mapping cannot fail in any better way than a signal. */
static bool map(struct scratch *s, size_t size)
{
    int file = s->mapped ? s->file : file_temporary(NULL);
    if (file < 0)
        return false;
    bool room = ftruncate(file, (off_t)size) == 0 && posix_fallocate(file, 0, (off_t)size) == 0;
    void *data = room ? mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0) : MAP_FAILED;
    if (data == MAP_FAILED) {
        if (!s->mapped)
            close(file);
        return false;
    }
    if (s->mapped) {
        munmap(s->data, s->size);
    } else {
        if (s->size > 0)
            memcpy(data, s->data, s->size);
        free(s->data);
        memory_bound_give_back(s->size);
    }
    *s = (struct scratch){.data = data, .size = size, .mapped = true, .file = file};
    return true;
}

#define STAYS ((size_t)1 << 20) /* whatever else there is */

void scratch_resize(struct scratch *s, size_t size)
{
    size_t held = s->mapped ? 0 : s->size, more = size > held ? size - held : 0;
    if (!memory_bound_take(more)) {
        if (size > STAYS && map(s, size))
            return;
        memory_bound_count(more);
    }
    memory_bound_give_back(size < held ? held - size : 0);
    size_t kept = s->size < size ? s->size : size;
    void *data = s->mapped ? allocate(1, size) : reallocate(s->data, 1, size);
    if (s->mapped) {
        memcpy(data, s->data, kept);
        unmap(s);
    } else {
        memset((char *)data + kept, 0, size - kept);
    }
    *s = (struct scratch){.data = data, .size = size};
}

void scratch_rest(const struct scratch *s)
{
    if (s->mapped)
        madvise(s->data, s->size, MADV_DONTNEED);
}

void scratch_free(struct scratch *s)
{
    if (s->mapped) {
        unmap(s);
    } else {
        free(s->data);
        memory_bound_give_back(s->size);
    }
    *s = (struct scratch){0};
}
