/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void memory_end(size_t count, size_t size)
{
    fprintf(
        stderr,
        "muster: out of memory: cannot allocate %zu x %zu bytes; use a machine with more memory, or lower train.micro_batch\n",
        count, size);
    exit(1);
}

static void *require(void *pointer, size_t count, size_t size)
{
    if (!pointer)
        memory_end(count, size);
    return pointer;
}

void *allocate(size_t count, size_t size)
{
    return require(calloc(count ? count : 1, size ? size : 1), count, size);
}

void *reallocate(void *pointer, size_t count, size_t size)
{
    return require(reallocarray(pointer, count ? count : 1, size ? size : 1), count, size);
}

char *duplicate(const char *text)
{
    return text ? require(strdup(text), 1, strlen(text) + 1) : NULL;
}

char *format_string_list(const char *format, va_list arguments)
{
    char *text = NULL;
    if (vasprintf(&text, format, arguments) < 0)
        text = NULL;
    return require(text, 1, 0);
}

char *format_string(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *text = format_string_list(format, arguments);
    va_end(arguments);
    return text;
}

void *grow(void *items, size_t *capacity, size_t needed, size_t size)
{
    if (needed <= *capacity)
        return items;
    size_t larger = *capacity ? *capacity * 2 : 16;
    *capacity = larger < needed ? needed : larger;
    return reallocate(items, *capacity, size);
}
