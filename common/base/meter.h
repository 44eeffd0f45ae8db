/* SPDX-License-Identifier: Apache-2.0 */
/* How far a stage is that walks over much: every ten seconds a line with what is done, the rate and the time left. */
#pragma once

#include <stdatomic.h>
#include <stddef.h>

struct meter {
    const char *what, *unit; /* "tokenizing", "rows" */
    size_t total;
    double start;
    atomic_size_t done;
    atomic_int shown; /* lines */
};

void meter_begin(struct meter *m, const char *what, const char *unit, size_t total);
void meter_add(struct meter *m, size_t count); /* so many more are done; any thread */
void meter_set(struct meter *m, size_t done);  /* so many in all; one thread */
/* As the line has it: "tokenizing: 1200 of 5000 rows, 100 a second, 38 s left". done > 0. */
void meter_line(char *text, size_t size, const struct meter *m, size_t done, double seconds);
