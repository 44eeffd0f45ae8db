/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/job/scheduler.h"

#include "common/base/memory.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const scheduler_names[] = {"none", "median", "asha", NULL};

struct reports {
    double *metrics; /* by epoch - 1; NaN: worse than all */
    bool *there;
    size_t epochs, metric_capacity, there_capacity;
    bool complete;
};

struct scheduler {
    struct scheduler_options options;
    struct reports *trials;
    size_t count;
};

void scheduler_create(struct scheduler **ret, const struct scheduler_options *o, size_t trials)
{
    *ret = allocate(1, sizeof **ret);
    **ret = (struct scheduler){*o, allocate(trials, sizeof(struct reports)), trials};
}

void scheduler_destroy(struct scheduler **s)
{
    if (!*s)
        return;
    for (size_t i = 0; i < (*s)->count; i++)
        scheduler_forget(*s, i);
    free((*s)->trials);
    free(*s);
    *s = NULL;
}

void scheduler_report(struct scheduler *s, size_t trial, uint32_t epoch, double metric)
{
    struct reports *r = &s->trials[trial];
    r->metrics = grow(r->metrics, &r->metric_capacity, epoch, sizeof *r->metrics);
    r->there = grow(r->there, &r->there_capacity, epoch, sizeof *r->there);
    for (; r->epochs < epoch; r->epochs++)
        r->there[r->epochs] = false;
    r->metrics[epoch - 1] = metric;
    r->there[epoch - 1] = true;
}

void scheduler_complete(struct scheduler *s, size_t trial)
{
    s->trials[trial].complete = true;
}

void scheduler_forget(struct scheduler *s, size_t trial)
{
    free(s->trials[trial].metrics);
    free(s->trials[trial].there);
    s->trials[trial] = (struct reports){0};
}

static bool has(const struct reports *r, uint32_t epoch)
{
    return epoch <= r->epochs && r->there[epoch - 1];
}

static double shown(const struct scheduler *s, double metric)
{
    return s->options.negated ? -metric : metric;
}

/* ---- median ---- */

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, size_t count)
{
    qsort(values, count, sizeof *values, ascending);
    return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

/* Of the trials that ran to their end, those that have a number at this epoch; *complete: all of them. values (count). */
static size_t collect(double *values, size_t *complete, const struct scheduler *s, uint32_t epoch)
{
    size_t count = 0;
    *complete = 0;
    for (size_t i = 0; i < s->count; i++) {
        const struct reports *r = &s->trials[i];
        *complete += r->complete;
        if (r->complete && has(r, epoch) && !isnan(r->metrics[epoch - 1]))
            values[count++] = r->metrics[epoch - 1];
    }
    return count;
}

static double best_so_far(const struct reports *r, uint32_t epoch)
{
    double best = NAN;
    for (uint32_t k = 1; k <= epoch; k++)
        if (has(r, k))
            best = fmax(best, r->metrics[k - 1]); /* which leaves out what is not a number */
    return best;
}

static enum scheduler_decision decide_by_median(char why[SCHEDULER_WORDS], const struct scheduler *s, size_t trial,
                                                uint32_t epoch)
{
    size_t complete;
    double *values = allocate(s->count, sizeof *values), best = best_so_far(&s->trials[trial], epoch);
    size_t count = collect(values, &complete, s, epoch);
    double middle = count > 0 ? median(values, count) : NAN;
    free(values);
    if (epoch < s->options.grace || complete < s->options.startup || (count == 0 && !isnan(best)) || complete == 0)
        return SCHEDULER_UNDECIDED;
    bool stop = isnan(best) || best < middle;
    snprintf(why, SCHEDULER_WORDS, "median: best %s %.4f so far, median at epoch %u %.4f of %zu trials", s->options.metric,
             shown(s, best), epoch, shown(s, middle), count);
    return stop ? SCHEDULER_STOP : SCHEDULER_CONTINUE;
}

/* ---- asha ---- */

static bool is_rung(const struct scheduler_options *o, uint32_t epoch)
{
    uint64_t rung = o->grace;
    while (rung < epoch)
        rung *= o->reduction;
    return rung == epoch;
}

static enum scheduler_decision decide_by_halving(char why[SCHEDULER_WORDS], const struct scheduler *s, size_t trial,
                                                 uint32_t epoch)
{
    double own = s->trials[trial].metrics[epoch - 1];
    size_t count = 0, better = 0;
    if (!is_rung(&s->options, epoch))
        return SCHEDULER_UNDECIDED;
    for (size_t i = 0; i < s->count; i++) {
        if (!has(&s->trials[i], epoch) || isnan(s->trials[i].metrics[epoch - 1]))
            continue;
        count++;
        better += s->trials[i].metrics[epoch - 1] > own;
    }
    size_t keep = count / s->options.reduction > 0 ? count / s->options.reduction : 1;
    snprintf(why, SCHEDULER_WORDS, "asha: %s %.4f has rank %zu of %zu at epoch %u, the best %zu continue%s", s->options.metric,
             shown(s, own), better + 1, count, epoch, keep, keep == 1 ? "s" : "");
    return isnan(own) || better >= keep ? SCHEDULER_STOP : SCHEDULER_CONTINUE;
}

enum scheduler_decision scheduler_decide(char why[SCHEDULER_WORDS], const struct scheduler *s, size_t trial, uint32_t epoch)
{
    static enum scheduler_decision (*const rules[])(char *why, const struct scheduler *s, size_t trial, uint32_t epoch) = {
        [SCHEDULER_MEDIAN] = decide_by_median, [SCHEDULER_ASHA] = decide_by_halving};
    why[0] = 0;
    return rules[s->options.kind] && has(&s->trials[trial], epoch) ? rules[s->options.kind](why, s, trial, epoch)
                                                                   : SCHEDULER_UNDECIDED;
}
