/* SPDX-License-Identifier: Apache-2.0 */
/* The fitting of the baseline. */
#include "coordinator/compare/baseline_fit.h"

#include "common/base/memory.h"
#include "common/base/meter.h"
#include "common/base/parallel.h"
#include "common/base/stop.h"
#include "coordinator/compare/linear.h"

#include <stdlib.h>
#include <string.h>

struct fitting {
    const struct baseline_task *task;
    const struct tfidf *tfidf;
    struct linear_rows *train, **scored;
    struct baseline_fit *to;
    struct meter meter;
};

#define TEXTS_AT_ONCE 256
#define SLOTS_A_THREAD 4

struct transforming {
    const struct tfidf *tfidf;
    const struct baseline_rows *from;
    size_t taken;
};

/* Rows of some texts, one behind the other. */
struct transformed {
    size_t start, count, end[TEXTS_AT_ONCE]; /* of each text among columns and values */
    uint32_t *columns;
    double *values;
    size_t column_capacity, value_capacity;
    struct tfidf_row row;
};

static bool take_texts(void *context, void *slot)
{
    struct transforming *t = context;
    struct transformed *to = slot;
    to->count = ordered_block(&to->start, &t->taken, t->from->count, TEXTS_AT_ONCE);
    return to->count > 0;
}

static void transform_texts(void *context, void *slot)
{
    const struct transforming *t = context;
    struct transformed *to = slot;
    size_t size = 0;
    for (size_t i = 0; i < to->count; i++) {
        tfidf_transform(&to->row, t->tfidf, t->from->texts[to->start + i]);
        to->columns = grow(to->columns, &to->column_capacity, size + to->row.count, sizeof *to->columns);
        to->values = grow(to->values, &to->value_capacity, size + to->row.count, sizeof *to->values);
        if (to->row.count > 0) {
            memcpy(to->columns + size, to->row.columns, to->row.count * sizeof *to->columns);
            memcpy(to->values + size, to->row.values, to->row.count * sizeof *to->values);
        }
        size += to->row.count;
        to->end[i] = size;
    }
}

static void append_rows(struct linear_rows *rows, const struct transformed *from)
{
    for (size_t i = 0, start = 0; i < from->count; start = from->end[i++])
        linear_rows_append(rows, from->columns + start, from->values + start, from->end[i] - start);
}

static int make_rows(struct linear_rows **ret, const struct tfidf *t, const struct baseline_rows *from, struct error *e)
{
    struct transforming work = {.tfidf = t, .from = from};
    size_t slot_count = SLOTS_A_THREAD * (size_t)parallel_threads();
    struct transformed *slots = allocate(slot_count, sizeof *slots);
    const struct transformed *next;
    struct ordered *ahead;
    linear_rows_create(ret, tfidf_columns(t));
    ordered_create(&ahead, &(struct ordered_work){take_texts, transform_texts, &work, parallel_threads()}, slots, slot_count,
                   sizeof *slots);
    while ((next = ordered_next(ahead)) != NULL)
        append_rows(*ret, next);
    ordered_destroy(&ahead);
    for (size_t i = 0; i < slot_count; i++) {
        tfidf_row_free(&slots[i].row);
        free(slots[i].columns);
        free(slots[i].values);
    }
    free(slots);
    return stop_check(e);
}

/* The heaviest terms by insertion; equal ones in order of columns. */
static void name_terms(struct baseline_term *to, const struct tfidf *t, const double *weights)
{
    uint32_t best[BASELINE_TERMS];
    size_t count = 0;
    for (uint32_t c = 0; c < tfidf_columns(t); c++) {
        if (weights[c] <= 0 || (count == BASELINE_TERMS && weights[c] <= weights[best[count - 1]]))
            continue;
        size_t at = count < BASELINE_TERMS ? count++ : count - 1;
        for (; at > 0 && weights[c] > weights[best[at - 1]]; at--)
            best[at] = best[at - 1];
        best[at] = c;
    }
    for (size_t i = 0; i < count; i++)
        to[i] = (struct baseline_term){tfidf_term(t, best[i]), weights[best[i]]};
}

static void fit_label(struct fitting *f, uint32_t label, double *weights, unsigned char *truth)
{
    const struct baseline_task *task = f->task;
    for (size_t i = 0; i < task->train.count; i++)
        truth[i] = task->truth[i * task->columns + label];
    linear_fit(weights, f->train, truth, task->positive[label], task->negative[label]);
    for (size_t s = 0; s < task->scored_count; s++)
        for (size_t i = 0; i < task->scored[s].count; i++)
            f->to->decisions[s][i * task->columns + label] = (float)linear_decide(f->scored[s], i, weights);
    name_terms(&f->to->terms[(size_t)label * BASELINE_TERMS], f->tfidf, weights);
}

static void fit_labels(void *context, size_t begin, size_t end)
{
    struct fitting *f = context;
    double *weights = allocate(tfidf_columns(f->tfidf) + (size_t)1, sizeof *weights);
    unsigned char *truth = allocate(f->task->train.count, 1);
    for (size_t label = begin; label < end; label++) {
        fit_label(f, (uint32_t)label, weights, truth);
        meter_add(&f->meter, 1);
    }
    free(truth);
    free(weights);
}

static void make_room(struct baseline_fit *to, const struct baseline_task *task, uint32_t features)
{
    *to = (struct baseline_fit){.columns = task->columns, .features = features, .scored_count = task->scored_count};
    to->decisions = allocate(task->scored_count, sizeof *to->decisions);
    for (size_t s = 0; s < task->scored_count; s++)
        to->decisions[s] = allocate(task->scored[s].count * task->columns, sizeof(float));
    to->terms = allocate((size_t)task->columns * BASELINE_TERMS, sizeof *to->terms);
}

int baseline_fit(struct baseline_fit *ret, const struct baseline_task *task, struct error *e)
{
    struct tfidf *tfidf;
    struct baseline_fit fit;
    if (tfidf_fit(&tfidf, task->train.texts, task->train.count, &task->terms, e) != 0)
        return -1;
    struct fitting f = {.task = task, .tfidf = tfidf, .to = &fit};
    f.scored = allocate(task->scored_count, sizeof *f.scored);
    make_room(&fit, task, tfidf_columns(tfidf));
    int status = make_rows(&f.train, tfidf, &task->train, e);
    for (size_t s = 0; status == 0 && s < task->scored_count; s++)
        status = make_rows(&f.scored[s], tfidf, &task->scored[s], e);
    meter_begin(&f.meter, "TF-IDF baseline", "labels", task->columns);
    if (status == 0)
        status = parallel_blocks(task->columns, 1, fit_labels, &f, e);
    for (size_t s = 0; s < task->scored_count; s++)
        linear_rows_destroy(&f.scored[s]);
    free(f.scored);
    linear_rows_destroy(&f.train);
    tfidf_destroy(&tfidf);
    if (status == 0)
        *ret = fit;
    else
        baseline_fit_free(&fit);
    return status;
}

void baseline_fit_free(struct baseline_fit *f)
{
    for (size_t s = 0; s < f->scored_count; s++)
        free(f->decisions[s]);
    free(f->decisions);
    for (size_t i = 0; i < (size_t)f->columns * BASELINE_TERMS; i++)
        free(f->terms[i].term);
    free(f->terms);
    *f = (struct baseline_fit){0};
}
