/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the way of parameters and moments between arenas and files. */
#include "worker/nn/parameters_adapter.h"

#include "common/base/buffer.h"
#include "common/base/memory.h"
#include "common/base/philox.h"
#include "common/format/pretrained.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct tensor *find_own(const struct tensor_file *f, const struct parameter *p, const char *suffix)
{
    char *name = format_string("%s%s", p->name, suffix);
    const struct tensor *t = tensor_file_find(f, name);
    free(name);
    return t;
}

static bool is_classifier(const struct parameter *p)
{
    return p->role == ROLE_CLASSIFIER;
}

static int check_finite(const struct tensor *t, const char *path, struct error *e)
{
    int64_t bad = tensor_first_not_finite(t);
    if (bad >= 0)
        return error_set(e, ERROR_DATA,
                         "%s: tensor %s is not finite at element %lld; the file is damaged or its training diverged", path,
                         t->name, (long long)bad);
    return 0;
}

/* Of the program's own files. */
enum which { ALL, TRAINED, ADAPTER /* with the head, be it trained or not, and biases that are */ };

static bool is_meant(const struct parameter *p, enum which which)
{
    if (which == ADAPTER)
        return p->adapter || lora_is_head(p->role) || p->gradient != PARAMETER_ABSENT;
    return which == ALL ? !p->adapter : p->gradient != PARAMETER_ABSENT;
}

/* Own files: every tensor is there, by its own name. */
static int find_all_own(const struct tensor **found, const struct model_tensor *tensors, const struct parameters *p,
                        const struct tensor_file *f, enum which which, const char *suffix, const char *path, struct error *e)
{
    for (size_t i = 0; i < parameters_count(p); i++) {
        const struct parameter *of = parameters_at(p, i);
        if (!is_meant(of, which))
            continue;
        found[i] = find_own(f, of, suffix);
        if (!found[i])
            return error_set(e, ERROR_DATA, "%s: tensor %s%s is missing; the file does not fit config.json", path, of->name,
                             suffix);
        if (model_tensor_check(found[i], &tensors[i], path, e))
            return -1;
    }
    return 0;
}

static struct model_tensor adapter_tensor(const struct parameter *p)
{
    return (struct model_tensor){.dimensions = p->dimensions, .shape = {p->shape[0], p->shape[1]}, .role = p->role};
}

/* found[i]: the tensor of parameter i, checked; NULL where a head is to be made new. head: of pretrained weights; NULL: of the
 * program's own. */
static int collect(const struct tensor **found, const struct parameters *p, const struct tensor_file *f,
                   const struct head_source *head, enum which which, const char *suffix, const char *path, struct error *e)
{
    const struct model_config *c = parameters_config(p);
    size_t count = parameters_count(p);
    struct model_tensor *tensors = allocate(count, sizeof *tensors);
    model_tensors(tensors, c);
    for (size_t i = parameters_base(p); i < count; i++)
        tensors[i] = adapter_tensor(parameters_at(p, i));
    int result = head ? model_tensors_find(found, tensors, parameters_base(p), f, c, head->made_new, path, e)
                      : find_all_own(found, tensors, p, f, which, suffix, path, e);
    for (size_t i = 0; i < count && !result; i++)
        if (found[i])
            result = check_finite(found[i], path, e);
    free(tensors);
    return result;
}

/* Box, Muller, 1958: two uniform numbers in (0,1] and [0,1) make two normal ones. */
static void normal_pair(double ret[2], uint32_t a, uint32_t b)
{
    double radius = sqrt(-2 * log(((double)a + 1) * 0x1p-32)), angle = 2 * M_PI * (b * 0x1p-32);
    ret[0] = radius * cos(angle);
    ret[1] = radius * sin(angle);
}

/* Drawn again while beyond `cutoff` (0: none). */
static double cut_off(double normal, double cutoff, uint64_t seed, uint32_t place, uint32_t index)
{
    for (uint32_t again = 1; cutoff > 0 && fabs(normal) > cutoff; again++) {
        struct philox_block r = philox(seed, RANDOM_INITIALIZE, place, again, index, 1);
        double pair[2];
        normal_pair(pair, r.word[0], r.word[1]);
        normal = pair[0];
    }
    return normal;
}

static void initialize(float *to, size_t count, float deviation, float cutoff, uint64_t seed, uint32_t index)
{
    for (size_t i = 0; i < count; i += 4) {
        struct philox_block r = philox(seed, RANDOM_INITIALIZE, (uint32_t)(i / 4), 0, index, 0);
        double normal[4];
        normal_pair(normal, r.word[0], r.word[1]);
        normal_pair(normal + 2, r.word[2], r.word[3]);
        for (size_t k = 0; k < 4 && i + k < count; k++)
            to[i + k] = (float)(deviation * cut_off(normal[k], cutoff, seed, (uint32_t)(i + k), index));
    }
}

/* As transformers makes a tensor that the weights lack: of ModernBERT, by what the map is for (its _init_weights). */
static void make_new(float *to, const struct parameter *of, const struct model_config *c, uint64_t seed, uint32_t index)
{
    float deviation = c->initializer_range, cutoff = 0;
    if (model_family_of(c)->pre_norm) {
        deviation = of->role == ROLE_CLASSIFIER ? 1 / sqrtf((float)c->width) : deviation / sqrtf(2 * (float)c->layers);
        cutoff = c->initializer_cutoff;
    }
    initialize(to, of->count, of->dimensions == 1 ? 0 : deviation, cutoff, seed, index);
    for (size_t i = 0; of->role == ROLE_HEAD_NORM && !of->is_bias && i < of->count; i++)
        to[i] = 1;
}

/* Adapters begin as PEFT's: A uniform in +-1 / sqrt(inputs) (Kaiming with a = sqrt(5)), B zero. */
static void initialize_adapter(float *to, const struct parameter *p, uint64_t seed, uint32_t index)
{
    double bound = 1 / sqrt((double)p->shape[1]);
    for (size_t i = 0; i < p->count; i += 4) {
        struct philox_block r = philox(seed, RANDOM_INITIALIZE, (uint32_t)(i / 4), 0, index, 0);
        for (size_t k = 0; k < 4 && i + k < p->count; k++)
            to[i + k] = p->adapter == ADAPTER_A ? (float)(bound * (((double)r.word[k] + 0.5) * 0x1p-31 - 1)) : 0;
    }
}

/* Row i of a weight or bias becomes what row rows[i] was. */
static int reorder_rows(float *values, const struct parameter *of, const double *rows, struct error *e)
{
    size_t count = of->shape[0], width = of->count / count;
    float *before = allocate(of->count, sizeof *before);
    int ret = 0;
    memcpy(before, values, of->count * sizeof *before);
    for (size_t i = 0; ret == 0 && i < count; i++)
        if (rows[i] >= 0 && rows[i] < (double)count)
            memcpy(values + i * width, before + (size_t)rows[i] * width, width * sizeof *before);
        else
            ret = error_set(e, ERROR_FAILED, "head_rows: row %g of %zu", rows[i], count);
    free(before);
    return ret;
}

/* Of the classifier, once it is there or made. */
static int follow(const struct head_source *head, float *values, const struct parameter *of, bool found, struct error *e)
{
    if (found)
        return head->rows ? reorder_rows(values, of, head->rows, e) : 0;
    for (size_t i = 0; head->bias && of->is_bias && i < of->count; i++)
        values[i] = (float)head->bias[i];
    return 0;
}

enum arena { VALUE_NEW /* what is not found is made new */, VALUE, FIRST_MOMENT, SECOND_MOMENT };

static device_memory arena_of(const struct parameters *p, enum arena kind)
{
    return kind == FIRST_MOMENT    ? parameters_first_moment(p)
           : kind == SECOND_MOMENT ? parameters_second_moment(p)
                                   : parameters_value(p);
}

static size_t place_in(const struct parameter *p, enum arena kind)
{
    return kind == FIRST_MOMENT || kind == SECOND_MOMENT ? p->gradient : p->offset;
}

/* Puts the tensors into an arena; in VALUE_NEW what is missing as transformers makes it, weights normal and biases zero, but for
 * the biases of the classifier that `head` gives. */
static int store(const struct tensor *const *found, struct parameters *p, enum arena kind, const struct head_source *head,
                 uint64_t seed, struct error *e)
{
    device_memory arena = arena_of(p, kind);
    struct device *d = parameters_device(p);
    int ret = 0;
    for (size_t i = 0; ret == 0 && i < parameters_count(p); i++) {
        const struct parameter *of = parameters_at(p, i);
        size_t place = place_in(of, kind);
        if (place == PARAMETER_ABSENT || (!found[i] && kind != VALUE_NEW))
            continue;
        device_memory at = device_at(arena, place * sizeof(float));
        float *host = d->run->host_begin(d, at, of->count * sizeof(float));
        if (found[i])
            ret = tensor_to_f32(found[i], host, e);
        else if (of->adapter)
            initialize_adapter(host, of, seed, (uint32_t)i);
        else
            make_new(host, of, parameters_config(p), seed, (uint32_t)i);
        if (ret == 0 && head && is_classifier(of))
            ret = follow(head, host, of, found[i] != NULL, e);
        d->run->host_end(d, host, at, of->count * sizeof(float));
    }
    return ret;
}

/* "a, b and 7 more": enough to see what they are. */
struct name_list {
    struct buffer text;
    size_t count;
};

static void name_list_add(struct name_list *l, const char *name)
{
    if (l->count++ < 4)
        buffer_printf(&l->text, "%s%s", l->count > 1 ? ", " : "", name);
}

static void name_list_print(struct name_list *l, struct buffer *to, const char *what)
{
    buffer_printf(to, "; %zu %s", l->count, what);
    if (l->count)
        buffer_printf(to, " (%s", l->text.data);
    if (l->count > 4)
        buffer_printf(to, " and %zu more", l->count - 4);
    buffer_text(to, l->count ? ")" : "");
    buffer_free(&l->text);
}

static char *describe(const struct tensor *const *found, const struct parameters *p, const struct tensor_file *f)
{
    struct name_list made = {0}, ignored = {0};
    struct buffer ret = {0};
    for (size_t i = 0; i < parameters_base(p); i++)
        if (!found[i])
            name_list_add(&made, parameters_at(p, i)->name);
    for (size_t i = 0; i < tensor_file_count(f); i++) {
        bool used = false;
        for (size_t k = 0; k < parameters_base(p); k++)
            used |= found[k] == tensor_file_at(f, i);
        if (!used)
            name_list_add(&ignored, tensor_file_at(f, i)->name);
    }
    buffer_printf(&ret, "%zu tensors used", parameters_base(p) - made.count);
    name_list_print(&made, &ret, "made new");
    name_list_print(&ignored, &ret, "ignored");
    return ret.data;
}

int parameters_load_file(struct parameters *p, const char *path, const struct head_source *head, uint64_t seed, char **report,
                         struct error *e)
{
    struct tensor_file *f = NULL;
    const struct tensor **found = allocate(parameters_count(p), sizeof *found);
    int ret = -1;
    if (tensor_file_open(&f, path, e) < 0 || collect(found, p, f, head, ALL, "", path, e) < 0)
        goto end;
    if (store(found, p, VALUE_NEW, head, seed, e) < 0)
        goto end;
    parameters_refresh(p);
    if (parameters_device(p)->run->finish(parameters_device(p), e) < 0)
        goto end;
    *report = describe(found, p, f);
    ret = 0;
end:
    free(found);
    tensor_file_close(&f);
    return ret;
}

int parameters_load_pretrained(struct parameters *p, const char *path, uint64_t seed, char **report, struct error *e)
{
    return parameters_load_file(p, path, &(struct head_source){0}, seed, report, e);
}

int parameters_load_model(struct parameters *p, const char *directory, const struct head_source *head, uint64_t seed,
                          char **report, struct error *e)
{
    char *path;
    if (model_directory_weights(&path, directory, e))
        return -1;
    int result = parameters_load_file(p, path, head, seed, report, e);
    free(path);
    return result;
}

static int load_own(struct parameters *p, const char *path, enum which which, struct error *e)
{
    struct tensor_file *f = NULL;
    const struct tensor **found = allocate(parameters_count(p), sizeof *found);
    int ret = -1;
    if (tensor_file_open(&f, path, e) < 0 || collect(found, p, f, NULL, which, "", path, e) < 0)
        goto end;
    if (store(found, p, VALUE, NULL, 0, e) < 0)
        goto end;
    parameters_refresh(p);
    ret = parameters_device(p)->run->finish(parameters_device(p), e);
end:
    free(found);
    tensor_file_close(&f);
    return ret;
}

int parameters_load(struct parameters *p, const char *path, struct error *e)
{
    return load_own(p, path, ALL, e);
}

int parameters_load_trained(struct parameters *p, const char *path, struct error *e)
{
    return load_own(p, path, TRAINED, e);
}

/* Rows of a file to be written, in table order, with their data in a host view of an arena. */
static size_t list_arena(struct tensor *to, const struct parameters *p, const float *host, enum which which, enum arena kind,
                         const char *suffix)
{
    size_t count = 0;
    for (size_t i = 0; i < parameters_count(p); i++) {
        const struct parameter *of = parameters_at(p, i);
        if (!is_meant(of, which))
            continue;
        to[count++] = (struct tensor){.name = format_string("%s%s", of->name, suffix),
                                      .type = TENSOR_F32,
                                      .dimensions = of->dimensions,
                                      .shape = {(int64_t)of->shape[0], (int64_t)of->shape[1]},
                                      .count = of->count,
                                      .data = host + place_in(of, kind),
                                      .size = of->count * sizeof(float)};
    }
    return count;
}

static size_t arena_bytes(const struct parameters *p)
{
    return parameters_elements(p) * sizeof(float);
}

static int write_tensors(const char *path, struct tensor *tensors, size_t count, bool synced, struct error *e)
{
    static const char *const metadata[] = {"format", "pt", NULL};
    int ret = synced ? safetensors_write(path, tensors, count, metadata, e)
                     : safetensors_write_unsynced(path, tensors, count, metadata, e);
    for (size_t i = 0; i < count; i++)
        free((void *)(uintptr_t)tensors[i].name);
    free(tensors);
    return ret;
}

/* Caller frees. */
static float *merged(const struct parameters *p, const struct parameter *of, const float *host)
{
    const struct lora *l = parameters_lora(p);
    const float *a = host + parameters_adapter(p, of->bucket, of->role, ADAPTER_A),
                *b = host + parameters_adapter(p, of->bucket, of->role, ADAPTER_B);
    float *ret = allocate(of->count, sizeof *ret);
    adapter_merge(ret, host + of->offset, a, b, lora_scale(l), of->shape[0], of->shape[1], l->rank);
    return ret;
}

static bool is_adapted(const struct parameters *p, const struct parameter *of)
{
    return !of->is_bias && !of->adapter && parameters_adapter(p, of->bucket, of->role, ADAPTER_A) != PARAMETER_ABSENT;
}

static int save(struct parameters *p, const char *path, enum which which, struct error *e)
{
    struct device *d = parameters_device(p);
    if (d->run->finish(d, e) < 0)
        return -1;
    float *host = d->run->host_begin(d, parameters_value(p), arena_bytes(p));
    size_t base = parameters_base(p);
    struct tensor *tensors = allocate(parameters_count(p), sizeof *tensors);
    float **owned = allocate(base, sizeof *owned);
    size_t count = list_arena(tensors, p, host, which, VALUE, "");
    for (size_t i = 0; which == ALL && i < base; i++)
        if (is_adapted(p, parameters_at(p, i)))
            tensors[i].data = owned[i] = merged(p, parameters_at(p, i), host);
    int ret = write_tensors(path, tensors, count, which == ALL, e);
    for (size_t i = 0; i < base; i++)
        free(owned[i]);
    free(owned);
    d->run->host_end(d, host, parameters_value(p), arena_bytes(p));
    return ret;
}

/* Caller frees. A linear map with an adapter is PEFT's "base_layer". */
static char *peft_name(const struct parameters *p, const struct parameter *of)
{
    bool adapted = of->is_bias && parameters_adapter(p, of->bucket, of->role, ADAPTER_A) != PARAMETER_ABSENT;
    int stem = (int)(strlen(of->name) - (adapted ? strlen("bias") : 0));
    if (of->adapter)
        return duplicate(of->name);
    return format_string(LORA_PREFIX "%.*s%s", stem, of->name, adapted ? "base_layer.bias" : "");
}

int parameters_save_adapter(struct parameters *p, const char *path, struct error *e)
{
    struct device *d = parameters_device(p);
    if (d->run->finish(d, e) < 0)
        return -1;
    float *host = d->run->host_begin(d, parameters_value(p), arena_bytes(p));
    struct tensor *tensors = allocate(parameters_count(p), sizeof *tensors);
    size_t count = list_arena(tensors, p, host, ADAPTER, VALUE, "");
    for (size_t i = 0; i < count; i++) {
        char *name = (char *)(uintptr_t)tensors[i].name;
        tensors[i].name = peft_name(p, parameters_find(p, name));
        free(name);
    }
    int ret = write_tensors(path, tensors, count, true, e);
    d->run->host_end(d, host, parameters_value(p), arena_bytes(p));
    return ret;
}

int parameters_save(struct parameters *p, const char *path, struct error *e)
{
    return save(p, path, ALL, e);
}

int parameters_save_trained(struct parameters *p, const char *path, struct error *e)
{
    return save(p, path, TRAINED, e);
}

static int need_moments(const struct parameters *p, const char *path, struct error *e)
{
    return parameters_first_moment(p).address ? 0 : error_set(e, ERROR_FAILED, "%s: these parameters have no moments", path);
}

int parameters_save_moments(struct parameters *p, const char *path, struct error *e)
{
    struct device *d = parameters_device(p);
    if (need_moments(p, path, e) < 0 || d->run->finish(d, e) < 0)
        return -1;
    size_t V = parameters_words(p)->shape[0], bytes = parameters_moments(p) * sizeof(float);
    bool words = parameters_gradient_words(p) > 0;
    float *first = d->run->host_begin(d, parameters_first_moment(p), bytes);
    float *second = d->run->host_begin(d, parameters_second_moment(p), bytes);
    uint8_t *seen = words ? d->run->host_begin(d, parameters_seen(p), V) : NULL;
    struct tensor *tensors = allocate(2 * parameters_count(p) + 1, sizeof *tensors);
    size_t count = list_arena(tensors, p, first, TRAINED, FIRST_MOMENT, ".exp_avg");
    count += list_arena(tensors + count, p, second, TRAINED, SECOND_MOMENT, ".exp_avg_sq");
    if (words)
        tensors[count++] = (struct tensor){.name = duplicate("seen"),
                                           .type = TENSOR_U8,
                                           .dimensions = 1,
                                           .shape = {(int64_t)V},
                                           .count = V,
                                           .data = seen,
                                           .size = V};
    int ret = write_tensors(path, tensors, count, false, e);
    if (words)
        d->run->host_end(d, seen, parameters_seen(p), V);
    d->run->host_end(d, second, parameters_second_moment(p), bytes);
    d->run->host_end(d, first, parameters_first_moment(p), bytes);
    return ret;
}

static int load_seen(struct parameters *p, const struct tensor_file *f, const char *path, struct error *e)
{
    struct device *d = parameters_device(p);
    const struct tensor *seen = tensor_file_find(f, "seen");
    size_t V = parameters_words(p)->shape[0];
    if (!parameters_gradient_words(p))
        return 0;
    if (!seen || seen->type != TENSOR_U8 || seen->count != V)
        return error_set(e, ERROR_DATA, "%s: tensor seen is missing or not one byte for each of %zu words", path, V);
    d->run->upload(d, parameters_seen(p), seen->data, V);
    return d->run->finish(d, e);
}

int parameters_load_moments(struct parameters *p, const char *path, struct error *e)
{
    struct tensor_file *f = NULL;
    size_t count = parameters_count(p);
    const struct tensor **first = allocate(2 * count, sizeof *first), **second = first + count;
    int ret = -1;
    if (need_moments(p, path, e) < 0 || tensor_file_open(&f, path, e) < 0)
        goto end;
    if (collect(first, p, f, NULL, TRAINED, ".exp_avg", path, e) < 0 ||
        collect(second, p, f, NULL, TRAINED, ".exp_avg_sq", path, e) < 0)
        goto end;
    if (store(first, p, FIRST_MOMENT, NULL, 0, e) < 0 || store(second, p, SECOND_MOMENT, NULL, 0, e) < 0)
        goto end;
    ret = load_seen(p, f, path, e);
end:
    free(first);
    tensor_file_close(&f);
    return ret;
}

int parameters_load_adapted(struct parameters *p, const char *weights, const char *adapter, struct error *e)
{
    const struct head_source none = {.made_new = true};
    char *report = NULL;
    if (!adapter)
        return parameters_load(p, weights, e);
    int result = parameters_load_file(p, weights, &none, 0, &report, e);
    free(report);
    return result == 0 ? parameters_take_adapter(p, adapter, false, true, e) : -1;
}
