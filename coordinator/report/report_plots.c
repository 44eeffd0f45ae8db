/* SPDX-License-Identifier: Apache-2.0 */
/* What a report's plots show. */
#include "coordinator/report/report_plots.h"

#include "common/base/memory.h"
#include "common/base/table.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CURVES_MOST PLOT_COLOURS /* trials in one plot */
#define LOSS_POINTS 50

static struct plot *add(struct report_plots *p, struct plot *plot)
{
    return p->items[p->count++] = plot;
}

static double number_of(const struct json *j)
{
    return json_type(j) == JSON_NUMBER ? json_number(j) : NAN;
}

double report_trial_score(const struct report_run *r, const struct json *row)
{
    const char *by = json_string(json_get(r->table, "ranked_by"));
    return number_of(json_get(json_get(row, by ? by : "at_own_threshold"), "score"));
}

/* ---- training ---- */

/* Means over runs of steps, so that a curve of any length reads. Returns the number of points. */
static size_t thin(double *x, double *y, const struct report_metrics *m)
{
    size_t run = (m->steps + LOSS_POINTS - 1) / LOSS_POINTS, count = 0;
    for (size_t from = 0; from < m->steps; from += run) {
        size_t to = from + run < m->steps ? from + run : m->steps;
        double step = 0, loss = 0;
        for (size_t i = from; i < to; i++) {
            step += m->step[i];
            loss += m->loss[i];
        }
        x[count] = step / (double)(to - from);
        y[count++] = loss / (double)(to - from);
    }
    return count;
}

static void draw_loss(struct report_plots *p, const struct report_metrics *m)
{
    double x[LOSS_POINTS], y[LOSS_POINTS];
    size_t count = m->steps ? thin(x, y, m) : 0;
    if (count == 0)
        return;
    struct plot *plot = add(
        p, plot_create("loss", "Loss by step", "Training loss by step, and validation loss after each epoch", "step", "loss"));
    plot_add(plot, "training", x, y, count, count > 1 ? MARK_LINE : MARK_POINTS, 0)->width = 1.6;
    double *at = allocate(m->epochs, sizeof *at), *loss = allocate(m->epochs, sizeof *loss);
    for (size_t i = 0; i < m->epochs; i++) {
        at[i] = number_of(json_get(m->epoch[i], "step"));
        loss[i] = number_of(json_get(m->epoch[i], "validation_loss"));
    }
    if (m->epochs)
        plot_add(plot, "validation, after each epoch", at, loss, m->epochs, MARK_LINE_POINTS, 1);
    plot->x_from = 0;
    plot->x_to = m->step[m->steps - 1];
    free(at);
    free(loss);
}

static size_t most_epochs(const struct report_run *r)
{
    size_t most = 0;
    for (size_t i = 0; i < r->metrics_count && i < CURVES_MOST; i++)
        most = r->metrics[i].epochs > most ? r->metrics[i].epochs : most;
    return most;
}

/* One curve a trial. In a plot of one trial there is room for two metrics. */
static void draw_epochs(struct report_plots *p, const struct report_run *r, const char *id, const char *title,
                        const char *y_label, const char *key, const char *second, const char *const names[2])
{
    size_t epochs = most_epochs(r), curves = r->metrics_count < CURVES_MOST ? r->metrics_count : CURVES_MOST;
    double *x = allocate(epochs, sizeof *x), *y = allocate(epochs, sizeof *y), low = INFINITY, high = -INFINITY;
    struct plot *plot = NULL;
    for (size_t i = 0; i < curves; i++)
        for (int metric = 0; metric < (second && curves == 1 ? 2 : 1); metric++) {
            const struct report_metrics *m = &r->metrics[i];
            size_t found = 0;
            for (size_t k = 0; k < m->epochs; k++) {
                x[k] = number_of(json_get(m->epoch[k], "epoch"));
                y[k] = number_of(json_get(json_get(m->epoch[k], "validation"), metric ? second : key));
                found += isfinite(x[k]) && isfinite(y[k]);
                low = fmin(low, y[k]);
                high = fmax(high, y[k]);
            }
            if (found == 0)
                continue;
            if (!plot)
                plot = add(p, plot_create(id, title, title, "epoch", y_label));
            plot_add(plot, curves > 1 || !second ? m->trial : names[metric], x, y, m->epochs, MARK_LINE_POINTS, (int)i + metric);
        }
    if (plot) {
        plot->x_from = 0.8;
        plot->x_to = (double)epochs + 0.2;
        plot->whole_x = true;
        if (low == high) /* a flat line needs a scale */
            plot->y_from = 0;
        if (low == high && high <= 1)
            plot->y_to = 1;
        plot->height += 20 * (int)(curves / 2);
    }
    free(x);
    free(y);
}

static void draw_training(struct report_plots *p, const struct report_run *r)
{
    const struct report_metrics *m = r->metrics_count ? &r->metrics[0] : NULL;
    for (size_t i = 0; i < r->metrics_count; i++)
        if (r->chosen && strcmp(r->metrics[i].trial, r->chosen) == 0)
            m = &r->metrics[i];
    if (m)
        draw_loss(p, m);
    static const char *const f1_names[] = {"micro F1", "macro F1"}, *const ranking_names[] = {"best F1", "average precision"};
    if (r->multi)
        draw_epochs(p, r, "validation_ranking_by_epoch", "Validation at the best threshold by epoch",
                    "F1 at the best threshold, average precision", "best_f1", "average_precision", ranking_names);
    draw_epochs(p, r, "validation_loss_by_epoch", "Validation loss by epoch", "validation loss", "validation_loss", NULL, NULL);
    if (r->multi)
        draw_epochs(p, r, "validation_f1_by_epoch", "Validation F1 by epoch", "F1 at 0.5", "micro_f1", "macro_f1", f1_names);
    else
        draw_epochs(p, r, "validation_f1_by_epoch", "Validation F1 by epoch", r->label_count > 2 ? "micro F1" : "F1 at 0.5", "f1",
                    NULL, NULL);
}

/* ---- trials: parallel coordinates ---- */

#define AXES_MOST 8
#define AXIS_TEXTS 12 /* more values than these: this many of them are written, evenly apart */

struct axis_value {
    char *text;
    double number;  /* 0: it is none */
    uint32_t found; /* the how manieth that was found */
};

struct axis {
    const char *key;
    struct axis_value *values; /* (count) distinct ones, in order */
    size_t count, capacity;
    struct table *places; /* of their texts */
};

static char *axis_text(const struct json *value)
{
    if (!value)
        return duplicate("null");
    return json_type(value) == JSON_STRING ? duplicate(json_string(value)) : json_print(value, false);
}

static void add_to_axis(struct axis *a, const struct json *value)
{
    char *text = axis_text(value);
    if (table_find(a->places, text) != TABLE_ABSENT) {
        free(text);
        return;
    }
    a->values = grow(a->values, &a->capacity, a->count + 1, sizeof *a->values);
    a->values[a->count++] = (struct axis_value){text, json_number(value), table_add(a->places, text)};
}

static int by_number(const void *left, const void *right)
{
    const struct axis_value *a = left, *b = right;
    return a->number != b->number ? (a->number > b->number) - (a->number < b->number)
                                  : (a->found > b->found) - (a->found < b->found);
}

static void sort_axis(struct axis *a)
{
    qsort(a->values, a->count, sizeof *a->values, by_number);
    table_destroy(&a->places);
    table_create(&a->places);
    for (size_t i = 0; i < a->count; i++)
        table_add(a->places, a->values[i].text);
}

static void axis_free(struct axis *a)
{
    table_destroy(&a->places);
    for (size_t i = 0; i < a->count; i++)
        free(a->values[i].text);
    free(a->values);
}

static double height_of(const struct axis *a, size_t place)
{
    return a->count > 1 ? (double)place / (double)(a->count - 1) : 0.5;
}

static double place_on_axis(const struct axis *a, const struct json *value)
{
    char *text = axis_text(value);
    uint32_t place = table_find(a->places, text);
    free(text);
    return height_of(a, place);
}

static void draw_axis(struct plot *p, double x, const char *name, const struct axis *a, int side)
{
    plot_add(p, NULL, (double[]){x, x}, (double[]){0, 1}, 2, MARK_LINE, PLOT_GREY)->width = 1;
    plot_write(p, x, 1.2, 0, name);
    size_t written = !a ? 0 : a->count < AXIS_TEXTS ? a->count : AXIS_TEXTS;
    for (size_t i = 0; i < written; i++) {
        size_t place = written > 1 ? i * (a->count - 1) / (written - 1) : 0;
        plot_write(p, x + side * 0.03, height_of(a, place), side, a->values[place].text);
    }
}

static void draw_score_axis(struct plot *p, double x, double low, double high)
{
    char text[32];
    draw_axis(p, x, "score", NULL, 1);
    for (int i = 0; i <= 4; i++) {
        snprintf(text, sizeof text, "%.4f", low + (high - low) * i / 4);
        plot_write(p, x + 0.03, i / 4.0, 1, text);
    }
}

/* The points of all lines behind each other, with a gap between them: gnuplot's time for a series grows with their number. */
struct lines {
    double *x, *y;
    size_t count, x_capacity, y_capacity;
};

static void add_point(struct lines *l, double x, double y)
{
    l->x = grow(l->x, &l->x_capacity, l->count + 1, sizeof *l->x);
    l->y = grow(l->y, &l->y_capacity, l->count + 1, sizeof *l->y);
    l->x[l->count] = x;
    l->y[l->count++] = y;
}

static void add_line(struct lines *l, const struct json *row, double score, const struct axis *axes, size_t count,
                     const double bounds[2])
{
    if (l->count > 0)
        add_point(l, NAN, NAN);
    for (size_t i = 0; i < count; i++)
        add_point(l, (double)i, place_on_axis(&axes[i], json_get(json_get(row, "options"), axes[i].key)));
    add_point(l, (double)count, bounds[1] > bounds[0] ? (score - bounds[0]) / (bounds[1] - bounds[0]) : 0.5);
}

static void draw_lines(struct plot *p, const struct lines *l, const char *name, int colour, double width)
{
    if (l->count > 0)
        plot_add(p, name, l->x, l->y, l->count, MARK_LINE_POINTS, colour)->width = width;
    free(l->x);
    free(l->y);
}

/* The chosen one on top. */
static void draw_trial_lines(struct plot *p, const struct report_run *r, const struct json *trials, const struct axis *axes,
                             size_t count, const double bounds[2])
{
    struct lines others = {0}, chosen = {0};
    for (size_t i = 0; i < json_size(trials); i++) {
        const struct json *row = json_at(trials, i);
        const char *key = json_string(json_get(row, "trial"));
        double score = report_trial_score(r, row);
        if (isfinite(score))
            add_line(key && r->chosen && strcmp(key, r->chosen) == 0 ? &chosen : &others, row, score, axes, count, bounds);
    }
    draw_lines(p, &others, NULL, 0, 1);
    draw_lines(p, &chosen, "chosen", 1, 3);
}

/* The keys that differ between trials. */
static size_t find_axes(struct axis axes[AXES_MOST], const struct json *trials)
{
    const struct json *first = json_get(json_at(trials, 0), "options");
    size_t count = 0;
    for (size_t k = 0; k < json_size(first) && count < AXES_MOST; k++) {
        struct axis a = {.key = json_key(first, k)};
        table_create(&a.places);
        for (size_t i = 0; i < json_size(trials); i++)
            add_to_axis(&a, json_get(json_get(json_at(trials, i), "options"), a.key));
        if (a.count > 1) {
            sort_axis(&a);
            axes[count++] = a;
        } else {
            axis_free(&a);
        }
    }
    return count;
}

static void score_bounds(double bounds[2], const struct report_run *r, const struct json *trials)
{
    bounds[0] = INFINITY;
    bounds[1] = -INFINITY;
    for (size_t i = 0; i < json_size(trials); i++) {
        double score = report_trial_score(r, json_at(trials, i));
        if (isfinite(score)) {
            bounds[0] = fmin(bounds[0], score);
            bounds[1] = fmax(bounds[1], score);
        }
    }
}

static void draw_trials(struct report_plots *p, const struct report_run *r)
{
    const struct json *trials = json_get(r->table, "trials");
    struct axis axes[AXES_MOST];
    double bounds[2];
    score_bounds(bounds, r, trials);
    size_t count = json_size(trials) > 1 && isfinite(bounds[0]) ? find_axes(axes, trials) : 0;
    if (count == 0)
        return;
    struct plot *plot = add(p, plot_create("trials", "Trials: swept values and score",
                                           "Parallel coordinates: each line is a trial, from its swept values to its "
                                           "score on validation; the chosen one is thick",
                                           NULL, NULL));
    plot->bare = true;
    plot->width = count > 3 ? 960 : 760;
    plot->x_from = -0.3;
    plot->x_to = (double)count + 0.3;
    plot->y_from = -0.06;
    plot->y_to = 1.26;
    draw_trial_lines(plot, r, trials, axes, count, bounds);
    for (size_t i = 0; i < count; i++) {
        draw_axis(plot, (double)i, axes[i].key, &axes[i], -1);
        axis_free(&axes[i]);
    }
    draw_score_axis(plot, (double)count, bounds[0], bounds[1]);
}

/* ---- thresholds ---- */

static void unit_square(struct plot *p)
{
    p->x_from = p->y_from = 0;
    p->x_to = p->y_to = 1;
}

static void draw_threshold(struct report_plots *p, const struct report_scores *s, const char *id, uint32_t label,
                           double threshold)
{
    struct score_curve c;
    char *title = format_string("F1, precision and recall by threshold: %s", s->run->labels[label]), chosen[48];
    scores_curve(&c, s, label);
    struct plot *plot = add(p, plot_create(id, title, title, "threshold", NULL));
    plot_add(plot, "F1", c.threshold, c.f1, CURVE_POINTS, MARK_LINE, 0)->width = 2.8;
    plot_add(plot, "precision", c.threshold, c.precision, CURVE_POINTS, MARK_LINE, 2)->width = 1.4;
    plot_add(plot, "recall", c.threshold, c.recall, CURVE_POINTS, MARK_LINE, 3)->width = 1.4;
    plot_line(plot, "0.5", 0.5, 0, 0.5, 1, PLOT_GREY);
    snprintf(chosen, sizeof chosen, "chosen, %.4g", threshold);
    if (s->run->decided)
        plot_line(plot, chosen, threshold, 0, threshold, 1, 1);
    unit_square(plot);
    free(title);
}

struct label_place {
    double f1;
    uint32_t label;
};

static int by_f1(const void *a, const void *b)
{
    const struct label_place *x = a, *y = b;
    return x->f1 != y->f1 ? (x->f1 > y->f1) - (x->f1 < y->f1) : (x->label > y->label) - (x->label < y->label);
}

uint32_t report_worst_labels(uint32_t *order, const struct label_metrics *metrics, uint32_t labels)
{
    struct label_place *places = allocate(labels, sizeof *places);
    uint32_t count = 0;
    for (uint32_t c = 0; c < labels; c++)
        if (metrics[c].at_0_5.true_positive + metrics[c].at_0_5.false_negative > 0)
            places[count++] = (struct label_place){metrics[c].at_0_5.f1, c};
    qsort(places, count, sizeof *places, by_f1);
    for (uint32_t i = 0; i < count; i++)
        order[i] = places[i].label;
    free(places);
    return count;
}

/* The labels that do worst at 0.5, with a line where each one's threshold is. */
static void draw_worst_thresholds(struct report_plots *p, const struct report_scores *s, const struct label_metrics *metrics,
                                  const uint32_t *order, uint32_t count)
{
    struct plot *plot = add(
        p,
        plot_create("threshold", "F1 by threshold: the labels that do worst at 0.5",
                    "F1 by threshold of the labels that do worst at 0.5; dashed lines at 0.5 and at each label's own threshold",
                    "threshold", "F1"));
    for (uint32_t i = 0; i < count && i < WORST_LABELS; i++) {
        struct score_curve c;
        const struct label_metrics *f = &metrics[order[i]];
        scores_curve(&c, s, order[i]);
        plot_add(plot, s->run->labels[order[i]], c.threshold, c.f1, CURVE_POINTS, MARK_LINE, (int)i);
        if (s->run->decided)
            plot_line(plot, NULL, f->threshold, 0, f->threshold, 1, (int)i);
    }
    plot_line(plot, "0.5", 0.5, 0, 0.5, 1, PLOT_GREY);
    unit_square(plot);
}

static void draw_thresholds(struct report_plots *p, const struct report_scores *s, const struct label_metrics *metrics)
{
    uint32_t labels = s->logits->labels, positive = s->run->positive, *order = allocate(labels, sizeof *order);
    uint32_t count = report_worst_labels(order, metrics, labels);
    if (s->kind == KIND_BINARY)
        draw_threshold(p, s, "threshold", positive, s->run->thresholds[positive]);
    if (s->kind == KIND_MANY_LABELS && count > 0) {
        draw_worst_thresholds(p, s, metrics, order, count);
        for (uint32_t i = 0; i < count && i < MORE_LABELS; i++) {
            char id[32];
            snprintf(id, sizeof id, "threshold_label_%u", order[i]);
            draw_threshold(p, s, id, order[i], metrics[order[i]].threshold);
        }
    }
    free(order);
}

/* ---- precision and recall, reliability ---- */

static void add_precision_recall(struct plot **plot, struct report_plots *p, const struct report_scores *s, uint32_t label,
                                 const char *name, int colour)
{
    double *precision, *recall;
    size_t count = scores_precision_recall(&precision, &recall, s, label, 200);
    if (count > 0) {
        if (!*plot) {
            *plot = add(p, plot_create("precision_recall", "Precision against recall",
                                       "Precision against recall, over all thresholds", "recall", "precision"));
            unit_square(*plot);
        }
        plot_add(*plot, name, recall, precision, count, count > 1 ? MARK_LINE : MARK_POINTS, colour);
    }
    free(precision);
    free(recall);
}

static void draw_precision_recall(struct report_plots *p, const struct report_scores *validation,
                                  const struct report_scores *test, const struct label_metrics *metrics)
{
    uint32_t labels = validation->logits->labels, *order = allocate(labels, sizeof *order);
    uint32_t count = report_worst_labels(order, metrics, labels);
    struct plot *plot = NULL;
    if (validation->kind == KIND_BINARY) {
        add_precision_recall(&plot, p, validation, validation->run->positive, "validation", 0);
        if (test)
            add_precision_recall(&plot, p, test, validation->run->positive, "test", 1);
    } else
        for (uint32_t i = 0; i < count && i < WORST_LABELS; i++)
            add_precision_recall(&plot, p, validation, order[i], validation->run->labels[order[i]], (int)i);
    free(order);
}

/* An empty bin breaks the line. */
static void add_bins(struct plot *plot, const char *name, const struct reliability *r, int colour)
{
    double x[RELIABILITY_BINS], y[RELIABILITY_BINS];
    for (int b = 0; b < RELIABILITY_BINS; b++) {
        x[b] = r->bin[b].count ? r->bin[b].confidence : NAN;
        y[b] = r->bin[b].count ? r->bin[b].accuracy : NAN;
    }
    plot_add(plot, name, x, y, RELIABILITY_BINS, MARK_LINE_POINTS, colour);
}

static void draw_reliability(struct report_plots *p, const struct report_scores *s)
{
    struct reliability before, after;
    bool calibrated = report_is_calibrated(s->run);
    struct plot *plot = add(p, plot_create("reliability", "Reliability",
                                           "Share of rows that are true against the probability that the model gives "
                                           "them, in 15 bins; the diagonal would be perfect",
                                           "mean probability in the bin", "share that is true"));
    scores_reliability(&before, s, false);
    plot_line(plot, "perfect", 0, 0, 1, 1, PLOT_GREY);
    add_bins(plot, calibrated ? "before calibration" : "the model", &before, 0);
    if (calibrated) {
        scores_reliability(&after, s, true);
        add_bins(plot, "after calibration", &after, 1);
    }
    unit_square(plot);
}

void report_plots_make(struct report_plots *ret, const struct report_run *r, const struct report_scores *validation,
                       const struct report_scores *test, const struct label_metrics *metrics)
{
    struct report_plots p = {0};
    draw_trials(&p, r);
    draw_training(&p, r);
    if (validation) {
        draw_thresholds(&p, validation, metrics);
        draw_precision_recall(&p, validation, test, metrics);
        draw_reliability(&p, validation);
    }
    *ret = p;
}

void report_plots_free(struct report_plots *p)
{
    for (size_t i = 0; i < p->count; i++)
        plot_destroy(&p->items[i]);
    p->count = 0;
}
