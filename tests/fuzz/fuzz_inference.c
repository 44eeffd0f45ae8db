/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as inference_config.json, and as config.json, of a bundle: refused in one line, or a rule whose numbers are what the
 * header promises. */
#include "common/format/inference_config.h"

#include <stdlib.h>
#include <string.h>

enum { POSITIONS = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_refusal(const struct error *e)
{
    if (e->kind != ERROR_DATA || strncmp(e->message, "fuzz", 4) || strchr(e->message, '\n'))
        abort();
}

static void check_rule(const struct json *inference, const struct label_set *labels)
{
    struct decision_rule d = {0};
    struct error e = {0};
    if (decision_rule_read(&d, inference, labels, POSITIONS, "fuzz", &e)) {
        check_refusal(&e);
        return;
    }
    if (d.max_length < 3 || d.max_length > POSITIONS || d.positive >= labels->count ||
        !(d.temperature >= 1e-6 && d.temperature <= 1e6))
        abort();
    for (uint32_t i = 0; i < labels->count; i++)
        if (!(d.temperatures[i] >= 1e-6 && d.temperatures[i] <= 1e6) || !(d.thresholds[i] >= 0 && d.thresholds[i] <= 1))
            abort();
    decision_rule_free(&d);
}

static void check_labels(const struct json *config)
{
    struct label_set labels = {0};
    struct error e = {0};
    if (label_set_read(&labels, config, "fuzz", &e)) {
        check_refusal(&e);
        return;
    }
    if (!labels.count)
        abort();
    for (uint32_t i = 0; i < labels.count; i++)
        if (!labels.names[i])
            abort();
    check_rule(config, &labels);
    label_set_free(&labels);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char no[] = "NO", yes[] = "YES", red[] = "red", green[] = "green", blue[] = "blue";
    char *two[] = {no, yes}, *three[] = {red, green, blue};
    const struct label_set single = {two, 2, false}, multi = {three, 3, true};
    struct json *j;
    struct error e = {0};
    if (json_parse(&j, (const char *)data, size, "fuzz", &e))
        return 0;
    check_rule(j, &single);
    check_rule(j, &multi);
    check_labels(j);
    json_destroy(&j);
    return 0;
}
