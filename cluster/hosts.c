/* Owns slots and visits. */
#include "cluster/hosts.h"

#include "cluster/hostfile.h"
#include "cluster/interface.h"
#include "cluster/launcher.h"
#include "common/base/buffer.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/memory.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define VISIT_WITHIN 15.0 /* seconds */
#define VISIT_AGAIN 10.0  /* seconds after one that failed */

enum presence { HOST_UNKNOWN, HOST_ASKED, HOST_HERE, HOST_AWAY };

struct host {
    struct host_line line;
    int taken;
    bool remote;
    bool visited; /* remote, and reached by a remote shell */
    enum presence presence;
    struct launched visit; /* while HOST_ASKED */
    struct buffer said;
    double since;
    char *trouble; /* while HOST_AWAY, and until it answers again */
};

struct hosts {
    struct host *items;
    size_t count;
    const char *worker;
    char *agent; /* remote shell with its options, parted by spaces */
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
                         "cluster.hostfile: the launcher needs one, outside of an allocation of SLURM; for this machine alone "
                         "set cluster.launcher=local");
    FILE *f = popen("scontrol show hostnames \"$SLURM_JOB_NODELIST\"", "r");
    char name[HOST_NAME + 2];
    while (f && fgets(name, sizeof name, f)) {
        name[strcspn(name, "\n")] = 0;
        lines = grow(lines, &capacity, found + 1, sizeof *lines);
        lines[found].slots = next_count(&counts);
        snprintf(lines[found++].name, HOST_NAME, "%.*s", HOST_NAME - 1, name);
    }
    if (!f || pclose(f) || !found) {
        free(lines);
        return error_set(e, ERROR_FAILED, "the hosts of SLURM's allocation \"%s\" cannot be listed (scontrol show hostnames)",
                         nodes);
    }
    *ret = lines;
    *count = found;
    return 0;
}

/* As mpirun chooses it; ssh shall neither ask for passwords nor wait long. */
static char *find_agent(void)
{
    const char *given = getenv("OMPI_MCA_plm_rsh_agent");
    return given && *given ? duplicate(given) : format_string("ssh -o BatchMode=yes -o ConnectTimeout=%.0f", VISIT_WITHIN - 5);
}

int hosts_create(struct hosts **ret, const char *hostfile, const char *worker, struct error *e)
{
    struct host_line *lines;
    size_t count;
    if (hostfile ? hostfile_read(&lines, &count, hostfile, e) : read_allocation(&lines, &count, e))
        return -1;
    struct hosts *h = allocate(1, sizeof *h);
    h->worker = worker;
    h->agent = find_agent();
    h->count = count;
    h->items = allocate(count, sizeof *h->items);
    for (size_t i = 0; i < count; i++) {
        bool remote = !interface_is_here(lines[i].name);
        h->items[i] = (struct host){lines[i], .remote = remote, .visited = remote && hostfile};
        h->items[i].presence = h->items[i].visited ? HOST_UNKNOWN : HOST_HERE;
    }
    free(lines);
    *ret = h;
    return 0;
}

static void end_visit(struct host *host)
{
    if (host->presence != HOST_ASKED)
        return;
    kill(-host->visit.pid, SIGKILL);
    while (waitpid(host->visit.pid, NULL, 0) < 0 && errno == EINTR)
        ;
    close(host->visit.output);
}

void hosts_destroy(struct hosts **hosts)
{
    struct hosts *h = hosts ? *hosts : NULL;
    if (!h)
        return;
    for (size_t i = 0; i < h->count; i++) {
        end_visit(&h->items[i]);
        buffer_free(&h->items[i].said);
        free(h->items[i].trouble);
    }
    free(h->items);
    free(h->agent);
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
                     "cluster: %d group%s of %d rank%s need %d slots, the host%s %d; add hosts or slots=, or lower "
                     "cluster.groups or cluster.ranks_per_group",
                     groups, groups == 1 ? "" : "s", ranks, ranks == 1 ? "" : "s", groups * ranks,
                     h->count == 1 ? " has" : "s have", slots);
}

int hosts_most(const struct hosts *h)
{
    int most = 1;
    for (size_t i = 0; i < h->count; i++)
        most = h->items[i].line.slots > most ? h->items[i].line.slots : most;
    return most;
}

const char *hosts_remote(const struct hosts *h)
{
    for (size_t i = 0; i < h->count; i++)
        if (h->items[i].remote)
            return h->items[i].line.name;
    return NULL;
}

/* ---- visits ---- */

static void leave(struct host *host, enum presence presence, char *trouble)
{
    if (trouble && (!host->trouble || strcmp(trouble, host->trouble)))
        log_warn("%s", trouble);
    if (!trouble && host->trouble)
        log_info("host %s answers again", host->line.name);
    free(host->trouble);
    host->trouble = trouble;
    host->presence = presence;
    host->since = clock_seconds();
}

static void start_visit(const struct hosts *h, struct host *host)
{
    char *words[32], *copy = duplicate(h->agent), *rest = NULL;
    size_t count = 0;
    struct error e;
    for (char *word = strtok_r(copy, " ", &rest); word && count < 26; word = strtok_r(NULL, " ", &rest))
        words[count++] = word;
    char *test = format_string("test -x '%s'", h->worker);
    words[count++] = host->line.name;
    words[count++] = test;
    words[count] = NULL;
    buffer_clear(&host->said);
    host->presence = HOST_ASKED;
    host->since = clock_seconds();
    if (launcher_spawn(&host->visit, words, &e))
        leave(host, HOST_AWAY, format_string("host %s cannot be asked: %s", host->line.name, e.message));
    free(test);
    free(copy);
}

static void hear(struct host *host)
{
    char bytes[1024];
    for (ssize_t size; (size = read(host->visit.output, bytes, sizeof bytes)) > 0;)
        buffer_append(&host->said, bytes, (size_t)size);
}

/* The last line of what the remote shell said. */
static const char *last_words(struct host *host)
{
    char *text = host->said.data ? host->said.data : NULL;
    while (host->said.size && strchr(" \t\r\n", text[host->said.size - 1]))
        text[--host->said.size] = 0;
    const char *line = text ? strrchr(text, '\n') : NULL;
    return line ? line + 1 : text ? text : "";
}

static void judge_visit(const struct hosts *h, struct host *host, int status)
{
    const char *name = host->line.name, *said = last_words(host);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        leave(host, HOST_HERE, NULL);
    else if (WIFEXITED(status) && WEXITSTATUS(status) == 1)
        leave(host, HOST_AWAY,
              format_string("host %s has no %s that it can run; install the same muster at the same place on all hosts", name,
                            h->worker));
    else
        leave(host, HOST_AWAY,
              format_string("host %s does not answer: '%.200s' ended with %d%s%.300s", name, h->agent,
                            WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), *said ? ": " : "", said));
}

static void carry_on(const struct hosts *h, struct host *host)
{
    int status;
    hear(host);
    pid_t ended = waitpid(host->visit.pid, &status, WNOHANG);
    if (ended == host->visit.pid) {
        hear(host);
        close(host->visit.output);
        judge_visit(h, host, status);
    } else if (clock_seconds() - host->since > VISIT_WITHIN) {
        end_visit(host);
        leave(host, HOST_AWAY,
              format_string("host %s does not answer: '%.200s' said nothing within %.0f s", host->line.name, h->agent,
                            VISIT_WITHIN));
    }
}

void hosts_poll(struct hosts *h)
{
    for (size_t i = 0; i < h->count; i++) {
        struct host *host = &h->items[i];
        if (host->presence == HOST_ASKED)
            carry_on(h, host);
        else if (host->presence == HOST_UNKNOWN || (host->presence == HOST_AWAY && clock_seconds() - host->since > VISIT_AGAIN))
            start_visit(h, host);
    }
}

bool hosts_settled(const struct hosts *h)
{
    for (size_t i = 0; i < h->count; i++)
        if (h->items[i].presence == HOST_ASKED || h->items[i].presence == HOST_UNKNOWN)
            return false;
    return true;
}

int hosts_open(const struct hosts *h)
{
    int slots = 0;
    for (size_t i = 0; i < h->count; i++)
        slots += h->items[i].presence == HOST_HERE ? h->items[i].line.slots : 0;
    return slots;
}

const char *hosts_trouble(const struct hosts *h)
{
    for (size_t i = 0; i < h->count; i++)
        if (h->items[i].trouble)
            return h->items[i].trouble;
    return NULL;
}

/* ---- slots ---- */

static int free_slots(const struct host *host)
{
    return host->presence == HOST_HERE ? host->line.slots - host->taken : 0;
}

static void take(struct hosts *h, struct seats *s, size_t i, int slots)
{
    h->items[i].taken += slots;
    s->taken[i] += slots;
}

static char *spec_of(const struct hosts *h, const struct seats *s)
{
    struct buffer b = {0};
    for (size_t i = 0; i < h->count; i++)
        if (s->taken[i])
            buffer_printf(&b, "%s%s:%d", b.size ? "," : "", h->items[i].line.name, s->taken[i]);
    return b.data;
}

/* One host that has room for all is better than two: what ranks say to each other stays inside. */
bool hosts_take(struct hosts *h, int ranks, struct seats *ret)
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

void hosts_give(struct hosts *h, struct seats *s, bool died)
{
    if (!h || !s->taken)
        return;
    for (size_t i = 0; i < h->count; i++) {
        struct host *host = &h->items[i];
        host->taken -= s->taken[i];
        if (died && s->taken[i] && host->visited && host->presence == HOST_HERE)
            host->presence = HOST_UNKNOWN;
    }
    free(s->taken);
    free(s->spec);
    *s = (struct seats){0};
}
