/* SPDX-License-Identifier: Apache-2.0 */
/* Worker groups and their processes. */
#include "coordinator/dispatch/roster.h"

#include "common/base/clock.h"
#include "common/base/machine.h"
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
    g->started = clock_seconds();
    output_open(&g->output, -1);
    r->groups = grow(r->groups, &r->capacity, r->count + 1, sizeof *r->groups);
    r->groups[r->count++] = g;
    return g;
}

struct group *roster_find(const struct roster *r, const char *peer, uint32_t *rank)
{
    char token[PEER_NAME];
    uint32_t number = peer_read(token, peer);
    if (rank)
        *rank = number;
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
        free(g->ranks);
        free(g->decision);
        free(g);
    }
    free(r->groups);
    *r = (struct roster){0};
}

void group_add_rank(struct group *g, uint32_t rank, const char *host)
{
    if (!g->ranks)
        g->ranks = allocate(g->hello.ranks, sizeof *g->ranks);
    snprintf(g->ranks[rank].host, sizeof g->ranks[rank].host, "%s", host);
    g->ranks[rank].last_message = clock_seconds();
}

void group_note_message(struct group *g, uint32_t rank, const struct message_beat *b)
{
    struct rank_state *r = &g->ranks[rank];
    r->last_message = clock_seconds();
    if (!b)
        return;
    r->step = b->step;
    snprintf(r->operation, sizeof r->operation, "%s", b->operation ? b->operation : "");
}

int group_most_silent(const struct group *g, double *seconds)
{
    int found = -1;
    for (uint32_t i = 0; g->ranks && i < g->hello.ranks; i++)
        if (g->ranks[i].last_message > 0 && (found < 0 || g->ranks[i].last_message < g->ranks[found].last_message))
            found = (int)i;
    *seconds = found < 0 ? 0 : clock_seconds() - g->ranks[found].last_message;
    return found;
}

void group_reset_silence(struct group *g)
{
    for (uint32_t i = 0; g->ranks && i < g->hello.ranks; i++)
        if (g->ranks[i].last_message > 0)
            g->ranks[i].last_message = clock_seconds();
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
    output_relay(&g->output); /* its last output comes before its end */
    g->process = 0;
    if (WIFSIGNALED(status))
        snprintf(g->ending, sizeof g->ending, "its process was killed by signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    else
        snprintf(g->ending, sizeof g->ending, "its process ended with exit code %d", WEXITSTATUS(status));
    return true;
}

bool group_vanished(const struct group *g)
{
    char host[MACHINE_NAME], pids[MACHINE_PIDS];
    if (g->process || g->ending[0] || !g->hello.host || !g->hello.pid_namespace)
        return false;
    machine_name(host, sizeof host);
    machine_pids(pids);
    return pids[0] && !strcmp(g->hello.pid_namespace, pids) && !strcmp(g->hello.host, host) && kill(g->hello.pid, 0) &&
           errno == ESRCH;
}

void group_kill(struct group *g, int signal)
{
    if (g->process > 0)
        kill(-g->process, signal);
}
