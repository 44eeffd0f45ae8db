/* SPDX-License-Identifier: Apache-2.0 */
#include "common/format/lora.h"

#include "common/base/buffer.h"
#include "common/base/memory.h"
#include "common/base/near.h"
#include "common/format/model_tensors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WEIGHT ".weight"
#define MOST_MODULES 64

double lora_scale(const struct lora *l)
{
    return l->alpha / (l->rslora ? sqrt(l->rank) : (double)l->rank);
}

bool lora_takes(enum tensor_role role)
{
    return (role >= ROLE_QUERY && role <= ROLE_ATTENTION_OUTPUT) || role == ROLE_INNER || role == ROLE_OUTPUT ||
           role == ROLE_DISTANCE_QUERY || role == ROLE_DISTANCE_KEY;
}

bool lora_is_head(enum tensor_role role)
{
    return role == ROLE_HEAD_LINEAR || role == ROLE_HEAD_NORM || role == ROLE_CLASSIFIER;
}

/* "attention.self.query", of a weight; NULL: nothing that can be adapted. Caller frees. */
static char *module_of(const struct model_config *c, const struct tensor_row *row)
{
    size_t size = strlen(row->name), tail = strlen(WEIGHT);
    if (!lora_takes(row->role) || tensor_row_is_absent(row, c) || row->flags & TENSOR_BIAS || size <= tail ||
        strcmp(row->name + size - tail, WEIGHT) != 0)
        return NULL;
    return format_string("%.*s", (int)(size - tail), row->name);
}

/* As PEFT matches: the whole name, or the end of it behind a dot. */
static bool matches(const char *module, const char *target)
{
    size_t size = strlen(module), tail = strlen(target);
    return tail <= size && strcmp(module + size - tail, target) == 0 && (tail == size || module[size - tail - 1] == '.');
}

static int refuse(const char *target, const struct model_config *c, struct error *e)
{
    const char *words[MOST_MODULES] = {0}, *dot;
    char *owned[MOST_MODULES] = {0}, hint[160];
    size_t count = 0, modules = 0;
    for (const struct tensor_row *row = model_family_of(c)->layer; row->name && count + 2 <= MOST_MODULES; row++) {
        char *module = module_of(c, row);
        if (!module)
            continue;
        owned[modules++] = module;
        words[count++] = module;
        if ((dot = strrchr(module, '.')))
            words[count++] = dot + 1;
    }
    near_hint(hint, sizeof hint, target, words, count);
    struct buffer list = {0};
    for (size_t i = 0; i < modules; i++)
        buffer_printf(&list, "%s%s", i ? ", " : "", owned[i]);
    error_set(e, ERROR_USAGE, "train.lora_targets: \"%s\" matches no linear map of a layer (%s)%s", target,
              list.data ? list.data : "", hint);
    buffer_free(&list);
    while (modules)
        free(owned[--modules]);
    return -1;
}

/* Words that every family knows; else as PEFT names modules. */
static bool is_meant(const char *target, const char *module, enum tensor_role role)
{
    bool attention = lora_takes(role) && role != ROLE_INNER && role != ROLE_OUTPUT;
    return strcmp(target, LORA_ALL) == 0 || (attention && strcmp(target, LORA_ATTENTION) == 0) || matches(module, target);
}

static bool read_target(bool adapted[ROLE_COUNT], const char *target, const struct model_config *c)
{
    bool found = false;
    for (const struct tensor_row *row = model_family_of(c)->layer; row->name; row++) {
        char *module = module_of(c, row);
        if (module && is_meant(target, module, row->role))
            found = adapted[row->role] = true;
        free(module);
    }
    return found;
}

int lora_read_targets(bool adapted[ROLE_COUNT], const char *targets, const struct model_config *c, struct error *e)
{
    memset(adapted, 0, ROLE_COUNT * sizeof *adapted);
    char *copy = duplicate(targets && *targets ? targets : LORA_ALL), *rest = copy;
    int result = 0;
    for (char *target; !result && (target = strsep(&rest, " "));)
        if (*target && !read_target(adapted, target, c))
            result = refuse(target, c, e);
    free(copy);
    return result;
}

char *lora_target_modules(const bool adapted[ROLE_COUNT], const struct model_config *c)
{
    struct buffer b = {0};
    for (const struct tensor_row *row = model_family_of(c)->layer; row->name; row++) {
        char *module = module_of(c, row);
        if (module && adapted[row->role])
            buffer_printf(&b, "%s%s", b.size ? " " : "", module);
        free(module);
    }
    return b.data;
}

/* PEFT itself saves a module named "classifier" whole: what is in it is not listed a second time. */
char *lora_head_modules(const struct model_config *c)
{
    struct buffer b = {0};
    bool listed = false;
    for (const struct tensor_row *row = model_family_of(c)->head; row->name; row++) {
        bool classifier = strncmp(row->name, "classifier.", 11) == 0;
        if (row->flags & TENSOR_BIAS || !lora_is_head(row->role) || (classifier && listed))
            continue;
        listed |= classifier;
        const char *end = strrchr(row->name, '.');
        buffer_printf(&b, "%s%.*s", b.size ? " " : "", classifier ? 10 : (int)(end - row->name), row->name);
    }
    return b.data;
}
