/* SPDX-License-Identifier: Apache-2.0 */
/* muster rule: the decision rule of a bundle, shown or changed. */
#include "coordinator/bundle/rule.h"
#include "coordinator/cli/verbs.h"

#include <stdio.h>
#include <stdlib.h>

static void print_rule(const struct bundle *b)
{
    const struct label_set *l = bundle_labels(b);
    const struct decision_rule *d = bundle_decision(b);
    if (!d->own_temperatures)
        printf("temperature %.6g\n", d->temperature);
    for (uint32_t i = 0; d->own_temperatures && i < l->count; i++)
        printf("temperature %.6g  %s\n", d->temperatures[i], l->names[i]);
    if (!l->multi && l->count == 2)
        printf("threshold %.6g  %s\n", d->thresholds[d->positive], l->names[d->positive]);
    else if (!l->multi)
        printf("the most probable of %u classes\n", l->count);
    for (uint32_t i = 0; l->multi && i < l->count; i++)
        printf("threshold %.6g  %s\n", d->thresholds[i], l->names[i]);
}

static int change(const char *path, const struct bundle *b, const char *const *assignments, size_t count, struct error *e)
{
    struct json *changed = rule_copy(b);
    int status = 0;
    for (size_t i = 0; status == 0 && i < count; i++)
        status = rule_set(changed, b, assignments[i], e);
    if (status == 0)
        status = rule_commit(path, b, changed, "rule", e);
    json_destroy(&changed);
    return status;
}

int verb_rule(const struct arguments *a, struct error *e)
{
    const char *path = a->positional[0];
    struct bundle *b = NULL;
    if (bundle_open(&b, path, e) != 0)
        return -1;
    int status = a->count > 1 ? change(path, b, a->positional + 1, a->count - 1, e) : 0;
    bundle_close(&b);
    if (status != 0 || bundle_open(&b, path, e) != 0)
        return -1;
    print_rule(b);
    bundle_close(&b);
    return 0;
}
