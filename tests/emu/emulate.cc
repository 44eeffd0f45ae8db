/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/emu/emulate.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <numeric>
#include <utility>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

struct emulated_index threadIdx, blockIdx, blockDim, gridDim;

/* Saves what a call must not lose on this stack and goes on with another one. */
extern "C" void emulated_switch(void **from, void *to);
#if defined(__x86_64__)
__asm__(".text\n.globl emulated_switch\n.type emulated_switch,@function\nemulated_switch:\n"
        "push %rbp\npush %rbx\npush %r12\npush %r13\npush %r14\npush %r15\n"
        "mov %rsp,(%rdi)\nmov %rsi,%rsp\n"
        "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbx\npop %rbp\nret\n"
        ".size emulated_switch,.-emulated_switch\n");
enum { SAVED = 6 };
#else
#error "tests/emu: there is no switch of stacks for this processor yet"
#endif

namespace
{

enum { LANES = 32, STACK = 512 << 10, GUARD = 4096 };
enum state { READY, IN_WARP, IN_BARRIER, LEFT };

struct copy {
    struct emulated_array *to;
    ptrdiff_t offset;
    const void *from;
};

struct fiber {
    void *stack_pointer; /* while it does not run */
    void *stack, *fake_stack;
    struct emulated_index index;
    enum state state;
    const char *file; /* where it waits */
    int line, number;
    const void *operation; /* of a warp */
    void *arguments;
    std::vector<copy> copies; /* since the last commit */
    std::deque<std::vector<copy>> groups;
};

struct {
    const char *kernel;
    const std::function<void()> *thread;
    std::vector<std::unique_ptr<fiber>> fibers;
    std::map<std::string, std::unique_ptr<emulated_array>> shared;
    struct fiber *now; /* NULL: the scheduler runs */
    void *scheduler;   /* its stack pointer */
    const void *scheduler_stack;
    size_t scheduler_stack_size;
    int epoch; /* barriers passed */
    bool failed;
    enum emulated_order order;
    std::string error;
} block;

void to_scheduler(bool last)
{
    struct fiber *f = block.now;
#if SANITIZED
    __sanitizer_start_switch_fiber(last ? NULL : &f->fake_stack, block.scheduler_stack, block.scheduler_stack_size);
#endif
    (void)last;
    emulated_switch(&f->stack_pointer, block.scheduler);
#if SANITIZED
    __sanitizer_finish_switch_fiber(f->fake_stack, NULL, NULL);
#endif
}

void to_fiber(struct fiber *f)
{
    block.now = f;
    threadIdx = f->index;
#if SANITIZED
    void *fake;
    __sanitizer_start_switch_fiber(&fake, (char *)f->stack + GUARD, STACK);
#endif
    emulated_switch(&block.scheduler, f->stack_pointer);
#if SANITIZED
    __sanitizer_finish_switch_fiber(fake, NULL, NULL);
#endif
    block.now = NULL;
}

struct fiber *lane_of(int warp, int lane)
{
    return block.fibers[(size_t)(warp * LANES + lane)].get();
}

void start(void)
{
#if SANITIZED
    __sanitizer_finish_switch_fiber(NULL, &block.scheduler_stack, &block.scheduler_stack_size);
#endif
    (*block.thread)();
    struct fiber *f = block.now;
    f->state = LEFT;
    for (size_t i = 0; i < (size_t)blockDim.x * blockDim.y * blockDim.z; i++) {
        const struct fiber *other = block.fibers[i].get();
        if (other->state == IN_BARRIER)
            emulated_fail(other->file, other->line, "thread %zu is at a barrier, thread %d has left the kernel", i, f->number);
    }
    for (int i = 0; i < LANES; i++) {
        const struct fiber *other = lane_of(f->number / LANES, i);
        if (other->state == IN_WARP)
            emulated_fail(other->file, other->line, "lane %d waits for lane %d, which has left the kernel", i, f->number % LANES);
    }
    to_scheduler(true);
}

/* Each launch gets its fibers anew; stacks stay. */
void prepare(struct fiber *f, int number, dim3 threads)
{
    if (!f->stack) {
        f->stack = mmap(NULL, STACK + GUARD, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (f->stack == MAP_FAILED || mprotect(f->stack, GUARD, PROT_NONE))
            abort();
    }
    f->number = number;
    f->state = READY;
    f->copies.clear();
    f->groups.clear();
    f->index = {(unsigned)number % threads.x, (unsigned)number / threads.x % threads.y, (unsigned)number / threads.x / threads.y};
    void **top = (void **)((char *)f->stack + GUARD + STACK) - 3; /* start() finds its stack aligned as behind a call */
    *--top = (void *)start;
    memset(top - SAVED, 0, SAVED * sizeof *top);
    f->stack_pointer = top - SAVED;
}

void record(const char *file, int line, const char *format, va_list arguments)
{
    char text[512], whole[1024];
    const char *name = strrchr(file, '/');
    vsnprintf(text, sizeof text, format, arguments);
    snprintf(whole, sizeof whole, "%s: %s:%d: block %u %u %u: %s", block.kernel, name ? name + 1 : file, line, blockIdx.x,
             blockIdx.y, blockIdx.z, text);
    if (block.error.empty())
        block.error = whole;
    block.failed = true;
}

/* An error that no thread of the kernel makes. */
void fail_launch(const char *format, ...) __attribute__((format(printf, 1, 2)));

void fail_launch(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    record("launch", 0, format, arguments);
    va_end(arguments);
}

std::vector<size_t> in_order(size_t count)
{
    std::vector<size_t> ret(count);
    std::iota(ret.begin(), ret.end(), 0);
    uint64_t random = 42;
    if (block.order == EMULATED_REVERSE)
        std::reverse(ret.begin(), ret.end());
    for (size_t i = count; block.order == EMULATED_SHUFFLED && i > 1; i--) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        std::swap(ret[i - 1], ret[(random >> 33) % i]);
    }
    return ret;
}

void run_block(dim3 threads)
{
    size_t count = (size_t)threads.x * threads.y * threads.z;
    block.shared.clear();
    block.epoch = 0;
    for (size_t i = 0; i < count; i++)
        prepare(block.fibers[i].get(), (int)i, threads);
    const std::vector<size_t> order = in_order(count);
    for (bool ran = true; ran && !block.failed;) {
        ran = false;
        for (size_t i : order)
            if (!block.failed && block.fibers[i]->state == READY) {
                to_fiber(block.fibers[i].get());
                ran = true;
            }
    }
    for (size_t i = 0; i < count && !block.failed; i++) {
        const struct fiber *f = block.fibers[i].get();
        if (f->state != LEFT)
            fail_launch("thread %zu waits at %s:%d for ever: others of its %s are not there", i, f->file, f->line,
                        f->state == IN_WARP ? "warp" : "block");
    }
}

/* Nearly always one pointer: strcmp for every lane took half of the time. */
bool same_file(const char *a, const char *b)
{
    return a == b || strcmp(a, b) == 0;
}

/* Waits until all lanes are at this place; the last one does the operation for all. */
template <typename A>
void in_warp(A *arguments, void (*operation)(A *const lanes[LANES]), const char *file, int line)
{
    struct fiber *f = block.now;
    A *all[LANES];
    int there = 0;
    f->state = IN_WARP;
    f->file = file;
    f->line = line;
    f->operation = (const void *)operation;
    f->arguments = arguments;
    for (int i = 0; i < LANES; i++) {
        struct fiber *other = lane_of(f->number / LANES, i);
        if (other->state == LEFT)
            emulated_fail(file, line, "lane %d is here, lane %d has left the kernel", f->number % LANES, i);
        if (other->state == READY)
            continue;
        if (other->state == IN_BARRIER || other->line != line || other->operation != f->operation ||
            !same_file(other->file, file))
            emulated_fail(file, line, "lane %d is here, lane %d at line %d", f->number % LANES, i, other->line);
        all[i] = (A *)other->arguments;
        there++;
    }
    if (there < LANES) {
        to_scheduler(false);
        return;
    }
    operation(all);
    for (int i = 0; i < LANES; i++)
        lane_of(f->number / LANES, i)->state = READY;
}

} // namespace

void emulate_in(enum emulated_order order)
{
    block.order = order;
}

enum emulated_order emulated_order_now(void)
{
    return block.order;
}

std::string emulated_error(void)
{
    return std::exchange(block.error, "");
}

void emulated_fail(const char *file, int line, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    record(file, line, format, arguments);
    va_end(arguments);
    if (block.now)
        to_scheduler(true); /* and never back */
    abort();
}

/* ---- memory, with guards around it ---- */

static std::map<unsigned char *, size_t> buffers; /* bytes at */

enum { BUFFER_GUARD = 256 };

static size_t behind(size_t bytes) /* up to the end of the guard */
{
    return (bytes + 255) / 256 * 256 + BUFFER_GUARD;
}

void *emulated_allocate(size_t bytes)
{
    unsigned char *at = (unsigned char *)aligned_alloc(256, BUFFER_GUARD + behind(bytes));
    if (!at)
        return NULL;
    memset(at, 0xff, BUFFER_GUARD + behind(bytes));
    buffers[at + BUFFER_GUARD] = bytes;
    return at + BUFFER_GUARD;
}

void emulated_free(void *at)
{
    if (!at)
        return;
    buffers.erase((unsigned char *)at);
    free((unsigned char *)at - BUFFER_GUARD);
}

/* Reports the first byte that was written outside a buffer, once. */
static void check_guards(void)
{
    for (const auto &b : buffers)
        for (ptrdiff_t i = -BUFFER_GUARD; i < (ptrdiff_t)behind(b.second); i++) {
            if (i == 0)
                i += (ptrdiff_t)b.second;
            if (b.first[i] != 0xff) {
                b.first[i] = 0xff;
                fail_launch("byte %td of a buffer of %zu was written", i, b.second);
            }
        }
}

void emulated_launch(const char *kernel, dim3 grid, dim3 threads, const std::function<void()> &thread)
{
    size_t count = (size_t)threads.x * threads.y * threads.z;
    block.kernel = kernel;
    block.thread = &thread;
    block.failed = false;
    gridDim = {grid.x, grid.y, grid.z};
    blockDim = {threads.x, threads.y, threads.z};
    blockIdx = {0, 0, 0};
    if (!count || count % LANES || count > 1024) {
        fail_launch("%zu threads a block: expected a multiple of 32 up to 1024", count);
        block.kernel = NULL;
        return;
    }
    while (block.fibers.size() < count)
        block.fibers.push_back(std::make_unique<fiber>());
    for (size_t i : in_order((size_t)grid.x * grid.y * grid.z)) {
        if (block.failed)
            break;
        blockIdx = {(unsigned)i % grid.x, (unsigned)i / grid.x % grid.y, (unsigned)i / grid.x / grid.y};
        run_block(threads);
    }
#if SANITIZED
    for (size_t i = 0; i < count && block.failed; i++) /* functions that never returned */
        if (block.fibers[i]->stack)
            __asan_unpoison_memory_region((char *)block.fibers[i]->stack + GUARD, STACK);
#endif
    check_guards();
    block.kernel = NULL;
}

struct emulated_array *emulated_shared(const char *file, int line, const char *name, size_t bytes)
{
    std::unique_ptr<emulated_array> &a = block.shared[std::string(file) + ":" + std::to_string(line) + name];
    if (!a) {
        a = std::make_unique<emulated_array>();
        a->name = name;
        a->data.assign(bytes + 16, 0xff); /* NaN */
        a->bytes.resize(bytes);
        a->base = a->data.data() + (16 - (uintptr_t)a->data.data() % 16) % 16;
    }
    return a.get();
}

void *emulated_touch(struct emulated_array *a, ptrdiff_t offset, size_t size, size_t alignment, enum emulated_access how,
                     const char *file, int line)
{
    int me = block.now->number;
    const char *name = a->name.c_str();
    if (offset < 0 || (size_t)offset + size > a->bytes.size())
        emulated_fail(file, line, "thread %d: byte %td of %s, which has %zu", me, offset, name, a->bytes.size());
    if ((size_t)offset % alignment)
        emulated_fail(file, line, "thread %d: byte %td of %s: not a multiple of %zu", me, offset, name, alignment);
    for (size_t i = 0; i < size; i++) {
        emulated_array::byte &b = a->bytes[(size_t)offset + i];
        if (b.pending)
            emulated_fail(file, line, "thread %d: byte %td of %s: a copy to it was not waited for", me, offset, name);
        if (how == EMULATED_READ && b.writer < 0)
            emulated_fail(file, line, "thread %d: byte %td of %s: read, but never written", me, offset, name);
        if (b.write_epoch == block.epoch && b.writer != me)
            emulated_fail(file, line, "thread %d: byte %td of %s: thread %d wrote it, with no barrier between", me, offset, name,
                          b.writer);
        if (how != EMULATED_READ && b.read_epoch == block.epoch && b.reader != me)
            emulated_fail(file, line, "thread %d: byte %td of %s: another thread read it, with no barrier between", me, offset,
                          name);
        if (how == EMULATED_READ) {
            b.reader = b.read_epoch == block.epoch && b.reader != me ? -2 : me;
            b.read_epoch = block.epoch;
        } else {
            b.writer = me;
            b.write_epoch = block.epoch;
            b.pending = how == EMULATED_COPY;
        }
    }
    return a->base + offset;
}

void barrier(const char *file, int line)
{
    struct fiber *f = block.now;
    size_t count = (size_t)blockDim.x * blockDim.y * blockDim.z, there = 0;
    f->state = IN_BARRIER;
    f->file = file;
    f->line = line;
    for (size_t i = 0; i < count; i++) {
        const struct fiber *other = block.fibers[i].get();
        if (other->state == LEFT)
            emulated_fail(file, line, "thread %d is at a barrier, thread %zu has left the kernel", f->number, i);
        if (other->state == IN_BARRIER && (other->line != line || !same_file(other->file, file)))
            emulated_fail(file, line, "thread %d is at this barrier, thread %zu at that of line %d", f->number, i, other->line);
        there += other->state == IN_BARRIER;
    }
    if (there < count) {
        to_scheduler(false);
        return;
    }
    block.epoch++;
    for (size_t i = 0; i < count; i++)
        block.fibers[i]->state = READY;
}

template <typename F>
struct shuffling {
    F from, to;
    int lane;
};

template <typename F>
static void shuffle_all(shuffling<F> *const lanes[LANES])
{
    for (int i = 0; i < LANES; i++)
        lanes[i]->to = lanes[lanes[i]->lane]->from;
}

float shuffle(float x, int lane, const char *file, int line)
{
    shuffling<float> s = {x, 0, lane & (LANES - 1)};
    in_warp(&s, shuffle_all<float>, file, line);
    return s.to;
}

template <typename F>
static F shuffle_by(F x, int mask, const char *file, int line)
{
    shuffling<F> s = {x, 0, (block.now->number % LANES ^ mask) & (LANES - 1)};
    in_warp(&s, shuffle_all<F>, file, line);
    return s.to;
}

float shuffle_xor(float x, int mask, const char *file, int line)
{
    return shuffle_by(x, mask, file, line);
}

double shuffle_xor(double x, int mask, const char *file, int line)
{
    return shuffle_by(x, mask, file, line);
}

struct voting {
    bool of_lane;
    uint32_t all;
};

static void vote_all(voting *const lanes[LANES])
{
    uint32_t all = 0;
    for (int i = 0; i < LANES; i++)
        all |= (uint32_t)lanes[i]->of_lane << i;
    for (int i = 0; i < LANES; i++)
        lanes[i]->all = all;
}

uint32_t warp_vote(bool of_lane, const char *file, int line)
{
    voting v = {of_lane, 0};
    in_warp(&v, vote_all, file, line);
    return v.all;
}

struct loading {
    uint32_t *to;
    uint16_t row[8];
};

static void load_all(loading *const lanes[LANES])
{
    for (int l = 0; l < LANES; l++)
        for (int j = 0; j < 4; j++) {
            const uint16_t *row = lanes[8 * j + l / 4]->row;
            lanes[l]->to[j] = row[2 * (l % 4)] | (uint32_t)row[2 * (l % 4) + 1] << 16;
        }
}

static void load_all_transposed(loading *const lanes[LANES])
{
    for (int l = 0; l < LANES; l++)
        for (int j = 0; j < 4; j++) {
            loading *const *rows = lanes + 8 * j + 2 * (l % 4);
            lanes[l]->to[j] = rows[0]->row[l / 4] | (uint32_t)rows[1]->row[l / 4] << 16;
        }
}

static void load_row(loading *l, emulated_pointer<uint16_t> row, const char *file, int line)
{
    memcpy(l->row, emulated_touch(row.array, row.offset, 16, 16, EMULATED_READ, file, line), 16);
}

void load_matrix_x4(uint32_t r[4], emulated_pointer<uint16_t> row, const char *file, int line)
{
    loading l = {r, {0}};
    load_row(&l, row, file, line);
    in_warp(&l, load_all, file, line);
}

void load_matrix_x4_transposed(uint32_t r[4], emulated_pointer<uint16_t> row, const char *file, int line)
{
    loading l = {r, {0}};
    load_row(&l, row, file, line);
    in_warp(&l, load_all_transposed, file, line);
}

struct multiplying {
    float *c;
    const uint32_t *a, *b;
};

static float half_of(uint32_t pair, int upper)
{
    return bf16_value((uint16_t)(upper ? pair >> 16 : pair));
}

/* Element (m, k) of a is register m / 8 + 2 (k / 8) of lane 4 (m % 8) + k % 8 / 2. */
static void multiply_all(multiplying *const lanes[LANES])
{
    for (int m = 0; m < 16; m++)
        for (int n = 0; n < 8; n++) {
            float *c = &lanes[m % 8 * 4 + n / 2]->c[m / 8 * 2 + n % 2];
            for (int k = 0; k < 16; k++) {
                uint32_t a = lanes[m % 8 * 4 + k % 8 / 2]->a[m / 8 + k / 8 * 2], b = lanes[n * 4 + k % 8 / 2]->b[k / 8];
                *c += half_of(a, k % 2) * half_of(b, k % 2);
            }
        }
}

void mma_bf16_16x8x16(float c[4], const uint32_t a[4], const uint32_t b[2], const char *file, int line)
{
    multiplying m = {c, a, b};
    in_warp(&m, multiply_all, file, line);
}

void copy_async_16(emulated_pointer<uint16_t> to, const uint16_t *from, const char *file, int line)
{
    if ((uintptr_t)from % 16)
        emulated_fail(file, line, "thread %d: a copy from an address that is not a multiple of 16", block.now->number);
    emulated_touch(to.array, to.offset, 16, 16, EMULATED_COPY, file, line);
    block.now->copies.push_back({to.array, to.offset, from});
}

void copy_commit(void)
{
    block.now->groups.push_back(std::exchange(block.now->copies, {}));
}

void emulated_copy_wait(int groups)
{
    for (struct fiber *f = block.now; f->groups.size() > (size_t)groups; f->groups.pop_front())
        for (const copy &c : f->groups.front()) {
            memcpy(c.to->base + c.offset, c.from, 16);
            for (int i = 0; i < 16; i++) {
                c.to->bytes[(size_t)c.offset + i].pending = false;
                c.to->bytes[(size_t)c.offset + i].write_epoch = block.epoch;
            }
        }
}

void store_zero_16(emulated_pointer<uint16_t> to, const char *file, int line)
{
    memset(emulated_touch(to.array, to.offset, 16, 16, EMULATED_WRITE, file, line), 0, 16);
}

void store_pair(emulated_pointer<uint16_t> to, uint32_t pair, const char *file, int line)
{
    memcpy(emulated_touch(to.array, to.offset, sizeof pair, sizeof pair, EMULATED_WRITE, file, line), &pair, sizeof pair);
}

void store_pair(uint16_t *to, uint32_t pair, const char *file, int line)
{
    if ((uintptr_t)to % sizeof pair)
        emulated_fail(file, line, "thread %d: a pair at an address that is not a multiple of 4", block.now->number);
    memcpy(to, &pair, sizeof pair);
}

struct chunk load_16(const void *from, const char *file, int line)
{
    struct chunk ret;
    if ((uintptr_t)from % sizeof ret)
        emulated_fail(file, line, "thread %d: 16 bytes from an address that is not a multiple of 16", block.now->number);
    memcpy(&ret, from, sizeof ret);
    return ret;
}

void store_16(void *to, struct chunk x, const char *file, int line)
{
    if ((uintptr_t)to % sizeof x)
        emulated_fail(file, line, "thread %d: 16 bytes to an address that is not a multiple of 16", block.now->number);
    memcpy(to, &x, sizeof x);
}

float float_of_bits(uint32_t bits)
{
    float ret;
    memcpy(&ret, &bits, sizeof ret);
    return ret;
}

uint32_t bits_of_float(float x)
{
    uint32_t ret;
    memcpy(&ret, &x, sizeof ret);
    return ret;
}

int lowest_bit(uint32_t bits)
{
    return __builtin_ctz(bits);
}

float bf16_value(uint16_t x)
{
    return float_of_bits((uint32_t)x << 16);
}

uint16_t bf16_round(float x)
{
    uint32_t bits = bits_of_float(x);
    if ((bits & 0x7fffffff) > 0x7f800000)
        return 0x7fff; /* as the GPU's instruction */
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
