/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the order of rows in an epoch and of sums in a step. */
#include "worker/train/plan.h"

#include "common/base/memory.h"
#include "common/base/philox.h"

#include <stdlib.h>
#include <string.h>

struct keyed {
    uint64_t key;
    uint32_t row;
};

struct plan {
    uint32_t *rows, *order; /* as given; of `epoch` */
    struct keyed *sorting;
    uint32_t count, batch, epoch; /* epoch 0: none yet */
    uint64_t seed;
};

int plan_create(struct plan **ret, const uint32_t *rows, uint32_t count, uint64_t seed, uint32_t batch, uint32_t micro_batch,
                struct error *e)
{
    if (!count)
        return error_set(e, ERROR_DATA, "the train part has no rows; check data and split");
    if (!batch || !micro_batch || batch % micro_batch)
        return error_set(e, ERROR_USAGE, "train.batch %u is not a multiple of train.micro_batch %u; change one of them", batch,
                         micro_batch);
    struct plan *p = allocate(1, sizeof *p);
    p->rows = allocate(count, sizeof *p->rows);
    p->order = allocate(count, sizeof *p->order);
    p->sorting = allocate(count, sizeof *p->sorting);
    memcpy(p->rows, rows, count * sizeof *rows);
    p->count = count;
    p->seed = seed;
    p->batch = batch;
    *ret = p;
    return 0;
}

void plan_destroy(struct plan **plan)
{
    struct plan *p = plan ? *plan : NULL;
    if (!p)
        return;
    free(p->rows);
    free(p->order);
    free(p->sorting);
    free(p);
    *plan = NULL;
}

uint64_t plan_steps_per_epoch(const struct plan *p)
{
    return ((uint64_t)p->count + p->batch - 1) / p->batch;
}

static int compare(const void *left, const void *right)
{
    const struct keyed *a = left, *b = right;
    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    return (a->row > b->row) - (a->row < b->row);
}

static void shuffle(struct plan *p, uint32_t epoch)
{
    for (uint32_t i = 0; i < p->count; i++) {
        struct philox_block b = philox(p->seed, RANDOM_SHUFFLE, p->rows[i], 0, 0, epoch);
        p->sorting[i] = (struct keyed){(uint64_t)b.word[1] << 32 | b.word[0], p->rows[i]};
    }
    qsort(p->sorting, p->count, sizeof *p->sorting, compare);
    for (uint32_t i = 0; i < p->count; i++)
        p->order[i] = p->sorting[i].row;
    p->epoch = epoch;
}

const uint32_t *plan_step(struct plan *p, uint32_t epoch, uint64_t s, uint32_t *count)
{
    if (p->epoch != epoch)
        shuffle(p, epoch);
    uint64_t first = s * p->batch, left = p->count - first;
    *count = (uint32_t)(left < p->batch ? left : p->batch);
    return p->order + first;
}

static uint32_t power_above(uint32_t n)
{
    uint32_t power = 1;
    while (power < n)
        power *= 2;
    return power;
}

static uint32_t reversed(uint32_t i, uint32_t power)
{
    uint32_t result = 0;
    for (uint32_t bit = 1; bit < power; bit *= 2, i /= 2)
        result = result * 2 + i % 2;
    return result;
}

uint32_t plan_turn_count(uint32_t micro_batches, int rank, int size)
{
    return micro_batches > (uint32_t)rank ? (micro_batches - (uint32_t)rank - 1) / (uint32_t)size + 1 : 0;
}

/* Let a(n) be what n leaves need. The node's halves have ceil(n / 2) and floor(n / 2) leaves, and the first half's sum waits
 * while the second is made: a(n) = max(a(ceil(n / 2)), 1 + a(floor(n / 2))), a(1) = 1. By induction that is the number of bits of
 * n. */
uint32_t plan_arenas(uint32_t micro_batches, int rank, int size)
{
    uint32_t arenas = 1;
    for (uint32_t n = plan_turn_count(micro_batches, rank, size); n > 1; n /= 2)
        arenas++;
    return arenas;
}

/* The place behind `place` whose leaf is there; power: none. */
static uint32_t next_leaf(uint32_t place, uint32_t power, uint32_t n)
{
    do
        place++;
    while (place < power && reversed(place, power) >= n);
    return place;
}

/* The rank's leaves k = 0..n-1 (j = k size + rank) in the order of their reversed bits: neighbours in this order differ in the
 * highest bit, and that is the bit nearest the leaves. So the tree is summed as a binary counter counts: a sum waits in the stack
 * until its sibling is there. A leaf that is absent is zero: its sibling rises alone. */
void plan_turns(struct plan_turn *ret, uint32_t micro_batches, int rank, int size)
{
    uint32_t n = plan_turn_count(micro_batches, rank, size), power = power_above(n), top = 0;
    uint32_t first_leaf[33]; /* of the sum in each arena */
    for (uint32_t place = 0, next; n && place < power; place = next) {
        struct plan_turn t = {reversed(place, power) * (uint32_t)size + (uint32_t)rank, top, 0};
        first_leaf[top++] = place;
        /* All pairs of sums below the node where the path of the next leaf leaves ours are complete. */
        next = next_leaf(place, power, n);
        while (top > 1) {
            uint32_t joined = 1; /* the places of the smallest node that holds both newest sums */
            while (first_leaf[top - 2] / joined != first_leaf[top - 1] / joined)
                joined *= 2;
            if (next < power && next / joined == place / joined)
                break; /* the node is not complete yet */
            top--;
            t.additions++;
        }
        *ret++ = t;
    }
}
