/* SPDX-License-Identifier: Apache-2.0 */
/* For the tests of this directory: devices to try, golden files of tools/golden_nn.py, weights by formula, comparisons. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/base/philox.h"
#include "common/format/tensor_file.h"
#include "worker/nn/model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct device_case {
    const char *device, *isa; /* isa: MUSTER_ISA, or NULL */
    enum precision precision;
    int threads; /* 0: 2. Emulated: their order (tests/emu/cuda_emulated.h) */
};

static const struct device_case device_cases[] = {
#ifdef MUSTER_EMULATED
    {TEST_GPU, NULL, PRECISION_F32, 1},  {TEST_GPU, NULL, PRECISION_F32, 2},  {TEST_GPU, NULL, PRECISION_F32, 3},
    {TEST_GPU, NULL, PRECISION_BF16, 1}, {TEST_GPU, NULL, PRECISION_BF16, 2}, {TEST_GPU, NULL, PRECISION_BF16, 3},
    {TEST_GPU, NULL, PRECISION_TF32, 1},
#elif defined TEST_GPU
    {TEST_GPU, NULL, PRECISION_F32, 1},
    {TEST_GPU, NULL, PRECISION_BF16, 1},
    {TEST_GPU, NULL, PRECISION_TF32, 1},
#else
    {"cpu_reference", NULL, PRECISION_F32}, {"cpu", "baseline", PRECISION_F32},  {"cpu", "avx2", PRECISION_F32},
    {"cpu", "avx512", PRECISION_F32},       {"guarded", NULL, PRECISION_F32},    {"cpu_reference", NULL, PRECISION_BF16},
    {"cpu", "avx512", PRECISION_BF16},      {"cpu", "baseline", PRECISION_BF16}, {"guarded", NULL, PRECISION_BF16},
    {"cpu", "amx", PRECISION_BF16},
#endif
};
#define DEVICE_CASES (sizeof device_cases / sizeof *device_cases)

/* NULL, said aloud, where this machine cannot carry out the case. */
static inline struct device *open_device(const struct device_case *of)
{
    struct error e = {0};
    struct device *d = NULL;
    if (of->isa)
        setenv("MUSTER_ISA", of->isa, 1);
    else
        unsetenv("MUSTER_ISA");
    if (device_create(&d, of->device, of->precision, of->threads ? of->threads : 2, &e) == 0)
        return d;
    print_message("not tried: %s %s %s: %s\n", of->device, of->isa ? of->isa : "", precision_names[of->precision], e.message);
    assert_int_equal(e.kind, ERROR_USAGE);
    assert_true(of->isa || of->precision != PRECISION_F32); /* the others are there on every machine */
    return NULL;
}

static inline char *case_name(const struct device_case *of, const char *more)
{
    return format_string("%s%s%s %s %s", of->device, of->isa ? "/" : "", of->isa ? of->isa : "", precision_names[of->precision],
                         more);
}

static inline device_memory device_array(struct device *d, const void *from, size_t bytes)
{
    struct error e = {0};
    device_memory ret;
    if (d->run->allocate(d, &ret, bytes + 4, &e) < 0)
        fail_msg("%s", e.message);
    if (from)
        d->run->upload(d, ret, from, bytes);
    else
        d->run->zero(d, ret, bytes + 4);
    return ret;
}

static inline float *host_array(struct device *d, device_memory from, size_t count)
{
    float *ret = allocate(count, sizeof *ret);
    d->run->download(d, ret, from, count * sizeof *ret);
    return ret;
}

/* act to float. */
static inline float *host_act(struct device *d, device_memory from, size_t count)
{
    if (!precision_is_narrow(d->precision))
        return host_array(d, from, count);
    uint16_t *bits = allocate(count, sizeof *bits);
    float *ret = allocate(count, sizeof *ret);
    d->run->download(d, bits, from, count * sizeof *bits);
    for (size_t i = 0; i < count; i++) {
        uint32_t whole = (uint32_t)bits[i] << 16;
        memcpy(&ret[i], &whole, sizeof whole);
    }
    free(bits);
    return ret;
}

/* |found - expected| <= tolerance * max(floor, largest |expected|) for all elements. Returns the worst share of that largest. */
static inline double check_close(const char *where, const char *what, const float *found, const float *expected, size_t n,
                                 double tolerance, double floor)
{
    double scale = floor, worst = 0;
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        double off = fabs((double)found[i] - expected[i]);
        scale = fmax(scale, fabs(expected[i]));
        if (!(off <= worst)) {
            worst = off;
            at = i;
        }
    }
    if (!(worst <= tolerance * scale))
        fail_msg("%s: %s: element %zu of %zu: expected %.9g, found %.9g; off by %.3g of the largest, allowed %.3g", where, what,
                 at, n, expected[at], found[at], worst / scale, tolerance);
    return worst / scale;
}

static inline struct tensor_file *golden_open(const char *name)
{
    struct error e = {0};
    struct tensor_file *f = NULL;
    char *path = format_string("%s/nn_%s.safetensors", TEST_GOLDEN, name);
    if (tensor_file_open(&f, path, &e) < 0)
        fail_msg("%s", e.message);
    free(path);
    return f;
}

/* Aligned copy of a tensor; freed by caller. */
static inline void *golden_array(const struct tensor_file *f, const char *name, size_t *count)
{
    const struct tensor *t = tensor_file_find(f, name);
    if (!t)
        fail_msg("golden tensor %s is missing", name);
    void *ret = allocate(t->count, 4);
    memcpy(ret, t->data, t->count * 4);
    if (count)
        *count = t->count;
    return ret;
}

static inline uint32_t golden_number(const struct tensor_file *f, const char *key)
{
    const char *text = tensor_file_metadata(f, key);
    if (!text)
        fail_msg("golden metadata %s is missing", key);
    return (uint32_t)strtoul(text, NULL, 10);
}

/* 0 where the file does not say. */
static inline uint32_t golden_optional(const struct tensor_file *f, const char *key)
{
    return tensor_file_metadata(f, key) ? golden_number(f, key) : 0;
}

static inline uint32_t family_named(const char *name)
{
    for (uint32_t i = 0; name && model_families[i].model_type; i++)
        if (strcmp(name, model_families[i].model_type) == 0)
            return i;
    return 0;
}

/* Of a file that holds the whole config.json. */
static inline struct model_config golden_configured(const char *text)
{
    struct error e = {0};
    struct model_config ret = {0};
    char directory[] = "/tmp/golden_config.XXXXXX";
    if (!mkdtemp(directory))
        fail_msg("no temporary directory");
    char *path = path_join(directory, "config.json");
    FILE *file = fopen(path, "w");
    if (!file || fputs(text, file) < 0 || fclose(file) != 0 || model_config_read(&ret, directory, &e) < 0)
        fail_msg("%s: %s", path, e.message);
    remove(path);
    rmdir(directory);
    free(path);
    return ret;
}

static inline struct model_config golden_config(const struct tensor_file *f)
{
    if (tensor_file_metadata(f, "config"))
        return golden_configured(tensor_file_metadata(f, "config"));
    const char *activation = tensor_file_metadata(f, "activation");
    return (struct model_config){.family = family_named(tensor_file_metadata(f, "family")),
                                 .embedding_width = golden_optional(f, "embedding"),
                                 .pad = golden_optional(f, "pad"),
                                 .padding = golden_optional(f, "padded") ? golden_optional(f, "pad") + 1 : 0,
                                 .layers = golden_number(f, "layers"),
                                 .width = golden_number(f, "width"),
                                 .heads = golden_number(f, "heads"),
                                 .inner = golden_number(f, "inner"),
                                 .vocabulary = golden_number(f, "vocabulary"),
                                 .positions = golden_number(f, "positions"),
                                 .types = golden_number(f, "types"),
                                 .labels = golden_number(f, "labels"),
                                 .activation = strcmp(activation, "gelu") == 0       ? ACTIVATION_GELU
                                               : strcmp(activation, "gelu_new") == 0 ? ACTIVATION_GELU_NEW
                                                                                     : ACTIVATION_RELU,
                                 .epsilon = 1e-12f,
                                 .initializer_range = 0.02f};
}

/* made_weight of tools/golden_nn.py. */
static inline void make_weight(float *to, const char *name, size_t count, uint64_t seed)
{
    uint32_t hash = 2166136261u;
    for (const char *c = name; *c; c++)
        hash = (hash ^ (uint8_t)*c) * 16777619u;
    float shift = strcasestr(name, "norm.weight") ? 1 : 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t word = philox(seed, RANDOM_EXAMPLES, (uint32_t)(i / 4), 0, hash, 0).word[i % 4];
        to[i] = 0.25f * ((float)(word >> 8) * 0x1p-23f - 1) + shift;
    }
}

static inline void set_parameter(struct parameters *p, const struct parameter *of, const float *values)
{
    struct device *d = parameters_device(p);
    d->run->upload(d, device_at(parameters_value(p), of->offset * sizeof(float)), values, of->count * sizeof(float));
}

static inline void make_weights(struct parameters *p, uint64_t seed)
{
    for (size_t i = 0; i < parameters_count(p); i++) {
        const struct parameter *of = parameters_at(p, i);
        float *values = allocate(of->count, sizeof *values);
        make_weight(values, of->name, of->count, seed);
        set_parameter(p, of, values);
        free(values);
    }
    parameters_refresh(p);
}
