/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/run_claim.h"

#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/machine.h"
#include "common/base/version.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int run_claim_open(struct run_claim *ret, struct job *j, struct error *e)
{
    *ret = (struct run_claim){0};
    if (job_claim_directory(j, e) != 0 || !(ret->directory = path_resolve(j->out, e)) ||
        event_log_open(&ret->log, ret->directory, e) != 0)
        return -1;
    return event_log_count(ret->log) > 0 ? run_claim_note_start(ret, e) : 0;
}

int run_claim_note_start(struct run_claim *c, struct error *e)
{
    if (c->noted)
        return 0;
    c->noted = true;
    char host[MACHINE_NAME], pids[MACHINE_PIDS];
    machine_name(host, sizeof host);
    machine_pids(pids);
    struct json *event = json_object();
    json_set_string(event, "host", host);
    json_set_number(event, "pid", getpid());
    json_set_string(event, "pid_namespace", pids);
    json_set_string(event, "version", MUSTER_VERSION);
    return event_log_append(c->log, "run_started", event, e);
}

void run_claim_note_end(struct run_claim *c, int exit_code, const struct error *why)
{
    if (!c->noted)
        return;
    struct error ignored;
    struct json *event = json_object();
    json_set_number(event, "exit_code", exit_code);
    json_set_string(event, "why", why ? why->message : NULL);
    if (event_log_append(c->log, "run_ended", event, &ignored) != 0)
        log_debug("%s", ignored.message);
}

void run_claim_close(struct run_claim *c)
{
    event_log_close(&c->log);
    free(c->directory);
    *c = (struct run_claim){0};
}

bool run_claim_was_done(const struct run_claim *c, const char *stage, const char *made_from)
{
    const struct json *done = event_log_last(c->log, "stage_done", "stage", stage);
    const char *before = json_string(json_get(done, "made_from"));
    return before && strcmp(before, made_from) == 0;
}

int run_claim_remember(struct run_claim *c, const char *stage, const char *made_from, struct error *e)
{
    if (run_claim_was_done(c, stage, made_from))
        return 0;
    struct json *event = json_object();
    json_set_string(event, "stage", stage);
    json_set_string(event, "made_from", made_from);
    return event_log_append(c->log, "stage_done", event, e);
}
