/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/serve/refusal.h"

#include <stdarg.h>
#include <stdio.h>

static const struct {
    int status;
    const char *name;
} kinds[REFUSAL_KINDS] = {
    [REFUSAL_BAD_REQUEST] = {400, "bad_request"}, [REFUSAL_UNAUTHORIZED] = {401, "unauthorized"},
    [REFUSAL_NOT_FOUND] = {404, "not_found"},     [REFUSAL_METHOD] = {405, "method_not_allowed"},
    [REFUSAL_TOO_LARGE] = {413, "too_large"},     [REFUSAL_MEDIA_TYPE] = {415, "unsupported_media_type"},
    [REFUSAL_VALIDATION] = {422, "validation"},   [REFUSAL_EMPTY] = {400, "empty"},
    [REFUSAL_OVERLOADED] = {429, "overloaded"},   [REFUSAL_UNAVAILABLE] = {503, "unavailable"},
};

int refusal_status(enum refusal_kind kind)
{
    return kinds[kind].status;
}

const char *refusal_name(enum refusal_kind kind)
{
    return kinds[kind].name;
}

int refuse(struct refusal *r, enum refusal_kind kind, const char *format, ...)
{
    va_list arguments;
    *r = (struct refusal){.kind = kind};
    va_start(arguments, format);
    vsnprintf(r->message, sizeof r->message, format, arguments);
    va_end(arguments);
    for (char *p = r->message; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
    return -1;
}

struct json *refusal_to_json(const struct refusal *r)
{
    struct json *o = json_object();
    json_set_string(o, "error", r->message);
    json_set_string(o, "error_type", refusal_name(r->kind));
    return o;
}
