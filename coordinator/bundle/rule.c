/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of a bundle's decision rule. */
#include "coordinator/bundle/rule.h"

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/near.h"
#include "common/score/calibration.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct json *rule_copy(const struct bundle *b)
{
    return json_copy(bundle_inference(b));
}

static struct json *history_of(const struct bundle *b)
{
    const struct json *history = json_get(bundle_inference(b), "history");
    return json_type(history) == JSON_ARRAY ? json_copy(history) : json_array();
}

int rule_commit(const char *path, const struct bundle *b, struct json *changed, const char *event, struct error *e)
{
    static const char *const kept[] = {"threshold", "thresholds", "temperature", "temperatures"};
    char time[32];
    struct json *history = json_set(changed, "history", history_of(b)), *entry = json_append(history, json_object());
    clock_timestamp(time, sizeof time);
    json_set_string(entry, "time", time);
    json_set_string(entry, "event", event);
    struct json *before = json_set(entry, "before", json_object());
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
        const struct json *old = json_get(bundle_inference(b), kept[i]), *new = json_get(changed, kept[i]);
        if (old)
            json_set(before, kept[i], json_copy(old));
        if (new)
            json_set(entry, kept[i], json_copy(new));
    }
    return bundle_set_inference(path, changed, e);
}

static int read_value(double *ret, const char *assignment, const char *text, struct error *e)
{
    char *end;
    *ret = strtod(text, &end);
    if (end == text || *end)
        return error_set(e, ERROR_USAGE, "%s: expected a number after '=', such as 0.45", assignment);
    return 0;
}

static int set_threshold(struct json *changed, const struct bundle *b, double value, struct error *e)
{
    const struct label_set *l = bundle_labels(b);
    if (!l->multi && l->count != 2)
        return error_set(e, ERROR_USAGE, "the bundle takes the most probable of %u classes and has no threshold", l->count);
    json_set_number(changed, "threshold", value);
    if (!l->multi)
        return 0;
    struct json *each = json_set(changed, "thresholds", json_object());
    for (uint32_t i = 0; i < l->count; i++)
        json_set_number(each, l->names[i], value);
    return 0;
}

/* One label's value in the object `key`, the others' as they are: in `changed`, or else in `fallback` (labels). */
static int set_of_label(struct json *changed, const struct bundle *b, const char *key, const double *fallback, const char *name,
                        double value, struct error *e)
{
    const struct label_set *l = bundle_labels(b);
    struct json *each = json_object();
    bool found = false;
    for (uint32_t i = 0; i < l->count; i++) {
        const struct json *now = json_get(json_get(changed, key), l->names[i]);
        bool this = strcmp(l->names[i], name) == 0;
        found = found || this;
        json_set_number(each, l->names[i], this ? value : now ? json_number(now) : fallback[i]);
    }
    if (found) {
        json_set(changed, key, each);
        return 0;
    }
    json_destroy(&each);
    char hint[160];
    return error_set(e, ERROR_USAGE, "%.*s.%s: the bundle has no such label%s", (int)strlen(key) - 1, key, name,
                     near_hint(hint, sizeof hint, name, (const char *const *)l->names, l->count));
}

static int set_label_threshold(struct json *changed, const struct bundle *b, const char *name, double value, struct error *e)
{
    if (!bundle_labels(b)->multi)
        return error_set(e, ERROR_USAGE,
                         "threshold.%s: only a bundle with many labels a row has a threshold for each; use threshold=", name);
    return set_of_label(changed, b, "thresholds", bundle_decision(b)->thresholds, name, value, e);
}

/* One for all takes the place of all labels' own. */
static int set_temperature(struct json *changed, const struct bundle *b, const char *key, double value, struct error *e)
{
    if (temperature_check(value, key, e) != 0)
        return -1;
    if (key[11])
        return set_of_label(changed, b, "temperatures", bundle_decision(b)->temperatures, key + 12, value, e);
    json_set_number(changed, "temperature", value);
    if (json_get(changed, "temperatures"))
        json_set(changed, "temperatures", json_null());
    return 0;
}

int rule_set(struct json *changed, const struct bundle *b, const char *assignment, struct error *e)
{
    const char *equals = strrchr(assignment, '=');
    double value;
    if (!equals || equals == assignment)
        return error_set(e, ERROR_USAGE, "%s: expected threshold=X, temperature=X, threshold.LABEL=X or temperature.LABEL=X",
                         assignment);
    if (read_value(&value, assignment, equals + 1, e) != 0)
        return -1;
    char *key = format_string("%.*s", (int)(equals - assignment), assignment);
    int status = 0;
    if (strncmp(key, "temperature", 11) == 0 && (!key[11] || key[11] == '.')) {
        status = set_temperature(changed, b, key, value, e);
    } else if (strncmp(key, "threshold", 9) != 0 || (key[9] && key[9] != '.')) {
        status =
            error_set(e, ERROR_USAGE,
                      "unknown \"%s\"; a bundle's rule has threshold, threshold.LABEL, temperature and temperature.LABEL", key);
    } else if (!(value >= 0 && value <= 1)) {
        status = error_set(e, ERROR_USAGE, "%s: a threshold is a probability within 0 to 1", assignment);
    } else {
        status = key[9] ? set_label_threshold(changed, b, key + 10, value, e) : set_threshold(changed, b, value, e);
    }
    free(key);
    return status;
}
