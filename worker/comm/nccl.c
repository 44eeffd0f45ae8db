/* SPDX-License-Identifier: Apache-2.0 */
/* Owns NCCL: the sole file that includes nccl.h. Sums of a GPU's memory go through NCCL, on a stream of
 * their own; all else, and the sums of a device that is no GPU, are MPI's.
 *
 * NCCL promises no order of summation, so it only carries data. A sum of n ranks is cut into n pieces: every rank sends piece r
 * to rank r (all-to-all), rank r adds the n it has in the order of communicator.h and sends the sum to all (all-gather): as many
 * bytes as a ring sends. Both are grouped ncclSend and ncclRecv, since the pieces are not all of one size. `fast` is
 * ncclAllReduce.
 *
 * Nothing here waits without a deadline: calls are non-blocking ones, and what the GPU does is looked at through marks. When
 * something fails, the ranks call the roll over MPI, which tells which of them is behind. Then NCCL is aborted, by a thread of
 * its own: the GPU would wait for the others for ever, and so would whoever waits for the GPU. */
#include "worker/comm/backends.h"

#if defined MUSTER_CUDA || defined MUSTER_EMULATED
#include "common/base/buffer.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "worker/device/gpu_stream.h"

#include <nccl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CHUNK = 8 << 20 /* floats summed at once, which scratch memory is for */, MAX_CTAS = 16 /* the others are backward's */ };

#define ROLL_CALL 5.0 /* seconds that ranks have to answer */
#define LET_GO 10.0   /* seconds that NCCL has to end, or to be aborted */

struct nccl {
    struct communicator base;
    struct communicator *mpi;
    struct device *device; /* attached */
    bool on_gpu;           /* it is one */
    ncclComm_t comm;       /* NULL: none yet, or aborted */
    bool ready;            /* it has been made */
    atomic_bool aborted;
    struct gpu_stream *stream;
    uint64_t asked;        /* sums, each with two marks: in front of it and behind it */
    uint64_t passed;       /* marks */
    double looked, waited; /* clock; seconds that the next mark has been waited for */
    struct error broken;   /* the first failure; kind ERROR_NONE while all is well */
};

static struct nccl *nccl_of(struct communicator *c)
{
    return (struct nccl *)c;
}

/* ---- failure ---- */

static int fail_again(const struct nccl *n, struct error *e)
{
    if (e)
        *e = n->broken;
    return -1;
}

static void *abort_comm(void *context)
{
    struct nccl *n = context;
    ncclCommAbort(n->comm);
    atomic_store(&n->aborted, true);
    return NULL;
}

/* Where NCCL does not let go, the GPU does not either, and the process cannot even free its memory. */
static void let_go(struct nccl *n)
{
    pthread_t thread;
    double start = clock_seconds();
    if (!n->comm)
        return;
    bool started = !pthread_create(&thread, NULL, abort_comm, n);
    while (started && !atomic_load(&n->aborted) && clock_seconds() - start < LET_GO)
        clock_sleep(1e-3);
    if (!atomic_load(&n->aborted)) {
        log_warn("%s", n->broken.message);
        log_warn("rank %d (%s): NCCL could not be aborted within %g s; this process ends", n->base.rank,
                 mpi_host(n->mpi, n->base.rank), LET_GO);
        _exit(ERROR_FAILED);
    }
    pthread_join(thread, NULL);
    n->comm = NULL;
}

/* Making the communicator counts as the first sum. */
static struct mpi_standing standing(struct nccl *n)
{
    struct mpi_standing s = {0};
    struct error ignored;
    if (n->stream)
        gpu_stream_passed(&n->passed, n->stream, &ignored);
    s.asked = n->asked + (n->comm != NULL);
    s.reached = (n->passed + 1) / 2 + (n->comm != NULL);
    s.done = n->passed / 2 + n->ready;
    return s;
}

/* Of the first sum that some rank has not done: the rank that it waits for, or -1. */
static int find_behind(const struct nccl *n, const struct mpi_standing *all, const bool *answered, const char **what)
{
    uint64_t stuck = UINT64_MAX;
    for (int r = 0; r < n->base.size; r++)
        if (!answered[r]) {
            *what = "does not answer";
            return r;
        }
    for (int r = 0; r < n->base.size; r++)
        stuck = all[r].done + 1 < stuck ? all[r].done + 1 : stuck;
    for (int r = 0; r < n->base.size; r++)
        if (all[r].asked < stuck) {
            *what = "has not come to this sum";
            return r;
        }
    for (int r = 0; r < n->base.size; r++)
        if (all[r].reached < stuck) {
            *what = "waits for its GPU, which has not come to this sum";
            return r;
        }
    return -1;
}

/* The words of the failure, from what the ranks tell. */
static void describe(struct nccl *n, const char *operation, const struct mpi_standing *all, const bool *answered)
{
    const char *what;
    int rank = n->base.rank, other = rank;
    if (!all[rank].failure[0])
        for (other = 0; other < n->base.size && !(answered[other] && all[other].failure[0]);)
            other++;
    if (other < n->base.size)
        error_set(&n->broken, ERROR_FAILED, "%s: rank %d (%s): %s; run again: it resumes", operation, other,
                  mpi_host(n->mpi, other), all[other].failure);
    else if ((other = find_behind(n, all, answered, &what)) >= 0)
        error_set(&n->broken, ERROR_FAILED,
                  "%s: rank %d (%s) waited for NCCL in vain: rank %d (%s) %s; look at that host and its output, then run again: "
                  "it resumes",
                  operation, rank, mpi_host(n->mpi, rank), other, mpi_host(n->mpi, other), what);
    else
        error_set(&n->broken, ERROR_FAILED,
                  "%s: rank %d (%s) waited for NCCL in vain, and no rank is behind: look at the network between the hosts "
                  "(NCCL_DEBUG=INFO tells more), then run again: it resumes",
                  operation, rank, mpi_host(n->mpi, rank));
}

/* The first failure of this rank; failure: its own reason, NULL: it waits for others in vain, or they have called. */
static int give_up(struct nccl *n, const char *failure, struct error *e)
{
    const char *operation = n->ready ? "all_reduce" : "init";
    struct mpi_standing mine = standing(n), *all = allocate((size_t)n->base.size, sizeof *all);
    bool *answered = allocate((size_t)n->base.size, sizeof *answered);
    if (failure)
        memcpy(mine.failure, failure, strnlen(failure, sizeof mine.failure - 1));
    n->broken.kind = ERROR_FAILED; /* from now on nothing looks again */
    mpi_roll_call(n->mpi, &mine, all, answered, n->base.timeout < ROLL_CALL ? n->base.timeout : ROLL_CALL);
    describe(n, operation, all, answered);
    free(all);
    free(answered);
    mpi_break(n->mpi, &n->broken);
    let_go(n);
    return fail_again(n, e);
}

static int give_up_nccl(struct nccl *n, const char *call, ncclResult_t result, struct error *e)
{
    char text[512];
    const char *more = n->comm ? ncclGetLastError(n->comm) : NULL;
    snprintf(text, sizeof text, "%s: %s%s%s", call, ncclGetErrorString(result), more && *more ? ": " : "", more ? more : "");
    return give_up(n, text, e);
}

/* Its GPU has failed, in CUDA's words. */
static int give_up_gpu(struct nccl *n, const struct error *why, struct error *e)
{
    char text[512];
    const char *gpu = device_gpu(n->device);
    snprintf(text, sizeof text, "%.400s%s%s", why->message, *gpu ? ", on " : "", gpu);
    return give_up(n, text, e);
}

/* ---- looking ---- */

/* Whether the GPU goes on. Time in which nobody looked does not count. */
static int look_at_marks(struct nccl *n, struct error *e)
{
    uint64_t passed = 0;
    struct error why;
    double now = clock_seconds(), since = now - n->looked;
    if (!n->stream)
        return 0;
    if (gpu_stream_passed(&passed, n->stream, &why))
        return give_up_gpu(n, &why, e);
    n->waited = passed != n->passed || passed == 2 * n->asked ? 0 : n->waited + (since < 1 ? since : 1);
    n->passed = passed;
    n->base.pending = n->asked - passed / 2;
    n->looked = now;
    return n->waited > n->base.timeout ? give_up(n, NULL, e) : 0;
}

static int look(struct nccl *n, struct error *e)
{
    ncclResult_t state = ncclSuccess;
    if (n->broken.kind)
        return fail_again(n, e);
    if (mpi_roll_is_called(n->mpi))
        return give_up(n, NULL, e);
    if (!n->comm)
        return 0;
    ncclResult_t asked = ncclCommGetAsyncError(n->comm, &state);
    if (asked != ncclSuccess)
        state = asked;
    if (state != ncclSuccess && state != ncclInProgress)
        return give_up_nccl(n, "NCCL", state, e);
    return look_at_marks(n, e);
}

/* While MPI waits. */
static int look_beside(void *context, struct error *e)
{
    return look(context, e);
}

/* While the device waits. What is known to have failed has let go of it. */
static int look_for_device(void *context, struct error *e)
{
    struct nccl *n = context;
    if (n->broken.kind)
        return 0;
    return look(n, e) ? -1 : n->base.pending > 0;
}

/* Until a non-blocking call is through; `result` is what it returned. */
static int settle(struct nccl *n, const char *call, ncclResult_t result, struct error *e)
{
    double start = clock_seconds();
    for (int round = 0; result == ncclInProgress; round++) {
        ncclResult_t asked = ncclCommGetAsyncError(n->comm, &result);
        if (asked != ncclSuccess)
            result = asked;
        if (result == ncclInProgress && (mpi_roll_is_called(n->mpi) || clock_seconds() - start > n->base.timeout))
            return give_up(n, NULL, e);
        if (round < 200)
            sched_yield();
        else
            clock_sleep(50e-6);
    }
    return result == ncclSuccess ? 0 : give_up_nccl(n, call, result, e);
}

static int watch(struct communicator *c, struct error *e)
{
    struct nccl *n = nccl_of(c);
    if (look(n, e))
        return -1;
    return n->on_gpu ? 0 : n->mpi->run->watch(n->mpi, e);
}

/* ---- making it ---- */

/* What a rank computes on. */
struct place {
    bool on_gpu;
    char name[256], failure[256];
};

/* Everybody gets everybody's. */
static int exchange_places(struct nccl *n, const struct place *mine, struct place *all, struct error *e)
{
    size_t count = (size_t)n->base.size;
    void **into = allocate(count, sizeof *into);
    size_t *sizes = allocate(count, sizeof *sizes);
    for (size_t r = 0; r < count; r++) {
        into[r] = &all[r];
        sizes[r] = sizeof *all;
    }
    int result = n->base.run->gather(&n->base, mine, sizeof *mine, into, sizes, e) ||
                         n->base.run->broadcast(&n->base, all, count * sizeof *all, 0, e)
                     ? -1
                     : 0;
    free(into);
    free(sizes);
    return result;
}

static int compare_places(const struct nccl *n, int a, int b, const struct place *all, struct error *e)
{
    const struct place *p = &all[a], *q = &all[b];
    const char *host = mpi_host(n->mpi, a), *other = mpi_host(n->mpi, b);
    if (p->on_gpu != q->on_gpu)
        return error_set(e, ERROR_USAGE,
                         "rank %d (%s) computes on a GPU and rank %d (%s) does not; set cluster.device, or leave out the host "
                         "without one",
                         p->on_gpu ? a : b, p->on_gpu ? host : other, p->on_gpu ? b : a, p->on_gpu ? other : host);
    if (!p->on_gpu)
        return 0;
    if (strcmp(p->name, q->name))
        return error_set(e, ERROR_USAGE,
                         "rank %d (%s) is on a GPU \"%s\" and rank %d (%s) on a \"%s\": results would depend on who computes "
                         "what; take GPUs of one kind for a group",
                         a, host, p->name, b, other, q->name);
    return 0;
}

/* That no two ranks are on one GPU, the coordinator has seen. */
static int check_places(struct nccl *n, struct error *e)
{
    struct place mine = {.on_gpu = n->on_gpu}, *all = allocate((size_t)n->base.size, sizeof *all);
    struct error why;
    if (n->on_gpu && gpu_stream_name(mine.name, &why))
        memcpy(mine.failure, why.message, strnlen(why.message, sizeof mine.failure - 1));
    int result = exchange_places(n, &mine, all, e);
    for (int r = 0; r < n->base.size && !result; r++)
        if (all[r].failure[0])
            result = error_set(e, ERROR_FAILED, "rank %d (%s): %s", r, mpi_host(n->mpi, r), all[r].failure);
    for (int a = 0; a < n->base.size; a++)
        for (int b = a + 1; b < n->base.size && !result; b++)
            result = compare_places(n, a, b, all, e);
    free(all);
    return result;
}

/* What of the environment NCCL goes by. */
static void tell_start(const struct nccl *n)
{
    int version = communicator_nccl_version();
    struct buffer text = {0};
    for (char **v = environ; *v; v++)
        if (!strncmp(*v, "NCCL_", 5))
            buffer_printf(&text, "; %s", *v);
    log_info("NCCL %d.%d.%d: %d ranks, %s sums%s", version / 10000, version % 10000 / 100, version % 100, n->base.size,
             n->base.fast ? "fast" : "ordered", text.data ? text.data : "");
    buffer_free(&text);
}

struct invitation {
    ncclUniqueId id;
    ncclResult_t result;
};

/* Its id goes round by MPI, which need not know of GPUs. */
static int open_comm(struct nccl *n, struct error *e)
{
    struct invitation v = {.result = ncclSuccess};
    struct error why;
    setenv("NCCL_NVLS_ENABLE", "0", 0); /* switches add in another order from call to call (nccl issues 1497, 2360) */
    if (!n->base.rank)
        v.result = ncclGetUniqueId(&v.id);
    if (n->base.run->broadcast(&n->base, &v, sizeof v, 0, e))
        return -1;
    if (v.result != ncclSuccess)
        return error_set(e, ERROR_FAILED, "rank 0 (%s): ncclGetUniqueId: %s", mpi_host(n->mpi, 0), ncclGetErrorString(v.result));
    if (gpu_stream_create(&n->stream, (size_t)CHUNK + (size_t)n->base.size, &why))
        return give_up_gpu(n, &why, e);
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    config.maxCTAs = MAX_CTAS;
    n->looked = clock_seconds();
    if (settle(n, "ncclCommInitRankConfig", ncclCommInitRankConfig(&n->comm, n->base.size, v.id, n->base.rank, &config), e))
        return -1;
    n->ready = true;
    if (!n->base.rank)
        tell_start(n);
    return 0;
}

static int attach(struct communicator *c, struct device *d, struct error *e)
{
    struct nccl *n = nccl_of(c);
    if (n->broken.kind)
        return fail_again(n, e);
    n->device = d;
    n->on_gpu = d->run->kind == DEVICE_CUDA;
    if (n->mpi->run->attach(n->mpi, d, e))
        return -1;
    if (c->size == 1)
        return 0;
    if (check_places(n, e))
        return -1;
    if (!n->on_gpu)
        return 0;
    gpu_stream_watch(d, look_for_device, n);
    return n->comm ? 0 : open_comm(n, e);
}

/* ---- sums ---- */

struct piece {
    size_t low, count;
};

static struct piece piece_of(size_t count, int size, int rank)
{
    size_t low = count * (size_t)rank / (size_t)size, high = count * ((size_t)rank + 1) / (size_t)size;
    return (struct piece){low, high - low};
}

/* Within a group of calls: each rank sends `out` of `from` to a peer and gets `in` of it into `to`. */
static ncclResult_t exchange(struct nccl *n, int peer, const float *from, size_t out, float *to, size_t in)
{
    cudaStream_t stream = gpu_stream_handle(n->stream);
    ncclResult_t result = out ? ncclSend(from, out, ncclFloat, peer, n->comm, stream) : ncclSuccess;
    if (in && (result == ncclSuccess || result == ncclInProgress))
        result = ncclRecv(to, in, ncclFloat, peer, n->comm, stream);
    return result == ncclInProgress ? ncclSuccess : result;
}

/* The sum of the ranks' chunks, on the stream. data f32 (count) */
static int add_in_order(struct nccl *n, float *data, size_t count, struct error *e)
{
    int rank = n->base.rank, size = n->base.size;
    struct piece mine = piece_of(count, size, rank);
    float *parts = gpu_stream_scratch(n->stream);
    size_t stride = (count + (size_t)size - 1) / (size_t)size;
    struct error why;
    for (int phase = 0; phase < 2; phase++) {
        ncclResult_t result = ncclGroupStart();
        for (int peer = 0; peer < size && result == ncclSuccess; peer++) {
            struct piece theirs = piece_of(count, size, peer);
            if (peer != rank && !phase)
                result = exchange(n, peer, data + theirs.low, theirs.count, parts + (size_t)peer * stride, mine.count);
            else if (peer != rank)
                result = exchange(n, peer, data + mine.low, mine.count, data + theirs.low, theirs.count);
        }
        ncclResult_t end = ncclGroupEnd();
        if (settle(n, "all-to-all of gradients", result == ncclSuccess ? end : result, e))
            return -1;
        if (!phase && gpu_stream_add(n->stream, data + mine.low, parts, stride, rank, size, mine.count, &why))
            return give_up_gpu(n, &why, e);
    }
    return 0;
}

static int add_fast(struct nccl *n, float *data, size_t count, struct error *e)
{
    return settle(n, "ncclAllReduce", ncclAllReduce(data, data, count, ncclFloat, ncclSum, n->comm, gpu_stream_handle(n->stream)),
                  e);
}

/* Places for two marks. */
static int make_room(struct nccl *n, struct error *e)
{
    if (look(n, e))
        return -1;
    while (gpu_stream_full(n->stream)) {
        clock_sleep(50e-6);
        if (look(n, e))
            return -1;
    }
    return 0;
}

static int all_reduce(struct communicator *c, device_memory memory, size_t count, struct error *e)
{
    struct nccl *n = nccl_of(c);
    struct error why;
    if (n->broken.kind)
        return fail_again(n, e);
    if (!n->on_gpu || c->size == 1)
        return n->mpi->run->all_reduce(n->mpi, memory, count, e);
    if (make_room(n, e))
        return -1;
    n->asked++;
    if (gpu_stream_follow(n->stream, n->device, &why) || gpu_stream_mark(n->stream, &why))
        return give_up_gpu(n, &why, e);
    for (size_t done = 0; done < count; done += CHUNK) {
        size_t left = count - done, size = left < CHUNK ? left : CHUNK;
        float *data = (float *)memory.address + done;
        if (c->fast ? add_fast(n, data, size, e) : add_in_order(n, data, size, e))
            return -1;
    }
    return gpu_stream_mark(n->stream, &why) ? give_up_gpu(n, &why, e) : 0;
}

static int join(struct communicator *c, struct error *e)
{
    struct nccl *n = nccl_of(c);
    struct error why;
    if (!n->on_gpu || c->size == 1)
        return n->mpi->run->join(n->mpi, e);
    if (n->broken.kind)
        return fail_again(n, e);
    return gpu_stream_lead(n->stream, n->device, &why) ? give_up_gpu(n, &why, e) : 0;
}

/* ---- what MPI does ---- */

/* MPI for a call; *result: the failure that came before, else to be set by the call. */
static struct communicator *mpi_for(struct communicator *c)
{
    struct nccl *n = nccl_of(c);
    n->mpi->timeout = c->timeout;
    return n->mpi;
}

/* Where MPI has failed the GPU must not go on waiting. */
static int relay(struct communicator *c, int result, struct error *e)
{
    struct nccl *n = nccl_of(c);
    if (result && !n->broken.kind) {
        n->broken = *e;
        let_go(n);
    }
    return result;
}

static int all_reduce_doubles(struct communicator *c, double *data, size_t count, struct error *e)
{
    struct communicator *m = mpi_for(c);
    return relay(c, m->run->all_reduce_doubles(m, data, count, e), e);
}

static int broadcast(struct communicator *c, void *data, size_t bytes, int root, struct error *e)
{
    struct communicator *m = mpi_for(c);
    return relay(c, m->run->broadcast(m, data, bytes, root, e), e);
}

static int gather(struct communicator *c, const void *from, size_t bytes, void *const *into, const size_t *sizes, struct error *e)
{
    struct communicator *m = mpi_for(c);
    return relay(c, m->run->gather(m, from, bytes, c->rank ? NULL : into, c->rank ? NULL : sizes, e), e);
}

static int barrier(struct communicator *c, struct error *e)
{
    struct communicator *m = mpi_for(c);
    return relay(c, m->run->barrier(m, e), e);
}

static void end_all(struct communicator *c, int code)
{
    struct communicator *m = mpi_for(c);
    m->run->abort(m, code);
}

/* All ranks leave together; one that does not come holds up none. */
static void close_comm(struct nccl *n)
{
    ncclResult_t state = ncclCommFinalize(n->comm);
    double start = clock_seconds();
    while (state == ncclInProgress && clock_seconds() - start < LET_GO) {
        clock_sleep(50e-6);
        if (ncclCommGetAsyncError(n->comm, &state) != ncclSuccess)
            state = ncclInternalError;
    }
    if (state != ncclSuccess) {
        error_set(&n->broken, ERROR_FAILED, "NCCL did not end: %s", ncclGetErrorString(state));
        mpi_break(n->mpi, &n->broken); /* it would not end either */
        let_go(n);
    } else {
        ncclCommDestroy(n->comm);
        n->comm = NULL;
    }
}

static void destroy(struct communicator *c)
{
    struct nccl *n = c ? nccl_of(c) : NULL;
    if (!n)
        return;
    if (n->comm)
        close_comm(n);
    if (!n->broken.kind)
        gpu_stream_destroy(&n->stream); /* otherwise the GPU may be what has failed */
    mpi_watch_beside(n->mpi, NULL, NULL);
    n->mpi->run->destroy(n->mpi);
    free(n);
}

static const struct communicator_operations operations = {
    .name = "nccl",
    .attach = attach,
    .all_reduce = all_reduce,
    .join = join,
    .watch = watch,
    .all_reduce_doubles = all_reduce_doubles,
    .broadcast = broadcast,
    .gather = gather,
    .barrier = barrier,
    .abort = end_all,
    .destroy = destroy,
};

int nccl_create(struct communicator **ret, int size, double timeout, struct error *e)
{
    struct communicator *mpi;
    if (mpi_create(&mpi, size, timeout, e))
        return -1;
    struct nccl *n = allocate(1, sizeof *n);
    n->base = *mpi;
    n->base.run = &operations;
    n->mpi = mpi;
    mpi_watch_beside(mpi, look_beside, n);
    *ret = &n->base;
    return 0;
}

int communicator_nccl_version(void)
{
    int version = 0;
    return ncclGetVersion(&version) == ncclSuccess ? version : 0;
}
#else
int communicator_nccl_version(void)
{
    return 0;
}

int nccl_create(struct communicator **ret, int size, double timeout, struct error *e)
{
    (void)ret, (void)size, (void)timeout;
    return error_set(e, ERROR_USAGE, "communicator nccl: not in this build; cmake --preset cuda makes one that has it");
}
#endif
