/* SPDX-License-Identifier: Apache-2.0 */
/* Owns memory as devices on the host have it: the handle is the address. */
#include "worker/device/host_memory.h"

#include "worker/device/host.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HUGE_PAGE ((size_t)2 << 20)

int host_allocate(struct device *d, device_memory *ret, size_t bytes, struct error *e)
{
    (void)d;
    size_t alignment = bytes >= HUGE_PAGE ? HUGE_PAGE : 64;
    void *memory;
    if (bytes > SIZE_MAX / 2 || posix_memalign(&memory, alignment, bytes ? bytes : 1) != 0)
        return error_set(e, ERROR_FAILED,
                         "device cpu: %zu bytes requested; this machine does not have them; lower train.micro_batch", bytes);
    if (bytes >= HUGE_PAGE) /* only a hint: fewer page faults and translations in arenas that are walked every step */
        madvise(memory, bytes & ~(HUGE_PAGE - 1), MADV_HUGEPAGE);
    *ret = (device_memory){(uintptr_t)memory};
    return 0;
}

void host_release(struct device *d, device_memory m)
{
    (void)d;
    free(host_pointer(m));
}

void host_upload(struct device *d, device_memory to, const void *from, size_t bytes)
{
    (void)d;
    if (bytes)
        memcpy(host_pointer(to), from, bytes);
}

void host_download(struct device *d, void *to, device_memory from, size_t bytes)
{
    (void)d;
    if (bytes)
        memcpy(to, host_pointer(from), bytes);
}

void host_zero(struct device *d, device_memory m, size_t bytes)
{
    (void)d;
    if (bytes)
        memset(host_pointer(m), 0, bytes);
}

void host_copy(struct device *d, device_memory to, device_memory from, size_t bytes)
{
    (void)d;
    if (bytes)
        memmove(host_pointer(to), host_pointer(from), bytes);
}

void *host_begin(struct device *d, device_memory m, size_t bytes)
{
    (void)d;
    (void)bytes;
    return host_pointer(m);
}

void host_end(struct device *d, void *host, device_memory m, size_t bytes)
{
    (void)d;
    (void)host;
    (void)m;
    (void)bytes;
}

int host_finish(struct device *d, struct error *e)
{
    (void)d;
    (void)e;
    return 0;
}

uint64_t host_mark(struct device *d)
{
    (void)d;
    return 0;
}

int host_passed(struct device *d, uint64_t mark, struct error *e)
{
    (void)mark;
    return d->run->finish(d, e) ? -1 : 1;
}
