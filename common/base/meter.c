/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/meter.h"

#include "common/base/clock.h"
#include "common/base/log.h"

#include <stdio.h>

#define SECONDS_A_LINE 10

void meter_begin(struct meter *m, const char *what, const char *unit, size_t total)
{
    *m = (struct meter){.what = what, .unit = unit, .total = total, .start = clock_seconds()};
}

void meter_line(char *text, size_t size, const struct meter *m, size_t done, double seconds)
{
    char left[64];
    double rate = (double)done / seconds, rest = done < m->total ? (double)(m->total - done) : 0;
    clock_duration(left, sizeof left, rest / rate);
    snprintf(text, size, "%s: %zu of %zu %s, %.*f a second, %s left", m->what, done, m->total, m->unit, rate < 10 ? 1 : 0, rate,
             left);
}

static void show(struct meter *m, size_t done)
{
    double seconds = clock_seconds() - m->start;
    int due = (int)(seconds / SECONDS_A_LINE), shown = atomic_load(&m->shown);
    char text[256];
    if (done == 0 || due <= shown || !atomic_compare_exchange_strong(&m->shown, &shown, due))
        return;
    meter_line(text, sizeof text, m, done, seconds);
    log_info("%s", text);
}

void meter_add(struct meter *m, size_t count)
{
    show(m, atomic_fetch_add(&m->done, count) + count);
}

void meter_set(struct meter *m, size_t done)
{
    atomic_store(&m->done, done);
    show(m, done);
}
