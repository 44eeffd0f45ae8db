/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/job/sweep_points.h"

#include "common/base/philox.h"
#include "coordinator/job/job_sweep.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

size_t sweep_grid_size(const struct json *sweep, size_t most)
{
    size_t size = json_size(sweep) > 0;
    for (size_t i = 0; i < json_size(sweep) && size <= most; i++)
        size *= json_size(json_at(sweep, i));
    return size;
}

struct json *sweep_grid_point(const struct json *sweep, size_t n)
{
    struct json *values = json_object();
    size_t below = sweep_grid_size(sweep, SIZE_MAX);
    for (size_t i = 0; i < json_size(sweep); i++) {
        const struct json *list = json_at(sweep, i);
        below /= json_size(list);
        json_set(values, json_key(sweep, i), json_copy(json_at(list, n / below % json_size(list))));
    }
    return values;
}

/* FNV-1a: the same number for a key wherever it stands. */
static uint32_t hash(const char *key)
{
    uint32_t h = 2166136261u;
    for (; *key; key++)
        h = (h ^ (unsigned char)*key) * 16777619u;
    return h;
}

/* In [0, 1), 53 bits. */
static double uniform(uint64_t seed, uint32_t draw, const char *key)
{
    struct philox_block b = philox(seed, RANDOM_SWEEP, draw, 0, hash(key), 0);
    return (double)((uint64_t)b.word[0] << 21 | b.word[1] >> 11) / 9007199254740992.0;
}

static double clamp(double x, double from, double to)
{
    return fmin(fmax(x, from), to);
}

static double round_to_digits(double x)
{
    char text[32];
    snprintf(text, sizeof text, "%.3e", x);
    return strtod(text, NULL);
}

static double of_range(const char *key, const struct json *range, double u)
{
    double from = json_number(json_get(range, "from")), to = json_number(json_get(range, "to"));
    bool log_scale = job_sweep_is_log(key, range), whole = job_swept_field(key)->type != JOB_NUMBER;
    double end = whole ? to + 1 : to; /* every whole number has its share of the range */
    double x = log_scale ? from * pow(end / from, u) : from + u * (end - from);
    return clamp(whole ? floor(x) : round_to_digits(x), from, to);
}

struct json *sweep_random_point(const struct json *sweep, uint64_t seed, uint32_t n)
{
    struct json *values = json_object();
    for (size_t i = 0; i < json_size(sweep); i++) {
        const char *key = json_key(sweep, i);
        const struct json *from = json_at(sweep, i);
        double u = uniform(seed, n, key);
        json_set(values, key,
                 job_sweep_is_range(from) ? json_of_number(of_range(key, from, u))
                                          : json_copy(json_at(from, (size_t)(u * (double)json_size(from)))));
    }
    return values;
}
