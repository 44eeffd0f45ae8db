/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of bundles: what the evaluation in them says. */
#include "common/base/file.h"
#include "common/base/memory.h"
#include "coordinator/zoo/zoo_describe.h"
#include "coordinator/zoo/zoo_evidence.h"
#include "coordinator/zoo/zoo_row.h"

#include <stdlib.h>

/* What the run has measured on the part; it takes the place of what follows from logits of six digits. */
static void add_measured(struct json *o, const struct json *part)
{
    static const char *const keys[] = {"micro_f1", "micro_precision", "micro_recall", "macro_f1", "loss", "intervals"};
    const struct json *tuned = json_get(json_get(part, "rules"), "tuned");
    zoo_copy(o, "rows", json_get(part, "rows"));
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        zoo_copy(o, keys[i], json_get(tuned, keys[i]));
    zoo_copy(o, "subset_accuracy", json_get(tuned, "accuracy"));
}

static void add_part(struct json *to, const char *name, const struct json *evaluation)
{
    const struct json *part = json_get(evaluation, name);
    if (!json_get(json_get(part, "rules"), "tuned"))
        return;
    struct json *o = json_get(to, name) ? json_copy(json_get(to, name)) : json_object();
    add_measured(o, part);
    json_set(to, name, o);
}

/* The logits in a bundle are those of validation alone. */
static int add_evidence(struct zoo_row *row, const struct json *inference, const struct json *evaluation, struct error *e)
{
    struct zoo_evidence v;
    int status = zoo_evidence_read(&v, inference, evaluation, e);
    if (status == 0 && v.logits) {
        row->validation = allocate(ZOO_DRAWS, BOOTSTRAP_METRICS * sizeof *row->validation);
        json_set(row->values, "validation",
                 zoo_score(row->validation, &(struct zoo_model){&v.truth, v.logits, v.temperatures, v.thresholds}));
    }
    json_set_string(row->values, "missing",
                    !evaluation ? "a bundle without evaluation.json: nothing is known of validation and test"
                    : v.logits  ? "a bundle alone has no logits of test: no ECE, mAP and comparison there"
                                : "a bundle without logits: no ECE, mAP and comparison");
    zoo_evidence_free(&v);
    return status;
}

static void add_files(struct json *to, const char *directory, const struct json *inference)
{
    char *weights = path_join(directory, "model.safetensors"),
         *adapter = path_join(directory, "adapter/adapter_model.safetensors"), *base = path_join(directory, "adapter/base.json");
    struct json *about = NULL;
    struct error ignored;
    zoo_describe_weights(to, json_get(inference, "options"), weights, adapter);
    if (file_exists(base) && json_read(&about, base, &ignored) == 0)
        zoo_copy(to, "backbone_sha256", json_get(about, "weights_sha256"));
    json_destroy(&about);
    free(base);
    free(adapter);
    free(weights);
}

int zoo_add_bundle(struct zoo_rows *to, const char *directory, struct error *e)
{
    char *path = path_join(directory, "inference_config.json"), *about = path_join(directory, "evaluation.json");
    struct json *inference = NULL, *evaluation = NULL;
    int status = json_read(&inference, path, e);
    if (status == 0 && file_exists(about))
        status = json_read(&evaluation, about, e);
    if (status == 0) {
        struct zoo_row *row = zoo_rows_add(to);
        const struct json *input = json_get(inference, "input");
        const char *split = json_string(json_get(inference, "split_sha256"));
        char *labels = json_print(json_get(input, "labels"), false);
        json_set(row->values, "name", json_copy(json_get(inference, "name")));
        json_set_string(row->values, "directory", directory);
        zoo_describe(row->values, inference);
        add_files(row->values, directory, inference);
        if (add_evidence(row, inference, evaluation, e) != 0)
            status = error_prefix(e, "%s/", directory);
        add_part(row->values, "validation", evaluation);
        add_part(row->values, "test", evaluation);
        json_set_string(row->values, "status", "bundle");
        row->most_probable = zoo_most_probable(inference);
        row->protocol = format_string("%s %s", split ? split : "", labels);
        row->labels = json_copy(json_get(input, "labels"));
        free(labels);
    }
    json_destroy(&evaluation);
    json_destroy(&inference);
    free(about);
    free(path);
    return status;
}
