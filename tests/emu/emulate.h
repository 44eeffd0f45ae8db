/* SPDX-License-Identifier: Apache-2.0 */
/* Runs CUDA kernels on the host, for tests: every thread of a block is a fiber, and what a GPU would leave undefined is an error
 * that names kernel, place and thread. Included by worker/device/cuda/kernel.cuh in place of CUDA, under MUSTER_EMULATED. One
 * host thread at a time.
 *
 * Found: lanes of a warp that meet at different places, or of which some have left; the same of barriers; shared memory out of
 * bounds, not aligned, read before anything was written, or used by two threads without a barrier between them, one of them
 * writing; copies (cp.async) that are read before they were waited for. Global memory is as the host's: AddressSanitizer sees
 * what lies outside of it. Threads that must not depend on each other's order are run in three orders: a test compares the
 * results. */
#pragma once

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <functional>
#include <string>
#include <tuple>
#include <vector>

struct emulated_index {
    unsigned x, y, z;
};
extern struct emulated_index threadIdx, blockIdx, blockDim, gridDim; /* of the thread that runs */

struct dim3 {
    unsigned x, y, z;
    dim3(unsigned width = 1, unsigned height = 1, unsigned depth = 1) : x(width), y(height), z(depth)
    {
    }
};

typedef struct emulated_stream *cudaStream_t; /* runtime.h. NULL: what it is given runs at once */

enum emulated_order { EMULATED_FORWARD, EMULATED_REVERSE, EMULATED_SHUFFLED, EMULATED_ORDERS };

/* The order in which threads of a block, and blocks, are run; forward at the start. */
void emulate_in(enum emulated_order order);
enum emulated_order emulated_order_now(void);
/* The first error since the last call, "" if none: a launch ends with its first error. */
std::string emulated_error(void);
/* Memory of the GPU, 256-byte aligned, NaN: NULL: there is none. What a kernel writes within 256 bytes before or behind it is an
 * error of its launch; what it reads there is NaN. */
void *emulated_allocate(size_t bytes);
void emulated_free(void *at); /* NULL-safe */

/* --- used by the macros and functions below --- */

void emulated_enqueue(cudaStream_t stream, std::function<void()> work); /* runtime.cc */
/* What may have to wait: called until it returns true, before anything that comes later on the stream. */
void emulated_enqueue_until(cudaStream_t stream, std::function<bool()> work);
void emulated_launch(const char *kernel, dim3 grid, dim3 threads, const std::function<void()> &thread);
/* Ends the launch, from a thread of a kernel. */
[[noreturn]] void emulated_fail(const char *file, int line, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* An array of a block's shared memory, with what is known of each of its bytes. */
struct emulated_array {
    struct byte {
        int writer = -1, write_epoch = -1, reader = -1, read_epoch = -1; /* reader -2: several */
        bool pending = false;                                            /* a copy is on its way */
    };
    std::string name;
    std::vector<uint8_t> data;
    std::vector<byte> bytes;
    uint8_t *base; /* 16-byte aligned, inside data */
};

struct emulated_array *emulated_shared(const char *file, int line, const char *name, size_t bytes);
/* Checks an access of `size` bytes, aligned to `alignment`, and returns where they are. */
enum emulated_access { EMULATED_READ, EMULATED_WRITE, EMULATED_COPY };
void *emulated_touch(struct emulated_array *a, ptrdiff_t offset, size_t size, size_t alignment, enum emulated_access how,
                     const char *file, int line);

#define EMULATED_PLACE const char *file = __builtin_FILE(), int line = __builtin_LINE()

/* What an element of shared memory is used through. */
template <typename T>
struct emulated_element {
    struct emulated_array *array;
    ptrdiff_t offset; /* bytes */
    const char *file;
    int line;

    operator T() const
    {
        T ret;
        memcpy(&ret, emulated_touch(array, offset, sizeof(T), sizeof(T), EMULATED_READ, file, line), sizeof ret);
        return ret;
    }
    void operator=(T x)
    {
        memcpy(emulated_touch(array, offset, sizeof(T), sizeof(T), EMULATED_WRITE, file, line), &x, sizeof x);
    }
};

template <typename T>
struct emulated_pointer {
    struct emulated_array *array;
    ptrdiff_t offset; /* bytes */

    struct subscript { /* an index, and where it was written */
        ptrdiff_t i;
        const char *in;
        int at;
        template <typename I>
        subscript(I index, EMULATED_PLACE) : i((ptrdiff_t)index), in(file), at(line)
        {
        }
    };
    emulated_pointer operator+(ptrdiff_t n) const
    {
        return {array, offset + n * (ptrdiff_t)sizeof(T)};
    }
    emulated_element<T> operator[](subscript s) const
    {
        return {array, offset + s.i * (ptrdiff_t)sizeof(T), s.in, s.at};
    }
};

#define KERNEL static
#define DEVICE inline
#define UNROLL
#define ROLLED
#define SHARED(type, name, count)                                                                                                \
    const emulated_pointer<type> name = {emulated_shared(__FILE__, __LINE__, #name, sizeof(type) * (count)), 0}
#define LAUNCH(kernel, grid, threads, stream, ...)                                                                               \
    emulated_launch_later(#kernel, grid, threads, stream, kernel __VA_OPT__(, ) __VA_ARGS__)

/* Arguments are taken now, as a GPU's launch takes them. */
template <typename... P, typename... A>
void emulated_launch_later(const char *name, dim3 grid, dim3 threads, cudaStream_t stream, void (*kernel)(P...), A... arguments)
{
    std::tuple<P...> taken(arguments...);
    emulated_enqueue(stream, [=] { emulated_launch(name, grid, threads, [&] { std::apply(kernel, taken); }); });
}

void barrier(EMULATED_PLACE);
float shuffle(float x, int lane, EMULATED_PLACE);
float shuffle_xor(float x, int mask, EMULATED_PLACE);
double shuffle_xor(double x, int mask, EMULATED_PLACE);
uint32_t warp_vote(bool of_lane, EMULATED_PLACE);
void load_matrix_x4(uint32_t r[4], emulated_pointer<uint16_t> row, EMULATED_PLACE);
void load_matrix_x4_transposed(uint32_t r[4], emulated_pointer<uint16_t> row, EMULATED_PLACE);
void mma_bf16_16x8x16(float c[4], const uint32_t a[4], const uint32_t b[2], EMULATED_PLACE);
void copy_async_16(emulated_pointer<uint16_t> to, const uint16_t *from, EMULATED_PLACE);
void copy_commit(void);
void emulated_copy_wait(int groups);
void store_zero_16(emulated_pointer<uint16_t> to, EMULATED_PLACE);
void store_pair(emulated_pointer<uint16_t> to, uint32_t pair, EMULATED_PLACE);
void store_pair(uint16_t *to, uint32_t pair, EMULATED_PLACE);
struct chunk {
    uint32_t word[4];
};
struct chunk load_16(const void *from, EMULATED_PLACE);
void store_16(void *to, struct chunk x, EMULATED_PLACE);
float float_of_bits(uint32_t bits);
uint32_t bits_of_float(float x);
int lowest_bit(uint32_t bits);
float bf16_value(uint16_t x);
uint16_t bf16_round(float x);

template <int N>
static inline void copy_wait(void)
{
    emulated_copy_wait(N);
}
