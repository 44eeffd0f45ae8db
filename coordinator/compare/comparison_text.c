/* SPDX-License-Identifier: Apache-2.0 */
/* The comparison with the baseline, as Markdown and for the screen. */
#include "coordinator/compare/comparison_text.h"

#include "common/base/buffer.h"
#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/base/sha256.h"
#include "coordinator/compare/scored_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const heads[][2] = {
    {"  on test                   precision     recall         F1   accuracy  F1 at 0.5   accuracy\n",
     "| model | precision | recall | F1 | accuracy | F1 at 0.5 | accuracy at 0.5 |\n|---|---|---|---|---|---|---|\n"},
    {"  on test                   precision     recall   micro F1   macro F1  and at 0.5   macro F1\n",
     "| model | precision | recall | micro F1 | macro F1 | micro F1 at 0.5 | macro F1 at 0.5 "
     "|\n|---|---|---|---|---|---|---|\n"}};

static bool is_binary(const struct json *baseline)
{
    const char *by = json_string(json_get(baseline, "compared_by"));
    return by && strcmp(by, headline_names[DECISION_BINARY]) == 0;
}

/* On test. rule: "at_threshold", "at_half". */
static double metric(const struct json *model, const char *rule, const char *name)
{
    return json_number(json_get(json_get(json_get(model, "test"), rule), name));
}

static void add_row(struct buffer *to, const struct json *model, const char *name, bool binary, bool markdown)
{
    const double metrics[] = {metric(model, "at_threshold", binary ? "precision" : "micro_precision"),
                              metric(model, "at_threshold", binary ? "recall" : "micro_recall"),
                              metric(model, "at_threshold", binary ? "f1" : "micro_f1"),
                              metric(model, "at_threshold", binary ? "accuracy" : "macro_f1"),
                              metric(model, "at_half", binary ? "f1" : "micro_f1"),
                              metric(model, "at_half", binary ? "accuracy" : "macro_f1")};
    buffer_printf(to, markdown ? "| %s" : "  %-24s", name);
    for (size_t i = 0; i < sizeof metrics / sizeof metrics[0]; i++)
        buffer_printf(to, markdown ? " | %.4f" : "  %9.4f", metrics[i]);
    bool met = json_boolean(json_get(model, "meets_rule"));
    buffer_text(to, markdown ? " |\n" : met ? "\n" : "  (no threshold meets the rule: at 0.5)\n");
}

static void add_table(struct buffer *to, const struct json *baseline, const struct json *ensemble, bool markdown)
{
    const struct json *transformer = json_get(baseline, "transformer"), *linear = json_get(baseline, "baseline");
    bool binary = is_binary(baseline);
    char mixed[64];
    snprintf(mixed, sizeof mixed, "ensemble, %.2f TF-IDF", json_number(json_get(ensemble, "weight")));
    buffer_text(to, heads[!binary][markdown]);
    add_row(to, transformer, json_string(json_get(transformer, "name")), binary, markdown);
    add_row(to, linear, json_string(json_get(linear, "name")), binary, markdown);
    add_row(to, ensemble, mixed, binary, markdown);
}

char *comparison_to_markdown(const struct json *baseline, const struct json *ensemble)
{
    struct buffer b = {0};
    buffer_text(&b,
                "## Comparison with a linear baseline\n\nOn test, thresholds chosen on validation. The baseline is a logistic "
                "regression on TF-IDF of words and pairs of words; the ensemble is the weighted mean of both models' "
                "probabilities and is not part of the bundle.\n\n");
    add_table(&b, baseline, ensemble, true);
    buffer_printf(&b, "\n%s\n", json_string(json_get(baseline, "verdict")));
    return b.data;
}

void comparison_print(const struct json *baseline, const struct json *ensemble)
{
    struct buffer b = {0};
    add_table(&b, baseline, ensemble, false);
    printf("%s  %s\n", b.data, json_string(json_get(baseline, "verdict")));
    buffer_free(&b);
}

int comparison_decision(char sha256[SHA256_HEX], const char *directory, struct error *e)
{
    char *path = path_join(directory, "tune.json");
    int status = sha256_file(path, sha256, e);
    free(path);
    return status;
}

static struct json *read_if_there(const char *directory, const char *name)
{
    struct json *j = NULL;
    struct error ignored;
    char *path = path_join(directory, name);
    if (file_exists(path) && json_read(&j, path, &ignored) != 0)
        j = NULL;
    free(path);
    return j;
}

char *comparison_section(const char *directory)
{
    char sha256[SHA256_HEX], *section = NULL;
    struct error ignored;
    struct json *baseline = read_if_there(directory, "baseline.json"), *ensemble = read_if_there(directory, "ensemble.json");
    const char *made_with = json_string(json_get(baseline, "tune_sha256"));
    bool whole = ensemble && json_string(json_get(baseline, "verdict")) && json_get(baseline, "transformer");
    if (whole && made_with && comparison_decision(sha256, directory, &ignored) == 0 && strcmp(made_with, sha256) == 0)
        section = comparison_to_markdown(baseline, ensemble);
    json_destroy(&ensemble);
    json_destroy(&baseline);
    return section;
}
