/* SPDX-License-Identifier: Apache-2.0 */
/* Labels, errors, data and provenance, and the end of a report. */
#include "coordinator/report/report_page.h"
#include "coordinator/report/report_texts.h"

#include "common/base/memory.h"
#include "common/base/version.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#define WORST_MOST 20
#define TEXT_MOST 320
#define MATRIX_MOST 30 /* labels in a confusion matrix */

/* ---- labels ---- */

static void add_class_row(struct buffer *b, const struct report_run *r, const uint64_t *confusion, uint32_t c)
{
    struct binary_metrics m = {0};
    uint32_t labels = r->label_count;
    for (uint32_t t = 0; t < labels; t++)
        for (uint32_t p = 0; p < labels; p++) {
            uint64_t n = confusion[(size_t)t * labels + p];
            *(t == c ? (p == c ? &m.true_positive : &m.false_negative) : (p == c ? &m.false_positive : &m.true_negative)) += n;
        }
    binary_metrics_of_counts(&m);
    html_row(b, false);
    html_head_cell(b, r->labels[c]);
    html_count_cell(b, (double)(m.true_positive + m.false_negative));
    html_metric_cell(b, m.precision);
    html_metric_cell(b, m.recall);
    html_metric_cell(b, m.f1);
    html_count_cell(b, (double)m.false_positive);
    html_count_cell(b, (double)m.false_negative);
    html_row_end(b);
}

static void add_class_table(struct report_page *p, const struct report_scores *s, const char *caption)
{
    if (!s)
        return;
    uint64_t *confusion = scores_confusion(s);
    html_table(&p->html, caption, "Label|#Rows|#Precision|#Recall|#F1|#Wrongly given|#Missed", true);
    for (uint32_t c = 0; c < p->run->label_count; c++)
        add_class_row(&p->html, p->run, confusion, c);
    html_table_end(&p->html);
    free(confusion);
}

static void add_label_row(struct report_page *p, uint32_t c)
{
    struct buffer *b = &p->html;
    const struct label_metrics *f = &p->metrics[c];
    const struct binary_metrics *m = &f->at_rule;
    html_row(b, false);
    html_head_cell(b, p->run->labels[c]);
    html_count_cell(b, (double)(m->true_positive + m->false_negative));
    html_metric_cell(b, f->at_0_5.f1);
    html_number_cell(b, f->threshold, "%.4g");
    html_metric_cell(b, m->precision);
    html_metric_cell(b, m->recall);
    html_metric_cell(b, m->f1);
    html_count_cell(b, (double)m->false_positive);
    html_count_cell(b, (double)m->false_negative);
    html_metric_cell(b, f->average_precision);
    html_metric_cell(b, p->test_metrics ? p->test_metrics[c].at_rule.f1 : NAN);
    html_row_end(b);
}

/* W5: what needs no person, where labels are found as well as people agree on them. */
static void add_automatable(struct report_page *p)
{
    const struct json *models = json_get(p->run->automatable, "models");
    struct buffer *b = &p->html;
    if (json_size(models) == 0)
        return;
    buffer_printf(b, "<h3>Automatable</h3>\n<p>A label is automatable if its F1 on test reaches %.4g.</p>\n",
                  json_number(json_get(p->run->automatable, "agreement")));
    html_table(b, "Labels that need no person, and the rows of test that this covers",
               "Model|#Labels|#Automatable|#Rows with a label|#All labels automatable|#Some label automatable", false);
    for (size_t i = 0; i < json_size(models); i++) {
        const struct json *m = json_at(models, i);
        html_row(b, false);
        html_head_cell(b, json_string(json_get(m, "model")));
        html_count_cell(b, page_number(json_get(m, "labels")));
        html_count_cell(b, page_number(json_get(m, "automatable_labels")));
        html_count_cell(b, page_number(json_get(m, "rows_with_label")));
        html_metric_cell(b, page_number(json_get(m, "share_all_labels")));
        html_metric_cell(b, page_number(json_get(m, "share_some_label")));
        html_row_end(b);
    }
    html_table_end(b);
}

void page_labels(struct report_page *p)
{
    struct buffer *b = &p->html;
    html_section(b, "labels", "Labels");
    if (!p->validation)
        buffer_text(b, "<p>There are no predictions yet.</p>\n");
    else if (p->validation->kind != KIND_MANY_LABELS) {
        add_class_table(p, p->validation, "Validation, by the rule");
        add_class_table(p, p->test, "Test, by the rule");
    } else {
        html_table(b, "Validation, by the rule; in the last column test",
                   "Label|#Rows|#F1 at 0.5|#Threshold|#Precision|#Recall|#F1|#Wrongly given|#Missed|#Average precision|#Test F1",
                   true);
        for (uint32_t c = 0; c < p->run->label_count; c++)
            add_label_row(p, c);
        html_table_end(b);
    }
    add_automatable(p);
    html_section_end(b);
}

/* ---- errors ---- */

static void add_confusion(struct report_page *p, const struct report_scores *s, const char *caption)
{
    uint32_t labels = p->run->label_count;
    if (!s || s->kind == KIND_MANY_LABELS || labels > MATRIX_MOST)
        return;
    struct buffer *b = &p->html;
    uint64_t *confusion = scores_confusion(s);
    buffer_text(b, "<div class=\"matrix\"><div class=\"scroll\"><table>\n<caption><span>");
    html_text(b, caption);
    buffer_text(b, "</span></caption>\n<thead><tr><th scope=\"col\">True label</th>");
    for (uint32_t c = 0; c < labels; c++) {
        buffer_text(b, "<th scope=\"col\">predicted ");
        html_short(b, p->run->labels[c], 40);
        buffer_text(b, "</th>");
    }
    buffer_text(b, "</tr></thead>\n<tbody>\n");
    for (uint32_t t = 0; t < labels; t++) {
        html_row(b, false);
        html_head_cell(b, p->run->labels[t]);
        for (uint32_t c = 0; c < labels; c++) {
            buffer_printf(b, "<td class=\"n%s\">", t == c ? " right" : "");
            html_count(b, (double)confusion[(size_t)t * labels + c]);
            buffer_text(b, "</td>");
        }
        html_row_end(b);
    }
    buffer_text(b, "</tbody></table></div></div>\n");
    free(confusion);
}

static void add_text_cell(struct buffer *b, const char *a, const char *second)
{
    buffer_text(b, "<td class=\"text\">");
    if (a) {
        buffer_text(b, "<p>");
        html_short(b, a, TEXT_MOST);
        buffer_text(b, "</p>");
    }
    if (second && *second) {
        buffer_text(b, "<p class=\"soft\">");
        html_short(b, second, TEXT_MOST);
        buffer_text(b, "</p>");
    }
    buffer_text(b, "</td>");
}

static void add_wrong(struct report_page *p, const struct report_scores *s, const struct wrong *w,
                      const struct report_texts *texts, size_t i)
{
    struct buffer *b = &p->html;
    bool many = s->kind == KIND_MANY_LABELS;
    html_row(b, false);
    html_head_cell(b, dataset_id(p->run->data, w->row));
    if (many) {
        html_cell(b, p->run->labels[w->label]);
        html_cell(b, w->predicted ? "wrongly given" : "missed");
    } else {
        html_cell(b, p->run->labels[w->truth]);
        html_cell(b, p->run->labels[w->predicted]);
    }
    html_metric_cell(b, w->probability);
    if (!texts->why)
        add_text_cell(b, texts->a[i], texts->b[i]);
    html_row_end(b);
}

static void add_worst(struct report_page *p, const struct report_scores *s, const char *caption)
{
    struct wrong *wrong;
    struct report_texts texts;
    struct buffer *b = &p->html, columns = {0};
    size_t count = scores_worst(&wrong, s, WORST_MOST);
    uint32_t *rows = allocate(count, sizeof *rows);
    for (size_t i = 0; i < count; i++)
        rows[i] = wrong[i].row;
    report_texts_read(&texts, p->run, rows, count);
    if (texts.why) {
        buffer_text(b, "<p class=\"note\">The texts of these rows are left out: ");
        html_text(b, texts.why);
        buffer_text(b, "</p>\n");
    }
    buffer_text(&columns, s->kind == KIND_MANY_LABELS ? "Row|Label|Error|#Probability" : "Row|True label|Predicted|#Probability");
    buffer_text(&columns, texts.why ? "" : "|Text");
    if (count > 0) {
        html_table(b, caption, columns.data, true);
        for (size_t i = 0; i < count; i++)
            add_wrong(p, s, &wrong[i], &texts, i);
        html_table_end(b);
    } else
        buffer_text(b, "<p>No row is wrong.</p>\n");
    report_texts_free(&texts);
    buffer_free(&columns);
    free(rows);
    free(wrong);
}

void page_errors(struct report_page *p)
{
    struct buffer *b = &p->html;
    html_section(b, "errors", "Errors");
    buffer_text(b, "<div class=\"figures\">\n");
    add_confusion(p, p->validation, "Rows of validation, by the rule");
    add_confusion(p, p->test, "Rows of test, by the rule");
    buffer_text(b, "</div>\n");
    if (p->validation) {
        buffer_text(b, "<p>Of the errors, those that the model was surest of: some are labels worth a second look.</p>\n");
        add_worst(p, p->validation, "Validation: the surest errors, with the probability of what was predicted");
    } else
        buffer_text(b, "<p>There are no predictions yet.</p>\n");
    if (p->test && p->with_test)
        add_worst(p, p->test, "Test: the surest errors, with the probability of what was predicted");
    else if (p->test)
        buffer_text(b, "<p class=\"soft\">Rows of test are not shown, so that nobody tunes on them: <code>muster report RUN "
                       "--with-test</code> shows them.</p>\n");
    html_section_end(b);
}

/* ---- data ---- */

static void add_count_term(struct buffer *b, const char *term, const struct json *value)
{
    if (json_type(value) != JSON_NUMBER)
        return;
    buffer_printf(b, "<dt>%s</dt><dd>", term);
    html_count(b, json_number(value));
    buffer_text(b, "</dd>\n");
}

static void add_counts(struct report_page *p)
{
    const struct json *c = p->run->check, *tokens = json_get(c, "tokens"), *counts = json_get(p->run->split_file, "counts");
    struct buffer *b = &p->html;
    html_terms(b);
    add_count_term(b, "Rows read", json_get(c, "read"));
    add_count_term(b, "Rows kept", json_get(c, "kept"));
    add_count_term(b, "Without a label", json_get(c, "without_label"));
    add_count_term(b, "Groups", json_get(c, "groups"));
    add_count_term(b, "Duplicate rows", json_get(json_get(c, "duplicates"), "rows"));
    add_count_term(b, "Duplicates with another label", json_get(json_get(c, "duplicates"), "with_other_label"));
    add_count_term(b, "Tokens a row, median", json_get(tokens, "median"));
    add_count_term(b, "Tokens a row, most", json_get(tokens, "max"));
    add_count_term(b, "Most tokens that are used", json_get(tokens, "max_length"));
    add_count_term(b, "Rows cut to that", json_get(tokens, "truncated"));
    for (size_t i = 0; i < json_size(counts); i++) {
        char *term = format_string("Rows in %s", json_key(counts, i));
        add_count_term(b, term, json_at(counts, i));
        free(term);
    }
    html_terms_end(b);
}

/* How often a label occurs in a part, from its rows. Caller frees. */
static double *count_labels(const struct report_run *r, enum part part)
{
    double *counts = allocate(r->label_count, sizeof *counts);
    for (uint32_t i = 0; r->has_split && i < r->split.part[part].count; i++) {
        uint32_t row = r->split.part[part].rows[i];
        for (uint32_t c = 0; c < r->label_count; c++)
            counts[c] += r->multi ? dataset_targets(r->data, row)[c] >= 0.5f : dataset_class(r->data, row) == (int32_t)c;
    }
    return counts;
}

static void add_label_counts(struct report_page *p)
{
    const struct json *labels = json_get(p->run->check, "labels");
    struct buffer *b = &p->html;
    double *counts[PART_COUNT];
    for (int part = 0; part < PART_COUNT; part++)
        counts[part] = count_labels(p->run, (enum part)part);
    html_table(b, "Labels", "Label|#Rows|#Share|#Train|#Validation|#Test", true);
    for (size_t i = 0; i < json_size(labels); i++) {
        html_row(b, false);
        html_head_cell(b, json_string(json_get(json_at(labels, i), "name")));
        html_count_cell(b, page_number(json_get(json_at(labels, i), "count")));
        html_metric_cell(b, page_number(json_get(json_at(labels, i), "share")));
        for (int part = 0; part < PART_COUNT; part++)
            html_count_cell(b, p->run->has_split ? counts[part][i] : NAN);
        html_row_end(b);
    }
    html_table_end(b);
    for (int part = 0; part < PART_COUNT; part++)
        free(counts[part]);
}

static void add_json(struct buffer *b, const char *summary, const struct json *j)
{
    char *text = json_print(j, true);
    html_details(b, summary);
    buffer_text(b, "<pre>");
    html_text(b, text);
    buffer_text(b, "</pre>\n");
    html_details_end(b);
    free(text);
}

void page_data(struct report_page *p)
{
    struct buffer *b = &p->html;
    html_section(b, "data", "Data");
    if (!p->run->check)
        buffer_text(b, "<p>The data has not been checked yet.</p>\n");
    else {
        add_counts(p);
        add_label_counts(p);
        add_json(b, "Everything that was checked", p->run->check);
    }
    html_section_end(b);
}

/* ---- provenance ---- */

static void add_text_term(struct buffer *b, const char *term, const struct json *value)
{
    if (json_string(value))
        html_term(b, term, json_string(value));
}

static void add_files(struct report_page *p)
{
    const struct json *files = json_get(p->run->check, "files");
    for (size_t i = 0; i < json_size(files); i++) {
        const char *path = json_string(json_get(json_at(files, i), "path")),
                   *hash = json_string(json_get(json_at(files, i), "sha256"));
        buffer_text(&p->html, "<dt>Data</dt><dd>");
        html_text(&p->html, path);
        buffer_text(&p->html, "<br><code>");
        html_text(&p->html, hash);
        buffer_text(&p->html, "</code></dd>\n");
    }
}

/* Each group of workers once: the host, the device and how many ranks and threads it had. */
static void add_workers(struct report_page *p)
{
    const struct json *events = p->run->events;
    struct buffer *b = &p->html;
    char *before = NULL;
    for (size_t i = 0; i < json_size(events); i++) {
        const struct json *event = json_at(events, i);
        if (strcmp(json_string(json_get(event, "event")), "group_started") != 0)
            continue;
        const char *host = json_string(json_get(event, "host")), *device = json_string(json_get(event, "device"));
        char *text = format_string("%s: %.0f rank%s, %s", host ? host : "?", json_number(json_get(event, "ranks")),
                                   json_number(json_get(event, "ranks")) == 1 ? "" : "s", device ? device : "?");
        if (!before || strcmp(before, text) != 0)
            html_term(b, "Workers", text);
        free(before);
        before = text;
    }
    free(before);
}

static void add_machine(struct buffer *b)
{
    struct utsname name;
    if (uname(&name) != 0)
        return;
    char *text = format_string("%s %s, %s, %s", name.sysname, name.release, name.machine, name.nodename);
    html_term(b, "Report made on", text);
    free(text);
}

void page_provenance(struct report_page *p)
{
    struct buffer *b = &p->html;
    const struct report_run *r = p->run;
    html_section(b, "provenance", "Provenance");
    html_terms(b);
    buffer_text(b, "<dt>Command</dt><dd><code>muster run ");
    html_text(b, r->directory);
    buffer_text(b, "/job.json</code></dd>\n");
    html_term(b, "Base model", r->job.model);
    add_files(p);
    add_text_term(b, "Rows, sha256", json_get(r->split_file, "data_sha256"));
    add_text_term(b, "Split, sha256", json_get(r->split_file, "sha256"));
    add_text_term(b, "Trial, sha256", json_get(r->inference, "trial_sha256"));
    html_term(b, "Job, sha256", r->job.hash);
    add_text_term(b, "Trained with muster", json_get(json_get(r->inference, "versions"), "muster"));
    html_term(b, "Report by muster", MUSTER_VERSION);
    add_workers(p);
    add_machine(b);
    add_text_term(b, "Begun", json_get(json_at(r->events, 0), "time"));
    if (json_size(r->events) > 0)
        add_text_term(b, "Last event", json_get(json_at(r->events, json_size(r->events) - 1), "time"));
    html_terms_end(b);
    add_json(b, "The job, with every default", r->job_file);
    if (r->inference)
        add_json(b, "The bundle's decision rule", r->inference);
    html_section_end(b);
}

void page_bottom(struct report_page *p)
{
    buffer_text(&p->html, "</main>\n<footer>Made by muster " MUSTER_VERSION " from the files of ");
    html_text(&p->html, p->run->directory);
    buffer_text(&p->html, ".</footer>\n<script>");
    buffer_text(&p->html, report_script);
    buffer_text(&p->html, "</script>\n</body>\n</html>\n");
}
