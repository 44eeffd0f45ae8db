/* Owns the list of worker groups and their processes. */
#include "coordinator/roster.h"

#include "common/base/clock.h"
#include "common/base/memory.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct group *roster_add(struct roster *r, const char *token)
{
    struct group *g = allocate(1, sizeof *g);
    snprintf(g->token, sizeof g->token, "%s", token);
    g->state = GROUP_STARTING;
    g->heard = clock_seconds();
    output_open(&g->output, -1);
    r->groups = grow(r->groups, &r->capacity, r->count + 1, sizeof *r->groups);
    r->groups[r->count++] = g;
    return g;
}

struct group *roster_find(const struct roster *r, const char *token)
{
    for (size_t i = 0; i < r->count; i++)
        if (!strcmp(r->groups[i]->token, token))
            return r->groups[i];
    return NULL;
}

size_t roster_in(const struct roster *r, unsigned states)
{
    size_t count = 0;
    for (size_t i = 0; i < r->count; i++)
        count += states >> r->groups[i]->state & 1;
    return count;
}

void roster_free(struct roster *r)
{
    for (size_t i = 0; i < r->count; i++) {
        struct group *g = r->groups[i];
        struct message hello = {.kind = MESSAGE_HELLO, .hello = g->hello};
        message_free(&hello);
        output_close(&g->output);
        free(g);
    }
    free(r->groups);
    *r = (struct roster){0};
}

void group_note_beat(struct group *g, const struct message_beat *b)
{
    snprintf(g->operation, sizeof g->operation, "%s", b->operation ? b->operation : "");
    g->beat = *b;
    g->beat.operation = g->operation;
}

bool group_poll(struct group *g)
{
    output_relay(&g->output);
    int status;
    if (g->process <= 0 || waitpid(g->process, &status, WNOHANG) != g->process)
        return false;
    output_relay(&g->output); /* what it said last, before the end is judged */
    g->process = 0;
    if (WIFSIGNALED(status))
        snprintf(g->ending, sizeof g->ending, "its process was ended by signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    else
        snprintf(g->ending, sizeof g->ending, "its process ended with exit code %d", WEXITSTATUS(status));
    return true;
}

bool group_vanished(const struct group *g)
{
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    return !g->process && !g->ending[0] && g->hello.host && !strcmp(g->hello.host, host) && kill(g->hello.pid, 0) &&
           errno == ESRCH;
}

void group_kill(struct group *g, int signal)
{
    if (g->process > 0)
        kill(-g->process, signal);
}
