/* SPDX-License-Identifier: Apache-2.0 */
/* Owns MPI: the sole file that includes mpi.h. Everything is non-blocking point-to-point under one polling loop, because only so
 * can every wait have a deadline that names the peer.
 *
 * A reduction is cut into chunks of at most CHUNK elements; up to ACTIVE chunks are in flight at a time, each with scratch memory
 * of its own that is kept, and the rest wait their turn in order. (The first unfinished chunk is under way on every rank, so no
 * rank waits for another in a circle.) Cutting does not change the order of the sums: that is a matter of ranks, not of places.
 */
#include "worker/comm/backends.h"

#include "common/base/clock.h"
#include "common/base/machine.h"
#include "common/base/memory.h"

#include <limits.h>
#include <mpi.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    CHUNK = 1 << 20,
    ACTIVE = 16,
    MESSAGE = 1 << 30,
    TAG_DOUBLES = 1,
    TAG_BYTES,
    TAG_ROLL_CALL,
    TAG_REDUCE,
    TAG_REDUCE_END = 16384
};

enum stage { STAGE_FOLD, STAGE_HALVE, STAGE_DOUBLE, STAGE_UNFOLD, STAGE_DONE };

struct chunk {
    float *data;
    size_t count;
    int tag;
};

/* Device memory that is open to the host until join. */
struct open_span {
    device_memory at;
    void *host;
    size_t bytes;
};

struct active {
    struct chunk chunk; /* data NULL: free */
    float *scratch;     /* allocated at first use */
    enum stage stage;
    int bit, peer; /* of the exchange under way */
    MPI_Request request[2];
};

struct mpi {
    struct communicator base;
    MPI_Comm group;   /* ours; never freed: that would be collective, and a peer may be gone */
    int power;        /* the largest power of two that is not above size */
    char (*host)[64]; /* of each rank */
    struct device *device;
    struct open_span *open;
    size_t open_count, open_capacity;
    struct active active[ACTIVE];
    struct chunk *queue; /* chunks that wait for a place: queue[first..last) */
    size_t first, last, queue_capacity;
    int next_tag;
    double *doubles; /* scratch of all_reduce_doubles */
    size_t doubles_capacity;
    int (*beside)(void *context, struct error *e); /* looked at while something waits; NULL: nothing */
    void *context;
    struct error broken; /* the first failure; kind ERROR_NONE while all is well */
};

struct range {
    size_t low, high;
};

static struct mpi *mpi_of(struct communicator *c)
{
    return (struct mpi *)c;
}

/* Reports the failure again that made the communicator useless. */
static int fail_again(const struct mpi *m, struct error *e)
{
    if (e)
        *e = m->broken;
    return -1;
}

static int check(struct mpi *m, int code, const char *operation, int peer, struct error *e)
{
    if (code == MPI_SUCCESS)
        return 0;
    char reason[MPI_MAX_ERROR_STRING] = "";
    int size;
    MPI_Error_string(code, reason, &size);
    error_set(&m->broken, ERROR_FAILED, "%s between rank %d and rank %d (%s): %s", operation, m->base.rank, peer, m->host[peer],
              reason);
    return fail_again(m, e);
}

/* What `rank` is in charge of when the exchange at `bit` begins: halved once for each higher bit. */
static struct range owned(int rank, int power, int bit, size_t count)
{
    struct range r = {0, count};
    for (int higher = power / 2; higher > bit; higher /= 2) {
        size_t middle = r.low + (r.high - r.low) / 2;
        if (rank & higher)
            r.low = middle;
        else
            r.high = middle;
    }
    return r;
}

static int receive(struct mpi *m, struct active *a, int i, float *to, size_t count, struct error *e)
{
    return check(m, MPI_Irecv(to, (int)count, MPI_FLOAT, a->peer, a->chunk.tag, m->group, &a->request[i]), "all_reduce", a->peer,
                 e);
}

static int send(struct mpi *m, struct active *a, int i, const float *from, size_t count, struct error *e)
{
    return check(m, MPI_Isend(from, (int)count, MPI_FLOAT, a->peer, a->chunk.tag, m->group, &a->request[i]), "all_reduce",
                 a->peer, e);
}

/* Moves to the next stage that has work on this rank; the exchange at `bit` (or the fold) is over. */
static void next_stage(const struct mpi *m, struct active *a)
{
    bool extra = m->base.rank >= m->power, has_extra = m->base.rank + m->power < m->base.size;
    if (a->stage == STAGE_FOLD) {
        a->stage = extra ? STAGE_UNFOLD : STAGE_HALVE;
        a->bit = m->power / 2;
    } else if (a->stage == STAGE_HALVE) {
        a->bit /= 2;
    } else if (a->stage == STAGE_DOUBLE) {
        a->bit *= 2;
    } else {
        a->stage = STAGE_DONE;
    }
    if (a->stage == STAGE_HALVE && a->bit == 0) {
        a->stage = STAGE_DOUBLE;
        a->bit = 1;
    }
    if (a->stage == STAGE_DOUBLE && a->bit >= m->power)
        a->stage = has_extra ? STAGE_UNFOLD : STAGE_DONE;
}

/* Starts the messages of the stage. */
static int post(struct mpi *m, struct active *a, struct error *e)
{
    int rank = m->base.rank;
    float *data = a->chunk.data;
    size_t count = a->chunk.count;
    bool extra = rank >= m->power;
    a->request[0] = a->request[1] = MPI_REQUEST_NULL;
    if (a->stage == STAGE_FOLD || a->stage == STAGE_UNFOLD) {
        a->peer = extra ? rank - m->power : rank + m->power;
        if (extra == (a->stage == STAGE_FOLD))
            return send(m, a, 0, data, count, e);
        return receive(m, a, 0, extra ? data : a->scratch, count, e);
    }
    a->peer = rank ^ a->bit;
    struct range mine = owned(rank, m->power, a->bit / 2, count), theirs = owned(a->peer, m->power, a->bit / 2, count);
    size_t my_size = mine.high - mine.low, their_size = theirs.high - theirs.low;
    if (a->stage == STAGE_HALVE)
        return receive(m, a, 0, a->scratch, my_size, e) || send(m, a, 1, data + theirs.low, their_size, e) ? -1 : 0;
    return receive(m, a, 0, data + theirs.low, their_size, e) || send(m, a, 1, data + mine.low, my_size, e) ? -1 : 0;
}

static void add(float *restrict to, const float *restrict from, size_t count)
{
    for (size_t i = 0; i < count; i++)
        to[i] += from[i];
}

/* The messages of the stage have arrived. */
static void reduce_received(struct mpi *m, struct active *a)
{
    if (a->stage == STAGE_FOLD && m->base.rank < m->power)
        add(a->chunk.data, a->scratch, a->chunk.count);
    if (a->stage == STAGE_HALVE) {
        struct range mine = owned(m->base.rank, m->power, a->bit / 2, a->chunk.count);
        add(a->chunk.data + mine.low, a->scratch, mine.high - mine.low);
    }
}

static int start_chunk(struct mpi *m, struct active *a, struct chunk chunk, struct error *e)
{
    bool even = m->power == m->base.size;
    if (!a->scratch)
        a->scratch = allocate(even ? CHUNK / 2 + 1 : CHUNK, sizeof *a->scratch);
    a->chunk = chunk;
    a->stage = STAGE_FOLD;
    if (m->base.rank < m->power && m->base.rank + m->power >= m->base.size)
        next_stage(m, a); /* nobody to fold in */
    return post(m, a, e);
}

/* Starts queued chunks and advances those under way. *moved: something was completed. */
static int progress_all(struct mpi *m, bool *moved, bool *busy, struct error *e)
{
    *moved = *busy = false;
    for (struct active *a = m->active; a < m->active + ACTIVE; a++) {
        if (!a->chunk.data && m->first < m->last && start_chunk(m, a, m->queue[m->first++], e))
            return -1;
        while (a->chunk.data) {
            int arrived;
            if (check(m, MPI_Testall(2, a->request, &arrived, MPI_STATUSES_IGNORE), "all_reduce", a->peer, e))
                return -1;
            if (!arrived)
                break;
            *moved = true;
            reduce_received(m, a);
            next_stage(m, a);
            if (a->stage == STAGE_DONE)
                a->chunk.data = NULL;
            else if (post(m, a, e))
                return -1;
        }
        *busy |= a->chunk.data != NULL;
    }
    *busy |= m->first < m->last;
    if (m->first == m->last)
        m->first = m->last = 0;
    return 0;
}

/* Yields the core: at once at first, then by sleeping, so that ranks that share a core do not starve each other.
 */
static void back_off(int round)
{
    if (round < 200)
        sched_yield();
    else
        clock_sleep(round < 2000 ? 20e-6 : 200e-6);
}

static int report_timeout(struct mpi *m, const char *operation, int peer, struct error *e)
{
    error_set(&m->broken, ERROR_FAILED,
              "%s: rank %d (%s) received nothing from rank %d (%s) for %g s; look at that host and its output, then run again: "
              "it resumes",
              operation, m->base.rank, m->host[m->base.rank], peer, m->host[peer], m->base.timeout);
    return fail_again(m, e);
}

static int first_peer(const struct mpi *m)
{
    for (int i = 0; i < ACTIVE; i++)
        if (m->active[i].chunk.data)
            return m->active[i].peer;
    return m->base.rank;
}

static int look_beside(struct mpi *m, struct error *e)
{
    if (!m->beside || !m->beside(m->context, &m->broken))
        return 0;
    return fail_again(m, e);
}

/* Waits for one message while reductions progress. */
static int await(struct mpi *m, MPI_Request *request, const char *operation, int peer, struct error *e)
{
    double last_progress = clock_seconds();
    for (int round = 0;; round++) {
        int arrived;
        bool moved, busy;
        if (check(m, MPI_Test(request, &arrived, MPI_STATUS_IGNORE), operation, peer, e))
            return -1;
        if (arrived)
            return 0;
        if (progress_all(m, &moved, &busy, e) || look_beside(m, e))
            return -1;
        if (moved) {
            last_progress = clock_seconds();
            round = 0;
        }
        if (clock_seconds() - last_progress > m->base.timeout)
            return report_timeout(m, operation, peer, e);
        back_off(round);
    }
}

static int attach(struct communicator *c, struct device *d, struct error *e)
{
    (void)e;
    mpi_of(c)->device = d;
    return 0;
}

static int all_reduce(struct communicator *c, device_memory memory, size_t count, struct error *e)
{
    struct mpi *m = mpi_of(c);
    if (m->broken.kind)
        return fail_again(m, e);
    if (c->size == 1 || count == 0)
        return 0;
    float *data = m->device->run->host_begin(m->device, memory, count * sizeof *data);
    m->open = grow(m->open, &m->open_capacity, m->open_count + 1, sizeof *m->open);
    m->open[m->open_count++] = (struct open_span){memory, data, count * sizeof *data};
    for (size_t done = 0; done < count; done += CHUNK) {
        size_t left = count - done;
        m->queue = grow(m->queue, &m->queue_capacity, m->last + 1, sizeof *m->queue);
        m->queue[m->last++] = (struct chunk){data + done, left < CHUNK ? left : CHUNK, m->next_tag};
        m->next_tag = m->next_tag + 1 < TAG_REDUCE_END ? m->next_tag + 1 : TAG_REDUCE;
    }
    bool moved, busy;
    return progress_all(m, &moved, &busy, e);
}

static int watch(struct communicator *c, struct error *e)
{
    struct mpi *m = mpi_of(c);
    bool moved, busy;
    return m->broken.kind ? fail_again(m, e) : progress_all(m, &moved, &busy, e);
}

static int wait(struct mpi *m, struct error *e)
{
    if (m->broken.kind)
        return fail_again(m, e);
    double last_progress = clock_seconds();
    for (int round = 0;; round++) {
        bool moved, busy;
        if (progress_all(m, &moved, &busy, e))
            return -1;
        if (!busy)
            return 0;
        if (moved) {
            last_progress = clock_seconds();
            round = 0;
        }
        if (clock_seconds() - last_progress > m->base.timeout)
            return report_timeout(m, "all_reduce", first_peer(m), e);
        back_off(round);
    }
}

static int join(struct communicator *c, struct error *e)
{
    struct mpi *m = mpi_of(c);
    int result = wait(m, e);
    while (m->open_count) {
        const struct open_span *s = &m->open[--m->open_count];
        m->device->run->host_end(m->device, s->host, s->at, s->bytes);
    }
    return result;
}

/* Sends and receives with one peer (either may be absent: NULL) and waits for both. */
static int exchange(struct mpi *m, const double *from, double *to, size_t count, int peer, const char *operation, struct error *e)
{
    MPI_Request out = MPI_REQUEST_NULL, in = MPI_REQUEST_NULL;
    if (to && check(m, MPI_Irecv(to, (int)count, MPI_DOUBLE, peer, TAG_DOUBLES, m->group, &in), operation, peer, e))
        return -1;
    if (from && check(m, MPI_Isend(from, (int)count, MPI_DOUBLE, peer, TAG_DOUBLES, m->group, &out), operation, peer, e))
        return -1;
    return await(m, &in, operation, peer, e) || await(m, &out, operation, peer, e) ? -1 : 0;
}

/* Whole arrays at every exchange: both partners add, so the operands are put in the order of the ranks (NaNs would differ
 * otherwise). */
static int sum_doubles(struct mpi *m, double *data, size_t count, const char *operation, struct error *e)
{
    int rank = m->base.rank;
    m->doubles = grow(m->doubles, &m->doubles_capacity, count + 1, sizeof *m->doubles);
    if (rank >= m->power)
        return exchange(m, data, NULL, count, rank - m->power, operation, e) ||
                       exchange(m, NULL, data, count, rank - m->power, operation, e)
                   ? -1
                   : 0;
    bool has_extra = rank + m->power < m->base.size;
    if (has_extra) {
        if (exchange(m, NULL, m->doubles, count, rank + m->power, operation, e))
            return -1;
        for (size_t i = 0; i < count; i++)
            data[i] += m->doubles[i];
    }
    for (int bit = m->power / 2; bit; bit /= 2) {
        if (exchange(m, data, m->doubles, count, rank ^ bit, operation, e))
            return -1;
        for (size_t i = 0; i < count; i++)
            data[i] = rank & bit ? m->doubles[i] + data[i] : data[i] + m->doubles[i];
    }
    return has_extra ? exchange(m, data, NULL, count, rank + m->power, operation, e) : 0;
}

static int all_reduce_doubles(struct communicator *c, double *data, size_t count, struct error *e)
{
    struct mpi *m = mpi_of(c);
    if (m->broken.kind)
        return fail_again(m, e);
    if (count > INT_MAX)
        return error_set(e, ERROR_FAILED, "all_reduce_doubles: %zu values at once; it is made for few", count);
    return sum_doubles(m, data, count, "all_reduce_doubles", e);
}

static int barrier(struct communicator *c, struct error *e)
{
    struct mpi *m = mpi_of(c);
    double nothing = 0;
    return m->broken.kind ? fail_again(m, e) : sum_doubles(m, &nothing, 0, "barrier", e);
}

/* One message of any size, cut where MPI's int counts end. */
static int transfer(struct mpi *m, void *data, size_t bytes, int peer, bool outwards, const char *operation, struct error *e)
{
    for (size_t done = 0; done < bytes; done += MESSAGE) {
        char *at = (char *)data + done;
        int size = (int)(bytes - done < MESSAGE ? bytes - done : MESSAGE);
        MPI_Request request;
        int code = outwards ? MPI_Isend(at, size, MPI_BYTE, peer, TAG_BYTES, m->group, &request)
                            : MPI_Irecv(at, size, MPI_BYTE, peer, TAG_BYTES, m->group, &request);
        if (check(m, code, operation, peer, e) || await(m, &request, operation, peer, e))
            return -1;
    }
    return 0;
}

static int broadcast(struct communicator *c, void *data, size_t bytes, int root, struct error *e)
{
    struct mpi *m = mpi_of(c);
    if (m->broken.kind)
        return fail_again(m, e);
    if (c->rank != root)
        return transfer(m, data, bytes, root, false, "broadcast", e);
    for (int peer = 0; peer < c->size; peer++)
        if (peer != root && transfer(m, data, bytes, peer, true, "broadcast", e))
            return -1;
    return 0;
}

static int gather(struct communicator *c, const void *from, size_t bytes, void *const *into, const size_t *sizes, struct error *e)
{
    struct mpi *m = mpi_of(c);
    if (m->broken.kind)
        return fail_again(m, e);
    if (c->rank)
        return transfer(m, (void *)(uintptr_t)from, bytes, 0, true, "gather", e);
    if (bytes)
        memmove(into[0], from, bytes);
    for (int peer = 1; peer < c->size; peer++)
        if (transfer(m, into[peer], sizes[peer], peer, false, "gather", e))
            return -1;
    return 0;
}

static void end_all(struct communicator *c, int code)
{
    (void)c;
    MPI_Abort(MPI_COMM_WORLD, code);
    abort();
}

static void destroy(struct communicator *c)
{
    struct mpi *m = c ? mpi_of(c) : NULL;
    if (!m)
        return;
    if (!m->broken.kind)
        MPI_Finalize(); /* otherwise messages are still under way, into memory that must outlive them, and peers may be gone */
    for (int i = 0; i < ACTIVE && !m->broken.kind; i++)
        free(m->active[i].scratch);
    free(m->queue);
    free(m->open);
    if (!m->broken.kind)
        free(m->doubles);
    free(m->host);
    free(m);
}

static const struct communicator_operations operations = {
    .name = "mpi",
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

void mpi_watch_beside(struct communicator *c, int (*look)(void *context, struct error *e), void *context)
{
    mpi_of(c)->beside = look;
    mpi_of(c)->context = context;
}

void mpi_break(struct communicator *c, const struct error *why)
{
    if (!mpi_of(c)->broken.kind)
        mpi_of(c)->broken = *why;
}

const char *mpi_host(const struct communicator *c, int rank)
{
    return ((const struct mpi *)c)->host[rank];
}

bool mpi_roll_is_called(struct communicator *c)
{
    int called = 0;
    return MPI_Iprobe(MPI_ANY_SOURCE, TAG_ROLL_CALL, mpi_of(c)->group, &called, MPI_STATUS_IGNORE) == MPI_SUCCESS && called;
}

/* What is sent and received stays where it is: messages of ranks that do not answer are under way for ever. */
void mpi_roll_call(struct communicator *c, const struct mpi_standing *mine, struct mpi_standing *all, bool *answered,
                   double seconds)
{
    struct mpi *m = mpi_of(c);
    int size = c->size, left = size - 1;
    struct mpi_standing *buffers = allocate((size_t)size + 1, sizeof *buffers);
    MPI_Request *in = allocate((size_t)size, sizeof *in), out;
    buffers[size] = *mine;
    for (int peer = 0; peer < size; peer++) {
        answered[peer] = peer == c->rank;
        in[peer] = MPI_REQUEST_NULL;
        if (peer == c->rank)
            continue;
        MPI_Isend(&buffers[size], sizeof *buffers, MPI_BYTE, peer, TAG_ROLL_CALL, m->group, &out);
        MPI_Irecv(&buffers[peer], sizeof *buffers, MPI_BYTE, peer, TAG_ROLL_CALL, m->group, &in[peer]);
    }
    double start = clock_seconds();
    for (int round = 0; left && clock_seconds() - start < seconds; back_off(round++))
        for (int peer = 0; peer < size; peer++) {
            int arrived = 0;
            if (!answered[peer] && MPI_Test(&in[peer], &arrived, MPI_STATUS_IGNORE) == MPI_SUCCESS && arrived) {
                answered[peer] = true;
                left--;
            }
        }
    buffers[c->rank] = *mine;
    for (int peer = 0; peer < size; peer++)
        if (answered[peer])
            all[peer] = buffers[peer];
}

/* All ranks exchange host names. */
static int exchange_host_names(struct mpi *m, struct error *e)
{
    char name[MPI_MAX_PROCESSOR_NAME] = "";
    int size, rank = m->base.rank;
    MPI_Get_processor_name(name, &size);
    memcpy(m->host[rank], name, strnlen(name, sizeof m->host[rank] - 1));
    void **into = allocate((size_t)m->base.size, sizeof *into);
    size_t *sizes = allocate((size_t)m->base.size, sizeof *sizes);
    for (int r = 0; r < m->base.size; r++) {
        into[r] = m->host[r];
        sizes[r] = sizeof *m->host;
    }
    int result = gather(&m->base, m->host[rank], sizeof *m->host, into, sizes, e) ||
                         broadcast(&m->base, m->host, (size_t)m->base.size * sizeof *m->host, 0, e)
                     ? -1
                     : 0;
    free(into);
    free(sizes);
    return result;
}

/* Ranks of the MPI job in their order, `size` to a group; 0: one group of all. */
static int split_world(MPI_Comm *ret, int size, struct error *e)
{
    int rank, all;
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &all);
    *ret = MPI_COMM_WORLD;
    if (!size || size == all)
        return 0;
    if (all % size)
        return error_set(e, ERROR_USAGE, "%d MPI processes cannot be split into groups of %d", all, size);
    if (MPI_Comm_split(MPI_COMM_WORLD, rank / size, rank, ret) != MPI_SUCCESS)
        return error_set(e, ERROR_FAILED, "%d MPI processes could not be split into groups of %d", all, size);
    MPI_Comm_set_errhandler(*ret, MPI_ERRORS_RETURN);
    return 0;
}

/* Which of the ranks on this machine this one is: of the whole job, as its GPUs are shared by all groups. */
static int find_local_rank(void)
{
    MPI_Comm here;
    int rank = 0;
    if (MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &here) == MPI_SUCCESS) {
        MPI_Comm_rank(here, &rank);
        MPI_Comm_free(&here);
    }
    return rank;
}

static char init_timeout[512]; /* message of on_init_timeout, made beforehand: it runs in a signal handler */

static void on_init_timeout(int number)
{
    (void)number;
    ssize_t written = write(2, init_timeout, strlen(init_timeout));
    (void)written; /* nothing can be done if it fails */
    _exit(ERROR_FAILED);
}

/* MPI_Init has no deadline of its own: where hosts cannot reach each other it would wait for ever. */
static void limit_start(double timeout)
{
    char host[MACHINE_NAME];
    machine_name(host, sizeof host);
    snprintf(init_timeout, sizeof init_timeout,
             "muster-worker: host %.200s: MPI did not start within %.0f s; can all hosts reach each other (cluster.interface)?\n",
             host, timeout);
    signal(SIGALRM, on_init_timeout);
    alarm((unsigned)timeout + 1);
}

int mpi_create(struct communicator **ret, int size, double timeout, struct error *e)
{
    MPI_Comm group;
    int initialised = 0, level;
    MPI_Initialized(&initialised);
    if (initialised)
        return error_set(e, ERROR_FAILED, "MPI can be initialised only once in a process");
    limit_start(timeout);
    if (MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level) != MPI_SUCCESS || level < MPI_THREAD_FUNNELED)
        return error_set(e, ERROR_FAILED,
                         "MPI cannot be initialised with threads (MPI_THREAD_FUNNELED); install another MPI build");
    if (split_world(&group, size, e))
        return -1;
    int local_rank = find_local_rank();
    alarm(0);
    struct mpi *m = allocate(1, sizeof *m);
    m->group = group;
    m->base = (struct communicator){.run = &operations, .local_rank = local_rank, .timeout = timeout};
    MPI_Comm_rank(group, &m->base.rank);
    MPI_Comm_size(group, &m->base.size);
    m->host = allocate((size_t)m->base.size, sizeof *m->host);
    m->next_tag = TAG_REDUCE;
    for (m->power = 1; m->power * 2 <= m->base.size;)
        m->power *= 2;
    if (exchange_host_names(m, e)) {
        destroy(&m->base);
        return -1;
    }
    *ret = &m->base;
    return 0;
}
