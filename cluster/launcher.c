/* SPDX-License-Identifier: Apache-2.0 */
/* The table of launchers. */
#include "cluster/launcher.h"

#include "cluster/listen.h"
#include "common/base/file.h"
#include "common/base/machine.h"
#include "common/base/memory.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define WORKER_NAME "muster-worker"

extern char **environ;

/* Words of a command line, NULL at the end; owned. */
struct command {
    char **words;
    size_t count, capacity;
};

static void add_word(struct command *c, const char *word)
{
    c->words = grow(c->words, &c->capacity, c->count + 2, sizeof *c->words);
    c->words[c->count++] = duplicate(word);
    c->words[c->count] = NULL;
}

static void add_option(struct command *c, const char *name, const char *value)
{
    add_word(c, name);
    add_word(c, value);
}

static void add_number(struct command *c, const char *name, int value)
{
    char text[16];
    snprintf(text, sizeof text, "%d", value);
    add_option(c, name, text);
}

static void clear_command(struct command *c)
{
    for (size_t i = 0; i < c->count; i++)
        free(c->words[i]);
    free(c->words);
    *c = (struct command){0};
}

static void add_worker(struct command *c, const struct launch *l)
{
    add_word(c, l->worker);
    add_option(c, "--connection", l->connection);
    add_option(c, "--comm", l->ranks > 1 ? "mpi" : "self");
    if (l->ranks > 1)
        add_number(c, "--ranks", l->ranks);
    add_option(c, "--device", l->device);
    if (l->fast)
        add_option(c, "--reduction", "fast");
    add_number(c, "--threads", l->threads);
    add_option(c, "--group", l->group);
    if (l->first_gpu > 0)
        add_number(c, "--gpu", l->first_gpu);
}

/* Environment of a child: a copy of ours in which names can be set; all texts are owned. */
struct environment {
    char **entries; /* "NAME=value", NULL at the end */
    size_t count, capacity;
};

static void add_entry(struct environment *v, char *entry)
{
    v->entries = grow(v->entries, &v->capacity, v->count + 2, sizeof *v->entries);
    v->entries[v->count++] = entry;
    v->entries[v->count] = NULL;
}

static void copy_environment(struct environment *v)
{
    for (size_t i = 0; environ[i]; i++)
        add_entry(v, duplicate(environ[i]));
}

static void free_environment(struct environment *v)
{
    for (size_t i = 0; i < v->count; i++)
        free(v->entries[i]);
    free(v->entries);
    *v = (struct environment){0};
}

/* Replaces a value of the user's only if `always`. */
static void set(struct environment *v, const char *name, const char *value, bool always)
{
    size_t size = strlen(name), at = 0;
    while (at < v->count && (strncmp(v->entries[at], name, size) || v->entries[at][size] != '='))
        at++;
    if (at < v->count && !always)
        return;
    char *entry = format_string("%s=%s", name, value);
    if (at == v->count) {
        add_entry(v, entry);
        return;
    }
    free(v->entries[at]);
    v->entries[at] = entry;
}

static void set_number(struct environment *v, const char *name, int value, bool always)
{
    char text[16];
    snprintf(text, sizeof text, "%d", value);
    set(v, name, text, always);
}

/* Open MPI's shared memory copies straight between processes; where a container forbids that it fails at run time instead of
 * choosing another way. */
static bool may_read_memory(void)
{
    int from = 1, to = 0;
    struct iovec local = {&to, sizeof to}, remote = {&from, sizeof from};
    return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == (ssize_t)sizeof to && to == 1;
}

/* Open MPI on hosts of a cluster. A host that is gone is noticed within the heartbeat timeout, by TCP keepalive. */
static void set_cluster(struct environment *v, const struct launch *l)
{
    int share = (int)(l->heartbeat_timeout / 4);
    set(v, "OMPI_MCA_hwloc_base_binding_policy", "none", false); /* threads of a rank would share one core otherwise */
    set(v, "OMPI_MCA_plm_rsh_no_tree_spawn", "1", false);        /* this host reaches all others; they need not */
    set_number(v, "OMPI_MCA_oob_tcp_keepalive_time", share > 0 ? share : 1, false);
    set_number(v, "OMPI_MCA_oob_tcp_keepalive_intvl", share > 0 ? share : 1, false);
    set(v, "OMPI_MCA_oob_tcp_keepalive_probes", "2", false);
}

static void set_interface(struct environment *v, const char *interface)
{
    set(v, "OMPI_MCA_oob_tcp_if_include", interface, false);
    set(v, "OMPI_MCA_btl_tcp_if_include", interface, false);
    if (!strchr(interface, '/')) /* NCCL knows names alone, no networks */
        set(v, "NCCL_SOCKET_IFNAME", interface, false);
    set(v, LISTEN_VARIABLE, interface, true);
}

/* Open MPI on this machine alone: shared memory between ranks, and nothing that listens beyond the loopback interface. */
static void set_local(struct environment *v)
{
    set(v, "OMPI_MCA_pml", "ob1", true);
    set(v, "OMPI_MCA_btl", "self,vader", true);
    set(v, "OMPI_MCA_oob_tcp_if_include", "lo", true);
    set(v, "NCCL_SOCKET_IFNAME", "lo", true);
    set(v, LISTEN_VARIABLE, "lo", true);
}

/* LISTEN_LIBRARY beside this program, as it is built, or in ../lib/muster, as it is installed; NULL: not there. Caller frees. */
static char *library_path(void)
{
    char self[4096];
    ssize_t size = readlink("/proc/self/exe", self, sizeof self - 1);
    self[size > 0 ? size : 0] = 0;
    char *slash = strrchr(self, '/');
    if (!slash)
        return NULL;
    *slash = 0;
    char *path = format_string("%s/" LISTEN_LIBRARY, self);
    if (!access(path, R_OK))
        return path;
    free(path);
    path = format_string("%s/../lib/muster/" LISTEN_LIBRARY, self);
    if (!access(path, R_OK))
        return path;
    free(path);
    return NULL;
}

/* mpirun and its daemons bind their sockets to every address, whatever their if_include says: a library that is loaded into them
 * (listen.c) binds them where LISTEN_VARIABLE says. */
static void set_preload(struct environment *v, const struct launch *l)
{
    char *library = library_path();
    if (!library || strchr(library, ' ')) { /* neither LD_PRELOAD nor mpirun can quote */
        free(library);
        return;
    }
    set(v, "LD_PRELOAD", library, true);
    if (!l->local) {
        char *daemon = format_string("env LD_PRELOAD=%s " LISTEN_VARIABLE "=%s orted", library, l->interface);
        set(v, "OMPI_MCA_orte_launch_agent", daemon, false);
        free(daemon);
    }
    free(library);
}

static void worker_environment(struct environment *v, const struct launch *l)
{
    copy_environment(v);
    set_number(v, "OMP_NUM_THREADS", l->threads, true);
    if (l->oversubscribed) {
        set(v, "OMP_WAIT_POLICY", "passive", false);
        set(v, "OMPI_MCA_mpi_yield_when_idle", "1", false);
    }
    if (!geteuid()) {
        set(v, "OMPI_ALLOW_RUN_AS_ROOT", "1", true);
        set(v, "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", true);
    }
    if (!may_read_memory())
        set(v, "OMPI_MCA_btl_vader_single_copy_mechanism", "none", false);
    if (l->local)
        set_local(v);
    else if (l->spec)
        set_cluster(v, l);
    if (!l->local && l->interface)
        set_interface(v, l->interface);
}

static int start_command(struct process *ret, struct command *c, const struct launch *l, struct error *e)
{
    struct environment v = {0};
    worker_environment(&v, l);
    if (!strcmp(c->words[0], "mpirun") && (l->local || l->interface))
        set_preload(&v, l);
    int result = process_start(ret, c->words, &(struct process_options){.environment = v.entries, .flags = PROCESS_GROUP}, e);
    free_environment(&v);
    clear_command(c);
    return result;
}

static int start_local(struct process *ret, const struct launch *l, struct error *e)
{
    struct command c = {0};
    if (l->ranks > 1) {
        add_word(&c, "mpirun");
        add_number(&c, "-np", l->ranks);
        add_option(&c, "--bind-to", "none"); /* threads of a rank would share one core otherwise */
        add_word(&c, "--oversubscribe");     /* slots count whole cores; the user asked for these ranks */
    }
    add_worker(&c, l);
    return start_command(ret, &c, l, e);
}

/* mpirun passes on OMPI_MCA_* by itself, and the rest by name. */
static void add_exports(struct command *c)
{
    static const char *const names[] = {"OMP_NUM_THREADS", "OMP_WAIT_POLICY", "OMP_PLACES",    "OMP_PROC_BIND",
                                        "MUSTER_TRACE",    "MUSTER_FAULT",    LISTEN_VARIABLE, "LD_LIBRARY_PATH",
                                        "ASAN_OPTIONS",    "UBSAN_OPTIONS",   "TSAN_OPTIONS",  "NCCL_SOCKET_IFNAME",
                                        "NCCL_IB_HCA",     "NCCL_IB_DISABLE", "NCCL_DEBUG"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (i == 0 || getenv(names[i]))
            add_option(c, "-x", names[i]);
}

static int start_mpirun(struct process *ret, const struct launch *l, struct error *e)
{
    struct command c = {0};
    add_word(&c, "mpirun");
    add_number(&c, "-np", l->ranks);
    add_option(&c, "--host", l->spec);
    add_option(&c, "--map-by", "slot");
    add_exports(&c);
    add_worker(&c, l);
    return start_command(ret, &c, l, e);
}

static int start_srun(struct process *ret, const struct launch *l, struct error *e)
{
    struct command c = {0};
    char nodes[32];
    const char *all = getenv("SLURM_NNODES");
    snprintf(nodes, sizeof nodes, "1-%.16s", all ? all : "1");
    add_word(&c, "srun");
    add_number(&c, "--ntasks", l->ranks);
    add_option(&c, "--nodes", nodes); /* as few as are free: srun would insist on all */
    add_number(&c, "--cpus-per-task", l->threads);
    add_word(&c, "--exact");            /* so that the groups of a sweep share the allocation out */
    add_option(&c, "--mem", "0");       /* of the job, for each of them: it is not counted twice */
    add_word(&c, "--kill-on-bad-exit"); /* a rank that died takes the group with it */
    if (l->gpus)
        add_number(&c, "--gpus-per-task", 1);
    add_option(&c, "--mpi", l->ranks > 1 ? "pmix" : "none");
    add_worker(&c, l);
    return start_command(ret, &c, l, e);
}

static int start_attached(struct process *ret, const struct launch *l, struct error *e)
{
    struct command c = {0};
    add_worker(&c, l);
    return start_command(ret, &c, l, e);
}

static int check_allocation(int groups, int ranks, struct error *e)
{
    const char *tasks = getenv("SLURM_NTASKS");
    if (!getenv("SLURM_JOB_ID"))
        return error_set(e, ERROR_USAGE,
                         "cluster.launcher: \"srun\" works inside a SLURM allocation only; start muster by sbatch (see "
                         "cluster/muster.sbatch) or salloc");
    if (tasks && atoi(tasks) < groups * ranks)
        return error_set(
            e, ERROR_USAGE,
            "cluster: %d group%s of %d rank%s need %d tasks, the SLURM allocation has %s; ask for --ntasks=%d, or lower "
            "cluster.groups or cluster.ranks_per_group",
            groups, groups == 1 ? "" : "s", ranks, ranks == 1 ? "" : "s", groups * ranks, tasks, groups * ranks);
    return 0;
}

static const struct launcher launchers[] = {
    [LAUNCHER_LOCAL] = {"local", start_local, .restartable = true},
    [LAUNCHER_MPIRUN] = {"mpirun", start_mpirun, .restartable = true, .uses_slots = true, .remote = true},
    [LAUNCHER_SRUN] = {"srun", start_srun, .check = check_allocation, .restartable = true, .remote = true},
    [LAUNCHER_NONE] = {"none", NULL, .restartable = true, .accepts_external = true},
    [LAUNCHER_ATTACHED] = {"attached", start_attached, .accepts_external = true},
};

const struct launcher *launcher_get(enum launcher_kind kind)
{
    return &launchers[kind];
}

int launcher_threads(int ranks_on_host)
{
    const char *given = getenv("SLURM_CPUS_PER_TASK"), *on_node = getenv("SLURM_CPUS_ON_NODE");
    int cores = on_node ? atoi(on_node) : machine_cores(), threads = given ? atoi(given) : cores / ranks_on_host;
    return threads > 0 ? threads : 1;
}

int launcher_worker_path(char **ret, struct error *e)
{
    char self[4096];
    ssize_t size = readlink("/proc/self/exe", self, sizeof self - 1);
    if (size < 0)
        return error_errno(e, errno, "cannot find the path of this program");
    self[size] = 0;
    char *slash = strrchr(self, '/');
    if (slash)
        *slash = 0;
    char *path = path_join(self, WORKER_NAME);
    if (access(path, X_OK)) {
        error_errno(e, errno, "%s: cannot run the worker; install muster and " WORKER_NAME " in the same directory", path);
        free(path);
        return -1;
    }
    *ret = path;
    return 0;
}

int launcher_exec(const struct launch *l, struct error *e)
{
    struct command c = {0};
    struct environment v = {0};
    add_worker(&c, l);
    worker_environment(&v, l);
    execve(l->worker, c.words, v.entries);
    int number = errno;
    free_environment(&v);
    clear_command(&c);
    return error_errno(e, number, "%s: cannot be executed", l->worker);
}
