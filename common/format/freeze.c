/* SPDX-License-Identifier: Apache-2.0 */
#include "common/format/freeze.h"

#include "common/base/memory.h"
#include "common/base/near.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LAYERS "layers."

static int refuse(const char *name, uint32_t layers, struct error *e)
{
    char **words = allocate(layers + 1, sizeof *words), hint[128];
    for (uint32_t i = 0; i < layers; i++)
        words[i] = format_string(LAYERS "%u", i);
    words[layers] = duplicate("embeddings");
    near_hint(hint, sizeof hint, name, (const char *const *)words, layers + 1);
    for (uint32_t i = 0; i <= layers; i++)
        free(words[i]);
    free(words);
    return error_set(e, ERROR_USAGE,
                     "train.freeze: \"%s\": expected embeddings, " LAYERS "N or " LAYERS "N-M, with layers 0 to %u%s", name,
                     layers - 1, hint);
}

static const char *digits(unsigned long *ret, const char *text)
{
    char *end;
    if (!isdigit((unsigned char)*text))
        return NULL;
    *ret = strtoul(text, &end, 10);
    return end;
}

static int read_name(bool *frozen, const char *name, uint32_t layers, struct error *e)
{
    unsigned long first = 0, last;
    if (strcmp(name, "embeddings") == 0) {
        frozen[0] = true;
        return 0;
    }
    const char *end = strncmp(name, LAYERS, strlen(LAYERS)) == 0 ? digits(&first, name + strlen(LAYERS)) : NULL;
    last = first;
    if (end && *end == '-')
        end = digits(&last, end + 1);
    if (!end || *end || first > last || last >= layers)
        return refuse(name, layers, e);
    for (unsigned long i = first; i <= last; i++)
        frozen[i + 1] = true;
    return 0;
}

int freeze_read(bool *frozen, const char *names, uint32_t layers, struct error *e)
{
    memset(frozen, 0, (layers + 2) * sizeof *frozen);
    char *copy = duplicate(names ? names : ""), *rest = copy;
    int result = 0;
    for (char *name; !result && (name = strsep(&rest, " "));)
        if (*name)
            result = read_name(frozen, name, layers, e);
    free(copy);
    return result;
}
