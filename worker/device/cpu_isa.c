/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the choice of kernels by what this machine can carry out. */
#include "common/base/machine.h"
#include "worker/device/kernels/kernels.h"

#include <string.h>

extern const struct kernels kernels_baseline_f32, kernels_baseline_bf16, kernels_amx_in_c_bf16;

static bool always(void)
{
    return true;
}

static bool never(void)
{
    return false;
}

#if defined(__x86_64__)
extern const struct kernels kernels_avx2_f32, kernels_avx2_bf16, kernels_avx512_f32, kernels_avx512_bf16,
    kernels_avx512_bf16_bf16, kernels_amx_bf16;

static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
}

static bool has_avx512(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

static bool has_avx512_bf16(void)
{
    return has_avx512() && __builtin_cpu_supports("avx512bf16");
}

static bool has_amx(void)
{
    return has_avx512_bf16() && machine_has_amx();
}
#endif

static const struct {
    const struct kernels *kernels;
    bool (*can_run)(void);
    bool (*pays)(void); /* else they are for who names them */
} variants[] = {
#if defined(__x86_64__)
    {&kernels_amx_bf16, has_amx, always},
    {&kernels_avx512_bf16_bf16, has_avx512_bf16, machine_gains_by_bf16},
    {&kernels_avx512_f32, has_avx512, always},
    {&kernels_avx512_bf16, has_avx512, always},
    {&kernels_avx2_f32, has_avx2, always},
    {&kernels_avx2_bf16, has_avx2, always},
#endif
    {&kernels_amx_in_c_bf16, always, never}, /* of tests */
    {&kernels_baseline_f32, always, always},
    {&kernels_baseline_bf16, always, always},
};

const struct kernels *kernels_find(enum precision precision, const char *isa)
{
    bool from_here = !isa;
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
        const struct kernels *k = variants[i].kernels;
        bool named = isa && strcmp(isa, k->isa) == 0;
        if (!variants[i].can_run() || !(named || variants[i].pays()))
            continue;
        from_here = from_here || named;
        if (from_here && k->precision == precision)
            return k;
    }
    return NULL;
}
