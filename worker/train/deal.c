/* Owns which rows of a step share a micro-batch. */
#include "worker/train/deal.h"

#include <stdbool.h>

static bool before(struct dealt a, struct dealt b)
{
    return a.length != b.length ? a.length > b.length : a.row < b.row;
}

/* By insertion: steps are short, and qsort may allocate. */
static void sort(struct dealt *items, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        struct dealt item = items[i];
        uint32_t place = i;
        for (; place && before(item, items[place - 1]); place--)
            items[place] = items[place - 1];
        items[place] = item;
    }
}

void deal(uint32_t *ret, struct dealt *items, uint32_t count, uint32_t micro_batch, struct hand *hands)
{
    uint32_t micro_batches = (count + micro_batch - 1) / micro_batch;
    for (uint32_t j = 0; j < micro_batches; j++)
        hands[j] = (struct hand){0};
    sort(items, count);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t best = micro_batches;
        for (uint32_t j = 0; j < micro_batches; j++) {
            uint32_t left = count - j * micro_batch, room = left < micro_batch ? left : micro_batch;
            if (hands[j].rows < room && (best == micro_batches || hands[j].tokens < hands[best].tokens))
                best = j;
        }
        ret[best * micro_batch + hands[best].rows++] = items[i].row;
        hands[best].tokens += items[i].length;
    }
}
