/* SPDX-License-Identifier: Apache-2.0 */
/* Slots of hosts, and reachability probes. */
#include "cluster/hosts.h"

#include "cluster/hostfile.h"
#include "cluster/interface.h"
#include "cluster/launcher.h"
#include "common/base/buffer.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/base/process.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define NAMES_MOST (16u << 20) /* bytes */
#define PROBE_TIMEOUT 15.0     /* seconds */
#define PROBE_RETRY 10.0       /* seconds after one that failed */

enum reachability { HOST_UNKNOWN, HOST_PROBING, HOST_UP, HOST_DOWN };

struct host {
    struct host_line line;
    int taken;
    bool remote;
    bool probed; /* reached by a remote shell */
    enum reachability reachability;
    struct process probe; /* while HOST_PROBING */
    struct buffer output;
    double since;
    char *problem; /* while HOST_DOWN, and until a probe succeeds */
};

struct hosts {
    struct host *items;
    size_t count;
    const char *worker;
    char *remote_shell; /* with its options, separated by spaces */
};

/* ---- making ---- */

/* SLURM_TASKS_PER_NODE, "2(x3),1", as it is read from host to host. */
struct task_counts {
    const char *rest;
    int count, left; /* hosts with `count` tasks still to come */
};

static int next_count(struct task_counts *t)
{
    if (t->left == 0) {
        char *end;
        t->count = (int)strtol(t->rest, &end, 10);
        t->left = strncmp(end, "(x", 2) ? 1 : (int)strtol(end + 2, &end, 10);
        end += strcspn(end, ",");
        t->rest = *end ? end + 1 : end;
    }
    t->left--;
    return t->count;
}

static int read_allocation(struct host_line **ret, size_t *count, struct error *e)
{
    const char *tasks = getenv("SLURM_TASKS_PER_NODE"), *nodes = getenv("SLURM_JOB_NODELIST");
    struct host_line *lines = NULL;
    size_t capacity = 0, found = 0;
    struct task_counts counts = {.rest = tasks};
    if (!nodes || !tasks)
        return error_set(e, ERROR_USAGE,
                         "cluster.hostfile: outside of a SLURM allocation the launcher needs one; for this machine alone set "
                         "cluster.launcher=local");
    char *const command[] = {(char[]){"scontrol"}, (char[]){"show"}, (char[]){"hostnames"}, (char *)(uintptr_t)nodes, NULL};
    struct buffer names;
    int status = 0;
    if (process_run(&names, NAMES_MOST, &status, command, &(struct process_options){.flags = PROCESS_QUIET}, e))
        return error_prefix(e, "cannot list the hosts of the SLURM allocation \"%s\": ", nodes);
    char *rest = NULL;
    for (char *name = strtok_r(names.data, "\n", &rest); name; name = strtok_r(NULL, "\n", &rest)) {
        lines = grow(lines, &capacity, found + 1, sizeof *lines);
        lines[found].slots = next_count(&counts);
        snprintf(lines[found++].name, HOST_NAME, "%s", name);
    }
    buffer_free(&names);
    if (status || !found) {
        free(lines);
        return error_set(e, ERROR_FAILED, "cannot list the hosts of the SLURM allocation \"%s\" (scontrol show hostnames)",
                         nodes);
    }
    *ret = lines;
    *count = found;
    return 0;
}

/* As mpirun chooses it; ssh shall neither ask for passwords nor wait long. */
static char *find_remote_shell(void)
{
    const char *given = getenv("OMPI_MCA_plm_rsh_agent");
    return given && *given ? duplicate(given) : format_string("ssh -o BatchMode=yes -o ConnectTimeout=%.0f", PROBE_TIMEOUT - 5);
}

int hosts_create(struct hosts **ret, const char *hostfile, const char *worker, struct error *e)
{
    struct host_line *lines;
    size_t count;
    if (hostfile ? hostfile_read(&lines, &count, hostfile, e) : read_allocation(&lines, &count, e))
        return -1;
    struct hosts *h = allocate(1, sizeof *h);
    h->worker = worker;
    h->remote_shell = find_remote_shell();
    h->count = count;
    h->items = allocate(count, sizeof *h->items);
    for (size_t i = 0; i < count; i++) {
        bool remote = !interface_is_local(lines[i].name);
        h->items[i] = (struct host){lines[i], .remote = remote, .probed = remote && hostfile};
        h->items[i].reachability = h->items[i].probed ? HOST_UNKNOWN : HOST_UP;
    }
    free(lines);
    *ret = h;
    return 0;
}

static void end_probe(struct host *host)
{
    if (host->reachability != HOST_PROBING)
        return;
    kill(-host->probe.pid, SIGKILL);
    while (waitpid(host->probe.pid, NULL, 0) < 0 && errno == EINTR)
        ;
    close(host->probe.output);
}

void hosts_destroy(struct hosts **hosts)
{
    struct hosts *h = hosts ? *hosts : NULL;
    if (!h)
        return;
    for (size_t i = 0; i < h->count; i++) {
        end_probe(&h->items[i]);
        buffer_free(&h->items[i].output);
        free(h->items[i].problem);
    }
    free(h->items);
    free(h->remote_shell);
    free(h);
    *hosts = NULL;
}

int hosts_check(const struct hosts *h, int groups, int ranks, struct error *e)
{
    int slots = 0;
    for (size_t i = 0; i < h->count; i++)
        slots += h->items[i].line.slots;
    if (slots >= groups * ranks)
        return 0;
    return error_set(e, ERROR_USAGE,
                     "cluster: %d group%s of %d rank%s need %d slots, the host%s %d; add hosts or slots, or lower "
                     "cluster.groups or cluster.ranks_per_group",
                     groups, groups == 1 ? "" : "s", ranks, ranks == 1 ? "" : "s", groups * ranks,
                     h->count == 1 ? " has" : "s have", slots);
}

int hosts_max_slots(const struct hosts *h)
{
    int most = 1;
    for (size_t i = 0; i < h->count; i++)
        most = h->items[i].line.slots > most ? h->items[i].line.slots : most;
    return most;
}

const char *hosts_first_remote(const struct hosts *h)
{
    for (size_t i = 0; i < h->count; i++)
        if (h->items[i].remote)
            return h->items[i].line.name;
    return NULL;
}

/* ---- probes ---- */

static void set_reachability(struct host *host, enum reachability reachability, char *problem)
{
    if (problem && (!host->problem || strcmp(problem, host->problem)))
        log_warn("%s", problem);
    if (!problem && host->problem)
        log_info("host %s is reachable again", host->line.name);
    free(host->problem);
    host->problem = problem;
    host->reachability = reachability;
    host->since = clock_seconds();
}

/* As a word of a shell's command. */
static char *shell_quote(const char *text)
{
    struct buffer b = {0};
    buffer_text(&b, "'");
    for (; *text; text++)
        if (*text == '\'')
            buffer_text(&b, "'\\''");
        else
            buffer_append(&b, text, 1);
    buffer_text(&b, "'");
    return b.data;
}

/* The remote shell with its options, the host, and what it is to run there. NULL at the end; texts are borrowed from `shell`,
 * which is cut, and the others. Caller frees the list. */
static char **probe_arguments(char *shell, char *host, char *test)
{
    char **words = NULL, *rest = NULL;
    size_t count = 0, capacity = 0;
    for (char *word = strtok_r(shell, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        words = grow(words, &capacity, count + 4, sizeof *words);
        words[count++] = word;
    }
    words = grow(words, &capacity, count + 3, sizeof *words);
    words[count++] = host;
    words[count++] = test;
    words[count] = NULL;
    return words;
}

static void start_probe(const struct hosts *h, struct host *host)
{
    char *shell = duplicate(h->remote_shell), *path = shell_quote(h->worker), *test = format_string("test -x %s", path);
    char **words = probe_arguments(shell, host->line.name, test);
    struct error e;
    buffer_clear(&host->output);
    host->reachability = HOST_PROBING;
    host->since = clock_seconds();
    if (process_start(&host->probe, words, &(struct process_options){.flags = PROCESS_GROUP}, &e))
        set_reachability(host, HOST_DOWN, format_string("host %s cannot be probed: %s", host->line.name, e.message));
    free(words);
    free(test);
    free(path);
    free(shell);
}

static void read_output(struct host *host)
{
    char bytes[1024];
    for (ssize_t size; (size = read(host->probe.output, bytes, sizeof bytes)) > 0;)
        buffer_append(&host->output, bytes, (size_t)size);
}

/* The last line that the remote shell printed. */
static const char *last_line(struct host *host)
{
    char *text = host->output.data ? host->output.data : NULL;
    while (host->output.size && strchr(" \t\r\n", text[host->output.size - 1]))
        text[--host->output.size] = 0;
    const char *line = text ? strrchr(text, '\n') : NULL;
    return line ? line + 1 : text ? text : "";
}

static void finish_probe(const struct hosts *h, struct host *host, int status)
{
    const char *name = host->line.name, *output = last_line(host);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        set_reachability(host, HOST_UP, NULL);
    else if (WIFEXITED(status) && WEXITSTATUS(status) == 1)
        set_reachability(host, HOST_DOWN,
                         format_string("host %s has no executable %s; install the same muster at the same path on all hosts",
                                       name, h->worker));
    else
        set_reachability(host, HOST_DOWN,
                         format_string("host %s is not reachable: '%.200s' ended with exit code %d%s%.300s", name,
                                       h->remote_shell, WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
                                       *output ? ": " : "", output));
}

static void continue_probe(const struct hosts *h, struct host *host)
{
    int status;
    read_output(host);
    pid_t ended = waitpid(host->probe.pid, &status, WNOHANG);
    if (ended == host->probe.pid) {
        read_output(host);
        close(host->probe.output);
        finish_probe(h, host, status);
    } else if (clock_seconds() - host->since > PROBE_TIMEOUT) {
        end_probe(host);
        set_reachability(host, HOST_DOWN,
                         format_string("host %s is not reachable: '%.200s' did not answer within %.0f s", host->line.name,
                                       h->remote_shell, PROBE_TIMEOUT));
    }
}

void hosts_poll(struct hosts *h)
{
    for (size_t i = 0; i < h->count; i++) {
        struct host *host = &h->items[i];
        if (host->reachability == HOST_PROBING)
            continue_probe(h, host);
        else if (host->reachability == HOST_UNKNOWN ||
                 (host->reachability == HOST_DOWN && clock_seconds() - host->since > PROBE_RETRY))
            start_probe(h, host);
    }
}

bool hosts_probed(const struct hosts *h)
{
    for (size_t i = 0; i < h->count; i++)
        if (h->items[i].reachability == HOST_PROBING || h->items[i].reachability == HOST_UNKNOWN)
            return false;
    return true;
}

int hosts_available(const struct hosts *h)
{
    int slots = 0;
    for (size_t i = 0; i < h->count; i++)
        slots += h->items[i].reachability == HOST_UP ? h->items[i].line.slots : 0;
    return slots;
}

const char *hosts_problem(const struct hosts *h)
{
    for (size_t i = 0; i < h->count; i++)
        if (h->items[i].problem)
            return h->items[i].problem;
    return NULL;
}

/* ---- slots ---- */

static int free_slots(const struct host *host)
{
    return host->reachability == HOST_UP ? host->line.slots - host->taken : 0;
}

static void take(struct hosts *h, struct slots *s, size_t i, int slots)
{
    h->items[i].taken += slots;
    s->taken[i] += slots;
}

static char *spec_of(const struct hosts *h, const struct slots *s)
{
    struct buffer b = {0};
    for (size_t i = 0; i < h->count; i++)
        if (s->taken[i])
            buffer_printf(&b, "%s%s:%d", b.size ? "," : "", h->items[i].line.name, s->taken[i]);
    return b.data;
}

/* One host that has room for all is better than two: traffic between ranks stays inside. */
bool hosts_take(struct hosts *h, int ranks, struct slots *ret)
{
    int open = 0, left = ranks;
    size_t first = h->count;
    for (size_t i = h->count; i-- > 0;) {
        open += free_slots(&h->items[i]);
        first = free_slots(&h->items[i]) >= ranks ? i : first;
    }
    if (open < ranks)
        return false;
    ret->taken = allocate(h->count, sizeof *ret->taken);
    for (size_t i = first < h->count ? first : 0; i < h->count && left > 0; i++) {
        int here = free_slots(&h->items[i]) < left ? free_slots(&h->items[i]) : left;
        take(h, ret, i, here);
        left -= here;
    }
    ret->spec = spec_of(h, ret);
    return true;
}

void hosts_release(struct hosts *h, struct slots *s, bool died)
{
    if (!h || !s->taken)
        return;
    for (size_t i = 0; i < h->count; i++) {
        struct host *host = &h->items[i];
        host->taken -= s->taken[i];
        if (died && s->taken[i] && host->probed && host->reachability == HOST_UP)
            host->reachability = HOST_UNKNOWN;
    }
    free(s->taken);
    free(s->spec);
    *s = (struct slots){0};
}
