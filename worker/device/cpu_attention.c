/* Owns how attention is divided among the cpu device's threads: by head of a row, whoever is free takes the next. Each writes
 * columns of its own, so who does what does not show in the result. */
#include "worker/device/cpu_device.h"

#include <omp.h>

static size_t longest_row(const int32_t *offsets, size_t B)
{
    size_t ret = 0;
    for (size_t b = 0; b < B; b++) {
        size_t n = (size_t)(offsets[b + 1] - offsets[b]);
        ret = n > ret ? n : ret;
    }
    return ret;
}

static void each_head(struct cpu *c, const struct attention *a,
                      void (*kernel)(const struct attention *a, size_t row, size_t head, void *scratch), size_t B)
{
    size_t bytes = (c->kernels->attention_scratch(longest_row(a->offsets, B), a->D) + 4095) / 4096 * 4096 + 64;
    char *scratch = cpu_scratch(c, SCRATCH_ATTENTION, bytes * (size_t)c->base.threads);
    if (!scratch)
        return;
#pragma omp parallel for num_threads(c->base.threads) schedule(dynamic, 1)
    for (size_t i = 0; i < B * a->H; i++)
        kernel(a, i / a->H, i % a->H, scratch + bytes * (size_t)omp_get_thread_num());
}

void cpu_attention_forward(struct device *d, device_memory y, device_memory log_sum, device_memory qkv, device_memory offsets,
                           const struct dropout *dropout, size_t B, size_t T, size_t H, size_t D)
{
    struct mask m;
    const struct attention a = {.qkv = host_pointer(qkv),
                                .y = host_pointer(y),
                                .log_sum = host_f32(log_sum),
                                .offsets = host_i32(offsets),
                                .mask = mask_of(&m, dropout),
                                .T = T,
                                .H = H,
                                .D = D};
    d->flops += attention_flops(offsets, B, H * D, 4);
    each_head(cpu_of(d), &a, cpu_of(d)->kernels->attention_forward, B);
}

void cpu_attention_backward(struct device *d, device_memory dqkv, device_memory dy, device_memory y, device_memory qkv,
                            device_memory log_sum, device_memory offsets, const struct dropout *dropout, size_t B, size_t T,
                            size_t H, size_t D)
{
    struct mask m;
    const struct attention a = {.qkv = host_pointer(qkv),
                                .y = host_pointer(y),
                                .dy = host_pointer(dy),
                                .dqkv = host_pointer(dqkv),
                                .log_sum = host_f32(log_sum),
                                .offsets = host_i32(offsets),
                                .mask = mask_of(&m, dropout),
                                .T = T,
                                .H = H,
                                .D = D};
    d->flops += attention_flops(offsets, B, H * D, 8);
    each_head(cpu_of(d), &a, cpu_of(d)->kernels->attention_backward, B);
}
