/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the same case on two devices and compares everything that it recorded. */
#pragma once

#include "common/base/memory.h"
#include "worker/device/bf16.h"
#include "worker/device/device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum type { F32, ACT };

struct array {
    char name[64];
    float *values;
    size_t count;
    enum type type;
};

/* A device under test, its memory, and what cases record. */
struct bench {
    struct device *d;
    uint64_t random;
    device_memory memory[64];
    size_t memory_count;
    struct array arrays[64];
    size_t array_count;
    bool poison; /* random values hold NaN and infinities */
};

static inline void bench_open(struct bench *b, const char *name, enum precision precision, int threads)
{
    struct error e = {0};
    *b = (struct bench){.random = 1};
    if (device_create(&b->d, name, precision, threads, &e) != 0)
        fail_msg("%s", e.message);
}

static inline void bench_clear(struct bench *b) /* between cases */
{
    while (b->memory_count)
        b->d->run->release(b->d, b->memory[--b->memory_count]);
    while (b->array_count)
        free(b->arrays[--b->array_count].values);
    b->random = 1;
}

static inline void bench_close(struct bench *b)
{
    bench_clear(b);
    b->d->run->destroy(b->d);
}

static inline float random_value(struct bench *b) /* about normal */
{
    float sum = -6;
    for (int i = 0; i < 12; i++) {
        b->random = b->random * 6364136223846793005u + 1442695040888963407u;
        sum += (float)(b->random >> 40) / 16777216.0f;
    }
    return sum;
}

static inline device_memory room(struct bench *b, size_t bytes) /* filled with NaN, so that what is not written shows */
{
    struct error e = {0};
    device_memory ret;
    if (b->d->run->allocate(b->d, &ret, bytes, &e) != 0)
        fail_msg("%s", e.message);
    assert_true(b->memory_count < 64);
    assert_int_equal(ret.address % 64, 0);
    b->memory[b->memory_count++] = ret;
    unsigned char *fill = malloc(bytes + 1);
    memset(fill, 0xff, bytes);
    b->d->run->upload(b->d, ret, fill, bytes);
    free(fill);
    return ret;
}

static inline size_t type_bytes(const struct bench *b, enum type type)
{
    return type == F32 ? 4 : precision_bytes(b->d->precision);
}

static inline device_memory space(struct bench *b, enum type type, size_t count)
{
    return room(b, count * type_bytes(b, type));
}

/* `precision` of the values: both devices of a comparison have the same. */
static inline device_memory put_values(struct bench *b, enum type type, const float *values, size_t count)
{
    device_memory ret = space(b, type, count);
    bf16 *halves = malloc(count * sizeof *halves + 1);
    for (size_t i = 0; i < count; i++)
        halves[i] = bf16_from_float(values[i]);
    b->d->run->upload(b->d, ret, type_bytes(b, type) == 2 ? (const void *)halves : values, count * type_bytes(b, type));
    free(halves);
    return ret;
}

static inline device_memory put_random(struct bench *b, enum type type, size_t count, float scale)
{
    float *values = malloc(count * sizeof *values + 1);
    for (size_t i = 0; i < count; i++)
        values[i] = random_value(b) * scale;
    for (size_t i = 0; b->poison && i < count; i += 97)
        values[i] = i % 2 ? INFINITY : i % 3 ? NAN : -INFINITY;
    device_memory ret = put_values(b, type, values, count);
    free(values);
    return ret;
}

static inline device_memory put_integers(struct bench *b, const int32_t *values, size_t count)
{
    device_memory ret = room(b, count * 4);
    b->d->run->upload(b->d, ret, values, count * 4);
    return ret;
}

static inline device_memory put_choices(struct bench *b, size_t count, size_t below)
{
    int32_t *values = malloc(count * sizeof *values + 1);
    for (size_t i = 0; i < count; i++) {
        random_value(b);
        values[i] = (int32_t)((b->random >> 33) % below);
    }
    device_memory ret = put_integers(b, values, count);
    free(values);
    return ret;
}

static inline float *take_values(struct bench *b, device_memory m, enum type type, size_t count)
{
    float *ret = malloc(count * sizeof *ret + 1);
    if (type_bytes(b, type) == 4) {
        b->d->run->download(b->d, ret, m, count * 4);
        return ret;
    }
    bf16 *halves = malloc(count * sizeof *halves + 1);
    b->d->run->download(b->d, halves, m, count * 2);
    for (size_t i = 0; i < count; i++)
        ret[i] = bf16_to_float(halves[i]);
    free(halves);
    return ret;
}

static inline double take_double(struct bench *b, device_memory m)
{
    double ret;
    b->d->run->download(b->d, &ret, m, sizeof ret);
    return ret;
}

/* A step that is not bad. */
static inline device_memory put_control(struct bench *b, float scale)
{
    const struct step_control c = {.scale = scale};
    device_memory ret = room(b, sizeof c);
    b->d->run->upload(b->d, ret, &c, sizeof c);
    return ret;
}

static inline void record(struct bench *b, const char *name, enum type type, device_memory m, size_t count)
{
    assert_true(b->array_count < 64);
    struct array *a = &b->arrays[b->array_count++];
    snprintf(a->name, sizeof a->name, "%s", name);
    *a = (struct array){.values = take_values(b, m, type, count), .count = count, .type = type};
    snprintf(a->name, sizeof a->name, "%s", name);
}

/* Tokens of rows of these lengths: offsets, positions, rows (numbers 1000, 1007, ...). */
struct rows {
    size_t T, B;
    device_memory offsets, positions, rows;
};

static inline struct rows put_rows(struct bench *b, const size_t *lengths, size_t B, uint32_t first_row)
{
    struct rows r = {.B = B};
    for (size_t i = 0; i < B; i++)
        r.T += lengths[i];
    int32_t *offsets = calloc(B + 1, 4), *positions = calloc(r.T + 1, 4), *rows = calloc(r.T + 1, 4);
    for (size_t i = 0, t = 0; i < B; i++) {
        for (size_t k = 0; k < lengths[i]; k++, t++) {
            positions[t] = (int32_t)k;
            rows[t] = (int32_t)(first_row + 7 * i);
        }
        offsets[i + 1] = (int32_t)t;
    }
    r.offsets = put_integers(b, offsets, B + 1);
    r.positions = put_integers(b, positions, r.T);
    r.rows = put_integers(b, rows, r.T);
    free(offsets);
    free(positions);
    free(rows);
    return r;
}

static inline struct dropout dropout_of(const struct rows *r, float probability, uint32_t site)
{
    return (struct dropout){probability, 0x123456789abcdefull, 3, site, r->rows, r->positions};
}

/* Places of distances up to reach - 1 among `span` either way: one each for the nearest `near`, then one for `step` of them, or
 * every step-th where step is negative; behind the last one all the same. */
static inline struct relative_bias put_bias(struct bench *b, size_t reach, int span, int near, int step, bool keys, bool queries,
                                            size_t C)
{
    int32_t *places = malloc(2 * reach * sizeof *places);
    for (int d = 1 - (int)reach; d < (int)reach; d++) {
        int far = abs(d), bucket = far <= near ? far
                                   : step > 0  ? near + (far - near + step - 1) / step
                                               : near - step * (far - near);
        int place = span + (d < 0 ? -bucket : bucket);
        places[d + (int)reach - 1] = place < 0 ? 0 : place < 2 * span ? place : 2 * span - 1;
    }
    size_t S = 2 * (size_t)span, parts = (keys ? 1 : 0) + (queries ? 1 : 0);
    struct relative_bias ret = {.stride = parts * C, .S = S, .places = put_integers(b, places, 2 * reach - 1), .reach = reach};
    device_memory all = put_random(b, ACT, S * parts * C, 1);
    if (queries)
        ret.queries = all;
    if (keys)
        ret.keys = queries ? device_at(all, C * type_bytes(b, ACT)) : all;
    free(places);
    return ret;
}

/* Largest difference relative to the largest value. */
static inline double difference(const struct array *expected, const struct array *found, size_t *at)
{
    double most = 0, scale = 1e-30;
    for (size_t i = 0; i < expected->count; i++)
        scale = fmax(scale, fabs(expected->values[i]));
    for (size_t i = 0; i < expected->count; i++) {
        double off = fabs((double)expected->values[i] - found->values[i]) / scale;
        if (!(off <= most)) {
            most = isnan(off) ? INFINITY : off;
            *at = i;
        }
    }
    return most;
}

static inline void compare(const char *device, const char *what, const struct bench *expected, const struct bench *found,
                           const double tolerance[2])
{
    assert_int_equal(expected->array_count, found->array_count);
    for (size_t i = 0; i < expected->array_count; i++) {
        const struct array *a = &expected->arrays[i], *b = &found->arrays[i];
        size_t at = 0;
        double off = difference(a, b, &at);
        if (off > tolerance[a->type])
            fail_msg("%s: %s: %s[%zu] of %zu: expected %g, found %g; off by %g of the largest, allowed %g", device, what, a->name,
                     at, a->count, a->values[at], b->values[at], off, tolerance[a->type]);
    }
}

static inline void assert_same_bits(const char *what, const struct bench *a, const struct bench *b)
{
    assert_int_equal(a->array_count, b->array_count);
    for (size_t i = 0; i < a->array_count; i++)
        if (memcmp(a->arrays[i].values, b->arrays[i].values, a->arrays[i].count * sizeof(float)) != 0)
            fail_msg("%s: %s: expected the same bits again", what, a->arrays[i].name);
}
