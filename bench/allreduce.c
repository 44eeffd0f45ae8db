/* SPDX-License-Identifier: Apache-2.0 */
/* What a sum over ranks costs, by size: the time of all_reduce and join, which is what a step pays where nothing is left to
 * overlap with. Run it under mpirun; rank 0 prints one JSON line a size.
 *
 *     mpirun -np 4 --bind-to none bench_allreduce [BYTES ...]
 *
 * bus: bytes that each rank sends by halving and doubling, 2 (n - 1) / n of the size, over the time. Every sum is checked: small
 * whole numbers add up exactly in any order. */
#include "common/base/clock.h"
#include "common/base/memory.h"
#include "worker/comm/communicator.h"

#include <stdio.h>
#include <stdlib.h>

#define PATIENCE 120.0
#define ENOUGH 1.0 /* seconds a size */
#define FEWEST 3
#define MOST 400

static int sum_once(struct communicator *c, float *data, size_t count, double *seconds, struct error *e)
{
    for (size_t i = 0; i < count; i++)
        data[i] = (float)((i + (size_t)c->rank) % 8);
    if (c->run->barrier(c, e))
        return -1;
    double start = clock_seconds();
    if (c->run->all_reduce(c, (device_memory){(uintptr_t)data}, count, e) || c->run->join(c, e))
        return -1;
    *seconds = clock_seconds() - start;
    for (size_t i = 0; i < count; i++) {
        float expected = 0;
        for (int r = 0; r < c->size; r++)
            expected += (float)((i + (size_t)r) % 8);
        if (data[i] < expected || data[i] > expected)
            return error_set(e, ERROR_FAILED, "element %zu of %zu: expected %g, found %g", i, count, (double)expected,
                             (double)data[i]);
    }
    return 0;
}

static int ascending(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

/* Every rank goes on as long as rank 0 says, so that all do the same. */
static int measure(struct communicator *c, size_t count, struct error *e)
{
    double seconds[MOST], spent = 0;
    float *data = allocate(count, sizeof *data);
    int runs = 0, more = 1, result = sum_once(c, data, count, &seconds[0], e); /* the first takes scratch memory */
    while (!result && more) {
        result = sum_once(c, data, count, &seconds[runs], e);
        spent += seconds[runs++];
        more = runs < FEWEST || (spent < ENOUGH && runs < MOST);
        if (!result)
            result = c->run->broadcast(c, &more, sizeof more, 0, e);
    }
    free(data);
    if (result || c->rank)
        return result;
    qsort(seconds, (size_t)runs, sizeof *seconds, ascending);
    double median = seconds[runs / 2], bytes = (double)count * sizeof(float);
    printf(
        "{\"ranks\": %d, \"bytes\": %.0f, \"runs\": %d, \"median_ms\": %.4f, \"best_ms\": %.4f, \"bus_GB_per_second\": %.3f}\n",
        c->size, bytes, runs, 1e3 * median, 1e3 * seconds[0], 2e-9 * (c->size - 1) / c->size * bytes / median);
    return 0;
}

int main(int argc, char **argv)
{
    static const double sizes[] = {4, 4e3, 40e3, 400e3, 4e6, 40e6, 400e6};
    struct error e = {0};
    struct communicator *c;
    struct device *d;
    if (device_create(&d, "cpu_reference", PRECISION_F32, 1, &e) || communicator_create(&c, "mpi", 0, PATIENCE, &e) ||
        c->run->attach(c, d, &e)) {
        fprintf(stderr, "bench_allreduce: %s\n", e.message);
        return (int)e.kind;
    }
    int result = 0, count = argc > 1 ? argc - 1 : (int)(sizeof sizes / sizeof *sizes);
    for (int i = 0; i < count && !result; i++) {
        double bytes = argc > 1 ? strtod(argv[i + 1], NULL) : sizes[i];
        if (!(bytes >= 4 && bytes < 8e9))
            result = error_set(&e, ERROR_USAGE, "%s: not a size in bytes from 4 to 8e9", argv[i + 1]);
        else
            result = measure(c, (size_t)(bytes / sizeof(float)), &e);
    }
    if (result)
        fprintf(stderr, "bench_allreduce: %s\n", e.message);
    c->run->destroy(c);
    d->run->destroy(d);
    return (int)e.kind;
}
