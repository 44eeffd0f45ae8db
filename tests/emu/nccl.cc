/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/emu/nccl.h"

#include "tests/emu/runtime.h"

#define OMPI_SKIP_MPICXX 1 /* its C++ functions, which nobody calls */
#include <mpi.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include <atomic>

enum { TAG = 20000 /* of the first communicator's data; beyond those of worker/comm/mpi.c */, POLLS = 3 };

struct emulated_comm {
    int rank, size, first /* of the ranks, in MPI_COMM_WORLD */, tag;
    bool made = false, hangs = false;
    int polls = 0;                       /* that a call is still under way for */
    std::function<void()> under_way;     /* what it does then */
    std::atomic<int> error{ncclSuccess}; /* from now on */
    std::atomic<bool> aborted{false};
    std::string last_error;
    std::vector<MPI_Request> hellos; /* of making it */
};

/* A message; what is received gets where it belongs when all of a group has arrived. */
struct message {
    bool out;
    float *at;
    size_t count;
    int peer;
    std::vector<float> data;
};

static struct {
    int depth = 0;
    emulated_comm *comm = NULL;
    cudaStream_t stream = NULL;
    std::vector<message> messages;
    float *sum = NULL; /* of an all-reduce: what all ranks send goes there */
} group;

/* ---- planned faults ---- */

struct fault {
    char kind[32], call[64];
    int rank, at;
};

static std::vector<fault> read_plan(void)
{
    std::vector<fault> ret;
    const char *text = getenv("MUSTER_EMULATED_NCCL");
    fault f;
    for (; text; text = strchr(text, ';') ? strchr(text, ';') + 1 : NULL) {
        f.at = 1;
        if (sscanf(text, "%31s %63[A-Za-z] %d %d", f.kind, f.call, &f.rank, &f.at) >= 3)
            ret.push_back(f);
    }
    return ret;
}

static bool planned(const char *kind, const char *call, int rank)
{
    static std::vector<fault> plan = read_plan();
    bool now = false;
    for (fault &f : plan)
        now |= !strcmp(kind, f.kind) && !strcmp(call, f.call) && rank == f.rank && --f.at == 0;
    return now && emulated_fault_is_due();
}

/* What is planned for this call; ncclSuccess: nothing. */
static ncclResult_t fault_at(const char *call, int rank, emulated_comm *c)
{
    if (planned("kill", call, rank))
        raise(SIGKILL);
    if (planned("stall", call, rank))
        raise(SIGSTOP);
    bool blocks = planned("block", call, rank);
    while (blocks)
        pause();
    if (planned("hang", call, rank)) {
        if (!c)
            for (;;)
                pause();
        c->hangs = true;
    }
    if (planned("remote", call, rank) && c) {
        c->last_error = "the double was told to lose a peer";
        c->error = ncclRemoteError;
    }
    if (!planned("error", call, rank))
        return ncclSuccess;
    if (c)
        c->last_error = "the double was told to fail";
    return ncclSystemError;
}

static int own_rank(void)
{
    int rank = 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    return rank;
}

/* ---- the communicator ---- */

ncclResult_t ncclGetVersion(int *version)
{
    *version = 22809;
    return ncclSuccess;
}

ncclResult_t ncclGetUniqueId(ncclUniqueId *id)
{
    static int made;
    ncclResult_t fault = fault_at("ncclGetUniqueId", own_rank(), NULL);
    snprintf(id->internal, sizeof id->internal, "%d %d", own_rank(), TAG + made++);
    return fault;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t *ret, int size, ncclUniqueId id, int rank, ncclConfig_t *config)
{
    emulated_comm *c = new emulated_comm();
    static char hello;
    c->rank = rank;
    c->size = size;
    if (sscanf(id.internal, "%d %d", &c->first, &c->tag) != 2 || config->size != sizeof *config)
        return ncclInvalidArgument;
    if (config->blocking)
        return ncclInvalidUsage; /* it would wait without a deadline */
    *ret = c;
    ncclResult_t fault = fault_at("ncclCommInitRankConfig", rank, c);
    if (fault != ncclSuccess)
        return fault;
    for (int peer = 0; peer < size && !c->hangs; peer++) {
        MPI_Request request;
        if (peer == rank)
            continue;
        MPI_Isend(&hello, 1, MPI_BYTE, c->first + peer, c->tag, MPI_COMM_WORLD, &request);
        c->hellos.push_back(request);
        MPI_Irecv(&hello, 1, MPI_BYTE, c->first + peer, c->tag, MPI_COMM_WORLD, &request);
        c->hellos.push_back(request);
    }
    return ncclInProgress;
}

static bool make(emulated_comm *c)
{
    int arrived = 0;
    MPI_Testall((int)c->hellos.size(), c->hellos.data(), &arrived, MPI_STATUSES_IGNORE);
    c->made = arrived && !c->hangs;
    return c->made;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t c, ncclResult_t *state)
{
    ncclResult_t fault = fault_at("ncclCommGetAsyncError", c->rank, c);
    *state = (ncclResult_t)c->error.load();
    if (fault != ncclSuccess || *state != ncclSuccess)
        return fault;
    if ((!c->made && !make(c)) || (c->hangs && c->under_way) || c->polls-- > 0) {
        *state = ncclInProgress;
        return ncclSuccess;
    }
    c->polls = 0;
    if (c->under_way)
        c->under_way();
    c->under_way = nullptr;
    return ncclSuccess;
}

/* Whether a call may be made on it now. */
static ncclResult_t usable(const char *call, emulated_comm *c)
{
    if (!c->made || c->under_way || c->aborted)
        return ncclInvalidUsage;
    ncclResult_t fault = fault_at(call, c->rank, c);
    return fault != ncclSuccess ? fault : (ncclResult_t)c->error.load();
}

static ncclResult_t start(emulated_comm *c, std::function<void()> what)
{
    c->under_way = what;
    c->polls = POLLS;
    return ncclInProgress;
}

ncclResult_t ncclCommFinalize(ncclComm_t c)
{
    ncclResult_t state = usable("ncclCommFinalize", c);
    return state != ncclSuccess ? state : start(c, [] {});
}

ncclResult_t ncclCommDestroy(ncclComm_t c)
{
    ncclResult_t state = usable("ncclCommDestroy", c);
    if (state == ncclSuccess)
        delete c;
    return state;
}

/* By any thread. What is on the streams is over when they look; it may be on its way still, so nothing is freed. */
ncclResult_t ncclCommAbort(ncclComm_t c)
{
    ncclResult_t fault = fault_at("ncclCommAbort", c->rank, NULL);
    c->aborted = true;
    return fault;
}

/* ---- data ---- */

struct transfer {
    emulated_comm *comm;
    std::vector<message> messages;
    float *sum;
    std::vector<MPI_Request> requests;
    bool posted;
};

static void post(transfer *t)
{
    if (fault_at("data", t->comm->rank, t->comm) != ncclSuccess)
        t->comm->error = ncclUnhandledCudaError;
    for (message &m : t->messages) {
        MPI_Request request;
        int peer = t->comm->first + m.peer;
        if (m.out)
            m.data.assign(m.at, m.at + m.count);
        else
            m.data.resize(m.count);
        if (m.out)
            MPI_Isend(m.data.data(), (int)m.count, MPI_FLOAT, peer, t->comm->tag, MPI_COMM_WORLD, &request);
        else
            MPI_Irecv(m.data.data(), (int)m.count, MPI_FLOAT, peer, t->comm->tag, MPI_COMM_WORLD, &request);
        t->requests.push_back(request);
    }
    t->posted = true;
}

/* Of an all-reduce: rank by rank, from rank 0 on. */
static void add_up(transfer *t)
{
    std::vector<const float *> of((size_t)t->comm->size, NULL);
    for (const message &m : t->messages)
        of[(size_t)(m.out ? t->comm->rank : m.peer)] = m.data.data();
    size_t count = t->messages[0].count;
    for (size_t i = 0; i < count; i++) {
        float sum = of[0][i];
        for (int r = 1; r < t->comm->size; r++)
            sum += of[(size_t)r][i];
        t->sum[i] = sum;
    }
}

/* Whether it is over. */
static bool go_on(transfer *t)
{
    int arrived = 0;
    if (t->comm->aborted)
        return true;
    if (!t->posted)
        post(t);
    if (t->comm->hangs || t->comm->error != ncclSuccess)
        return false;
    MPI_Testall((int)t->requests.size(), t->requests.data(), &arrived, MPI_STATUSES_IGNORE);
    if (!arrived)
        return false;
    for (const message &m : t->messages)
        if (!m.out && !t->sum)
            memcpy(m.at, m.data.data(), m.count * sizeof(float));
    if (t->sum)
        add_up(t);
    delete t;
    return true;
}

ncclResult_t ncclGroupStart(void)
{
    group.depth++;
    return ncclSuccess;
}

ncclResult_t ncclGroupEnd(void)
{
    if (--group.depth || !group.comm)
        return ncclSuccess;
    emulated_comm *c = group.comm;
    cudaStream_t stream = group.stream;
    transfer *t = new transfer{c, std::move(group.messages), group.sum, {}, false};
    group.messages.clear();
    group.comm = NULL;
    group.sum = NULL;
    ncclResult_t fault = fault_at("ncclGroupEnd", c->rank, c);
    if (fault != ncclSuccess) {
        delete t;
        return fault;
    }
    return start(c, [=] { emulated_enqueue_until(stream, [=] { return go_on(t); }); });
}

static ncclResult_t take(const char *call, message m, float *sum, emulated_comm *c, cudaStream_t stream)
{
    ncclResult_t state = usable(call, c);
    if (state != ncclSuccess)
        return state;
    if (m.peer < 0 || m.peer >= c->size || m.peer == c->rank || !m.at || !stream)
        return ncclInvalidArgument;
    if (group.comm && (group.comm != c || group.stream != stream))
        return ncclInvalidUsage;
    group.comm = c;
    group.stream = stream;
    group.sum = sum;
    group.messages.push_back(m);
    return ncclSuccess;
}

/* A call outside of a group is one of its own. */
static ncclResult_t alone(const char *call, message m, float *sum, emulated_comm *c, cudaStream_t stream)
{
    ncclGroupStart();
    ncclResult_t state = take(call, m, sum, c, stream), end = ncclGroupEnd();
    return state != ncclSuccess ? state : group.depth ? ncclSuccess : end;
}

ncclResult_t ncclSend(const void *from, size_t count, ncclDataType_t, int peer, ncclComm_t c, cudaStream_t stream)
{
    return alone("ncclSend", {true, (float *)(uintptr_t)from, count, peer, {}}, NULL, c, stream);
}

ncclResult_t ncclRecv(void *to, size_t count, ncclDataType_t, int peer, ncclComm_t c, cudaStream_t stream)
{
    return alone("ncclRecv", {false, (float *)to, count, peer, {}}, NULL, c, stream);
}

ncclResult_t ncclAllReduce(const void *from, void *to, size_t count, ncclDataType_t, ncclRedOp_t, ncclComm_t c,
                           cudaStream_t stream)
{
    ncclResult_t state = ncclSuccess;
    int first = c->rank == 0;
    ncclGroupStart();
    for (int peer = 0; peer < c->size && state == ncclSuccess; peer++) {
        if (peer == c->rank)
            continue;
        state =
            take(peer == first ? "ncclAllReduce" : "", {true, (float *)(uintptr_t)from, count, peer, {}}, (float *)to, c, stream);
        if (state == ncclSuccess)
            state = take("", {false, (float *)to, count, peer, {}}, (float *)to, c, stream);
    }
    ncclResult_t end = ncclGroupEnd();
    return state != ncclSuccess ? state : end;
}

const char *ncclGetErrorString(ncclResult_t result)
{
    static const char *const words[] = {"no error",
                                        "unhandled cuda error",
                                        "unhandled system error",
                                        "internal error",
                                        "invalid argument",
                                        "invalid usage",
                                        "remote process exited or there was a network error",
                                        "NCCL operation in progress"};
    return words[result];
}

const char *ncclGetLastError(ncclComm_t c)
{
    return c->last_error.c_str();
}
