/* SPDX-License-Identifier: Apache-2.0 */
/* muster evaluate: a bundle on labelled rows, at its own temperature and thresholds; a gate for CI. */
#include "common/base/buffer.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "coordinator/bundle/bundle_score.h"
#include "coordinator/cli/input_arguments.h"
#include "coordinator/cli/verbs.h"
#include "coordinator/decision/tune.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct option evaluate_options[] = {
    {"min-f1", 0, "X", NULL, "exit 4 if F1 (of the positive label, or as chosen by --metric) is below X"},
    {"metric", 0, "NAME", NULL,
     "metric of the gate: f1, micro_f1, macro_f1, weighted_f1; default: f1 (two classes), macro_f1 (more), micro_f1 "
     "(multi-label)"},
    {"unseen", 0, NULL, NULL, "exclude rows that the bundle was trained or tuned on"},
    {"allow-train", 0, NULL, NULL, "accept rows that the bundle was trained on; by default such data is refused"},
    {"junit", 0, "FILE", NULL, "write the gate's result as JUnit XML"},
    {"json", 0, NULL, NULL, "print the metrics as JSON"},
    INPUT_OPTIONS,
    {"device", 0, "NAME", "auto", "compute device: auto, cpu, cuda, cpu_reference"},
    {"threads", 0, "N", "0", "threads; 0: all cores"},
    {NULL},
};

static double pooled_f1(const struct metrics *f)
{
    return f->pooled.f1;
}

static double micro_f1(const struct metrics *f)
{
    return f->all.micro_f1;
}

static double macro_f1(const struct metrics *f)
{
    return f->all.macro_f1;
}

static double weighted_f1(const struct metrics *f)
{
    return f->all.weighted_f1;
}

static const struct {
    const char *name, *words;
    double (*of)(const struct metrics *f);
} gates[] = {{"f1", "F1", pooled_f1},
             {"micro_f1", "micro F1", micro_f1},
             {"macro_f1", "macro F1", macro_f1},
             {"weighted_f1", "weighted F1", weighted_f1}};
#define GATES (sizeof gates / sizeof gates[0])

struct gate {
    double least, found;
    const char *words;
};

/* Before anything is computed. name may be NULL. */
static int check_gate(const char *name, const char *bundle, struct error *e)
{
    struct bundle *b;
    struct error ignored;
    size_t i = 0;
    while (name && i < GATES && strcmp(gates[i].name, name) != 0)
        i++;
    if (i == GATES)
        return error_set(e, ERROR_USAGE, "--metric: expected f1, micro_f1, macro_f1 or weighted_f1, found \"%s\"", name);
    if (!name || i > 0 || bundle_open(&b, bundle, &ignored) != 0) /* what is no bundle is named later */
        return 0;
    bool binary = decision_kind_of(bundle_labels(b)->multi, bundle_labels(b)->count) == DECISION_BINARY;
    bundle_close(&b);
    return binary ? 0 : error_set(e, ERROR_USAGE, "--metric: f1 is for two classes; use micro_f1, macro_f1 or weighted_f1");
}

/* name NULL: the usual one of the kind; else one of them. */
static size_t find_gate(const char *name, enum decision_kind kind)
{
    static const size_t usual[] = {[DECISION_BINARY] = 0, [DECISION_LABELS] = 1, [DECISION_CLASS] = 2};
    size_t i = 0;
    while (name && strcmp(gates[i].name, name) != 0)
        i++;
    return name ? i : usual[kind];
}

static struct json *to_json(const struct metrics *f, const struct bundle_score *s, const struct gate *gate)
{
    const struct decision_rule *d = bundle_decision(s->bundle);
    bool binary = bundle_score_kind(s).kind == DECISION_BINARY;
    struct json *o = binary ? metrics_to_json(&f->pooled) : json_object();
    averages_to_json(o, &f->all);
    json_set_number(o, "accuracy", f->all.accuracy);
    json_set_number(o, "f1", gate->found);
    json_set_number(o, "rows", s->rows);
    json_set_number(o, "loss", f->loss);
    json_set_number(o, "temperature", d->temperature);
    struct json *own = d->own_temperatures ? json_set(o, "temperatures", json_object()) : NULL;
    for (uint32_t l = 0; own && l < s->labels; l++)
        json_set_number(own, bundle_labels(s->bundle)->names[l], d->temperatures[l]);
    if (binary) {
        json_set_number(o, "threshold", d->thresholds[d->positive]);
        json_set_string(o, "positive", bundle_labels(s->bundle)->names[d->positive]);
    }
    if (s->knows) {
        struct json *known = json_set(o, "known_rows", json_object());
        for (int p = 0; p <= PART_COUNT; p++)
            json_set_number(known, p < PART_COUNT ? part_names[p] : "new", s->known[p]);
    }
    struct json *each = json_set(o, "labels", json_object());
    for (uint32_t l = 0; l < s->labels; l++)
        json_set(each, bundle_labels(s->bundle)->names[l], metrics_to_json(&f->each[l]));
    return o;
}

/* "temperature 1.5". Caller frees. */
static char *temperature_summary(const struct decision_rule *d)
{
    return d->own_temperatures ? duplicate("one temperature per label") : format_string("temperature %.4g", d->temperature);
}

static void print_binary(const struct metrics *f, const struct bundle_score *s)
{
    const struct decision_rule *d = bundle_decision(s->bundle);
    const struct binary_metrics *m = &f->pooled;
    const char *name = bundle_labels(s->bundle)->names[d->positive];
    char *words = temperature_summary(d);
    printf("%u row%s, %s at probability >= %.4g, %s\n", s->rows, s->rows == 1 ? "" : "s", name, d->thresholds[d->positive],
           words);
    free(words);
    printf("  loss %.4f  accuracy %.4f  precision %.4f  recall %.4f  F1 %.4f\n", f->loss, m->accuracy, m->precision, m->recall,
           m->f1);
    printf("  predicted %s: %llu correct, %llu wrong; not predicted: %llu correct, %llu wrong\n", name,
           (unsigned long long)m->true_positive, (unsigned long long)m->false_positive, (unsigned long long)m->true_negative,
           (unsigned long long)m->false_negative);
}

static void print_many(const struct metrics *f, const struct bundle_score *s)
{
    uint32_t absent = 0, left_out = 0;
    for (uint32_t l = 0; l < s->labels; l++) {
        bool none = f->each[l].true_positive + f->each[l].false_negative == 0;
        absent += none;
        left_out += none && f->each[l].false_positive == 0 && bundle_score_kind(s).kind == DECISION_CLASS;
    }
    char *words = temperature_summary(bundle_decision(s->bundle));
    printf("%u row%s, %u label%s, %s\n", s->rows, s->rows == 1 ? "" : "s", s->labels, s->labels == 1 ? "" : "s", words);
    free(words);
    printf("  loss %.4f  accuracy %.4f  precision %.4f  recall %.4f  micro F1 %.4f  macro F1 %.4f  weighted F1 %.4f\n", f->loss,
           f->all.accuracy, f->all.micro_precision, f->all.micro_recall, f->all.micro_f1, f->all.macro_f1, f->all.weighted_f1);
    if (absent > 0)
        printf("  %u of %u labels have no rows here: the macro F1 leaves out %u that no row is predicted as and counts %u as 0\n",
               absent, s->labels, left_out, absent - left_out);
}

static void print_result(const struct metrics *f, const struct bundle_score *s, const struct gate *gate, bool as_json)
{
    if (!as_json) {
        (bundle_score_kind(s).kind == DECISION_BINARY ? print_binary : print_many)(f, s);
        return;
    }
    struct json *o = to_json(f, s, gate);
    char *text = json_print(o, true);
    printf("%s\n", text);
    free(text);
    json_destroy(&o);
}

static enum overlap_policy policy_of(const struct arguments *a)
{
    return argument_given(a, "unseen")        ? OVERLAP_LEAVE_OUT
           : argument_given(a, "allow-train") ? OVERLAP_COUNT
                                              : OVERLAP_REFUSE_TRAIN;
}

/* What of the file the bundle has seen before, for people. */
static void tell_known(const struct bundle_score *s, const char *data, enum overlap_policy policy)
{
    const uint32_t *known = s->known, seen = known[PART_TRAIN] + known[PART_VALIDATION];
    if (!s->knows)
        return;
    if (policy == OVERLAP_LEAVE_OUT)
        log_info("%s: %u rows that the bundle was trained on and %u that it was tuned on are excluded; %u remain, %u of them "
                 "from its test part",
                 data, known[PART_TRAIN], known[PART_VALIDATION], s->rows, known[PART_TEST]);
    else if (seen > 0)
        log_warn("%s: the bundle was trained on %u of the %u rows and tuned on %u: these metrics are too optimistic", data,
                 known[PART_TRAIN], s->rows, known[PART_VALIDATION]);
}

static void add_escaped(struct buffer *b, const char *text)
{
    static const struct {
        char plain;
        const char *escaped;
    } all[] = {{'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'"', "&quot;"}};
    for (; *text; text++) {
        const char *escaped = NULL;
        for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
            escaped = all[i].plain == *text ? all[i].escaped : escaped;
        if (escaped)
            buffer_text(b, escaped);
        else
            buffer_append(b, (unsigned char)*text < ' ' ? " " : text, 1);
    }
}

/* One test suite with one case: CI servers show it beside the tests. */
static int write_junit(const char *path, const struct gate *g, const char *bundle, const char *data, struct error *e)
{
    struct buffer b = {0};
    bool failed = g->found < g->least;
    buffer_printf(&b,
                  "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"muster evaluate\" tests=\"1\" failures=\"%d\" "
                  "errors=\"0\">\n  <testcase classname=\"",
                  failed);
    add_escaped(&b, bundle);
    buffer_printf(&b, "\" name=\"%s of at least %g on ", g->words, g->least);
    add_escaped(&b, data);
    buffer_text(&b, "\">\n");
    if (failed)
        buffer_printf(&b, "    <failure message=\"%s %.6f is below %g\"/>\n", g->words, g->found, g->least);
    buffer_printf(&b, "    <system-out>%s %.6f</system-out>\n  </testcase>\n</testsuite>\n", g->words, g->found);
    int status = file_write(path, b.data, b.size, e);
    buffer_free(&b);
    return status;
}

int verb_evaluate(const struct arguments *a, struct error *e)
{
    struct bundle_score s;
    struct bundle_score_options o = {.device = argument(a, "device"), .overlap = policy_of(a)};
    struct gate gate = {0};
    if (argument_given(a, "unseen") && argument_given(a, "allow-train"))
        return error_set(e, ERROR_USAGE, "--unseen excludes the rows that --allow-train accepts: give only one of them");
    if (argument_whole(&o.threads, a, "threads", 0, 4096, e) != 0 ||
        (argument_given(a, "min-f1") && argument_number(&gate.least, a, "min-f1", 0, 100, e) != 0) ||
        check_gate(argument(a, "metric"), a->positional[0], e) != 0 || input_arguments_read(&o.input, a, e) != 0)
        return -1;
    int status = bundle_score_run(&s, a->positional[0], a->positional[1], true, &o, e);
    input_arguments_free(&o.input);
    if (status != 0)
        return -1;
    size_t which = find_gate(argument(a, "metric"), bundle_score_kind(&s).kind);
    tell_known(&s, a->positional[1], o.overlap);
    struct truth truth;
    struct metrics f;
    truth_read(&truth, s.data, NULL, s.rows, bundle_score_kind(&s).positive);
    metrics_make(&f, &truth, s.logits, s.temperatures, bundle_decision(s.bundle)->thresholds);
    gate.found = gates[which].of(&f);
    gate.words = gates[which].words;
    print_result(&f, &s, &gate, argument_given(a, "json"));
    metrics_free(&f);
    truth_free(&truth);
    bundle_score_free(&s);
    if (argument_given(a, "junit") && write_junit(argument(a, "junit"), &gate, a->positional[0], a->positional[1], e) != 0)
        return -1;
    if (gate.found < gate.least)
        return error_set(e, ERROR_GATE, "%s: %s %.4f on %s is below the gate --min-f1 %g", a->positional[0], gate.words,
                         gate.found, a->positional[1], gate.least);
    return 0;
}
