/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the table of parameters and the arenas they lie in. */
#include "worker/nn/parameters.h"

#include "common/base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* In elements: 128 bytes in f32, and still 64 in a bf16 shadow. */
#define ALIGNMENT 32

/* Of the value arena's layout, and where it lies in arenas that hold no more than such spans. */
struct span {
    size_t offset, count, place;
};

struct parameters {
    struct device *d;
    struct parameter *items; /* words last, adapters behind them */
    size_t count, base, dense;
    struct lora lora;
    size_t gradients, *starts; /* elements before the words in a gradient arena; (buckets + 1): where its buckets begin */
    struct model_config c;
    device_memory value, shadow, first_moment, second_moment, seen;
    const struct parameters *over; /* the base that they are laid over; NULL: all is here */
    struct span *spans;            /* (span_count): what is here, in order */
    size_t span_count, own;        /* elements of the arenas */
};

static size_t aligned(size_t n)
{
    return (n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static size_t count_adapters(const struct parameter *base, size_t count, const struct lora *l)
{
    size_t ret = 0;
    for (size_t i = 0; l->rank > 0 && i < count; i++)
        ret += base[i].bucket > 0 && !base[i].is_bias && base[i].dimensions == 2 && l->adapted[base[i].role] ? 2 : 0;
    return ret;
}

static struct parameter adapter_of(const struct parameter *base, const struct lora *l, enum adapter_part part, size_t at)
{
    bool a = part == ADAPTER_A;
    size_t rows = a ? l->rank : base->shape[0], columns = a ? base->shape[1] : l->rank;
    struct parameter p = {.dimensions = 2,
                          .shape = {rows, columns},
                          .offset = at,
                          .count = rows * columns,
                          .bucket = base->bucket,
                          .role = base->role,
                          .adapter = part,
                          .decays = true};
    int name = (int)(strlen(base->name) - strlen(".weight"));
    snprintf(p.name, sizeof p.name, LORA_PREFIX "%.*s.lora_%s.weight", name, base->name, a ? "A" : "B");
    return p;
}

/* Behind the `count` rows of the model; moves the words behind the adapters in the arena. */
static void place_adapters(struct parameter *items, size_t count, const struct lora *l)
{
    struct parameter *words = &items[count - 1], *to = items + count;
    size_t at = words->offset;
    for (size_t i = 0; l->rank > 0 && i < count; i++)
        for (int part = ADAPTER_A; part <= ADAPTER_B && count_adapters(&items[i], 1, l); part++) {
            *to = adapter_of(&items[i], l, (enum adapter_part)part, at);
            at = aligned(at + to++->count);
        }
    words->offset = at;
}

/* Fills the table (count); returns the number of elements before the words. Each bucket ends aligned. */
static size_t place_all(struct parameter *items, size_t count, const struct model_config *c)
{
    struct model_tensor *tensors = allocate(count, sizeof *tensors);
    size_t dense = 0;
    model_tensors(tensors, c);
    for (size_t i = 0; i < count; i++) {
        const struct model_tensor *t = &tensors[i];
        dense = t->adjacent ? dense : aligned(dense);
        items[i] = (struct parameter){.dimensions = t->dimensions,
                                      .shape = {t->shape[0], t->shape[1]},
                                      .offset = dense,
                                      .count = t->count,
                                      .bucket = t->bucket,
                                      .role = t->role,
                                      .is_bias = t->is_bias,
                                      .decays = t->decays,
                                      .adjacent = t->adjacent,
                                      .is_words = t->role == ROLE_WORDS};
        memcpy(items[i].name, t->name, sizeof items[i].name);
        dense += t->count;
    }
    free(tensors);
    return items[count - 1].offset;
}

static bool is_trained_with_adapters(const struct lora *l, const struct parameter *p)
{
    if (p->adapter)
        return true;
    if (lora_is_head(p->role))
        return l->train_head;
    return p->is_bias && (l->bias == LORA_BIAS_ALL || (l->bias == LORA_BIAS_ADAPTED && l->adapted[p->role]));
}

static bool is_frozen(const struct tuning *t, const struct parameter *p, const struct model_config *c)
{
    int bucket = p->is_words ? 0 : p->bucket;
    if (t->lora.rank > 0)
        return !is_trained_with_adapters(&t->lora, p);
    return t->frozen && bucket <= (int)c->layers + 1 && t->frozen[bucket];
}

/* Gives what is trained its place in the gradient arenas; starts (buckets + 1) may be NULL. Returns what is before the words. */
static size_t place_gradients(struct parameter *items, size_t count, const struct model_config *c, const struct tuning *t,
                              size_t *starts)
{
    size_t at = 0;
    for (int bucket = 0; bucket <= (int)c->layers + 2; bucket++) {
        at = aligned(at);
        if (starts)
            starts[bucket] = at;
        for (size_t i = 0; i < count; i++) {
            struct parameter *p = &items[i];
            if (p->bucket != bucket)
                continue;
            const struct parameter *before = i ? p - 1 : NULL;
            bool adjacent =
                before && !p->adapter && before->gradient != PARAMETER_ABSENT && before->offset + before->count == p->offset;
            at = adjacent ? at : aligned(at);
            p->gradient = is_frozen(t, p, c) ? PARAMETER_ABSENT : at;
            at += p->gradient == PARAMETER_ABSENT || p->is_words ? 0 : p->count;
        }
    }
    return at;
}

/* The model's rows (base), the words last, and then those of adapters: (count). Caller frees. */
static struct parameter *table_of(const struct model_config *c, const struct tuning *t, size_t *base, size_t *count)
{
    *base = model_tensors(NULL, c);
    struct parameter *items = allocate(3 * *base, sizeof *items);
    place_all(items, *base, c);
    place_adapters(items, *base, &t->lora);
    *count = *base + count_adapters(items, *base, &t->lora);
    return items;
}

/* Elements before the words of a model that is not made yet. */
static size_t count_dense(const struct model_config *c, const struct tuning *t, size_t *gradients)
{
    size_t base, count;
    struct parameter *items = table_of(c, t, &base, &count);
    size_t dense = items[base - 1].offset;
    *gradients = place_gradients(items, count, c, t, NULL);
    free(items);
    return dense;
}

size_t parameters_bytes_tuned(const struct model_config *c, const struct tuning *t, uint32_t gradients, enum precision precision,
                              size_t max_words)
{
    size_t trained, dense = count_dense(c, t, &trained), E = model_config_embedding_width(c), words = c->vocabulary * E;
    size_t ret = (dense + words) * sizeof(float) + (precision_is_narrow(precision) ? dense * precision_bytes(precision) : 0);
    bool frozen = t->lora.rank > 0 || (t->frozen && t->frozen[0]);
    if (gradients > 0)
        ret += 2 * (trained + (frozen ? 0 : words)) * sizeof(float) + (frozen ? 0 : c->vocabulary) +
               gradients * (trained + (frozen ? 0 : max_words * E)) * sizeof(float);
    return ret;
}

size_t parameters_bytes(const struct model_config *c, uint32_t gradients, enum precision precision, size_t max_words)
{
    return parameters_bytes_tuned(c, &(struct tuning){0}, gradients, precision, max_words);
}

static int arena_create(struct device *d, device_memory *ret, size_t bytes, struct error *e)
{
    if (d->run->allocate(d, ret, bytes, e) < 0)
        return error_prefix(e, "model parameters: ");
    d->run->zero(d, *ret, bytes);
    return 0;
}

/* elements of the values, and those of them that a shadow has. */
static int value_arenas_create(struct parameters *p, size_t elements, size_t dense, struct error *e)
{
    if (arena_create(p->d, &p->value, elements * sizeof(float), e) < 0)
        return -1;
    p->shadow = p->value;
    if (!precision_is_narrow(p->d->precision))
        return 0;
    p->shadow = DEVICE_NOTHING;
    return arena_create(p->d, &p->shadow, dense * precision_bytes(p->d->precision), e);
}

static int arenas_create(struct parameters *p, bool training, struct error *e)
{
    if (value_arenas_create(p, parameters_elements(p), p->dense, e) < 0)
        return -1;
    if (!training)
        return 0;
    size_t bytes = parameters_moments(p) * sizeof(float);
    if (arena_create(p->d, &p->first_moment, bytes, e) < 0 || arena_create(p->d, &p->second_moment, bytes, e) < 0)
        return -1;
    return parameters_gradient_words(p) ? arena_create(p->d, &p->seen, p->c.vocabulary, e) : 0;
}

/* Without arenas. */
static struct parameters *table_create(struct device *d, const struct model_config *c, const struct tuning *t)
{
    struct parameters *p = allocate(1, sizeof *p);
    p->d = d;
    p->c = *c;
    p->lora = t->lora;
    p->items = table_of(c, t, &p->base, &p->count);
    p->dense = p->items[p->base - 1].offset;
    p->starts = allocate((size_t)c->layers + 3, sizeof *p->starts);
    p->gradients = place_gradients(p->items, p->count, c, t, p->starts);
    return p;
}

static int create(struct parameters **ret, struct device *d, const struct model_config *c, bool training, const struct tuning *t,
                  struct error *e)
{
    struct parameters *p = table_create(d, c, t);
    if (arenas_create(p, training, e) < 0 || d->run->finish(d, e) < 0) {
        parameters_destroy(&p);
        return -1;
    }
    *ret = p;
    return 0;
}

int parameters_create(struct parameters **ret, struct device *d, const struct model_config *c, bool training, struct error *e)
{
    return create(ret, d, c, training, &(struct tuning){0}, e);
}

int parameters_create_tuned(struct parameters **ret, struct device *d, const struct model_config *c, const struct tuning *t,
                            struct error *e)
{
    return create(ret, d, c, true, t, e);
}

/* ---- over those of a base ---- */

/* Where it lies in arenas that may hold no more than spans; *of: whose arenas those are. */
static size_t find_place(const struct parameters **of, const struct parameters *p, size_t offset)
{
    *of = p;
    if (!p->over)
        return offset;
    for (size_t i = 0; i < p->span_count; i++)
        if (offset >= p->spans[i].offset && offset - p->spans[i].offset < p->spans[i].count)
            return p->spans[i].place + offset - p->spans[i].offset;
    *of = p->over; /* where the words come behind another head */
    size_t words = p->items[p->base - 1].offset;
    return offset < words ? offset : offset - words + p->over->items[p->over->base - 1].offset;
}

/* Spans of what is its own: whole matrices. */
static void place_own(struct parameters *p, const bool *own)
{
    p->spans = allocate(p->count, sizeof *p->spans);
    for (size_t i = 0, next; i < p->count; i = next) {
        bool wanted = false;
        for (next = i; next == i || (next < p->count && p->items[next].adjacent); next++)
            wanted |= own[next] || p->items[next].bucket == (int)p->c.layers + 1;
        size_t offset = p->items[i].offset, end = p->items[next - 1].offset + p->items[next - 1].count;
        if (!wanted)
            continue;
        p->spans[p->span_count++] = (struct span){offset, end - offset, p->own};
        p->own = aligned(p->own + end - offset);
    }
}

/* Not of the classifier, whose labels are others. */
static void copy_from_base(struct parameters *p)
{
    for (size_t i = 0; i < p->count; i++) {
        const struct parameters *holder;
        const struct parameter *of = &p->items[i];
        find_place(&holder, p, of->offset);
        if (holder == p && of->role != ROLE_CLASSIFIER)
            p->d->run->copy(p->d, parameters_value_at(p, of->offset), parameters_value_at(p->over, p->over->items[i].offset),
                            of->count * sizeof(float));
    }
}

int parameters_create_over(struct parameters **ret, const struct parameters *base, const struct model_config *c, const bool *own,
                           struct error *e)
{
    struct parameters *p = table_create(base->d, c, &(struct tuning){0});
    p->over = base;
    place_own(p, own);
    if (value_arenas_create(p, p->own, p->own, e) < 0) {
        parameters_destroy(&p);
        return -1;
    }
    copy_from_base(p);
    parameters_refresh(p);
    if (p->d->run->finish(p->d, e) < 0) {
        parameters_destroy(&p);
        return -1;
    }
    *ret = p;
    return 0;
}

void parameters_destroy(struct parameters **p)
{
    if (!*p)
        return;
    struct device *d = (*p)->d;
    if ((*p)->shadow.address == (*p)->value.address)
        (*p)->shadow = DEVICE_NOTHING;
    const device_memory arenas[] = {(*p)->value, (*p)->shadow, (*p)->first_moment, (*p)->second_moment, (*p)->seen};
    for (size_t i = 0; i < sizeof arenas / sizeof *arenas; i++)
        if (arenas[i].address)
            d->run->release(d, arenas[i]);
    free((*p)->items);
    free((*p)->starts);
    free((*p)->spans);
    free(*p);
    *p = NULL;
}

struct device *parameters_device(const struct parameters *p)
{
    return p->d;
}

const struct model_config *parameters_config(const struct parameters *p)
{
    return &p->c;
}

size_t parameters_count(const struct parameters *p)
{
    return p->count;
}

const struct parameter *parameters_at(const struct parameters *p, size_t i)
{
    return i < p->count ? &p->items[i] : NULL;
}

const struct parameter *parameters_find(const struct parameters *p, const char *name)
{
    for (size_t i = 0; i < p->count; i++)
        if (strcmp(p->items[i].name, name) == 0)
            return &p->items[i];
    return NULL;
}

size_t parameters_place(const struct parameters *p, int bucket, enum tensor_role role, bool is_bias)
{
    for (size_t i = 0; i < p->count; i++) {
        const struct parameter *of = &p->items[i];
        if (of->role == role && of->is_bias == is_bias && !of->adapter && (of->bucket == bucket || of->is_words))
            return of->offset;
    }
    return PARAMETER_ABSENT;
}

size_t parameters_adapter(const struct parameters *p, int bucket, enum tensor_role role, enum adapter_part part)
{
    for (size_t i = p->base; i < p->count; i++)
        if (p->items[i].bucket == bucket && p->items[i].role == role && p->items[i].adapter == part)
            return p->items[i].offset;
    return PARAMETER_ABSENT;
}

const struct lora *parameters_lora(const struct parameters *p)
{
    return &p->lora;
}

size_t parameters_base(const struct parameters *p)
{
    return p->base;
}

const struct parameter *parameters_words(const struct parameters *p)
{
    return &p->items[p->base - 1];
}

size_t parameters_elements(const struct parameters *p)
{
    return p->dense + parameters_words(p)->count;
}

int parameters_buckets(const struct parameters *p)
{
    return (int)p->c.layers + 2;
}

void parameters_bucket_range(const struct parameters *p, int bucket, size_t *offset, size_t *count)
{
    *offset = p->starts[bucket];
    *count = p->starts[bucket + 1] - *offset;
}

size_t parameters_gradients(const struct parameters *p)
{
    return p->gradients;
}

size_t parameters_gradient_words(const struct parameters *p)
{
    const struct parameter *words = parameters_words(p);
    return words->gradient == PARAMETER_ABSENT ? 0 : words->shape[1];
}

size_t parameters_moments(const struct parameters *p)
{
    return p->gradients + (parameters_gradient_words(p) ? parameters_words(p)->count : 0);
}

size_t parameters_gradient_place(const struct parameters *p, size_t offset)
{
    for (size_t i = 0; i < p->count && offset != PARAMETER_ABSENT; i++) {
        const struct parameter *of = &p->items[i];
        if (offset >= of->offset && offset - of->offset < of->count)
            return of->gradient == PARAMETER_ABSENT ? PARAMETER_ABSENT : of->gradient + (offset - of->offset);
    }
    return PARAMETER_ABSENT;
}

static int lowest_trained(const struct parameter *items, size_t count, int buckets)
{
    int lowest = buckets - 1;
    for (size_t i = 0; i < count; i++)
        if (items[i].gradient != PARAMETER_ABSENT && (items[i].is_words || items[i].bucket < lowest))
            lowest = items[i].is_words ? 0 : items[i].bucket;
    return lowest;
}

int parameters_lowest_trained(const struct parameters *p)
{
    return lowest_trained(p->items, p->count, parameters_buckets(p));
}

int tuning_lowest_trained(const struct model_config *c, const struct tuning *t)
{
    size_t base, count;
    struct parameter *items = table_of(c, t, &base, &count);
    place_gradients(items, count, c, t, NULL);
    int ret = lowest_trained(items, count, (int)c->layers + 2);
    free(items);
    return ret;
}

bool parameters_frozen(const struct parameters *p)
{
    for (size_t i = 0; i < p->count; i++)
        if (p->items[i].gradient == PARAMETER_ABSENT)
            return true;
    return false;
}

size_t parameters_dense(const struct parameters *p)
{
    return p->dense;
}

device_memory parameters_value(const struct parameters *p)
{
    return p->value;
}

device_memory parameters_shadow(const struct parameters *p)
{
    return p->shadow;
}

device_memory parameters_first_moment(const struct parameters *p)
{
    return p->first_moment;
}

device_memory parameters_second_moment(const struct parameters *p)
{
    return p->second_moment;
}

device_memory parameters_seen(const struct parameters *p)
{
    return p->seen;
}

device_memory parameters_value_at(const struct parameters *p, size_t offset)
{
    const struct parameters *of;
    size_t place = find_place(&of, p, offset);
    return device_at(of->value, place * sizeof(float));
}

device_memory parameters_shadow_at(const struct parameters *p, size_t offset)
{
    const struct parameters *of;
    size_t place = find_place(&of, p, offset);
    return device_at(of->shadow, place * precision_bytes(p->d->precision));
}

void parameters_refresh(struct parameters *p)
{
    if (p->shadow.address != p->value.address)
        p->d->run->round_to_activation(p->d, p->shadow, p->value, p->over ? p->own : p->dense);
}
