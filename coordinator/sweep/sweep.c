/* SPDX-License-Identifier: Apache-2.0 */
/* The list of trials that a job asks for. */
#include "coordinator/sweep/sweep.h"

#include "common/base/memory.h"
#include "common/base/table.h"
#include "coordinator/job/job_sweep.h"
#include "coordinator/job/job_variant.h"
#include "coordinator/job/sweep_points.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_TRIALS 10000
#define DRAWS_EACH 20 /* of a random sweep, for a trial that is not there yet */
#define DRAWS_MORE 1000

/* values: consumed; of the sweep, NULL: none. seed: of train.seeds, or NULL. */
static int make_trial(struct trial_run *t, const struct job *j, struct json *values, const uint64_t *seed, struct error *e)
{
    *t = (struct trial_run){.values = values, .job = *j};
    if (values && job_variant(&t->job, j, values, e) != 0)
        return -1;
    t->configuration_key = job_trial_key(&t->job, values);
    if (seed) {
        t->values = t->values ? t->values : json_object();
        json_set_number(t->values, "seed", (double)*seed);
        t->job.seed = *seed;
    }
    t->key = job_trial_key(&t->job, t->values);
    t->options = job_train_options(&t->job);
    for (size_t i = 0; i < json_size(j->sweep); i++) /* also where one has the default */
        json_set(t->options, json_key(j->sweep, i), job_field_value(job_swept_field(json_key(j->sweep, i)), &t->job));
    if (seed)
        json_set_number(t->options, "seed", (double)*seed);
    return 0;
}

void trial_run_free(struct trial_run *t)
{
    free(t->key);
    free(t->configuration_key);
    json_destroy(&t->values);
    json_destroy(&t->options);
    free(t->class_weights);
    free(t->head_bias);
    free(t->directory);
    free(t->logits);
    free(t->why);
    free(t->weights);
    free(t->epochs);
    free(t->fold_metrics);
}

/* Trials so far, and the text of their options, by which they are told apart. */
struct plan {
    struct trials trials;
    char **texts; /* (trials.count) */
    struct table *known;
    size_t configurations;
};

/* values: consumed; NULL: the baseline. A configuration that is there already is left out. */
static int plan_add(struct plan *p, const struct job *j, struct json *values, struct error *e)
{
    const struct seed_list *seeds = &j->train.seeds;
    size_t before = p->trials.count, count = seeds->count > 0 ? seeds->count : 1;
    int status = 0;
    for (size_t i = 0; i < count && status == 0; i++) {
        struct trial_run t;
        status = make_trial(&t, j, values ? json_copy(values) : NULL, seeds->count > 0 ? &seeds->values[i] : NULL, e);
        char *text = status == 0 ? json_print(t.options, false) : NULL;
        if (!text || table_find(p->known, text) != TABLE_ABSENT) {
            free(text);
            trial_run_free(&t);
            continue;
        }
        t.configuration = p->configurations;
        t.baseline = p->configurations == 0;
        p->texts[p->trials.count] = text;
        table_add(p->known, text);
        p->trials.list[p->trials.count++] = t;
    }
    p->configurations += p->trials.count > before;
    if (p->configurations == 1)
        p->trials.baselines = p->trials.count;
    json_destroy(&values);
    return status;
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
    for (uint32_t n = 0; n < draws && p->configurations < size + 1; n++)
        if (plan_add(p, j, sweep_random_point(j->sweep, j->seed, n), e) != 0)
            return -1;
    return 0;
}

int sweep_plan(struct trials *ret, const struct job *j, struct error *e)
{
    bool random = strcmp(j->search.sample, "random") == 0;
    size_t size = random ? j->search.count : sweep_grid_size(j->sweep, MOST_TRIALS),
           seeds = j->train.seeds.count > 0 ? j->train.seeds.count : 1;
    if (size > MOST_TRIALS)
        return error_set(e, ERROR_USAGE, "sweep: the lists span more than %d trials", MOST_TRIALS);
    if (seeds > 1 && (size + 1) * seeds > MOST_TRIALS)
        return error_set(e, ERROR_USAGE, "train.seeds: %zu configurations with %zu seeds are more than %d trials", size + 1,
                         seeds, MOST_TRIALS);
    size_t most = (size + 1) * seeds;
    struct plan p = {.trials = {.list = allocate(most, sizeof *p.trials.list)}, .texts = allocate(most, sizeof *p.texts)};
    table_create(&p.known);
    int status = plan_add(&p, j, NULL, e);
    if (status == 0)
        status = random ? plan_random(&p, j, size, e) : plan_grid(&p, j, size, e);
    table_destroy(&p.known);
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

static void print_seeds(const struct trials *t, const struct job *j)
{
    const struct seed_list *seeds = &j->train.seeds;
    printf("  seeds         ");
    for (size_t i = 0; i < seeds->count && i < SHOWN; i++)
        printf("%s%.0f", i ? ", " : "", (double)seeds->values[i]);
    printf("%s: %zu trial%s, %zu of each configuration; the split is of seed %.0f\n", seeds->count > SHOWN ? ", ..." : "",
           t->count, t->count == 1 ? "" : "s", seeds->count, (double)j->seed);
}

void sweep_print(const struct trials *t, const struct job *j)
{
    bool random = strcmp(j->search.sample, "random") == 0;
    size_t swept = t->list[t->count - 1].configuration, shown = 0;
    if (j->train.seeds.count > 0)
        print_seeds(t, j);
    if (swept == 0)
        return;
    printf("  sweep         %zu %s%s besides the baseline %s", swept, j->train.seeds.count > 0 ? "configuration" : "trial",
           swept == 1 ? "" : "s", t->list[0].configuration_key);
    if (random)
        printf(", drawn at random by seed %.0f", (double)j->seed);
    if (random && swept < j->search.count)
        printf("; no others than these of the %u asked for", j->search.count);
    printf("\n");
    for (size_t i = t->baselines; i < t->count && shown < SHOWN; i++)
        if (t->list[i].configuration != t->list[i - 1].configuration) {
            printf("    %s\n", t->list[i].configuration_key);
            shown++;
        }
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
