/* Owns the list of trials that a job asks for. */
#include "coordinator/sweep.h"

#include "common/base/memory.h"

#include <stdlib.h>
#include <string.h>

#define MOST_TRIALS 10000

static size_t grid_size(const struct json *sweep)
{
    size_t size = sweep ? 1 : 0;
    for (size_t i = 0; i < json_size(sweep) && size <= MOST_TRIALS; i++)
        size *= json_size(json_at(sweep, i));
    return size;
}

/* The n-th combination, the last key fastest. */
static struct json *combination(const struct json *sweep, size_t n)
{
    struct json *values = json_object();
    size_t below = grid_size(sweep);
    for (size_t i = 0; i < json_size(sweep); i++) {
        const struct json *list = json_at(sweep, i);
        below /= json_size(list);
        json_set(values, json_key(sweep, i), json_copy(json_at(list, n / below % json_size(list))));
    }
    return values;
}

static int add_trial(struct trial_run *t, const struct job *j, struct json *values, struct error *e)
{
    *t = (struct trial_run){.values = values, .baseline = !values, .job = *j};
    if (values && job_variant(&t->job, j, values, e) != 0)
        return -1;
    t->key = job_trial_key(&t->job, values);
    t->options = job_train_options(&t->job);
    return 0;
}

static bool same_options(const struct trial_run *a, const struct trial_run *b)
{
    char *x = json_print(a->options, false), *y = json_print(b->options, false);
    bool same = strcmp(x, y) == 0;
    free(x);
    free(y);
    return same;
}

static void trial_run_free(struct trial_run *t)
{
    free(t->key);
    json_destroy(&t->values);
    json_destroy(&t->options);
    free(t->class_weights);
    free(t->folder);
    free(t->logits);
    free(t->why);
    free(t->weights);
    free(t->epochs);
    free(t->temperatures);
    threshold_curve_free(&t->curve);
    label_thresholds_free(&t->by_label);
}

int sweep_plan(struct trial_run **ret, size_t *count, const struct job *j, struct error *e)
{
    size_t grid = grid_size(j->sweep), used = 0;
    if (grid > MOST_TRIALS)
        return error_set(e, ERROR_USAGE, "sweep: the lists span more than %d trials", MOST_TRIALS);
    struct trial_run *trials = allocate(grid + 1, sizeof *trials);
    for (size_t i = 0; i < grid + 1; i++) {
        struct trial_run *t = &trials[used++];
        if (add_trial(t, j, i == 0 ? NULL : combination(j->sweep, i - 1), e) != 0) {
            sweep_free(trials, used);
            return -1;
        }
        for (size_t k = 0; k + 1 < used; k++)
            if (same_options(&trials[k], t)) {
                trial_run_free(t);
                used--;
                break;
            }
    }
    *ret = trials;
    *count = used;
    return 0;
}

void sweep_free(struct trial_run *trials, size_t count)
{
    for (size_t i = 0; i < count; i++)
        trial_run_free(&trials[i]);
    free(trials);
}
