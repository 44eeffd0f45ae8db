/* SPDX-License-Identifier: Apache-2.0 */
/* The meaning of a tensor's elements as numbers: f32, f16, bf16 and f64. */
#include "common/format/tensor_file_builder.h"

#include <float.h>
#include <math.h>
#include <string.h>

static float float_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static float half_to_float(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 0x1f, fraction = half & 0x3ff;
    if (exponent == 0x1f)
        return float_of_bits(sign | 0x7f800000 | fraction << 13);
    if (exponent)
        return float_of_bits(sign | (exponent + 112) << 23 | fraction << 13);
    float value = (float)fraction * 0x1p-24f; /* zero or subnormal: exact */
    return sign ? -value : value;
}

static void convert_f32(const void *from, size_t count, float *to)
{
    if (count)
        memcpy(to, from, count * sizeof *to);
}

/* Elements need not be aligned in the file, hence the memcpy of each; compilers make plain loads of them. */
static void convert_f16(const void *from, size_t count, float *to)
{
    for (size_t i = 0; i < count; i++) {
        uint16_t half;
        memcpy(&half, (const char *)from + i * sizeof half, sizeof half);
        to[i] = half_to_float(half);
    }
}

static void convert_bf16(const void *from, size_t count, float *to)
{
    for (size_t i = 0; i < count; i++) {
        uint16_t half;
        memcpy(&half, (const char *)from + i * sizeof half, sizeof half);
        to[i] = float_of_bits((uint32_t)half << 16);
    }
}

/* A finite double beyond f32's range becomes infinite without the undefined behaviour of the plain conversion. */
static float narrow(double value)
{
    if (value > 0x1.fffffefffffffp127)
        return INFINITY;
    if (value < -0x1.fffffefffffffp127)
        return -INFINITY;
    return (float)value;
}

static void convert_f64(const void *from, size_t count, float *to)
{
    for (size_t i = 0; i < count; i++) {
        double value;
        memcpy(&value, (const char *)from + i * sizeof value, sizeof value);
        to[i] = narrow(value);
    }
}

static void (*const conversions[])(const void *from, size_t count, float *to) = {
    [TENSOR_F32] = convert_f32, [TENSOR_F16] = convert_f16, [TENSOR_BF16] = convert_bf16,
    [TENSOR_F64] = convert_f64, [TENSOR_OTHER] = NULL,
};

int tensor_to_f32(const struct tensor *t, float *to, struct error *e)
{
    if (!conversions[t->type])
        return error_set(e, ERROR_DATA, "tensor %s: holds elements of type %s; F32, F16, BF16 or F64 is needed", t->name,
                         tensor_type_name(t->type));
    conversions[t->type](t->data, t->count, to);
    return 0;
}

int64_t tensor_first_not_finite(const struct tensor *t)
{
    enum { BLOCK = 1024 };
    float values[BLOCK];
    size_t size = tensor_type_size(t->type);
    if (!conversions[t->type])
        return -1; /* integers are finite */
    for (size_t start = 0; start < t->count; start += BLOCK) {
        size_t count = t->count - start < BLOCK ? t->count - start : BLOCK;
        conversions[t->type]((const char *)t->data + start * size, count, values);
        uint32_t bad = 0; /* one branch a block: the loop vectorises */
        for (size_t i = 0; i < count; i++)
            bad |= !(fabsf(values[i]) <= FLT_MAX);
        for (size_t i = 0; bad && i < count; i++)
            if (!isfinite(values[i]))
                return (int64_t)(start + i);
    }
    return -1;
}
