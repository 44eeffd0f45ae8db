/* SPDX-License-Identifier: Apache-2.0 */
/* Launchers, with real processes: programs named mpirun and srun, first in PATH, and a worker tell the words and the environment
 * that they were started with. Expected: the command lines as the manuals of Open MPI 4.1 and SLURM have them, written out here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cluster/launcher.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/machine.h"
#include "common/base/memory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define DIRECTORY "launcher test" /* with a blank, as people have them */
#define WORKER DIRECTORY "/it's a \"worker\""
#define PATIENCE 60.0

static char *path_before;

/* Tells its name, its words and its environment. */
static const char script[] = "#!/bin/sh\n"
                             "printf '<%s>' \"${0##*/}\" \"$@\"\n"
                             "printf '\\n'\n"
                             "env | grep -E '^(OMP_|OMPI_|NCCL_|VARIABLE_)' | LC_ALL=C sort\n";

static void write_program(const char *path, const char *text)
{
    struct error e = {0};
    if (file_write(path, text, strlen(text), &e) || chmod(path, 0755))
        fail_msg("%s", e.message);
}

static struct launch plain(void)
{
    return (struct launch){.worker = WORKER,
                           .connection = "/runs/a b/connection.json",
                           .device = "cpu",
                           .group = "g-7",
                           .ranks = 1,
                           .threads = 3,
                           .heartbeat_timeout = 30};
}

/* All that a process prints, once it has ended. Caller frees. */
static char *finish(struct process *p)
{
    char *text = allocate(1 << 22, 1);
    size_t size = 0;
    double end = clock_seconds() + PATIENCE;
    for (ssize_t n = -1; n && clock_seconds() < end;) {
        poll(&(struct pollfd){p->output, POLLIN, 0}, 1, 1000);
        n = read(p->output, text + size, (1 << 22) - 1 - size);
        size += n > 0 ? (size_t)n : 0;
    }
    int status;
    assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
    close(p->output);
    return text;
}

static char *start(enum launcher_kind kind, const struct launch *l)
{
    struct process p;
    struct error e = {0};
    if (launcher_get(kind)->start(&p, l, &e))
        fail_msg("%s", e.message);
    return finish(&p);
}

static void expect_words(enum launcher_kind kind, const struct launch *l, const char *expected)
{
    char *found = start(kind, l);
    size_t size = strlen(expected);
    if (strncmp(found, expected, size) || found[size] != '\n')
        fail_msg("expected: %s; found: %.2000s", expected, found);
    free(found);
}

/* "NAME=value" must be a line of it; "NAME=" alone: the name must not be there. */
static void expect_setting(const char *found, const char *setting)
{
    char *line = format_string("\n%s%s", setting, setting[strlen(setting) - 1] == '=' ? "" : "\n");
    bool there = strstr(found, line) != NULL;
    if (there != (line[strlen(line) - 1] == '\n'))
        fail_msg("expected: %s; found: %.4000s", setting, found);
    free(line);
}

#define WORDS_OF_WORKER "<it's a \"worker\"><--connection></runs/a b/connection.json><--comm>"
#define PATH_OF_WORKER "<" WORKER "><--connection></runs/a b/connection.json><--comm>"
#define REST "<--device><cpu><--threads><3><--group><g-7>"

static void test_command_lines(void **state)
{
    (void)state;
    struct launch l = plain();
    expect_words(LAUNCHER_LOCAL, &l, WORDS_OF_WORKER "<self>" REST);
    expect_words(LAUNCHER_ATTACHED, &l, WORDS_OF_WORKER "<self>" REST);
    expect_words(
        LAUNCHER_SRUN, &l,
        "<srun><--ntasks><1><--nodes><1-1><--cpus-per-task><3><--exact><--mem><0><--kill-on-bad-exit><--mpi><none>" PATH_OF_WORKER
        "<self>" REST);
    l.gpus = true;
    expect_words(
        LAUNCHER_SRUN, &l,
        "<srun><--ntasks><1><--nodes><1-1><--cpus-per-task><3><--exact><--mem><0><--kill-on-bad-exit><--gpus-per-task><1>"
        "<--mpi><none>" PATH_OF_WORKER "<self>" REST);
    l.gpus = false;
    l.first_gpu = 4;
    expect_words(LAUNCHER_LOCAL, &l, WORDS_OF_WORKER "<self>" REST "<--gpu><4>");
    l.first_gpu = 0;
    l.ranks = 12;
    expect_words(LAUNCHER_LOCAL, &l,
                 "<mpirun><-np><12><--bind-to><none><--oversubscribe>" PATH_OF_WORKER "<mpi><--ranks><12>" REST);
    expect_words(LAUNCHER_ATTACHED, &l, WORDS_OF_WORKER "<mpi><--ranks><12>" REST);
    l.fast = true;
    expect_words(LAUNCHER_ATTACHED, &l,
                 WORDS_OF_WORKER "<mpi><--ranks><12><--device><cpu><--reduction><fast><--threads><3><--group><g-7>");
    l.fast = false;
    setenv("SLURM_NNODES", "4", 1);
    expect_words(LAUNCHER_SRUN, &l,
                 "<srun><--ntasks><12><--nodes><1-4><--cpus-per-task><3><--exact><--mem><0><--kill-on-bad-exit><--mpi><"
                 "pmix>" PATH_OF_WORKER "<mpi><--ranks><12>" REST);
    unsetenv("SLURM_NNODES");
    assert_null(launcher_get(LAUNCHER_NONE)->start);
}

static void test_hosts(void **state)
{
    (void)state;
    struct launch l = plain();
    l.ranks = 3;
    l.spec = "n1:2,n2:1";
    expect_words(LAUNCHER_MPIRUN, &l,
                 "<mpirun><-np><3><--host><n1:2,n2:1><--map-by><slot><-x><OMP_NUM_THREADS>" PATH_OF_WORKER
                 "<mpi><--ranks><3>" REST);
    setenv("MUSTER_FAULT", "kill rank=1", 1); /* what remote ranks need is passed on by name, where it is set */
    setenv("OMP_PLACES", "cores", 1);
    expect_words(LAUNCHER_MPIRUN, &l,
                 "<mpirun><-np><3><--host><n1:2,n2:1><--map-by><slot><-x><OMP_NUM_THREADS><-x><OMP_PLACES><-x><MUSTER_"
                 "FAULT>" PATH_OF_WORKER "<mpi><--ranks><3>" REST);
    unsetenv("MUSTER_FAULT");
    unsetenv("OMP_PLACES");
    char *found = start(LAUNCHER_MPIRUN, &l);
    expect_setting(found, "OMPI_MCA_oob_tcp_keepalive_time=7"); /* a quarter of 30 s; twice that many probes are missed */
    expect_setting(found, "OMPI_MCA_oob_tcp_keepalive_intvl=7");
    expect_setting(found, "OMPI_MCA_oob_tcp_keepalive_probes=2");
    expect_setting(found, "OMPI_MCA_hwloc_base_binding_policy=none");
    expect_setting(found, "OMPI_MCA_oob_tcp_if_include=");
    free(found);
    l.interface = "ib0";
    l.heartbeat_timeout = 0.5;
    found = start(LAUNCHER_MPIRUN, &l);
    expect_setting(found, "OMPI_MCA_oob_tcp_keepalive_time=1"); /* whole seconds, at least one */
    expect_setting(found, "OMPI_MCA_oob_tcp_if_include=ib0");
    expect_setting(found, "OMPI_MCA_btl_tcp_if_include=ib0");
    expect_setting(found, "NCCL_SOCKET_IFNAME=ib0");
    free(found);
}

static void test_environment(void **state)
{
    (void)state;
    struct launch l = plain();
    setenv("OMP_NUM_THREADS", "99", 1); /* the job's number of threads wins */
    char *found = start(LAUNCHER_LOCAL, &l);
    expect_setting(found, "OMP_NUM_THREADS=3");
    expect_setting(found, "OMP_WAIT_POLICY=");
    free(found);
    l.oversubscribed = true;
    found = start(LAUNCHER_LOCAL, &l);
    expect_setting(found, "OMP_WAIT_POLICY=passive");
    expect_setting(found, "OMPI_MCA_mpi_yield_when_idle=1");
    free(found);
    setenv("OMP_WAIT_POLICY", "active", 1); /* here the user's */
    setenv("OMP_WAIT_POLICY_", "x", 1);     /* a name that only begins alike */
    setenv("OMPI_MCA_oob_tcp_keepalive_time", "5", 1);
    l.spec = "n1:1";
    found = start(LAUNCHER_MPIRUN, &l);
    expect_setting(found, "OMP_WAIT_POLICY=active");
    expect_setting(found, "OMP_WAIT_POLICY_=x");
    expect_setting(found, "OMPI_MCA_oob_tcp_keepalive_time=5");
    free(found);
    assert_string_equal(getenv("OMP_NUM_THREADS"), "99"); /* ours is as it was */
    unsetenv("OMP_NUM_THREADS");
    unsetenv("OMP_WAIT_POLICY");
    unsetenv("OMP_WAIT_POLICY_");
    unsetenv("OMPI_MCA_oob_tcp_keepalive_time");
}

/* No bound drops anything silently: 3000 variables and a value of 100 KB arrive. */
static void test_large_environment(void **state)
{
    (void)state;
    struct launch l = plain();
    char name[32], *value = allocate(100001, 1);
    memset(value, 'v', 100000);
    for (int i = 0; i < 3000; i++) {
        snprintf(name, sizeof name, "VARIABLE_%d", i);
        setenv(name, i == 1234 ? value : "", 1);
    }
    l.spec = "n1:1";
    l.oversubscribed = true;
    char *found = start(LAUNCHER_MPIRUN, &l);
    int count = 0;
    for (const char *at = found; (at = strstr(at, "\nVARIABLE_")); at++)
        count++;
    assert_int_equal(count, 3000);
    char *line = format_string("\nVARIABLE_1234=%s\n", value);
    assert_non_null(strstr(found, line));
    expect_setting(found, "OMP_NUM_THREADS=3");
    for (int i = 0; i < 3000; i++) {
        snprintf(name, sizeof name, "VARIABLE_%d", i);
        unsetenv(name);
    }
    free(line);
    free(found);
    free(value);
}

/* No shell looks at them. */
static void test_strange_words(void **state)
{
    (void)state;
    char *longest = allocate(100001, 1);
    memset(longest, 'x', 100000);
    const char *const words[] = {"two words", "'",  "\"",        "`touch x`", "$(touch x)", "$HOME",        "a;b",
                                 "*",         "\\", "new\nline", "",          "-x",         "\xc3\xa4\xff", longest};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        struct launch l = plain();
        l.connection = words[i];
        char *expected = format_string("<it's a \"worker\"><--connection><%s><--comm><self>" REST, words[i]);
        expect_words(LAUNCHER_LOCAL, &l, expected);
        free(expected);
        l.ranks = 2;
        expected = format_string("<mpirun><-np><2><--bind-to><none><--oversubscribe><" WORKER
                                 "><--connection><%s><--comm><mpi><--ranks><2>" REST,
                                 words[i]);
        expect_words(LAUNCHER_LOCAL, &l, expected);
        free(expected);
    }
    assert_false(file_exists("x"));
    free(longest);
}

/* ---- what cannot be started ---- */

static int count_descriptors(void)
{
    int count = 0;
    DIR *d = opendir("/proc/self/fd");
    while (readdir(d))
        count++;
    closedir(d);
    return count;
}

static void expect_no_start(enum launcher_kind kind, const struct launch *l, const char *words, const char *more)
{
    struct process p = {.pid = 4711, .output = 4712};
    struct error e = {0};
    int descriptors = count_descriptors();
    if (!launcher_get(kind)->start(&p, l, &e))
        fail_msg("expected: '%s'; found: started", words);
    assert_int_equal(e.kind, ERROR_FAILED);
    if (!strstr(e.message, words) || !strstr(e.message, more))
        fail_msg("expected a message with '%s' and '%s'; found: %s", words, more, e.message);
    assert_int_equal(p.pid, 4711); /* outputs are set only on success */
    assert_int_equal(p.output, 4712);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no process is left behind, dead or alive */
    assert_int_equal(errno, ECHILD);
    assert_int_equal(count_descriptors(), descriptors);
}

static void test_failures(void **state)
{
    (void)state;
    struct launch l = plain();
    l.worker = DIRECTORY "/no worker";
    expect_no_start(LAUNCHER_LOCAL, &l, DIRECTORY "/no worker", strerror(ENOENT));
    expect_no_start(LAUNCHER_ATTACHED, &l, DIRECTORY "/no worker", strerror(ENOENT));
    struct error e;
    assert_int_equal(file_write(DIRECTORY "/text", "no program\n", 11, &e), 0);
    l.worker = DIRECTORY "/text";
    expect_no_start(LAUNCHER_LOCAL, &l, DIRECTORY "/text", strerror(EACCES));
    l.worker = "./" DIRECTORY;
    expect_no_start(LAUNCHER_LOCAL, &l, DIRECTORY, strerror(EACCES));
    write_program(DIRECTORY "/orphan", "#!/no/such/interpreter\n");
    l.worker = DIRECTORY "/orphan";
    expect_no_start(LAUNCHER_LOCAL, &l, DIRECTORY "/orphan", strerror(ENOENT));
    l = plain();
    l.ranks = 2;
    l.spec = "n1:2";
    setenv("PATH", DIRECTORY "/nowhere", 1);
    expect_no_start(LAUNCHER_LOCAL, &l, "mpirun", "openmpi-bin"); /* says which package has it */
    expect_no_start(LAUNCHER_MPIRUN, &l, "mpirun", "openmpi-bin");
    expect_no_start(LAUNCHER_SRUN, &l, "srun", "slurm-client");
    char *path = format_string(DIRECTORY ":%s", path_before);
    setenv("PATH", path, 1);
    free(path);
}

static void test_exec(void **state)
{
    (void)state;
    struct launch l = plain();
    struct error e = {0};
    l.worker = DIRECTORY "/no worker";
    assert_int_equal(launcher_exec(&l, &e), -1);
    assert_int_equal(e.kind, ERROR_FAILED);
    if (!strstr(e.message, DIRECTORY "/no worker"))
        fail_msg("expected: the path; found: %s", e.message);
    write_program(DIRECTORY "/exits",
                  "#!/bin/sh\ntest \"$OMP_NUM_THREADS\" = 3 && test \"$4\" = mpi && test \"$6\" = 5 && exit 43\nexit 1\n");
    l.worker = DIRECTORY "/exits";
    l.ranks = 5;
    pid_t pid = fork();
    if (!pid) {
        launcher_exec(&l, &e);
        _exit(2);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 43);
}

static void test_worker_path(void **state)
{
    (void)state;
    char self[4096], *path = NULL;
    struct error e = {0};
    ssize_t size = readlink("/proc/self/exe", self, sizeof self - 1);
    self[size] = 0;
    *strrchr(self, '/') = 0;
    assert_int_equal(launcher_worker_path(&path, &e), -1); /* beside this test there is none */
    assert_null(path);
    assert_int_equal(e.kind, ERROR_FAILED);
    if (!strstr(e.message, self) || !strstr(e.message, "muster-worker") || !strstr(e.message, "install"))
        fail_msg("expected: where it was looked for and what to do; found: %s", e.message);
}

/* ---- what a started process has ---- */

static void test_process(void **state)
{
    (void)state;
    write_program(DIRECTORY "/facts", "#!/bin/sh\n"
                                      "ps -o pgid= -p $$ | tr -d ' '\n"
                                      "readlink /proc/self/fd/0\n"
                                      "ls /proc/$$/fd | LC_ALL=C sort | tr '\\n' ' '\n"
                                      "echo to standard error >&2\n"
                                      "grep SigBlk /proc/$$/status | tr -d '\\t'\n");
    struct launch l = plain();
    struct process p;
    struct error e = {0};
    l.worker = DIRECTORY "/facts";
    for (int fd = 3; fd < 1024; fd++) /* what this test was started with itself */
        if (fcntl(fd, F_GETFD) >= 0)
            fcntl(fd, F_SETFD, FD_CLOEXEC);
    assert_int_equal(launcher_get(LAUNCHER_LOCAL)->start(&p, &l, &e), 0);
    assert_true(fcntl(p.output, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(p.output, F_GETFD) & FD_CLOEXEC);
    char *found = finish(&p), expected[256];
    snprintf(expected, sizeof expected, "%d\n/dev/null\n0 1 10 2 to standard error\n",
             (int)p.pid); /* 10: the shell's, of its script */
    if (strncmp(found, expected, strlen(expected)))
        fail_msg("expected: %s; found: %s", expected, found);
    free(found);
}

/* A coordinator that dies is noticed: its workers get SIGUSR1, and save. */
static void test_coordinator_dies(void **state)
{
    (void)state;
    write_program(DIRECTORY "/waits", "#!/bin/sh\ntrap 'echo saved > \"$2.saved\"; exit' USR1\n: > \"$2.ready\"\n"
                                      "while :; do sleep 0.05; done\n");
    struct launch l = plain();
    l.worker = DIRECTORY "/waits";
    l.connection = DIRECTORY "/connection";
    pid_t pid = fork();
    if (!pid) {
        struct process p;
        struct error e;
        if (launcher_get(LAUNCHER_LOCAL)->start(&p, &l, &e))
            _exit(1);
        while (!file_exists(DIRECTORY "/connection.ready"))
            usleep(10000);
        raise(SIGKILL);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    double end = clock_seconds() + PATIENCE;
    while (!file_exists(DIRECTORY "/connection.saved") && clock_seconds() < end)
        usleep(10000);
    assert_true(file_exists(DIRECTORY "/connection.saved"));
}

/* ---- cores and allocations ---- */

static void test_threads_and_cores(void **state)
{
    (void)state;
    int cores;
    FILE *f = popen("nproc", "r");
    assert_int_equal(fscanf(f, "%d", &cores), 1);
    pclose(f);
    assert_int_equal(machine_cores(), cores);
    assert_int_equal(launcher_threads(1), cores);
    assert_int_equal(launcher_threads(cores), 1);
    assert_int_equal(launcher_threads(cores * 5), 1);
    setenv("SLURM_CPUS_ON_NODE", "24", 1);
    assert_int_equal(launcher_threads(5), 4);
    setenv("SLURM_CPUS_PER_TASK", "6", 1);
    assert_int_equal(launcher_threads(5), 6);
    setenv("SLURM_CPUS_PER_TASK", "none", 1);
    assert_int_equal(launcher_threads(5), 1);
    unsetenv("SLURM_CPUS_PER_TASK");
    unsetenv("SLURM_CPUS_ON_NODE");
    cpu_set_t before, one;
    sched_getaffinity(0, sizeof before, &before);
    int first = 0;
    while (!CPU_ISSET(first, &before))
        first++;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0); /* as taskset and SLURM do */
    assert_int_equal(machine_cores(), 1);
    sched_setaffinity(0, sizeof before, &before);
}

static void expect_allocation(int groups, int ranks, const char *words /* NULL: enough */)
{
    struct error e = {0};
    int result = launcher_get(LAUNCHER_SRUN)->check(groups, ranks, &e);
    if (result != (words ? -1 : 0) || (words && (e.kind != ERROR_USAGE || !strstr(e.message, words))))
        fail_msg("%d groups of %d: expected: %s; found: %d, %s", groups, ranks, words ? words : "enough", result, e.message);
}

static void test_allocation(void **state)
{
    (void)state;
    unsetenv("SLURM_JOB_ID");
    expect_allocation(1, 1, "sbatch");
    setenv("SLURM_JOB_ID", "17", 1);
    expect_allocation(100, 100, NULL); /* SLURM does not say how many tasks: srun will */
    setenv("SLURM_NTASKS", "8", 1);
    expect_allocation(2, 4, NULL);
    expect_allocation(3, 3, "--ntasks=9");
    expect_allocation(9, 1, "9 groups of 1 rank need 9 tasks");
    expect_allocation(1, 9, "1 group of 9 ranks need 9 tasks");
    unsetenv("SLURM_NTASKS");
    unsetenv("SLURM_JOB_ID");
    for (enum launcher_kind k = LAUNCHER_LOCAL; k <= LAUNCHER_ATTACHED; k++)
        assert_true((launcher_get(k)->check != NULL) == (k == LAUNCHER_SRUN));
}

static void test_table(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum launcher_kind kind;
    } rows[] = {{"local", LAUNCHER_LOCAL}, {"mpirun", LAUNCHER_MPIRUN}, {"srun", LAUNCHER_SRUN}, {"none", LAUNCHER_NONE}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(launcher_kind_find(rows[i].name), rows[i].kind);
        assert_string_equal(launcher_get(rows[i].kind)->name, rows[i].name);
        assert_string_equal(launcher_names[i], rows[i].name);
    }
    assert_null(launcher_names[4]); /* no job can ask for "attached" */
    assert_int_equal(launcher_kind_find("attached"), LAUNCHER_UNSET);
    assert_int_equal(launcher_kind_find("Local"), LAUNCHER_UNSET);
    assert_int_equal(launcher_kind_find(""), LAUNCHER_UNSET);
}

static int set_up(void **state)
{
    (void)state;
    struct error e;
    static const char *const ours[] = {"OMP_NUM_THREADS",     "OMP_WAIT_POLICY",    "OMP_PLACES",      "OMP_PROC_BIND",
                                       "MUSTER_TRACE",        "MUSTER_FAULT",       "LD_LIBRARY_PATH", "ASAN_OPTIONS",
                                       "UBSAN_OPTIONS",       "TSAN_OPTIONS",       "SLURM_JOB_ID",    "SLURM_NTASKS",
                                       "SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE", "SLURM_NNODES",    "MUSTER_LISTEN"};
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        unsetenv(ours[i]);
    if (directory_remove(DIRECTORY, &e) || directory_create(DIRECTORY, &e))
        return -1;
    write_program(DIRECTORY "/mpirun", script);
    write_program(DIRECTORY "/srun", script);
    write_program(WORKER, script);
    path_before = duplicate(getenv("PATH"));
    char *path = format_string(DIRECTORY ":%s", path_before);
    setenv("PATH", path, 1);
    free(path);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    struct error e;
    free(path_before);
    return directory_remove(DIRECTORY, &e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_command_lines),
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_environment),
        cmocka_unit_test(test_large_environment),
        cmocka_unit_test(test_strange_words),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_exec),
        cmocka_unit_test(test_worker_path),
        cmocka_unit_test(test_process),
        cmocka_unit_test(test_coordinator_dies),
        cmocka_unit_test(test_threads_and_cores),
        cmocka_unit_test(test_allocation),
        cmocka_unit_test(test_table),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
