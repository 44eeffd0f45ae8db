/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/zoo/zoo_evidence.h"

#include "common/base/memory.h"

#include <stdlib.h>
#include <string.h>

static const char *label_at(const struct json *labels, uint32_t c)
{
    const char *name = json_string(json_at(labels, c));
    return name ? name : "";
}

static uint32_t positive_of(const struct json *inference, const struct json *labels)
{
    const char *name = json_string(json_get(inference, "positive"));
    uint32_t count = (uint32_t)json_size(labels), c = 0;
    while (c < count && !(name && strcmp(label_at(labels, c), name) == 0))
        c++;
    return c < count ? c : count - 1;
}

/* One value a label: its own, else the one for all, else `otherwise`. */
static double *values_of(const struct json *own, const struct json *all, double otherwise, const struct json *labels)
{
    uint32_t count = (uint32_t)json_size(labels);
    double *values = allocate(count, sizeof *values);
    for (uint32_t c = 0; c < count; c++) {
        const struct json *value = json_type(own) == JSON_OBJECT ? json_get(own, label_at(labels, c)) : json_at(own, c);
        value = json_type(value) == JSON_NUMBER ? value : all;
        values[c] = json_type(value) == JSON_NUMBER ? json_number(value) : otherwise;
    }
    return values;
}

static bool is_label(const struct json *value, uint32_t labels)
{
    return json_type(value) == JSON_NUMBER && json_number(value) >= 0 && json_number(value) < labels;
}

/* False: not a class, or not labels. */
static bool take_truth(struct truth *t, uint32_t row, const struct json *value)
{
    if (t->class) {
        t->class[row] = (int32_t)json_number(value);
        return is_label(value, t->labels);
    }
    for (size_t k = 0; k < json_size(value); k++) {
        if (!is_label(json_at(value, k), t->labels))
            return false;
        t->targets[(size_t)row * t->labels + (size_t)json_number(json_at(value, k))] = 1;
    }
    return json_type(value) == JSON_ARRAY;
}

static bool take_row(struct zoo_evidence *v, uint32_t row, const struct json *truth, const struct json *logits)
{
    uint32_t labels = v->truth.labels;
    bool right = take_truth(&v->truth, row, truth) && json_size(logits) == labels;
    for (uint32_t c = 0; c < labels && right; c++) {
        right = json_type(json_at(logits, c)) == JSON_NUMBER;
        v->logits[(size_t)row * labels + c] = (float)json_number(json_at(logits, c));
    }
    return right;
}

int zoo_evidence_read(struct zoo_evidence *ret, const struct json *inference, const struct json *evaluation, struct error *e)
{
    const struct json *outputs = json_get(evaluation, "validation_outputs"), *truth = json_get(outputs, "truth"),
                      *logits = json_get(outputs, "logits"), *input = json_get(inference, "input"),
                      *names = json_get(input, "labels");
    uint32_t rows = (uint32_t)json_size(truth), labels = (uint32_t)json_size(names);
    bool multi = json_boolean(json_get(input, "multi")), right = json_size(logits) == rows;
    *ret = (struct zoo_evidence){0};
    if (rows == 0 || labels < 2)
        return 0;
    struct zoo_evidence v = {
        .truth = {.kind = decision_kind_of(multi, labels),
                  .rows = rows,
                  .labels = labels,
                  .positive = positive_of(inference, names),
                  .class = multi ? NULL : allocate(rows, sizeof *v.truth.class),
                  .targets = multi ? allocate((size_t)rows * labels, 1) : NULL},
        .logits = allocate((size_t)rows * labels, sizeof *v.logits),
        .temperatures = values_of(json_get(inference, "temperatures"), json_get(inference, "temperature"), 1, names),
        .thresholds = values_of(json_get(inference, "thresholds"), json_get(inference, "threshold"), 0.5, names)};
    for (uint32_t i = 0; i < rows && right; i++)
        right = take_row(&v, i, json_at(truth, i), json_at(logits, i));
    *ret = v;
    return right ? 0
                 : error_set(e, ERROR_DATA,
                             "evaluation.json: validation_outputs does not fit the bundle's %u labels; publish it again", labels);
}

void zoo_evidence_free(struct zoo_evidence *v)
{
    truth_free(&v->truth);
    free(v->logits);
    free(v->temperatures);
    free(v->thresholds);
    *v = (struct zoo_evidence){0};
}
