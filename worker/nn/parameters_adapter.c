/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the way of PEFT's adapters into the parameters. */
#include "worker/nn/parameters_adapter.h"

#include "common/base/memory.h"
#include "common/format/peft.h"

#include <stdlib.h>

void adapter_merge(float *ret, const float *w, const float *a, const float *b, double scale, size_t O, size_t K, size_t r)
{
    for (size_t i = 0; i < O * K; i++) {
        double sum = 0;
        for (size_t k = 0; k < r; k++)
            sum += (double)b[i / K * r + k] * a[k * K + i % K];
        ret[i] = (float)((double)w[i] + scale * sum);
    }
}

static int take_whole(struct parameters *p, const struct tensor *t, size_t offset, struct error *e)
{
    struct device *d = parameters_device(p);
    device_memory at = parameters_value_at(p, offset);
    float *host = d->run->host_begin(d, at, t->count * sizeof(float));
    int ret = tensor_to_f32(t, host, e);
    d->run->host_end(d, host, at, t->count * sizeof(float));
    return ret;
}

static int merge_pair(struct parameters *p, const struct peft_tensor *pair, struct error *e)
{
    struct device *d = parameters_device(p);
    const struct parameter *of = parameters_at(p, pair->index);
    device_memory at = parameters_value_at(p, of->offset);
    float *a = allocate(pair[0].tensor->count, sizeof *a), *b = allocate(pair[1].tensor->count, sizeof *b);
    int ret = tensor_to_f32(pair[0].tensor, a, e) || tensor_to_f32(pair[1].tensor, b, e) ? -1 : 0;
    if (ret == 0) {
        float *host = d->run->host_begin(d, at, of->count * sizeof(float));
        adapter_merge(host, host, a, b, pair->scale, of->shape[0], of->shape[1], pair->rank);
        d->run->host_end(d, host, at, of->count * sizeof(float));
    }
    free(a);
    free(b);
    return ret;
}

/* Of the map of the i-th parameter; PARAMETER_ABSENT: p has no adapter of it. */
static size_t place_of(const struct parameters *p, size_t i, enum adapter_part part)
{
    const struct parameter *of = parameters_at(p, i);
    return parameters_adapter(p, of->bucket, of->role, part);
}

static int take_pair(struct parameters *p, const struct peft_tensor *pair, struct error *e)
{
    return take_whole(p, pair[0].tensor, place_of(p, pair->index, ADAPTER_A), e) ||
                   take_whole(p, pair[1].tensor, place_of(p, pair->index, ADAPTER_B), e)
               ? -1
               : 0;
}

static int check_head(const struct parameters *p, const struct peft_adapter *a, struct error *e)
{
    for (size_t i = 0; i < parameters_base(p); i++) {
        bool found = !lora_is_head(parameters_at(p, i)->role);
        for (size_t k = 0; k < a->count; k++)
            found |= a->tensors[k].index == i && a->tensors[k].part == PEFT_WHOLE;
        if (!found)
            return error_set(e, ERROR_DATA, "%s: tensor " LORA_PREFIX "%s is missing", a->path, parameters_at(p, i)->name);
    }
    return 0;
}

static int take_all(struct parameters *p, const struct peft_adapter *a, struct error *e)
{
    bool goes_on = parameters_lora(p)->rank > 0;
    int ret = goes_on ? peft_check_same(a, parameters_lora(p), parameters_config(p), e) : 0;
    for (size_t i = 0; ret == 0 && i < a->count; i++) {
        const struct peft_tensor *t = &a->tensors[i];
        if (t->part == PEFT_WHOLE)
            ret = take_whole(p, t->tensor, parameters_at(p, t->index)->offset, e);
        else if (t->part == PEFT_A)
            ret = goes_on ? take_pair(p, t, e) : merge_pair(p, t, e);
    }
    return ret;
}

/* Closes the file. */
static int take_and_close(struct parameters *p, struct peft_adapter *a, bool whole_head, struct error *e)
{
    struct device *d = parameters_device(p);
    int ret = whole_head ? check_head(p, a, e) : 0;
    if (ret == 0)
        ret = take_all(p, a, e);
    peft_close(&a);
    if (ret != 0)
        return -1;
    parameters_refresh(p);
    return d->run->finish(d, e);
}

int parameters_take_adapter(struct parameters *p, const char *directory, bool new_classifier, bool whole_head, struct error *e)
{
    struct peft_adapter *a;
    return peft_open(&a, directory, parameters_config(p), new_classifier, e) ? -1 : take_and_close(p, a, whole_head, e);
}

int parameters_create_adapted(struct parameters **ret, const struct parameters *base, const struct model_config *c,
                              const char *adapter, struct error *e)
{
    struct peft_adapter *a;
    if (peft_open(&a, adapter, c, false, e))
        return -1;
    bool *own = allocate(model_tensors(NULL, c), sizeof *own);
    for (size_t i = 0; i < a->count; i++)
        own[a->tensors[i].index] = true;
    int result = parameters_create_over(ret, base, c, own, e);
    free(own);
    if (result) {
        peft_close(&a);
        return -1;
    }
    if (take_and_close(*ret, a, true, e)) {
        parameters_destroy(ret);
        return -1;
    }
    return 0;
}
