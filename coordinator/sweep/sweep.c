/* SPDX-License-Identifier: Apache-2.0 */
/* The list of trials that a job asks for. */
#include "coordinator/sweep/sweep.h"

#include "common/base/memory.h"
#include "coordinator/job/job_sweep.h"
#include "coordinator/job/job_variant.h"
#include "coordinator/job/sweep_points.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_TRIALS 10000
#define DRAWS_EACH 20 /* of a random sweep, for a trial that is not there yet */
#define DRAWS_MORE 1000

static int add_trial(struct trial_run *t, const struct job *j, struct json *values, struct error *e)
{
    *t = (struct trial_run){.values = values, .baseline = !values, .job = *j};
    if (values && job_variant(&t->job, j, values, e) != 0)
        return -1;
    t->key = job_trial_key(&t->job, values);
    t->options = job_train_options(&t->job);
    for (size_t i = 0; i < json_size(j->sweep); i++) /* also where one has the default */
        json_set(t->options, json_key(j->sweep, i), job_field_value(job_swept_field(json_key(j->sweep, i)), &t->job));
    return 0;
}

static void trial_run_free(struct trial_run *t)
{
    free(t->key);
    json_destroy(&t->values);
    json_destroy(&t->options);
    free(t->class_weights);
    free(t->directory);
    free(t->logits);
    free(t->why);
    free(t->weights);
    free(t->epochs);
}

/* Trials so far, and the text of their options, by which they are told apart. */
struct plan {
    struct trials trials;
    char **texts; /* (trials.count) */
};

static bool is_known(const struct plan *p, const char *text)
{
    for (size_t i = 0; i < p->trials.count; i++)
        if (strcmp(p->texts[i], text) == 0)
            return true;
    return false;
}

/* values: consumed; NULL: the baseline. A trial that is there already is left out. */
static int plan_add(struct plan *p, const struct job *j, struct json *values, struct error *e)
{
    struct trial_run t;
    if (add_trial(&t, j, values, e) != 0) {
        trial_run_free(&t);
        return -1;
    }
    char *text = json_print(t.options, false);
    if (is_known(p, text)) {
        free(text);
        trial_run_free(&t);
        return 0;
    }
    p->texts[p->trials.count] = text;
    p->trials.list[p->trials.count++] = t;
    return 0;
}

static int plan_grid(struct plan *p, const struct job *j, size_t size, struct error *e)
{
    for (size_t i = 0; i < size; i++)
        if (plan_add(p, j, sweep_grid_point(j->sweep, i), e) != 0)
            return -1;
    return 0;
}

/* Draws until there are as many as asked for, or nothing new comes: a few short lists have few combinations. */
static int plan_random(struct plan *p, const struct job *j, size_t size, struct error *e)
{
    uint32_t draws = (uint32_t)size * DRAWS_EACH + DRAWS_MORE;
    for (uint32_t n = 0; n < draws && p->trials.count < size + 1; n++)
        if (plan_add(p, j, sweep_random_point(j->sweep, j->seed, n), e) != 0)
            return -1;
    return 0;
}

int sweep_plan(struct trials *ret, const struct job *j, struct error *e)
{
    bool random = strcmp(j->search.sample, "random") == 0;
    size_t size = random ? j->search.count : sweep_grid_size(j->sweep, MOST_TRIALS);
    if (size > MOST_TRIALS)
        return error_set(e, ERROR_USAGE, "sweep: the lists span more than %d trials", MOST_TRIALS);
    struct plan p = {{allocate(size + 1, sizeof *p.trials.list), 0}, allocate(size + 1, sizeof *p.texts)};
    int status = plan_add(&p, j, NULL, e);
    if (status == 0)
        status = random ? plan_random(&p, j, size, e) : plan_grid(&p, j, size, e);
    for (size_t i = 0; i < p.trials.count; i++)
        free(p.texts[i]);
    free(p.texts);
    if (status != 0) {
        sweep_free(&p.trials);
        return error_prefix(e, "sweep: ");
    }
    *ret = p.trials;
    return 0;
}

#define SHOWN 50

void sweep_print(const struct trials *t, const struct job *j)
{
    bool random = strcmp(j->search.sample, "random") == 0;
    size_t swept = t->count - 1;
    printf("  sweep         %zu trial%s besides the baseline %s", swept, swept == 1 ? "" : "s", t->list[0].key);
    if (random)
        printf(", drawn at random by seed %.0f", (double)j->seed);
    if (random && swept < j->search.count)
        printf("; no others than these of the %u asked for", j->search.count);
    printf("\n");
    for (size_t i = 1; i <= swept && i <= SHOWN; i++)
        printf("    %s\n", t->list[i].key);
    if (swept > SHOWN)
        printf("    and %zu more\n", swept - SHOWN);
}

void sweep_free(struct trials *t)
{
    for (size_t i = 0; i < t->count; i++)
        trial_run_free(&t->list[i]);
    free(t->list);
    *t = (struct trials){0};
}
