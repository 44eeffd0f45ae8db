/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void make_one_line(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
}

int error_set(struct error *e, enum error_kind kind, const char *format, ...)
{
    if (!e)
        return -1;
    char text[sizeof e->message];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    make_one_line(text);
    e->kind = kind;
    memcpy(e->message, text, sizeof text);
    return -1;
}

int error_errno(struct error *e, int number, const char *format, ...)
{
    char text[sizeof e->message];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return error_set(e, ERROR_FAILED, "%.900s: %s", text, strerror(number));
}

int error_prefix(struct error *e, const char *format, ...)
{
    if (!e)
        return -1;
    char place[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(place, sizeof place, format, arguments);
    va_end(arguments);
    char text[sizeof e->message];
    memcpy(text, e->message, sizeof text);
    return error_set(e, e->kind, "%s%.*s", place, (int)(sizeof text - sizeof place), text);
}
