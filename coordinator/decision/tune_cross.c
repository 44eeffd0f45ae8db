/* SPDX-License-Identifier: Apache-2.0 */
/* Are thresholds by label better than one for all? Repeated K-fold cross-validation within the validation rows. A label takes its
 * own where that raises the score of the held-out rows in every repeat; and the labels do so only if choosing them like this, by
 * the other folds, raises it for the fold that is left (so the choice is not judged by the rows that made it). */
#include "common/base/memory.h"
#include "common/base/philox.h"
#include "common/score/labels.h"
#include "coordinator/decision/tune.h"

#include <stdlib.h>
#include <string.h>

#define FOLDS 5
#define REPEATS 5
#define MANY 4000000 /* rows times labels from which one repeat is enough, and quick */

/* Held-out rows: counts by repeat, fold, label, at the threshold for all (0) and at the label's own (1). */
struct cross {
    const struct label_options *o;
    struct validation_labels v;
    bool *may; /* (labels) have own thresholds to try */
    int repeats;
    uint8_t *fold;             /* (rows) */
    struct binary_metrics *at; /* (repeats, FOLDS, labels, 2) */
};

static struct binary_metrics *at(const struct cross *c, int repeat, int fold, size_t label, bool own)
{
    return &c->at[(((size_t)(repeat * FOLDS + fold) * c->v.labels) + label) * 2 + own];
}

static struct validation_labels take_rows(const struct cross *c, int fold, bool held, double *p, uint8_t *truth)
{
    size_t rows = 0, labels = c->v.labels;
    for (size_t i = 0; i < c->v.rows; i++) {
        if ((c->fold[i] == fold) != held)
            continue;
        memcpy(p + rows * labels, c->v.probability + i * labels, labels * sizeof *p);
        memcpy(truth + rows * labels, c->v.truth + i * labels, labels);
        rows++;
    }
    return (struct validation_labels){p, truth, rows, labels};
}

static void count_held(struct cross *c, int repeat, int fold, const struct label_thresholds *t, struct validation_labels held)
{
    double *thresholds = allocate(c->v.labels, sizeof *thresholds);
    struct binary_metrics *each = allocate(c->v.labels, sizeof *each);
    for (int own = 0; own < 2; own++) {
        struct averaged_metrics ignored;
        for (size_t l = 0; l < c->v.labels; l++)
            thresholds[l] = own && c->may[l] ? t->thresholds[l] : t->global;
        label_metrics(&ignored, each, NULL, held.probability, held.truth, thresholds, held.rows, held.labels);
        for (size_t l = 0; l < c->v.labels; l++)
            *at(c, repeat, fold, l, own) = each[l];
    }
    free(each);
    free(thresholds);
}

static int run_repeat(struct cross *c, int repeat, double *p, uint8_t *truth, struct error *e)
{
    struct label_options inner = *c->o;
    inner.min_positives = 1;
    for (size_t i = 0; i < c->v.rows; i++)
        c->fold[i] = (uint8_t)(philox(0, RANDOM_FOLD, (uint32_t)i, (uint32_t)repeat, 0, 0).word[0] % FOLDS);
    for (int f = 0; f < FOLDS; f++) {
        struct label_thresholds t;
        struct validation_labels fit = take_rows(c, f, false, p, truth);
        if (fit.rows == 0 || fit.rows == c->v.rows)
            continue;
        if (tune_labels_fit(&t, &inner, fit, e) != 0)
            return -1;
        count_held(c, repeat, f, &t, take_rows(c, f, true, p, truth));
        label_thresholds_free(&t);
    }
    return 0;
}

static double score_of(const struct cross *c, struct binary_metrics m)
{
    binary_metrics_of_counts(&m);
    double score = threshold_score(c->o->grid, &m);
    return score > 0 ? score : 0;
}

/* (labels, 2): counts of a repeat over all folds but one (-1: over all). */
static void sum_folds(struct binary_metrics *ret, const struct cross *c, int repeat, int without)
{
    memset(ret, 0, 2 * c->v.labels * sizeof *ret);
    for (int f = 0; f < FOLDS; f++)
        for (size_t l = 0; f != without && l < c->v.labels; l++)
            for (int own = 0; own < 2; own++)
                binary_metrics_add_counts(&ret[l * 2 + (size_t)own], at(c, repeat, f, l, own));
}

/* counts (labels, 2); own (labels): which of the two counts, NULL: that at the threshold for all. */
static double total(const struct cross *c, const struct binary_metrics *counts, const bool *own)
{
    struct binary_metrics all = {0};
    double sum = 0;
    for (size_t l = 0; l < c->v.labels; l++) {
        const struct binary_metrics *m = &counts[l * 2 + (own && own[l])];
        binary_metrics_add_counts(&all, m);
        if (c->o->macro)
            sum += score_of(c, *m);
    }
    return c->o->macro ? sum / (double)c->v.labels : score_of(c, all);
}

/* Clears those of keep (labels) that gain nothing by their own threshold, each by itself. */
static void drop_losers(bool *keep, const struct cross *c, const struct binary_metrics *counts)
{
    struct binary_metrics all = {0};
    for (size_t l = 0; l < c->v.labels; l++)
        binary_metrics_add_counts(&all, &counts[l * 2]);
    double before = score_of(c, all);
    for (size_t l = 0; l < c->v.labels; l++) {
        const struct binary_metrics *m = &counts[l * 2];
        struct binary_metrics other = all;
        other.true_positive += m[1].true_positive - m[0].true_positive;
        other.false_positive += m[1].false_positive - m[0].false_positive;
        other.true_negative += m[1].true_negative - m[0].true_negative;
        other.false_negative += m[1].false_negative - m[0].false_negative;
        double gain = c->o->macro ? score_of(c, m[1]) - score_of(c, m[0]) : score_of(c, other) - before;
        keep[l] = keep[l] && gain > 0;
    }
}

/* Each fold with the labels that the other folds choose. */
static double score_choice(const struct cross *c, int repeat, struct binary_metrics *counts, bool *own)
{
    struct binary_metrics *chosen = allocate(2 * c->v.labels, sizeof *chosen);
    for (int f = 0; f < FOLDS; f++) {
        memcpy(own, c->may, c->v.labels * sizeof *own);
        sum_folds(counts, c, repeat, f);
        drop_losers(own, c, counts);
        for (size_t l = 0; l < c->v.labels; l++)
            binary_metrics_add_counts(&chosen[l * 2], at(c, repeat, f, l, own[l]));
    }
    double score = total(c, chosen, NULL);
    free(chosen);
    return score;
}

static void judge(struct label_cross *ret, bool *keep, const struct cross *c)
{
    struct binary_metrics *counts = allocate(2 * c->v.labels, sizeof *counts);
    bool *own = allocate(c->v.labels, sizeof *own);
    struct label_cross result = {.folds = FOLDS, .repeats = c->repeats, .macro = c->o->macro};
    for (int r = 0; r < c->repeats; r++) {
        result.by_label += score_choice(c, r, counts, own) / c->repeats;
        sum_folds(counts, c, r, -1);
        result.global += total(c, counts, NULL) / c->repeats;
        drop_losers(keep, c, counts);
    }
    bool any = false;
    for (size_t l = 0; l < c->v.labels; l++)
        any = any || keep[l];
    result.better = any && result.by_label > result.global;
    for (size_t l = 0; l < c->v.labels; l++)
        keep[l] = keep[l] && result.better;
    free(own);
    free(counts);
    *ret = result;
}

/* keep (labels): in, labels that may have their own threshold; out, those that shall. */
static int cross_validate(struct label_cross *ret, bool *keep, const struct label_options *o, struct validation_labels v,
                          struct error *e)
{
    bool any = false;
    *ret = (struct label_cross){0};
    for (size_t l = 0; l < v.labels; l++)
        any = any || keep[l];
    if (!any || o->grid->rule == RULE_RECALL_AT_PRECISION || o->grid->rule == RULE_PRECISION_AT_RECALL)
        return 0; /* a bound is each label's own: no score of all together stands for it */
    struct cross c = {.o = o, .v = v, .may = allocate(v.labels, sizeof *c.may)};
    memcpy(c.may, keep, v.labels * sizeof *c.may);
    c.repeats = v.rows * v.labels >= MANY ? 1 : REPEATS;
    c.fold = allocate(v.rows, sizeof *c.fold);
    c.at = allocate((size_t)(c.repeats * FOLDS) * v.labels * 2, sizeof *c.at);
    double *p = allocate(v.rows * v.labels, sizeof *p);
    uint8_t *truth = allocate(v.rows * v.labels, sizeof *truth);
    int status = 0;
    for (int r = 0; status == 0 && r < c.repeats; r++)
        status = run_repeat(&c, r, p, truth, e);
    if (status == 0)
        judge(ret, keep, &c);
    free(truth);
    free(p);
    free(c.at);
    free(c.fold);
    free(c.may);
    return status;
}

/* Labels that held-out rows do not show to gain by a threshold of their own take the one for all. */
static int keep_better(struct label_thresholds *t, const struct label_options *o, struct validation_labels v, struct error *e)
{
    bool *keep = allocate(t->labels, sizeof *keep);
    for (uint32_t l = 0; l < t->labels; l++)
        keep[l] = t->each[l].own;
    int status = cross_validate(&t->cross, keep, o, v, e);
    for (uint32_t l = 0; status == 0 && l < t->labels; l++) {
        struct label_choice *c = &t->each[l];
        if (!c->own || keep[l])
            continue;
        c->own = false;
        c->why = t->cross.better ? "no better with its own in cross-validation" : "by label is no better in cross-validation";
        t->thresholds[l] = c->threshold = t->global;
    }
    free(keep);
    return status;
}

int tune_labels(struct label_thresholds *ret, const struct label_options *o, struct validation_labels v, struct error *e)
{
    struct label_thresholds t;
    if (tune_labels_fit(&t, o, v, e) != 0)
        return -1;
    if (o->per_class == PER_CLASS_AUTO && keep_better(&t, o, v, e) != 0) {
        label_thresholds_free(&t);
        return -1;
    }
    label_thresholds_measure(&t, v);
    *ret = t;
    return 0;
}
