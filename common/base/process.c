/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* Between fork and exec: only calls that are safe after a fork of a program with threads. Ends with exec, or writes errno to
 * `report`. */
static void exec_child(char *const *arguments, const struct process_options *o, pid_t parent, int output, int report)
{
    int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (o->flags & PROCESS_GROUP) {
        setpgid(0, 0);
        prctl(PR_SET_PDEATHSIG, SIGUSR1); /* mpirun forwards this one to all ranks, which save; at SIGTERM it kills them */
    }
    if (getppid() == parent && nothing >= 0 && (!o->directory || !chdir(o->directory)) &&
        dup2(o->input > 0 ? o->input : nothing, 0) >= 0 && dup2(output, 1) >= 0 &&
        dup2(o->flags & PROCESS_QUIET ? nothing : output, 2) >= 0)
        execvpe(arguments[0], arguments, o->environment ? o->environment : environ);
    int number = errno;
    if (write(report, &number, sizeof number) < 0)
        _exit(126);
    _exit(127);
}

static int make_pipes(int output[2], int report[2])
{
    if (pipe2(output, O_CLOEXEC))
        return errno;
    if (!pipe2(report, O_CLOEXEC))
        return 0;
    int number = errno;
    close(output[0]);
    close(output[1]);
    return number;
}

static pid_t reap(pid_t pid, int *status)
{
    pid_t ended;
    while ((ended = waitpid(pid, status, 0)) < 0 && errno == EINTR)
        ;
    return ended;
}

/* The errno that the child reports; 0: exec has closed the pipe. */
static int read_report(int report)
{
    int number = 0;
    while (read(report, &number, sizeof number) < 0 && errno == EINTR)
        ;
    close(report);
    return number;
}

static const char *hint(const char *program)
{
    static const struct {
        const char *program, *hint;
    } hints[] = {{"mpirun", " (is it installed? apt-get install openmpi-bin)"},
                 {"srun", " (is it installed? apt-get install slurm-client)"},
                 {"gnuplot", " (is it installed? apt-get install gnuplot-nox)"}};
    for (size_t i = 0; i < sizeof hints / sizeof *hints; i++)
        if (!strcmp(program, hints[i].program))
            return hints[i].hint;
    return "";
}

int process_start(struct process *ret, char *const *arguments, const struct process_options *options, struct error *e)
{
    const struct process_options none = {0}, *o = options ? options : &none;
    int output[2], report[2], number = make_pipes(output, report);
    if (number)
        return error_errno(e, number, "%s: cannot be started", arguments[0]);
    pid_t parent = getpid(), pid = fork();
    if (!pid)
        exec_child(arguments, o, parent, output[1], report[1]);
    number = pid < 0 ? errno : 0;
    close(output[1]);
    close(report[1]);
    if (pid > 0)
        number = read_report(report[0]);
    else
        close(report[0]);
    if (number) {
        close(output[0]);
        if (pid > 0)
            reap(pid, NULL);
        return error_errno(e, number, "%s: cannot be started%s", arguments[0], hint(arguments[0]));
    }
    fcntl(output[0], F_SETFL, O_NONBLOCK);
    *ret = (struct process){pid, output[0]};
    return 0;
}

/* Until the pipe is closed. */
static void read_output(struct buffer *output, size_t most, int descriptor)
{
    char bytes[4096];
    struct pollfd wait = {descriptor, POLLIN, 0};
    for (;;) {
        ssize_t size = read(descriptor, bytes, sizeof bytes);
        if (size == 0 || (size < 0 && errno != EINTR && errno != EAGAIN))
            return;
        if (size < 0)
            poll(&wait, 1, -1);
        else
            buffer_append(output, bytes, (size_t)size < most - output->size ? (size_t)size : most - output->size);
    }
}

int process_run(struct buffer *output, size_t most, int *status, char *const *arguments, const struct process_options *o,
                struct error *e)
{
    struct process p;
    *output = (struct buffer){0};
    if (process_start(&p, arguments, o, e))
        return -1;
    buffer_text(output, "");
    read_output(output, most, p.output);
    close(p.output);
    if (reap(p.pid, status) == p.pid)
        return 0;
    buffer_free(output);
    return error_errno(e, errno, "%s: cannot wait for its end", arguments[0]);
}
