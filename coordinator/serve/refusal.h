/* SPDX-License-Identifier: Apache-2.0 */
/* Why a request gets no answer: a status code of HTTP, a word for programs, and one line for people. */
#pragma once

#include "common/json/json.h"

enum refusal_kind {
    REFUSAL_BAD_REQUEST,
    REFUSAL_UNAUTHORIZED,
    REFUSAL_NOT_FOUND,
    REFUSAL_METHOD,
    REFUSAL_TOO_LARGE,
    REFUSAL_MEDIA_TYPE,
    REFUSAL_VALIDATION,
    REFUSAL_EMPTY,
    REFUSAL_OVERLOADED,
    REFUSAL_UNAVAILABLE,
    REFUSAL_KINDS
};

struct refusal {
    enum refusal_kind kind;
    char message[1024];
    double after; /* seconds: Retry-After; 0: none */
};

int refusal_status(enum refusal_kind kind);       /* 400, 401, ... */
const char *refusal_name(enum refusal_kind kind); /* "bad_request", ... */
/* Fills *r and returns -1. Control characters become '?'. */
int refuse(struct refusal *r, enum refusal_kind kind, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* {"error": ..., "error_type": ...}; caller destroys. */
struct json *refusal_to_json(const struct refusal *r);
