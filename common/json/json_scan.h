/* SPDX-License-Identifier: Apache-2.0 */
/* The scan of a JSON text before cJSON reads it: inside json.c only. It refuses what cJSON lets through (RFC 8259: trailing text,
 * 01, 1., control characters, bad UTF-8, lone surrogates), and knows the place. */
#pragma once

#include "common/base/buffer.h"
#include "common/base/error.h"

#include <stdbool.h>
#include <stddef.h>

enum { SCAN_NUMBER_SIZE = 63 /* cJSON cuts longer numbers */ };

struct scan {
    const char *text, *at, *end;
    const char *place;
    size_t first_line;
    bool lenient;            /* as Python reads: NaN and infinities (null here), \u0000 and lone surrogates (U+FFFD here) */
    struct buffer rewritten; /* the text up to `copied`, if anything had to be replaced for cJSON */
    const char *copied;
    size_t nuls, surrogates, nans; /* of these replaced */
    size_t keys, wanted_key; /* keys met; the scan ends at number wanted_key (from 1) */
    bool as_written;
    size_t numbers; /* met and kept */
    size_t
        *floats; /* with as_written: which of these, from 0 and rising, are whole but were written with a point or an exponent */
    size_t float_count, float_capacity;
    struct error *e;
};

/* From s->at, at the start of the text: 0, -1 with *s->e set, or 1 at the wanted key (s->at is its quote). */
int scan_document(struct scan *s);

/* "place:line:column: what" into *s->e; columns are characters. Returns -1. */
int scan_refuse(struct scan *s, const char *at, const char *what);

/* Bytes of the well-formed character at `text` (Unicode table 3-7), or 0. */
size_t scan_character(const char *text, const char *end);
