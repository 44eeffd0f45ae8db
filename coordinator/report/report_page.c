/* SPDX-License-Identifier: Apache-2.0 */
/* The top of a report: results, trials, thresholds and calibration. */
#include "coordinator/report/report_page.h"

#include "common/base/memory.h"
#include "common/base/version.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

double page_number(const struct json *j)
{
    return json_type(j) == JSON_NUMBER ? json_number(j) : NAN;
}

void page_plot(struct report_page *p, const char *id)
{
    for (size_t i = 0; i < p->plots->count; i++) {
        const struct plot *plot = p->plots->items[i];
        if (strcmp(plot->id, id) != 0 || !p->drawn[i])
            continue;
        buffer_printf(&p->html, "<figure id=\"plot-%s\"%s><figcaption><b>", plot->id, plot->bare ? " class=\"wide\"" : "");
        html_text(&p->html, plot->title);
        buffer_text(&p->html, "</b></figcaption>\n");
        buffer_text(&p->html, p->drawn[i]);
        buffer_text(&p->html, "</figure>\n");
    }
}

/* ---- top ---- */

static void list_stages(struct buffer *b, const struct json *events)
{
    size_t count = 0;
    for (size_t i = 0; i < json_size(events); i++) {
        const struct json *event = json_at(events, i);
        const char *stage = json_string(json_get(event, "stage"));
        if (stage && strcmp(json_string(json_get(event, "event")), "stage_done") == 0) {
            buffer_text(b, count++ ? ", " : "");
            html_text(b, stage);
        }
    }
    buffer_text(b, count ? "" : "none");
}

static bool is_many(const struct report_run *r)
{
    return r->multi || r->label_count > 2;
}

/* F1 of a part; of many labels that of all decisions together. */
static double published_f1(const struct report_page *p, const char *part)
{
    return page_number(json_get(json_get(json_get(p->run->inference, "metrics"), part), "f1"));
}

static void add_head(struct buffer *b, const char *term, const char *text, bool is_long)
{
    buffer_printf(b, "<div%s><dt>", is_long ? " class=\"long\"" : "");
    html_text(b, term);
    buffer_text(b, "</dt><dd>");
    html_text(b, text);
    buffer_text(b, "</dd></div>\n");
}

static void add_head_number(struct buffer *b, const char *term, double value)
{
    char text[32];
    snprintf(text, sizeof text, "%.4f", value);
    add_head(b, term, isfinite(value) ? text : NULL, false);
}

static void add_verdict(struct report_page *p, double f1)
{
    const struct json *words = json_get(p->run->baseline, "verdict");
    bool wins = json_boolean(json_get(p->run->baseline, "transformer_wins"));
    struct buffer *b = &p->html;
    buffer_text(b, "<p class=\"verdict\">");
    if (json_string(words)) {
        buffer_text(b, wins ? "" : "<strong>");
        html_text(b, json_string(words));
        buffer_text(b, wins ? "" : "</strong>");
    } else if (isfinite(f1))
        buffer_printf(b, "F1 on test is %.4f. There is no text baseline to hold it against.", f1);
    else
        buffer_text(b, "The chosen model has not been scored on test yet.");
    buffer_text(b, "</p>\n");
}

static void add_heads(struct report_page *p)
{
    struct buffer *b = &p->html;
    const struct report_run *r = p->run;
    char text[64];
    double test = published_f1(p, "test"), validation = published_f1(p, "validation");
    buffer_text(b, "<dl class=\"heads\">\n");
    add_head_number(b, is_many(r) ? "Test micro F1" : "Test F1", test);
    add_head_number(b, is_many(r) ? "Validation micro F1" : "Validation F1", validation);
    if (json_get(r->inference, "thresholds"))
        add_head(b, "Threshold", "one a label", false);
    else if (r->decided) {
        snprintf(text, sizeof text, "%.4g", r->thresholds[r->positive]);
        add_head(b, "Threshold", text, false);
    }
    snprintf(text, sizeof text, "%zu", r->metrics_count);
    add_head(b, r->metrics_count == 1 ? "Trial" : "Trials", text, false);
    if (r->chosen)
        add_head(b, "Chosen trial", r->chosen, true);
    buffer_text(b, "</dl>\n");
    add_verdict(p, test);
}

void page_top(struct report_page *p)
{
    static const char *const places[][2] = {{"result", "Result"},
                                            {"trials", "Trials"},
                                            {"thresholds", "Thresholds"},
                                            {"calibration", "Calibration"},
                                            {"labels", "Labels"},
                                            {"errors", "Errors"},
                                            {"data", "Data"},
                                            {"provenance", "Provenance"}};
    struct buffer *b = &p->html;
    const struct report_run *r = p->run;
    buffer_text(b, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                   "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
                   "<meta name=\"color-scheme\" content=\"light dark\">\n<link rel=\"icon\" href=\"data:,\">\n<title>");
    html_text(b, r->job.name);
    buffer_text(b, " \xE2\x80\x93 report</title>\n<style>");
    buffer_text(b, report_style);
    buffer_text(b, "</style>\n</head>\n<body>\n");
    buffer_text(b, plot_symbols);
    buffer_text(b, "<header>\n<h1>");
    html_text(b, r->job.name);
    buffer_text(b, "</h1>\n<p class=\"soft\">");
    html_text(b, r->multi ? "Multi-label classification" : "Single-label classification");
    buffer_text(b, " with ");
    html_text(b, r->job.model);
    buffer_text(b, "</p>\n");
    if (!r->inference) {
        buffer_text(b, "<p class=\"note\">This run is not finished. Stages done: ");
        list_stages(b, r->events);
        buffer_text(b, ". The page shows what there is.</p>\n");
    }
    if (p->why_not_drawn) {
        buffer_text(b, "<p class=\"note\">No plots: ");
        html_text(b, p->why_not_drawn);
        buffer_text(b, "</p>\n");
    }
    add_heads(p);
    buffer_text(b, "<nav aria-label=\"Sections\"><ul>\n");
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
        buffer_printf(b, "<li><a href=\"#%s\">%s</a></li>\n", places[i][0], places[i][1]);
    buffer_text(b, "</ul></nav>\n</header>\n<main>\n");
}

/* ---- result ---- */

static void add_metrics_row(struct buffer *b, const char *name, const struct binary_metrics *m, double threshold, double rows,
                            double macro_f1, bool many)
{
    html_row(b, false);
    html_head_cell(b, name);
    html_count_cell(b, rows);
    html_number_cell(b, threshold, "%.4g");
    html_metric_cell(b, m->precision);
    html_metric_cell(b, m->recall);
    html_metric_cell(b, m->f1);
    html_metric_cell(b, many ? macro_f1 : m->accuracy);
    html_row_end(b);
}

static void add_part(struct report_page *p, const struct report_scores *s, const struct label_metrics *metrics, const char *half,
                     const char *rule)
{
    const struct report_run *r = p->run;
    if (!s)
        return;
    if (s->kind == KIND_BINARY) {
        const struct label_metrics *f = &metrics[r->positive];
        add_metrics_row(&p->html, half, &f->at_0_5, 0.5, s->logits->rows, NAN, false);
        if (r->decided)
            add_metrics_row(&p->html, rule, &f->at_rule, f->threshold, s->logits->rows, NAN, false);
        return;
    }
    struct binary_metrics m;
    double macro;
    scores_micro(&m, &macro, s, metrics, true);
    if (s->kind == KIND_MANY_LABELS)
        add_metrics_row(&p->html, half, &m, 0.5, s->logits->rows, macro, true);
    scores_micro(&m, &macro, s, metrics, false);
    bool one = s->kind == KIND_MANY_LABELS && !json_get(r->inference, "thresholds");
    add_metrics_row(&p->html, rule, &m, one ? r->thresholds[0] : NAN, s->logits->rows, macro, true);
}

/* A row of another model's metrics; `file` as scored_model_to_json writes it. */
static void add_other(struct report_page *p, const struct json *file, const char *part, const char *name, double rows)
{
    const struct json *m =
        json_get(json_get(json_get(file, part), "at_threshold"), "f1") ? json_get(json_get(file, part), "at_threshold") : NULL;
    if (!m)
        return;
    struct buffer *b = &p->html;
    html_row(b, false);
    html_head_cell(b, name);
    html_count_cell(b, rows);
    html_number_cell(b, page_number(json_get(file, "threshold")), "%.4g");
    html_metric_cell(b, page_number(json_get(m, "precision")));
    html_metric_cell(b, page_number(json_get(m, "recall")));
    html_metric_cell(b, page_number(json_get(m, "f1")));
    html_metric_cell(b, page_number(json_get(m, is_many(p->run) ? "macro_f1" : "accuracy")));
    html_row_end(b);
}

static void add_rule_row(struct report_page *p, const char *name, const struct json *metrics, const struct json *interval)
{
    struct buffer *b = &p->html;
    html_row(b, false);
    html_head_cell(b, name);
    html_metric_cell(b, page_number(json_get(metrics, "micro_precision")));
    html_metric_cell(b, page_number(json_get(metrics, "micro_recall")));
    html_metric_cell(b, page_number(json_get(metrics, "micro_f1")));
    html_metric_cell(b, page_number(json_at(interval, 0)));
    html_metric_cell(b, page_number(json_at(interval, 1)));
    html_metric_cell(b, page_number(json_get(metrics, is_many(p->run) ? "macro_f1" : "accuracy")));
    html_row_end(b);
}

/* Each rule on test, what the chosen one gains, and how far that would move had other rows been drawn. */
static void add_rules(struct report_page *p)
{
    static const char *const names[][2] = {{"half", "0.5 for all"}, {"global", "Global threshold"}, {"tuned", "Chosen rule"}};
    const struct json *test = json_get(p->run->evaluation, "test"), *rules = json_get(test, "rules"),
                      *tuned = json_get(rules, "tuned"), *difference = json_get(tuned, "difference");
    if (!tuned)
        return;
    char *caption = format_string("Test, thresholds frozen: 95 %% of %.0f resampled tests lie between low and high",
                                  page_number(json_get(test, "draws")));
    html_table(&p->html, caption,
               is_many(p->run) ? "Rule|#Precision|#Recall|#F1|#F1, low|#F1, high|#Macro F1"
                               : "Rule|#Precision|#Recall|#F1|#F1, low|#F1, high|#Accuracy",
               false);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const struct json *rule = json_get(rules, names[i][0]);
        if (rule)
            add_rule_row(p, names[i][1], rule, json_get(json_get(rule, "intervals"), "micro_f1"));
    }
    if (difference)
        add_rule_row(p, "Difference to 0.5", difference, json_get(json_get(tuned, "difference_intervals"), "micro_f1"));
    html_table_end(&p->html);
    free(caption);
}

static void add_others(struct report_page *p)
{
    const struct json *baseline = json_get(p->run->baseline, "baseline");
    double validation = p->validation ? p->validation->logits->rows : NAN, test = p->test ? p->test->logits->rows : NAN;
    add_other(p, baseline, "validation", "TF-IDF baseline, validation", validation);
    add_other(p, baseline, "test", "TF-IDF baseline, test", test);
    add_other(p, p->run->ensemble, "validation", "Both together, validation", validation);
    add_other(p, p->run->ensemble, "test", "Both together, test", test);
}

void page_result(struct report_page *p)
{
    struct buffer *b = &p->html;
    html_section(b, "result", "Result");
    if (!p->validation && !p->test) {
        buffer_text(b, "<p>No trial has been chosen yet, so there is nothing to score.</p>\n");
    } else {
        buffer_text(b, "<p>The threshold and the trial were chosen on validation alone; test was scored once, afterwards.");
        if (p->validation && p->validation->kind == KIND_BINARY) {
            buffer_text(b, " Precision, recall and F1 are those of the label <b>");
            html_text(b, p->run->labels[p->run->positive]);
            buffer_text(b, "</b>.");
        } else
            buffer_text(b, " Precision, recall and F1 are of all decisions together (micro).");
        buffer_text(b, "</p>\n");
        html_table(b, "Figures of the chosen model, and of what it is held against",
                   is_many(p->run) ? "Model and part|#Rows|#Threshold|#Precision|#Recall|#F1|#Macro F1"
                                   : "Model and part|#Rows|#Threshold|#Precision|#Recall|#F1|#Accuracy",
                   false);
        add_part(p, p->validation, p->metrics, "Validation, at 0.5", "Validation, by the rule");
        add_part(p, p->test, p->test_metrics, "Test, at 0.5", "Test, by the rule");
        add_others(p);
        html_table_end(b);
        add_rules(p);
    }
    html_section_end(b);
}

/* ---- trials ---- */

static void add_trial_row(struct report_page *p, const struct json *row, const struct json *keys)
{
    struct buffer *b = &p->html;
    const struct report_run *r = p->run;
    const char *key = json_string(json_get(row, "trial")), *failed = json_string(json_get(row, "failed")),
               *pruned = json_string(json_get(row, "pruned")), *by = json_string(json_get(r->table, "ranked_by"));
    const struct json *at = json_get(row, by ? by : "at_own_threshold"), *m = json_get(at, "metrics");
    html_row(b, key && r->chosen && strcmp(key, r->chosen) == 0);
    buffer_text(b, "<th scope=\"row\">");
    html_text(b, key);
    buffer_text(b, json_boolean(json_get(row, "baseline")) ? " (baseline)" : "");
    if (failed || pruned) {
        buffer_text(b, failed ? " failed: " : " ");
        html_text(b, failed ? failed : pruned);
    }
    buffer_text(b, "</th>");
    for (size_t i = 0; i < json_size(keys); i++) {
        const struct json *value = json_get(json_get(row, "options"), json_key(keys, i));
        if (json_type(value) == JSON_NUMBER)
            html_number_cell(b, json_number(value), "%.6g");
        else
            html_cell(b, json_string(value));
    }
    html_metric_cell(b, report_trial_score(r, row));
    html_number_cell(b, page_number(json_get(at, "threshold")), "%.4g");
    html_metric_cell(b, page_number(json_get(m, "precision")));
    html_metric_cell(b, page_number(json_get(m, "recall")));
    html_metric_cell(b, page_number(json_get(m, "f1")));
    html_metric_cell(b, page_number(json_get(row, "validation_loss")));
    html_count_cell(b, page_number(json_get(row, "best_epoch")));
    html_number_cell(b, page_number(json_get(row, "seconds")), "%.1f");
    html_number_cell(b, page_number(json_get(row, "tokens_per_second")), "%.0f");
    html_row_end(b);
}

static void add_trial_table(struct report_page *p)
{
    const struct json *trials = json_get(p->run->table, "trials"), *sweep = p->run->job.sweep;
    struct buffer columns = {0};
    if (json_size(trials) == 0)
        return;
    buffer_text(&columns, "Trial");
    for (size_t i = 0; i < json_size(sweep); i++) {
        bool number = json_type(json_at(json_at(sweep, i), 0)) == JSON_NUMBER;
        buffer_printf(&columns, "|%s%s", number ? "#" : "", json_key(sweep, i));
    }
    buffer_text(&columns, "|#Score|#Threshold|#Precision|#Recall|#F1|#Loss|#Best epoch|#Seconds|#Tokens/s");
    html_table(&p->html, "Trials on validation, best first; the marked one was chosen", columns.data, true);
    for (size_t i = 0; i < json_size(trials); i++)
        add_trial_row(p, json_at(trials, i), sweep);
    html_table_end(&p->html);
    buffer_free(&columns);
}

static void add_configuration_row(struct report_page *p, const struct json *row, const char *chosen)
{
    static const char *const metrics[] = {"score", "validation_loss", "precision", "recall", "f1", "macro_f1"};
    struct buffer *b = &p->html;
    const char *best = json_string(json_get(row, "best_trial"));
    const struct json *of = json_get(row, "metrics"), *score = json_get(of, "score");
    html_row(b, best && chosen && strcmp(best, chosen) == 0);
    buffer_text(b, "<th scope=\"row\">");
    html_text(b, json_string(json_get(row, "configuration")));
    buffer_text(b, json_boolean(json_get(row, "baseline")) ? " (baseline)</th>" : "</th>");
    html_count_cell(b, page_number(json_get(row, "done")));
    for (size_t i = 0; i < sizeof metrics / sizeof *metrics; i++)
        html_spread_cell(b, page_number(json_get(json_get(of, metrics[i]), "mean")),
                         page_number(json_get(json_get(of, metrics[i]), "sd")));
    html_metric_cell(b, page_number(json_get(score, "min")));
    html_metric_cell(b, page_number(json_get(score, "max")));
    html_cell(b, best);
    html_row_end(b);
}

/* Of several trainings each: mean and standard deviation. */
static void add_configuration_table(struct report_page *p)
{
    const struct json *configurations = json_get(p->run->table, "configurations");
    if (json_size(configurations) == 0)
        return;
    html_table(
        &p->html,
        p->run->job.split.folds > 0 ? "Configurations on out-of-fold predictions, mean ± standard deviation over the folds"
                                    : "Configurations on validation, mean ± standard deviation over their seeds, best mean first",
        "Configuration|#Trials|#Score|#Loss|#Precision|#Recall|#F1|#Macro F1|#Lowest score|#Highest score|Best trial", true);
    for (size_t i = 0; i < json_size(configurations); i++)
        add_configuration_row(p, json_at(configurations, i), p->run->chosen);
    html_table_end(&p->html);
}

static void add_epoch_table(struct report_page *p)
{
    static const char *const keys[] = {"best_f1", "average_precision", "accuracy", "precision", "recall",
                                       "f1",      "micro_f1",          "macro_f1"};
    struct buffer *b = &p->html;
    html_details(b, "Every epoch of every trial");
    html_table(b, "Losses, and validation metrics: F1 at the best threshold, average precision, and those at threshold 0.5",
               "Trial|#Epoch|#Training loss|#Validation loss|#Best F1|#Average precision|#Accuracy|#Precision|#Recall|#F1|#Micro "
               "F1|#Macro F1",
               true);
    for (size_t i = 0; i < p->run->metrics_count; i++)
        for (size_t k = 0; k < p->run->metrics[i].epochs; k++) {
            const struct json *line = p->run->metrics[i].epoch[k];
            html_row(b, false);
            html_head_cell(b, p->run->metrics[i].trial);
            html_count_cell(b, page_number(json_get(line, "epoch")));
            html_metric_cell(b, page_number(json_get(line, "train_loss")));
            html_metric_cell(b, page_number(json_get(line, "validation_loss")));
            for (size_t m = 0; m < sizeof keys / sizeof keys[0]; m++)
                html_metric_cell(b, page_number(json_get(json_get(line, "validation"), keys[m])));
            html_row_end(b);
        }
    html_table_end(b);
    html_details_end(b);
}

void page_trials(struct report_page *p)
{
    struct buffer *b = &p->html;
    html_section(b, "trials", "Trials and training");
    if (p->run->metrics_count == 0)
        buffer_text(b, "<p>No trial has begun yet.</p>\n");
    add_configuration_table(p);
    add_trial_table(p);
    page_plot(p, "trials");
    buffer_text(b, "<div class=\"figures\">\n");
    page_plot(p, "validation_ranking_by_epoch");
    page_plot(p, "loss");
    page_plot(p, "validation_loss_by_epoch");
    page_plot(p, "validation_f1_by_epoch");
    buffer_text(b, "</div>\n");
    if (p->run->metrics_count > 0)
        add_epoch_table(p);
    html_section_end(b);
}

/* ---- thresholds ---- */

static void add_points(struct report_page *p)
{
    const struct json *trials = json_get(p->run->tune, "trials"), *points = NULL;
    struct buffer *b = &p->html;
    for (size_t i = 0; i < json_size(trials); i++) {
        const char *key = json_string(json_get(json_at(trials, i), "trial"));
        if (key && p->run->chosen && strcmp(key, p->run->chosen) == 0)
            points = json_get(json_at(trials, i), "points");
    }
    if (json_size(points) == 0)
        return;
    html_details(b, "Every threshold that was tried");
    html_table(b, "The chosen trial on validation", "#Threshold|#Precision|#Recall|#F1|#Score", true);
    for (size_t i = 0; i < json_size(points); i++) {
        const struct json *point = json_at(points, i);
        html_row(b, json_number(json_get(point, "threshold")) == p->run->thresholds[p->run->positive]);
        html_number_cell(b, page_number(json_get(point, "threshold")), "%.4g");
        html_metric_cell(b, page_number(json_get(point, "precision")));
        html_metric_cell(b, page_number(json_get(point, "recall")));
        html_metric_cell(b, page_number(json_get(point, "f1")));
        html_metric_cell(b, page_number(json_get(point, "score")));
        html_row_end(b);
    }
    html_table_end(b);
    html_details_end(b);
}

/* A value that validation does not support another for; why: a string, NULL: it was chosen. */
static void add_neutral(struct buffer *b, const char *what, const struct json *why)
{
    if (!json_string(why))
        return;
    buffer_text(b, "<p>");
    html_text(b, what);
    html_text(b, json_string(why));
    buffer_text(b, ".</p>\n");
}

/* "f1, from 0.1, to 0.9, points 33" */
static void add_rule(struct report_page *p)
{
    const struct json *rule = json_get(p->run->tune, "rule");
    struct buffer *b = &p->html;
    if (json_size(rule) == 0 || (p->validation && p->validation->kind == KIND_MANY_CLASSES))
        return;
    buffer_text(b, "<p class=\"soft\">Chosen on validation by ");
    for (size_t i = 0; i < json_size(rule); i++) {
        const struct json *value = json_at(rule, i);
        const char *key = json_key(rule, i);
        char *text = json_type(value) == JSON_STRING ? duplicate(json_string(value)) : json_print(value, false);
        html_printf(b, i == 0 ? "the %s %s" : ", %s %s", key, text);
        free(text);
    }
    buffer_text(b, ".</p>\n");
    add_neutral(b, "The threshold 0.5 was not tuned: ", json_get(p->run->tune, "why"));
    const struct json *thresholds = json_get(p->run->tune, "thresholds"), *labels = json_get(thresholds, "labels"),
                      *cross = json_get(thresholds, "cross_validation");
    add_neutral(b, json_boolean(json_get(cross, "better")) ? "Thresholds by label: " : "One threshold for all labels: ",
                json_get(cross, "why"));
    for (size_t i = 0; i < json_size(labels); i++) {
        const struct json *label = json_at(labels, i);
        const char *source = json_string(json_get(label, "source"));
        if (!source || strcmp(source, "neutral") != 0)
            continue;
        char *what = format_string("%s: threshold 0.5, not tuned: ", json_string(json_get(label, "label")));
        add_neutral(b, what, json_get(label, "why"));
        free(what);
    }
}

/* A plot for each of the labels that do worst: a list to pick from that works without a script. */
static void add_label_plots(struct report_page *p)
{
    uint32_t *order = allocate(p->run->label_count, sizeof *order);
    uint32_t count = report_worst_labels(order, p->metrics, p->run->label_count);
    struct buffer *b = &p->html;
    buffer_printf(b, "<h3>By label, worst at 0.5 first</h3>\n");
    for (uint32_t i = 0; i < count && i < MORE_LABELS; i++) {
        const struct label_metrics *f = &p->metrics[order[i]];
        char id[32], *summary = format_string("%s: F1 %.4f at 0.5, %.4f at %.4g", p->run->labels[order[i]], f->at_0_5.f1,
                                              f->at_rule.f1, f->threshold);
        snprintf(id, sizeof id, "threshold_label_%u", order[i]);
        html_details(b, summary);
        page_plot(p, id);
        html_details_end(b);
        free(summary);
    }
    if (count > MORE_LABELS)
        buffer_printf(b, "<p class=\"soft\">%u more labels stand in the table of labels.</p>\n", count - MORE_LABELS);
    free(order);
}

void page_thresholds(struct report_page *p)
{
    struct buffer *b = &p->html;
    html_section(b, "thresholds", "Thresholds");
    if (!p->validation)
        buffer_text(b, "<p>No thresholds have been chosen yet.</p>\n");
    else if (p->validation->kind == KIND_MANY_CLASSES)
        buffer_text(
            b, "<p>Each row has one label of several: the most probable one is predicted, and no threshold is needed.</p>\n");
    add_rule(p);
    buffer_text(b, "<div class=\"figures\">\n");
    page_plot(p, "threshold");
    page_plot(p, "precision_recall");
    buffer_text(b, "</div>\n");
    if (p->validation && p->validation->kind == KIND_MANY_LABELS && p->plots->count > 0 && !p->why_not_drawn)
        add_label_plots(p);
    add_points(p);
    html_section_end(b);
}

/* ---- calibration ---- */

static void add_calibration_row(struct buffer *b, const char *name, const struct reliability *r)
{
    html_row(b, false);
    html_head_cell(b, name);
    html_metric_cell(b, r->ece);
    html_metric_cell(b, r->brier);
    html_metric_cell(b, r->nll);
    html_row_end(b);
}

static void add_bins(struct buffer *b, const struct reliability *r)
{
    html_details(b, "The 15 bins");
    html_table(b, "By the probability that the rule works with", "#From|#To|#Rows|#Mean probability|#Share that is true", false);
    for (int i = 0; i < RELIABILITY_BINS; i++) {
        html_row(b, false);
        bool filled = r->bin[i].count > 0;
        html_number_cell(b, (double)i / RELIABILITY_BINS, "%.3f");
        html_number_cell(b, (double)(i + 1) / RELIABILITY_BINS, "%.3f");
        html_count_cell(b, (double)r->bin[i].count);
        html_metric_cell(b, filled ? r->bin[i].confidence : NAN);
        html_metric_cell(b, filled ? r->bin[i].accuracy : NAN);
        html_row_end(b);
    }
    html_table_end(b);
    html_details_end(b);
}

/* W4's grid, beside the temperature that the likelihood gives. */
static void add_grid(struct report_page *p)
{
    const struct json *best = json_get(json_get(json_get(p->run->tune, "calibration"), "grid"), "best");
    if (json_size(best) == 3)
        buffer_printf(&p->html,
                      "<p class=\"soft\">Of the temperatures 1 to 15 by thresholds 0.2 to 1.0, temperature %.4g with threshold "
                      "%.4g has the highest F1 on validation: %.4f.</p>\n",
                      json_number(json_at(best, 0)), json_number(json_at(best, 1)), json_number(json_at(best, 2)));
}

void page_calibration(struct report_page *p)
{
    struct buffer *b = &p->html;
    html_section(b, "calibration", "Calibration");
    if (!p->validation) {
        buffer_text(b, "<p>There are no probabilities yet.</p>\n");
    } else {
        struct reliability before, after;
        bool calibrated = report_is_calibrated(p->run);
        scores_reliability(&before, p->validation, false);
        scores_reliability(&after, p->validation, true);
        if (calibrated && json_size(json_get(p->run->inference, "temperatures")) > 0)
            buffer_text(b,
                        "<p>Each label's logits are divided by a temperature of its own before they become probabilities.</p>\n");
        else if (calibrated)
            buffer_printf(b, "<p>Logits are divided by a temperature of %.4g before they become probabilities.</p>\n",
                          p->run->temperatures[0]);
        else
            buffer_text(b, "<p>Probabilities are used as the model gives them: the temperature is 1.</p>\n");
        const struct json *calibration = json_get(p->run->tune, "calibration"), *reasons = json_get(calibration, "reasons");
        add_neutral(b, "The temperature 1 was not fitted: ", json_get(calibration, "why"));
        for (size_t i = 0; i < json_size(reasons); i++) {
            char *what = format_string("%s: no temperature of its own: ", json_key(reasons, i));
            add_neutral(b, what, json_at(reasons, i));
            free(what);
        }
        buffer_text(b, "<div class=\"figures\">\n");
        page_plot(p, "reliability");
        buffer_text(b, "<div>\n");
        html_table(b, "How far probabilities can be believed, on validation; lower is better",
                   "Probabilities|#Calibration error|#Brier score|#Log loss", false);
        add_calibration_row(b, calibrated ? "Before" : "As they are", &before);
        if (calibrated)
            add_calibration_row(b, "After", &after);
        html_table_end(b);
        add_grid(p);
        add_bins(b, &after);
        buffer_text(b, "</div></div>\n");
    }
    html_section_end(b);
}
