/* SPDX-License-Identifier: Apache-2.0 */
/* The memory that the cpu device's operations work in, and their failures. */
#include "worker/device/cpu_device.h"
#include "worker/device/host_memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void cpu_fail(struct cpu *c, const char *format, ...)
{
    if (c->failure.kind != ERROR_NONE)
        return;
    char text[sizeof c->failure.message];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    error_set(&c->failure, ERROR_FAILED, "%s", text);
}

void *cpu_scratch(struct cpu *c, int use, size_t bytes)
{
    device_memory m;
    if (c->failure.kind != ERROR_NONE)
        return NULL;
    if (c->scratch[use].memory && bytes <= c->scratch[use].bytes)
        return c->scratch[use].memory;
    bytes += bytes / 4; /* batches differ a little from step to step */
    if (host_allocate(&c->base, &m, bytes, &c->failure) != 0)
        return NULL;
    free(c->scratch[use].memory);
    c->scratch[use].memory = host_pointer(m);
    c->scratch[use].bytes = bytes;
    return c->scratch[use].memory;
}
