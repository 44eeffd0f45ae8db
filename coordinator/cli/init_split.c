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
    size_t size = 0;
    const char *at = find_word(path, &own, &size);
    for (int p = 0; p < PART_COUNT && at; p++)
        f.paths[p] = p == (int)own ? duplicate(path) : sibling(path, at, size, (enum part)p);
    bool found = f.paths[PART_TRAIN] && f.paths[PART_TEST];
    for (int p = 0; p < PART_COUNT && !found; p++) {
        if (!f.paths[p] && p != PART_VALIDATION)
            f.missing = part_names[p];
        else if (p != (int)own)
            f.unused = duplicate(f.paths[p]);
        free(f.paths[p]);
        f.paths[p] = NULL;
    }
    *ret = f;
    return found;
}

void init_files_free(struct init_files *f)
{
    for (int p = 0; p < PART_COUNT; p++)
        free(f->paths[p]);
    free(f->unused);
}

/* ---- a column ---- */

#define DRAWN 0.15 /* of the training rows, for a part that is not there */

static enum part named_part(const struct record *row)
{
    for (int p = 0; p < PART_COUNT; p++)
        if (strcmp(guess_part(row->group), part_names[p]) == 0)
            return (enum part)p;
    return PART_TRAIN;
}

/* The parts that no row is of get their share of the training rows. */
static void draw_parts(uint8_t *part, const bool drawn[PART_COUNT], size_t rows)
{
    for (uint32_t i = 0; i < rows; i++) {
        int share = (int)(philox(42, RANDOM_SPLIT, i, 0, 0, 0).word[0] / 4294967296.0 / DRAWN);
        for (int p = PART_VALIDATION; p < PART_COUNT && part[i] == PART_TRAIN; p++)
            if (drawn[p] && share-- == 0)
                part[i] = (uint8_t)p;
    }
}

int init_read_parts(uint8_t *part, bool drawn[PART_COUNT], const struct records *r, struct error *e)
{
    drawn[PART_VALIDATION] = drawn[PART_TEST] = true;
    for (size_t i = 0; i < r->count; i++) {
        const struct record *row = &r->rows[i];
        if (!row->group || !guess_part(row->group))
            return error_set(e, ERROR_DATA,
                             "line %u: \"%.60s\" is no part, as train, validation and test are; remove the column, or the row",
                             row->line, row->group ? row->group : "");
        part[i] = (uint8_t)named_part(row);
        drawn[part[i]] = false;
    }
    draw_parts(part, drawn, r->count);
    return 0;
}

int init_write_split(const char *path, const struct records *r, const uint8_t *part, struct error *e)
{
    struct json *root = json_object(), *parts = json_set(root, "parts", json_object()), *ids[PART_COUNT];
    for (int p = 0; p < PART_COUNT; p++)
        ids[p] = json_set(parts, part_names[p], json_array());
    for (size_t i = 0; i < r->count; i++)
        if (part[i] != PART_COUNT)
            json_append(ids[part[i]], json_of_string(r->rows[i].id));
    int status = json_write(path, root, e);
    json_destroy(&root);
    return status;
}
