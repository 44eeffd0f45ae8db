/* SPDX-License-Identifier: Apache-2.0 */
/* What the emulation is for: faults that are planted in kernels are found, each by its name; and the instructions give what the
 * manual says. */
#include "tests/emu/cublaslt.h"
#include "worker/device/cuda/kernel.cuh"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

extern "C" {
#include "tests/emu/cuda_emulated.h"

#include <cmocka.h>
}

/* Each thread takes its neighbour's number. */
KERNEL void neighbour(int *to, bool with_barrier)
{
    SHARED(int, numbers, 64);
    numbers[threadIdx.x] = (int)threadIdx.x;
    if (with_barrier)
        barrier();
    to[threadIdx.x] = numbers[(threadIdx.x + 1) % 64];
}

KERNEL void beyond(int last)
{
    SHARED(int, numbers, 64);
    numbers[threadIdx.x == 63 ? last : (int)threadIdx.x] = 1;
}

KERNEL void beyond_buffer(float *to, int shift)
{
    to[(int)threadIdx.x + shift] = 1;
}

KERNEL void unwritten(int *to)
{
    SHARED(int, numbers, 64);
    to[threadIdx.x] = numbers[threadIdx.x];
}

KERNEL void overwritten(void)
{
    SHARED(int, numbers, 64);
    numbers[threadIdx.x / 2] = (int)threadIdx.x;
}

KERNEL void lanes_left(float *to)
{
    if (threadIdx.x % 32 >= 16)
        return;
    to[threadIdx.x] = shuffle_xor(1.0f, 1);
}

KERNEL void votes(uint32_t *to, int lanes)
{
    if ((int)threadIdx.x < lanes)
        to[threadIdx.x] = warp_vote(threadIdx.x % 3 == 0);
}

KERNEL void sixteen(uint16_t *to, const uint16_t *from, int shift_to, int shift_from)
{
    store_16(to + 8 * threadIdx.x + shift_to, load_16(from + 8 * threadIdx.x + shift_from));
}

KERNEL void lanes_apart(float *to)
{
    if (threadIdx.x % 2)
        to[threadIdx.x] = shuffle_xor(1.0f, 1);
    else
        to[threadIdx.x] = shuffle_xor(2.0f, 1);
}

KERNEL void barrier_left(void)
{
    if (threadIdx.x < 32)
        barrier();
}

KERNEL void barriers_apart(void)
{
    if (threadIdx.x < 32)
        barrier();
    else
        barrier();
}

/* Copies 8 numbers a thread and gives them back. */
KERNEL void copied(uint16_t *to, const uint16_t *from, bool wait, int shift)
{
    SHARED(bf16, tile, 64 * 8 + 8);
    copy_async_16(tile + (8 * threadIdx.x + shift), from + 8 * threadIdx.x);
    copy_commit();
    if (wait)
        copy_wait<0>();
    barrier();
    for (int i = 0; i < 8; i++)
        to[8 * threadIdx.x + i] = tile[8 * (63 - threadIdx.x) + i];
}

KERNEL void unaligned_pair(void)
{
    SHARED(bf16, tile, 128);
    store_pair(tile + (2 * threadIdx.x + 1) % 126, 0);
}

/* c (16 x 8) = a (16 x 16) b (16 x 8) by one warp; `swapped`: a fragment's registers in a wrong order. */
KERNEL void multiplied(float *c, const uint16_t *a, const uint16_t *b, bool swapped)
{
    SHARED(bf16, left, 16 * 16);
    SHARED(bf16, right, 16 * 8);
    int lane = threadIdx.x, g = lane / 4, t = lane % 4;
    for (int i = lane; i < 256; i += 32)
        left[i] = a[i];
    for (int i = lane; i < 128; i += 32)
        right[i] = b[i];
    barrier();
    uint32_t x[4], y[4];
    float sum[4] = {0, 0, 0, 0};
    load_matrix_x4(x, left + (lane % 16 * 16 + lane / 16 * 8));
    load_matrix_x4_transposed(y, right + lane % 16 * 8);
    if (swapped) {
        uint32_t other = x[1];
        x[1] = x[2];
        x[2] = other;
    }
    mma_bf16_16x8x16(sum, x, y);
    for (int e = 0; e < 4; e++)
        c[(g + e / 2 * 8) * 8 + 2 * t + e % 2] = sum[e];
}

#define RUN(kernel, threads, ...) LAUNCH(kernel, dim3(1), dim3(threads), (cudaStream_t)NULL __VA_OPT__(, ) __VA_ARGS__)

/* The last launch failed with this in its message, in every order. */
#define FINDS(words, launch)                                                                                                     \
    for (int order = 0; order < EMULATED_ORDERS; order++) {                                                                      \
        emulate_in((enum emulated_order)order);                                                                                  \
        launch;                                                                                                                  \
        std::string error = emulated_error();                                                                                    \
        if (error.find(words) == std::string::npos)                                                                              \
            fail_msg("order %d: expected \"%s\", found \"%s\"", order, words, error.c_str());                                    \
    }

static void test_right_kernels(void **state)
{
    (void)state;
    int numbers[64];
    for (int order = 0; order < EMULATED_ORDERS; order++) {
        emulate_in((enum emulated_order)order);
        RUN(neighbour, 64, numbers, true);
        assert_string_equal(emulated_error().c_str(), "");
        for (int i = 0; i < 64; i++)
            assert_int_equal(numbers[i], (i + 1) % 64);
    }
}

static void test_shared_memory(void **state)
{
    (void)state;
    int numbers[64];
    FINDS(" of numbers: ", RUN(neighbour, 64, numbers, false)); /* not written yet, or written with no barrier between */
    FINDS("with no barrier between", RUN(overwritten, 64));
    FINDS("byte 256 of numbers, which has 256", RUN(beyond, 64, 64));
    FINDS("byte -4 of numbers", RUN(beyond, 64, -1));
    FINDS("read, but never written", RUN(unwritten, 64, numbers));
    FINDS("not a multiple of 4", RUN(unaligned_pair, 32));
}

/* Off by one, in memory of the GPU. */
static void test_buffers(void **state)
{
    (void)state;
    float *to;
    assert_int_equal(cudaMalloc((void **)&to, 32 * sizeof *to), cudaSuccess);
    emulate_in(EMULATED_FORWARD);
    RUN(beyond_buffer, 32, to, 0);
    assert_string_equal(emulated_error().c_str(), "");
    FINDS("byte 128 of a buffer of 128 was written", RUN(beyond_buffer, 32, to, 1));
    FINDS("byte -4 of a buffer of 128 was written", RUN(beyond_buffer, 32, to, -1));
    cudaFree(to);
}

static void test_meeting(void **state)
{
    (void)state;
    float numbers[64];
    FINDS("has left the kernel", RUN(lanes_left, 32, numbers));
    uint32_t all[32];
    FINDS("has left the kernel", RUN(votes, 32, all, 31));
    RUN(votes, 32, all, 32);
    for (int i = 0; i < 32; i++)
        assert_int_equal(all[i], 0x49249249);
    FINDS("lane", RUN(lanes_apart, 32, numbers));
    FINDS("has left the kernel", RUN(barrier_left, 64));
    FINDS("at that of line", RUN(barriers_apart, 64));
    FINDS("expected a multiple of 32", RUN(barrier_left, 33));
}

static void test_copies(void **state)
{
    (void)state;
    alignas(16) uint16_t from[64 * 8], to[64 * 8];
    for (int i = 0; i < 64 * 8; i++)
        from[i] = (uint16_t)i;
    emulate_in(EMULATED_FORWARD);
    RUN(copied, 64, to, from, true, 0);
    assert_string_equal(emulated_error().c_str(), "");
    for (int i = 0; i < 64 * 8; i++)
        assert_int_equal(to[i], (63 - i / 8) * 8 + i % 8);
    FINDS("was not waited for", RUN(copied, 64, to, from, false, 0));
    FINDS("not a multiple of 16", RUN(copied, 64, to, from, true, 1));
}

static void test_wide_accesses(void **state)
{
    (void)state;
    alignas(16) uint16_t from[33 * 8], to[33 * 8];
    for (int i = 0; i < 33 * 8; i++)
        from[i] = (uint16_t)i;
    emulate_in(EMULATED_FORWARD);
    RUN(sixteen, 32, to, from, 0, 0);
    assert_string_equal(emulated_error().c_str(), "");
    assert_memory_equal(to, from, 512);
    FINDS("to an address that is not a multiple of 16", RUN(sixteen, 32, to, from, 4, 0));
    FINDS("from an address that is not a multiple of 16", RUN(sixteen, 32, to, from, 0, 1));
}

/* A staging buffer is used twice; without waiting for the first copy only a stream that does all at once gives both values. */
static void test_streams(void **state)
{
    (void)state;
    for (int order = 0; order < EMULATED_ORDERS; order++)
        for (int waits = 0; waits < 2; waits++) {
            cudaStream_t stream;
            cudaEvent_t copied;
            int staged, to[2] = {0, 0};
            emulate_in((enum emulated_order)order);
            cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
            cudaEventCreateWithFlags(&copied, cudaEventDisableTiming);
            for (int i = 0; i < 2; i++) {
                if (waits)
                    cudaEventSynchronize(copied);
                staged = 7 + i;
                cudaMemcpyAsync(&to[i], &staged, sizeof staged, cudaMemcpyHostToDevice, stream);
                cudaEventRecord(copied, stream);
            }
            cudaStreamDestroy(stream);
            cudaEventDestroy(copied);
            assert_int_equal(to[0], waits || order == EMULATED_FORWARD ? 7 : 8);
            assert_int_equal(to[1], 8);
        }
}

/* A stream that reads what another one writes: without a wait for its event it reads what was there before. */
static void test_stream_events(void **state)
{
    (void)state;
    for (int order = 0; order < EMULATED_ORDERS; order++)
        for (int waits = 0; waits < 2; waits++) {
            cudaStream_t writes, reads;
            cudaEvent_t written;
            int value = 7, between = 0, found = 0;
            emulate_in((enum emulated_order)order);
            cudaStreamCreateWithFlags(&writes, cudaStreamNonBlocking);
            cudaStreamCreateWithFlags(&reads, cudaStreamNonBlocking);
            cudaEventCreateWithFlags(&written, cudaEventDisableTiming);
            cudaMemcpyAsync(&between, &value, sizeof value, cudaMemcpyHostToDevice, writes);
            cudaEventRecord(written, writes);
            if (waits)
                cudaStreamWaitEvent(reads, written, 0);
            cudaMemcpyAsync(&found, &between, sizeof found, cudaMemcpyDeviceToDevice, reads);
            cudaStreamSynchronize(reads);
            assert_int_equal(found, waits || order == EMULATED_FORWARD ? 7 : 0);
            cudaStreamDestroy(writes);
            cudaStreamDestroy(reads);
            cudaEventDestroy(written);
        }
}

/* More uploads than the device has slots for, all from one place that changes. */
static void test_uploads(void **state)
{
    (void)state;
    enum { COUNT = 150 };
    for (int order = 0; order < EMULATED_ORDERS; order++) {
        struct device *d;
        struct error e = {};
        device_memory m;
        int from, to[COUNT];
        assert_int_equal(emulated_device_create(&d, "cuda_emulated", PRECISION_F32, 1 + order, &e), 0);
        assert_int_equal(d->run->allocate(d, &m, sizeof to, &e), 0);
        for (int i = 0; i < COUNT; i++) {
            from = 1000 + i;
            d->run->upload(d, device_at(m, i * sizeof from), &from, sizeof from);
        }
        from = 0;
        d->run->download(d, to, m, sizeof to);
        assert_int_equal(d->run->finish(d, &e), 0);
        for (int i = 0; i < COUNT; i++)
            assert_int_equal(to[i], 1000 + i);
        d->run->release(d, m);
        d->run->destroy(d);
    }
}

/* The first failure is told by finish, and what came after it did nothing. */
static void test_sticking(void **state)
{
    (void)state;
    struct device *d;
    struct error e = {};
    device_memory m;
    float one = 1, found = 0;
    assert_int_equal(emulated_device_create(&d, "cuda_emulated", PRECISION_F32, 1, &e), 0);
    assert_int_equal(d->run->allocate(d, &m, 64, &e), 0);
    d->run->upload(d, m, &one, sizeof one);
    d->run->rotate(d, m, m, 10000, 0, 1, 1, 258, 258);
    d->run->add(d, m, m, 1);
    assert_int_equal(d->run->finish(d, &e), -1);
    assert_non_null(strstr(e.message, "heads of 258"));
    d->run->download(d, &found, m, sizeof found);
    assert_true(found == 1);
    assert_int_equal(d->run->finish(d, &e), 0);
    d->run->release(d, m);
    d->run->destroy(d);
}

/* Layouts that do not fit each other are refused, as cuBLASLt refuses them. */
static void test_layouts(void **state)
{
    (void)state;
    cublasLtMatmulDesc_t p;
    cublasLtMatrixLayout_t a, b, d;
    cublasLtMatmulAlgo_t algorithm = {16};
    alignas(256) float x[64] = {}, one = 1, none = 0;
    cublasLtMatmulDescCreate(&p, CUBLAS_COMPUTE_32F, CUDA_R_32F);
    cublasLtMatrixLayoutCreate(&a, CUDA_R_32F, 4, 3, 4);
    cublasLtMatrixLayoutCreate(&b, CUDA_R_32F, 3, 2, 3);
    cublasLtMatrixLayoutCreate(&d, CUDA_R_32F, 4, 2, 4);
#define PRODUCT(left, right, at)                                                                                                 \
    cublasLtMatmul(NULL, p, &one, x, left, x + 16, right, &none, at, d, at, d, &algorithm, x, 256, NULL)
    assert_int_equal(PRODUCT(a, b, x + 32), CUBLAS_STATUS_SUCCESS);
    assert_int_equal(PRODUCT(b, a, x + 32), CUBLAS_STATUS_NOT_SUPPORTED);
    assert_int_equal(PRODUCT(a, b, x + 33), CUBLAS_STATUS_INVALID_VALUE);
    cublasLtMatmulDescDestroy(p);
    cublasLtMatrixLayoutDestroy(a);
    cublasLtMatrixLayoutDestroy(b);
    cublasLtMatrixLayoutDestroy(d);
}

static void test_product(void **state)
{
    (void)state;
    uint16_t a[256], b[128];
    float c[128], wrong[128], largest = 0;
    for (int i = 0; i < 256; i++)
        a[i] = bf16_round((float)(i * 7 % 23 - 11));
    for (int i = 0; i < 128; i++)
        b[i] = bf16_round((float)(i * 5 % 19 - 9));
    emulate_in(EMULATED_FORWARD);
    RUN(multiplied, 32, c, a, b, false);
    RUN(multiplied, 32, wrong, a, b, true);
    assert_string_equal(emulated_error().c_str(), "");
    for (int m = 0; m < 16; m++)
        for (int n = 0; n < 8; n++) {
            float sum = 0;
            for (int k = 0; k < 16; k++)
                sum += bf16_value(a[m * 16 + k]) * bf16_value(b[k * 8 + n]);
            assert_true(c[m * 8 + n] == sum);
            largest = fmaxf(largest, fabsf(wrong[m * 8 + n] - sum));
        }
    assert_true(largest > 1); /* a wrong fragment shows */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_right_kernels), cmocka_unit_test(test_shared_memory), cmocka_unit_test(test_meeting),
        cmocka_unit_test(test_copies),        cmocka_unit_test(test_product),       cmocka_unit_test(test_wide_accesses),
        cmocka_unit_test(test_streams),       cmocka_unit_test(test_uploads),       cmocka_unit_test(test_sticking),
        cmocka_unit_test(test_layouts),       cmocka_unit_test(test_buffers),       cmocka_unit_test(test_stream_events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
