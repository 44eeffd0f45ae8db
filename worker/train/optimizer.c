/* SPDX-License-Identifier: Apache-2.0 */
/* Owns which ranges of the arenas AdamW walks, and with which decay. */
#include "worker/train/optimizer.h"

#include "common/base/memory.h"

#include <math.h>
#include <stdlib.h>

/* Neighbours in the table with the same decay in both arenas are one range; the gaps between them hold zeros and stay zero. */
struct span {
    size_t offset, gradient, count;
    int bucket;
    bool decays;
    double rate; /* times the learning rate */
};

struct optimizer {
    struct parameters *parameters;
    struct device *device;
    double weight_decay, clip;
    struct span *spans;
    size_t count, capacity;
    const struct parameter *words; /* NULL: frozen */
    double words_rate;
};

static bool continues(const struct span *last, const struct parameter *row)
{
    return last && last->decays == row->decays && last->bucket == row->bucket &&
           row->offset - last->offset == row->gradient - last->gradient;
}

void optimizer_create(struct optimizer **ret, struct parameters *p, struct device *d, double weight_decay, double clip)
{
    struct optimizer *o = allocate(1, sizeof *o);
    *o = (struct optimizer){.parameters = p, .device = d, .weight_decay = weight_decay, .clip = clip, .words_rate = 1};
    for (size_t i = 0; i < parameters_count(p); i++) {
        const struct parameter *row = parameters_at(p, i);
        if (row->gradient == PARAMETER_ABSENT)
            continue;
        if (row->is_words) {
            o->words = row;
            continue;
        }
        struct span *last = o->count ? &o->spans[o->count - 1] : NULL;
        if (!continues(last, row)) {
            o->spans = grow(o->spans, &o->capacity, o->count + 1, sizeof *o->spans);
            last = &o->spans[o->count++];
            *last = (struct span){
                .offset = row->offset, .gradient = row->gradient, .bucket = row->bucket, .decays = row->decays, .rate = 1};
        }
        last->count = row->offset + row->count - last->offset;
    }
    *ret = o;
}

void optimizer_decay_layers(struct optimizer *o, double decay)
{
    int head = parameters_buckets(o->parameters) - 1;
    for (size_t i = 0; i < o->count; i++)
        o->spans[i].rate = pow(decay, head - o->spans[i].bucket);
    o->words_rate = pow(decay, head);
}

void optimizer_destroy(struct optimizer **o)
{
    if (*o)
        free((*o)->spans);
    free(*o);
    *o = NULL;
}

void optimizer_clip(struct optimizer *o, device_memory control, device_memory sum, device_memory bad, device_memory gradient,
                    size_t U, double divisor)
{
    size_t count = parameters_gradients(o->parameters) + U * parameters_gradient_words(o->parameters);
    o->device->run->sum_of_squares(o->device, sum, gradient, count);
    o->device->run->clip(o->device, control, sum, bad, divisor, o->clip);
}

void optimizer_apply(struct optimizer *o, device_memory control, device_memory gradient, device_memory slot_of, double lr,
                     uint64_t t)
{
    struct adamw a = {.learning_rate = (float)lr, .beta1 = 0.9f, .beta2 = 0.999f, .epsilon = 1e-8f};
    a.correction1 = (float)(1 - pow(0.9, (double)t));
    a.correction2 = (float)(1 - pow(0.999, (double)t));
    struct device *d = o->device;
    device_memory value = parameters_value(o->parameters), shadow = parameters_shadow(o->parameters);
    device_memory m = parameters_first_moment(o->parameters), v = parameters_second_moment(o->parameters);
    bool shadowed = precision_is_narrow(d->precision);
    for (size_t i = 0; i < o->count; i++) {
        const struct span *at = &o->spans[i];
        size_t offset = at->offset * sizeof(float), gradients = at->gradient * sizeof(float);
        device_memory rounded = shadowed ? device_at(shadow, at->offset * precision_bytes(d->precision)) : DEVICE_NOTHING;
        a.decay = at->decays ? (float)o->weight_decay : 0;
        a.learning_rate = (float)(lr * at->rate);
        d->run->adamw(d, device_at(value, offset), rounded, device_at(gradient, gradients), device_at(m, gradients),
                      device_at(v, gradients), &a, control, at->count);
    }
    const struct parameter *w = o->words;
    if (!w)
        return;
    size_t at = w->gradient * sizeof(float);
    a.decay = w->decays ? (float)o->weight_decay : 0;
    a.learning_rate = (float)(lr * o->words_rate);
    d->run->adamw_rows(d, device_at(value, w->offset * sizeof(float)), device_at(gradient, at), device_at(m, at),
                       device_at(v, at), parameters_seen(o->parameters), slot_of, &a, control, w->shape[0], w->shape[1]);
}
