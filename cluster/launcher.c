/* Owns the table of launchers and the start of processes. */
#include "cluster/launcher.h"

#include "common/base/file.h"
#include "common/base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <unistd.h>

#define WORKER_NAME "muster-worker"
#define ARGUMENTS_MOST 100

extern char **environ;

/* Words of a command line; texts are owned. */
struct command {
    char *words[ARGUMENTS_MOST + 1];
    int count;
};

static void add_word(struct command *c, const char *word)
{
    if (c->count < ARGUMENTS_MOST)
        c->words[c->count++] = duplicate(word);
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
    for (int i = 0; i < c->count; i++)
        free(c->words[i]);
}

static void add_worker(struct command *c, const struct launch *l)
{
    add_word(c, l->worker);
    add_option(c, "--connection", l->connection);
    add_option(c, "--comm", l->ranks > 1 ? "mpi" : "self");
    if (l->ranks > 1)
        add_number(c, "--ranks", l->ranks);
    add_option(c, "--device", l->device);
    add_number(c, "--threads", l->threads);
    add_option(c, "--group", l->group);
}

/* Environment of a child: ours with some names set (ours win unless `always`). Texts added are owned by the caller of
 * free_environment. */
struct setting {
    const char *name;
    char value[64];
    bool always;
};

#define SETTINGS_MOST 20
struct settings {
    struct setting items[SETTINGS_MOST];
    size_t count;
};

static void set(struct settings *s, const char *name, const char *value, bool always)
{
    struct setting *item = &s->items[s->count++];
    item->name = name;
    item->always = always;
    snprintf(item->value, sizeof item->value, "%s", value);
}

static void set_number(struct settings *s, const char *name, int value, bool always)
{
    char text[16];
    snprintf(text, sizeof text, "%d", value);
    set(s, name, text, always);
}

static bool names_entry(const char *entry, const char *name)
{
    size_t size = strlen(name);
    return !strncmp(entry, name, size) && entry[size] == '=';
}

static char **make_environment(const struct settings *settings)
{
    size_t size = 0;
    while (environ[size])
        size++;
    char **list = allocate(size + settings->count + 1, sizeof *list);
    memcpy(list, environ, size * sizeof *list);
    for (size_t i = 0; i < settings->count; i++) {
        const struct setting *item = &settings->items[i];
        size_t at = 0;
        while (list[at] && !names_entry(list[at], item->name))
            at++;
        if (!list[at] || item->always)
            list[at] = format_string("%s=%s", item->name, item->value);
    }
    return list;
}

static void free_environment(char **list)
{
    for (size_t i = 0; list[i]; i++) {
        bool ours = true;
        for (size_t k = 0; environ[k] && ours; k++)
            ours = environ[k] != list[i];
        if (ours)
            free(list[i]);
    }
    free(list);
}

/* Open MPI's shared memory copies straight between processes; where a container forbids that it fails at run time instead of
 * choosing another way. */
static bool may_read_memory(void)
{
    int from = 1, to = 0;
    struct iovec local = {&to, sizeof to}, remote = {&from, sizeof from};
    return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == (ssize_t)sizeof to && to == 1;
}

/* What Open MPI is told on hosts of a cluster. A host that is gone is noticed within the heartbeat timeout, by TCP's own probes.
 */
static void set_cluster(struct settings *s, const struct launch *l)
{
    int share = (int)(l->heartbeat_timeout / 4);
    set(s, "OMPI_MCA_hwloc_base_binding_policy", "none", false); /* threads of a rank would share one core otherwise */
    set(s, "OMPI_MCA_plm_rsh_no_tree_spawn", "1", false);        /* this host reaches all others; they need not */
    set_number(s, "OMPI_MCA_oob_tcp_keepalive_time", share > 0 ? share : 1, false);
    set_number(s, "OMPI_MCA_oob_tcp_keepalive_intvl", share > 0 ? share : 1, false);
    set(s, "OMPI_MCA_oob_tcp_keepalive_probes", "2", false);
    if (!l->interface)
        return;
    set(s, "OMPI_MCA_oob_tcp_if_include", l->interface, false);
    set(s, "OMPI_MCA_btl_tcp_if_include", l->interface, false);
}

static char **worker_environment(const struct launch *l)
{
    struct settings s = {0};
    set_number(&s, "OMP_NUM_THREADS", l->threads, true);
    if (l->crowded) {
        set(&s, "OMP_WAIT_POLICY", "passive", false);
        set(&s, "OMPI_MCA_mpi_yield_when_idle", "1", false);
    }
    if (!geteuid()) {
        set(&s, "OMPI_ALLOW_RUN_AS_ROOT", "1", true);
        set(&s, "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", true);
    }
    if (!may_read_memory())
        set(&s, "OMPI_MCA_btl_vader_single_copy_mechanism", "none", false);
    if (l->spec)
        set_cluster(&s, l);
    return make_environment(&s);
}

/* Between fork and exec: only calls that are safe after a fork of a program with threads. Ends with exec, or writes errno to
 * `report`. */
static void become_child(char *const *words, char *const *environment, pid_t parent, int output, int report)
{
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGUSR1); /* mpirun hands this one on to all ranks, which save; at SIGTERM it kills them */
    int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (getppid() == parent && nothing >= 0 && dup2(nothing, 0) >= 0 && dup2(output, 1) >= 0 && dup2(output, 2) >= 0)
        execvpe(words[0], words, environment);
    int number = errno;
    if (write(report, &number, sizeof number) < 0)
        _exit(126);
    _exit(127);
}

static int make_pipes(int output[2], int report[2], struct error *e)
{
    if (pipe2(output, O_CLOEXEC))
        return error_errno(e, errno, "a worker group cannot be started");
    if (pipe2(report, O_CLOEXEC)) {
        close(output[0]);
        close(output[1]);
        return error_errno(e, errno, "a worker group cannot be started");
    }
    return 0;
}

static int start_process(struct launched *ret, char *const *words, char *const *environment, struct error *e)
{
    int output[2], report[2], number = 0;
    if (make_pipes(output, report, e))
        return -1;
    pid_t parent = getpid(), pid = fork();
    if (!pid)
        become_child(words, environment, parent, output[1], report[1]);
    if (pid < 0)
        number = errno;
    close(output[1]);
    close(report[1]);
    while (pid > 0 && read(report[0], &number, sizeof number) < 0 && errno == EINTR)
        ;
    close(report[0]);
    if (number) {
        close(output[0]);
        return error_errno(e, number, "%s: cannot be started%s", words[0],
                           !strcmp(words[0], "mpirun") ? " (is openmpi-bin installed?)"
                           : !strcmp(words[0], "srun") ? " (is slurm-client installed?)"
                                                       : "");
    }
    fcntl(output[0], F_SETFL, O_NONBLOCK);
    *ret = (struct launched){pid, output[0]};
    return 0;
}

static int start_command(struct launched *ret, struct command *c, const struct launch *l, struct error *e)
{
    char **environment = worker_environment(l);
    int result = start_process(ret, c->words, environment, e);
    free_environment(environment);
    clear_command(c);
    return result;
}

static int start_local(struct launched *ret, const struct launch *l, struct error *e)
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
    static const char *const names[] = {"OMP_NUM_THREADS", "OMP_WAIT_POLICY", "OMP_PLACES",   "OMP_PROC_BIND", "MUSTER_TRACE",
                                        "MUSTER_FAULT",    "LD_LIBRARY_PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (i == 0 || getenv(names[i]))
            add_option(c, "-x", names[i]);
}

static int start_mpirun(struct launched *ret, const struct launch *l, struct error *e)
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

static int start_srun(struct launched *ret, const struct launch *l, struct error *e)
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
    add_option(&c, "--mpi", l->ranks > 1 ? "pmix" : "none");
    add_worker(&c, l);
    return start_command(ret, &c, l, e);
}

static int start_attached(struct launched *ret, const struct launch *l, struct error *e)
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
                         "cluster.launcher: \"srun\" works inside an allocation of SLURM; start muster by sbatch (see "
                         "cluster/muster.sbatch) or salloc");
    if (tasks && atoi(tasks) < groups * ranks)
        return error_set(
            e, ERROR_USAGE,
            "cluster: %d group%s of %d rank%s need %d tasks, SLURM's allocation has %s; ask for --ntasks=%d, or lower "
            "cluster.groups or cluster.ranks_per_group",
            groups, groups == 1 ? "" : "s", ranks, ranks == 1 ? "" : "s", groups * ranks, tasks, groups * ranks);
    return 0;
}

static const struct launcher launchers[] = {
    {"local", start_local, .again = true},
    {"mpirun", start_mpirun, .again = true, .seated = true, .far = true},
    {"srun", start_srun, .check = check_allocation, .again = true, .far = true},
    {"none", NULL, .again = true, .strangers = true},
    {"attached", start_attached, .strangers = true},
};

const struct launcher *launcher_find(const char *name, struct error *e)
{
    for (size_t i = 0; i < sizeof launchers / sizeof *launchers; i++)
        if (!strcmp(launchers[i].name, name))
            return &launchers[i];
    error_set(e, ERROR_USAGE, "cluster.launcher: \"%s\" is not known; use local, mpirun, srun or none", name);
    return NULL;
}

int launcher_threads(int ranks_on_host)
{
    const char *given = getenv("SLURM_CPUS_PER_TASK"), *on_node = getenv("SLURM_CPUS_ON_NODE");
    int cores = on_node ? atoi(on_node) : launcher_cores(), threads = given ? atoi(given) : cores / ranks_on_host;
    return threads > 0 ? threads : 1;
}

int launcher_spawn(struct launched *ret, char *const *words, struct error *e)
{
    return start_process(ret, words, environ, e);
}

int launcher_worker_path(char **ret, struct error *e)
{
    char self[4096];
    ssize_t size = readlink("/proc/self/exe", self, sizeof self - 1);
    if (size < 0)
        return error_errno(e, errno, "the place of this program cannot be found");
    self[size] = 0;
    char *slash = strrchr(self, '/');
    if (slash)
        *slash = 0;
    char *path = path_join(self, WORKER_NAME);
    if (access(path, X_OK)) {
        error_errno(e, errno, "%s: the worker cannot be run; install muster and " WORKER_NAME " in the same directory", path);
        free(path);
        return -1;
    }
    *ret = path;
    return 0;
}

int launcher_cores(void)
{
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);
    return count > 0 ? count : 1;
}

int launcher_become(const struct launch *l, struct error *e)
{
    struct command c = {0};
    add_worker(&c, l);
    char **environment = worker_environment(l);
    execve(l->worker, c.words, environment);
    int number = errno;
    free_environment(environment);
    clear_command(&c);
    return error_errno(e, number, "%s: cannot be run", l->worker);
}
