/* SPDX-License-Identifier: Apache-2.0 */
#include "common/format/inference_config.h"

#include "common/base/memory.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void label_names_write(struct json *to, const char *const *names, uint32_t count)
{
    struct json *id2label = json_set(to, "id2label", json_object());
    struct json *label2id = json_set(to, "label2id", json_object());
    for (uint32_t i = 0; i < count; i++) {
        char key[16];
        snprintf(key, sizeof key, "%u", i);
        json_set_string(id2label, key, names[i]);
        json_set_number(label2id, names[i], i);
    }
}

static const char *label_name(const struct json *config, uint32_t i)
{
    char key[16];
    snprintf(key, sizeof key, "%u", i);
    return json_string(json_get(json_get(config, "id2label"), key));
}

int label_set_read(struct label_set *ret, const struct json *config, const char *place, struct error *e)
{
    size_t count = json_size(json_get(config, "id2label"));
    const char *problem = json_string(json_get(config, "problem_type"));
    if (!count)
        return error_set(e, ERROR_DATA, "%s: has no id2label; publish the bundle again", place);
    for (uint32_t i = 0; i < count; i++)
        if (!label_name(config, i))
            return error_set(e, ERROR_DATA, "%s: id2label has no string under \"%u\"; publish the bundle again", place, i);
    bool multi = problem && !strcmp(problem, "multi_label_classification");
    if (!multi && (!problem || strcmp(problem, "single_label_classification")))
        return error_set(e, ERROR_DATA,
                         "%s: problem_type is %s; supported are: single_label_classification, multi_label_classification", place,
                         problem ? problem : "missing");
    *ret = (struct label_set){allocate(count, sizeof(char *)), (uint32_t)count, multi};
    for (uint32_t i = 0; i < count; i++)
        ret->names[i] = duplicate(label_name(config, i));
    return 0;
}

void label_set_free(struct label_set *l)
{
    for (uint32_t i = 0; i < l->count; i++)
        free(l->names[i]);
    free(l->names);
    *l = (struct label_set){0};
}

static int check_labels(const struct json *inference, const struct label_set *labels, const char *place, struct error *e)
{
    const struct json *id2label = json_get(inference, "id2label"), *label2id = json_get(inference, "label2id");
    if (json_size(id2label) != labels->count || json_size(label2id) != labels->count)
        return error_set(e, ERROR_DATA, "%s: id2label and label2id must have the %u labels of config.json", place, labels->count);
    for (uint32_t i = 0; i < labels->count; i++) {
        const char *name = label_name(inference, i);
        if (!name || strcmp(name, labels->names[i]))
            return error_set(e, ERROR_DATA, "%s: id2label: label %u is %s here and %s in config.json", place, i,
                             name ? name : "missing", labels->names[i]);
        const struct json *id = json_get(label2id, labels->names[i]);
        if (!id || json_type(id) != JSON_NUMBER || json_number(id) != i)
            return error_set(e, ERROR_DATA, "%s: label2id: %s must be %u, as in config.json", place, labels->names[i], i);
    }
    return 0;
}

static bool number_within(const struct json *j, double least, double most)
{
    return json_type(j) == JSON_NUMBER && json_number(j) >= least && json_number(j) <= most;
}

/* Beyond these a logit divided by it may be no number any more. */
static bool is_temperature(const struct json *j)
{
    return number_within(j, 1e-6, 1e6);
}

static int read_scalars(struct decision_rule *d, const struct json *inference, uint32_t positions, const char *place,
                        struct error *e)
{
    const struct json *length = json_get(inference, "max_length"), *temperature = json_get(inference, "temperature");
    if (!length || !number_within(length, 3, positions) || json_number(length) != floor(json_number(length)))
        return error_set(e, ERROR_DATA, "%s: max_length must be a whole number within 3 to %u, the model's positions", place,
                         positions);
    if (temperature && !is_temperature(temperature))
        return error_set(e, ERROR_DATA, "%s: temperature must be a number above 0, from 1e-6 to 1e6", place);
    d->max_length = (uint32_t)json_number(length);
    d->temperature = temperature ? json_number(temperature) : 1;
    return 0;
}

static int read_temperatures(struct decision_rule *d, const struct json *inference, const struct label_set *labels,
                             const char *place, struct error *e)
{
    const struct json *each = json_given(inference, "temperatures"); /* null: as muster rule leaves it */
    d->own_temperatures = each != NULL;
    if (each && json_size(each) != labels->count)
        return error_set(e, ERROR_DATA, "%s: temperatures must have one number for each of %u labels", place, labels->count);
    for (uint32_t i = 0; i < labels->count; i++) {
        const struct json *own = json_get(each, labels->names[i]);
        if (each && !is_temperature(own))
            return error_set(e, ERROR_DATA, "%s: temperatures: %s must be a number above 0, from 1e-6 to 1e6", place,
                             labels->names[i]);
        d->temperatures[i] = own ? json_number(own) : d->temperature;
    }
    return 0;
}

static int read_positive(struct decision_rule *d, const struct json *inference, const struct label_set *labels, const char *place,
                         struct error *e)
{
    const struct json *positive = json_given(inference, "positive");
    d->positive = labels->count - 1;
    if (!positive)
        return 0;
    for (uint32_t i = 0; json_string(positive) && i < labels->count; i++)
        if (!strcmp(json_string(positive), labels->names[i])) {
            d->positive = i;
            return 0;
        }
    return error_set(e, ERROR_DATA, "%s: positive must be one of the labels, not %s", place,
                     json_string(positive) ? json_string(positive) : json_type_name(json_type(positive)));
}

static int read_thresholds(struct decision_rule *d, const struct json *inference, const struct label_set *labels,
                           const char *place, struct error *e)
{
    const struct json *one = json_get(inference, "threshold"), *each = json_get(inference, "thresholds");
    if (one && !number_within(one, 0, 1))
        return error_set(e, ERROR_DATA, "%s: threshold must be a number within 0 to 1", place);
    if (each && (!labels->multi || json_size(each) != labels->count))
        return error_set(e, ERROR_DATA, "%s: thresholds must have one number for each of %u labels, of a multi-label model",
                         place, labels->count);
    for (uint32_t i = 0; i < labels->count; i++) {
        const struct json *own = each ? json_get(each, labels->names[i]) : NULL;
        if (each && (!own || !number_within(own, 0, 1)))
            return error_set(e, ERROR_DATA, "%s: thresholds: %s must be a number within 0 to 1", place, labels->names[i]);
        d->thresholds[i] = own ? json_number(own) : one ? json_number(one) : 0.5;
    }
    return 0;
}

int decision_rule_read(struct decision_rule *ret, const struct json *inference, const struct label_set *labels,
                       uint32_t positions, const char *place, struct error *e)
{
    struct decision_rule d = {.thresholds = allocate(labels->count, sizeof(double)),
                              .temperatures = allocate(labels->count, sizeof(double))};
    if (json_type(inference) != JSON_OBJECT) {
        error_set(e, ERROR_DATA, "%s: is not a JSON object", place);
        goto fail;
    }
    if (check_labels(inference, labels, place, e) || read_scalars(&d, inference, positions, place, e) ||
        read_temperatures(&d, inference, labels, place, e) || read_positive(&d, inference, labels, place, e) ||
        read_thresholds(&d, inference, labels, place, e))
        goto fail;
    *ret = d;
    return 0;
fail:
    decision_rule_free(&d);
    return -1;
}

void decision_rule_free(struct decision_rule *d)
{
    free(d->thresholds);
    free(d->temperatures);
    *d = (struct decision_rule){0};
}
