/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/cli/init_split.h"

#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/base/philox.h"
#include "coordinator/data/guess.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* ---- files ---- */

static const char *const words[PART_COUNT][5] = {
    [PART_TRAIN] = {"train", "training"}, [PART_VALIDATION] = {"validation", "valid", "val", "dev"}, [PART_TEST] = {"test"}};

/* Place of a part's word in the file's name, by itself; *size: of the word. */
static const char *find_word(const char *path, enum part *part, size_t *size)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    for (const char *at = name; *at; at++) {
        if (at > name && isalnum((unsigned char)at[-1]))
            continue;
        for (int p = 0; p < PART_COUNT; p++)
            for (size_t k = 0; k < 5 && words[p][k]; k++) {
                *size = strlen(words[p][k]);
                *part = (enum part)p;
                if (!strncmp(at, words[p][k], *size) && !isalnum((unsigned char)at[*size]))
                    return at;
            }
    }
    return NULL;
}

/* Caller frees; NULL: there is none. */
static char *sibling(const char *path, const char *at, size_t size, enum part part)
{
    for (size_t k = 0; k < 5 && words[part][k]; k++) {
        char *other = format_string("%.*s%s%s", (int)(at - path), path, words[part][k], at + size);
        if (file_exists(other))
            return other;
        free(other);
    }
    return NULL;
}

bool init_sibling_files(struct init_files *ret, const char *path)
{
    struct init_files f = {0};
    enum part own = PART_TRAIN;
    size_t size = 0, found = 0;
    const char *at = find_word(path, &own, &size);
    for (int p = 0; p < PART_COUNT && at; p++) {
        f.paths[p] = p == (int)own ? duplicate(path) : sibling(path, at, size, (enum part)p);
        found += f.paths[p] != NULL;
    }
    for (int p = 0; p < PART_COUNT && found < PART_COUNT; p++) {
        if (!f.paths[p])
            f.missing = part_names[p];
        else if (p != (int)own)
            f.unused = duplicate(f.paths[p]);
        free(f.paths[p]);
        f.paths[p] = NULL;
    }
    *ret = f;
    return found == PART_COUNT;
}

void init_files_free(struct init_files *f)
{
    for (int p = 0; p < PART_COUNT; p++)
        free(f->paths[p]);
    free(f->unused);
}

/* ---- a column ---- */

#define DRAWN 0.15 /* of the training rows, where there is no validation part */

static bool has_validation(const struct records *r)
{
    for (size_t i = 0; i < r->count; i++)
        if (strcmp(guess_part(r->rows[i].group), part_names[PART_VALIDATION]) == 0)
            return true;
    return false;
}

enum part init_part_of(const struct init_parts *parts, const struct records *r, uint32_t i)
{
    const char *name = guess_part(r->rows[i].group);
    for (int p = 0; p < PART_COUNT; p++)
        if (strcmp(name, part_names[p]) == 0 && p != PART_TRAIN)
            return (enum part)p;
    double uniform = philox(42, RANDOM_SPLIT, i, 0, 0, 0).word[0] / 4294967296.0;
    return parts->drawn && uniform < DRAWN ? PART_VALIDATION : PART_TRAIN;
}

int init_write_split(struct init_parts *ret, const char *path, const struct records *r, struct error *e)
{
    for (size_t i = 0; i < r->count; i++)
        if (!r->rows[i].group || !guess_part(r->rows[i].group))
            return error_set(e, ERROR_DATA,
                             "line %u: \"%.60s\" is no part, as train, validation and test are; remove the column, or the row",
                             r->rows[i].line, r->rows[i].group ? r->rows[i].group : "");
    struct init_parts c = {.drawn = !has_validation(r)};
    struct json *root = json_object(), *parts = json_set(root, "parts", json_object()), *ids[PART_COUNT];
    for (int p = 0; p < PART_COUNT; p++)
        ids[p] = json_set(parts, part_names[p], json_array());
    for (uint32_t i = 0; i < r->count; i++) {
        enum part p = init_part_of(&c, r, i);
        json_append(ids[p], json_of_string(r->rows[i].id));
        c.rows[p]++;
    }
    int status = json_write(path, root, e);
    json_destroy(&root);
    *ret = c;
    return status;
}
