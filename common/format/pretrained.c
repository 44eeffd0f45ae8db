/* SPDX-License-Identifier: Apache-2.0 */
#include "common/format/pretrained.h"

#include "common/base/memory.h"

#include <stdlib.h>
#include <string.h>

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static const char *without(const char *prefix, const char *name)
{
    return strncmp(name, prefix, strlen(prefix)) ? name : name + strlen(prefix);
}

static const struct tensor *find_behind(const struct tensor_file *f, const char *prefix, const char *name)
{
    char *spelled = format_string("%s%s", prefix, name);
    const struct tensor *t = tensor_file_find(f, spelled);
    free(spelled);
    return t;
}

static const struct tensor *find_spelled(const struct tensor_file *f, const char *own, const char *name)
{
    static const char *const prefixes[] = {"", "module.", "model.", "module.model."};
    const char *bare = without(own, name);
    const struct tensor *t = NULL;
    for (size_t i = 0; !t && i < sizeof prefixes / sizeof *prefixes; i++) {
        t = find_behind(f, prefixes[i], name);
        if (!t && bare != name)
            t = find_behind(f, prefixes[i], bare);
    }
    return t;
}

const struct tensor *pretrained_find(const struct tensor_file *f, const char *prefix, const char *name)
{
    static const char *const old[][2] = {{"LayerNorm.weight", "gamma"}, {"LayerNorm.bias", "beta"}};
    const struct tensor *t = find_spelled(f, prefix, name);
    for (size_t i = 0; !t && i < sizeof old / sizeof *old; i++)
        if (ends_with(name, old[i][0])) {
            char *spelled = format_string("%.*s.%s", (int)(strrchr(name, '.') - name), name, old[i][1]);
            t = find_spelled(f, prefix, spelled);
            free(spelled);
        }
    return t;
}

/* Of a tensor whose name ends with `name` (with or without its prefix): what is before it. Caller frees; NULL: there is none. */
static char *unknown_prefix(const struct tensor_file *f, const char *prefix, const char *name)
{
    const char *bare = without(prefix, name);
    for (size_t i = 0; i < tensor_file_count(f); i++) {
        const char *found = tensor_file_at(f, i)->name;
        size_t size = strlen(found), end = strlen(ends_with(found, name) ? name : bare);
        if (ends_with(found, bare) && size > end && found[size - end - 1] == '.')
            return format_string("%.*s", (int)(size - end), found);
    }
    return NULL;
}

int pretrained_refuse_missing(const struct tensor_file *f, const char *prefix, const char *name, const char *path,
                              struct error *e)
{
    char *unknown = unknown_prefix(f, prefix, name);
    if (unknown)
        error_set(e, ERROR_DATA,
                  "%s: tensor %s is missing, but there is one behind the prefix \"%s\", which is not supported; save the encoder "
                  "alone with transformers' save_pretrained",
                  path, name, unknown);
    else
        error_set(e, ERROR_DATA, "%s: tensor %s is missing; the file does not fit config.json", path, name);
    free(unknown);
    return -1;
}
