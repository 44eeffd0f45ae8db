/* SPDX-License-Identifier: Apache-2.0 */
#include "common/format/split.h"

#include "common/base/base64.h"
#include "common/base/buffer.h"
#include "common/base/memory.h"
#include "common/base/near.h"
#include "common/base/sha256.h"
#include "common/base/table.h"
#include "common/json/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const part_names[PART_COUNT] = {"train", "validation", "test"};

static const char *const keys[] = {"method", "rows",  "data_sha256", "sha256",  "fingerprints",
                                   "counts", "parts", "part_of",     "protocol"};
#define HASHED_AT_ONCE 65536
#define KEYS (sizeof keys / sizeof *keys)

/* Lengths are hashed with the texts, so that no two splits share their bytes. */
static void hash(const struct split *s, const struct dataset *d, char text[SHA256_HEX])
{
    struct sha256 *h;
    struct buffer b = {0};
    sha256_create(&h);
    for (int p = 0; p < PART_COUNT; p++) {
        buffer_append(&b, part_names[p], strlen(part_names[p]) + 1);
        buffer_append(&b, &s->part[p].count, sizeof s->part[p].count);
        for (uint32_t i = 0; i < s->part[p].count; i++) {
            const char *id = dataset_id(d, s->part[p].rows[i]);
            buffer_append(&b, id, strlen(id) + 1);
            if (b.size >= HASHED_AT_ONCE) {
                sha256_update(h, b.data, b.size);
                buffer_clear(&b);
            }
        }
    }
    sha256_update(h, b.data, b.size);
    buffer_free(&b);
    sha256_finish(&h, text);
}

/* Two bits a row, the first in the lowest: the number of its part. */
static char *pack_parts(const struct split *s, uint32_t rows)
{
    size_t size = (rows + (size_t)3) / 4;
    uint8_t *bytes = allocate(size, 1);
    for (unsigned p = 0; p < PART_COUNT; p++)
        for (uint32_t i = 0; i < s->part[p].count; i++)
            bytes[s->part[p].rows[i] / 4] |= (uint8_t)(p << s->part[p].rows[i] % 4 * 2);
    char *text = base64_encode(bytes, size);
    free(bytes);
    return text;
}

static struct json *list_parts(const struct split *s, const struct dataset *d)
{
    struct json *parts = json_object();
    for (int p = 0; p < PART_COUNT; p++) {
        struct json *ids = json_set(parts, part_names[p], json_array());
        for (uint32_t i = 0; i < s->part[p].count; i++)
            json_append(ids, json_of_string(dataset_id(d, s->part[p].rows[i])));
    }
    return parts;
}

int split_write(const char *path, struct split *s, const struct dataset *d, struct error *e)
{
    char sha256[SHA256_HEX];
    hash(s, d, sha256);
    struct json *root = json_object();
    json_set_string(root, "method", s->method);
    json_set_number(root, "rows", dataset_rows(d));
    json_set_string(root, "data_sha256", dataset_rows_sha256(d));
    json_set_string(root, "sha256", sha256);
    if (s->fingerprint[0][0]) {
        struct json *fingerprints = json_set(root, "fingerprints", json_object());
        for (int p = 0; p < PART_COUNT; p++)
            json_set_string(fingerprints, part_names[p], s->fingerprint[p]);
    }
    struct json *counts = json_set(root, "counts", json_object());
    uint64_t given = 0;
    for (int p = 0; p < PART_COUNT; given += s->part[p++].count)
        json_set_number(counts, part_names[p], s->part[p].count);
    if (given <= SPLIT_LISTED || given != dataset_rows(d)) {
        json_set(root, "parts", list_parts(s, d));
    } else {
        char *packed = pack_parts(s, dataset_rows(d));
        json_set_string(root, "part_of", packed);
        free(packed);
    }
    int result = json_write(path, root, e);
    json_destroy(&root);
    if (!result)
        memcpy(s->sha256, sha256, sizeof sha256);
    return result;
}

static int check_keys(const struct json *root, const char *path, struct error *e)
{
    char hint[128];
    if (json_type(root) != JSON_OBJECT)
        return error_set(e, ERROR_DATA, "%s: is %s; an object with \"parts\" is expected", path, json_type_name(json_type(root)));
    for (size_t i = 0; i < json_size(root); i++) {
        const char *key = json_key(root, i);
        size_t k = 0;
        while (k < KEYS && strcmp(keys[k], key))
            k++;
        if (k == KEYS)
            return error_set(e, ERROR_DATA, "%s: unknown key \"%.100s\"%s", path, key,
                             near_hint(hint, sizeof hint, key, keys, KEYS));
    }
    const char *data = json_string(json_get(root, "data_sha256")), *method = json_string(json_get(root, "method"));
    if (json_get(root, "data_sha256") && !data)
        return error_set(e, ERROR_DATA, "%s: data_sha256 must be a string", path);
    if (method && strlen(method) >= sizeof((struct split *)0)->method)
        return error_set(e, ERROR_DATA, "%s: method \"%.100s\" is unknown", path, method);
    return 0;
}

static int check_data(const struct json *root, const struct dataset *d, const char *path, struct error *e)
{
    const char *data = json_string(json_get(root, "data_sha256"));
    if (!data || !strcmp(data, dataset_rows_sha256(d)))
        return 0;
    return error_set(
        e, ERROR_DATA,
        "%s: was made from other data (%.12s..., this is %.12s...); use the data it was made from, or another split file", path,
        data, dataset_rows_sha256(d));
}

/* What is read so far: the part of each row, PART_COUNT where none has taken it. */
struct reading {
    const char *path;
    const struct dataset *d;
    struct table *ids;
    unsigned char *part_of;
};

static int take_id(struct reading *r, const struct json *value, enum part part, size_t place, struct error *e)
{
    const char *id = json_string(value);
    if (!id)
        return error_set(e, ERROR_DATA, "%s: parts.%s[%zu] is %s; ids are strings", r->path, part_names[part], place,
                         json_type_name(json_type(value)));
    uint32_t row = table_find(r->ids, id);
    if (row == TABLE_ABSENT)
        return error_set(e, ERROR_DATA, "%s: parts.%s[%zu]: no row has the id \"%.200s\"", r->path, part_names[part], place, id);
    if (r->part_of[row] == part)
        return error_set(e, ERROR_DATA, "%s: parts.%s has the id \"%.200s\" twice", r->path, part_names[part], id);
    if (r->part_of[row] != PART_COUNT)
        return error_set(e, ERROR_DATA, "%s: the id \"%.200s\" is in %s and in %s", r->path, id, part_names[r->part_of[row]],
                         part_names[part]);
    r->part_of[row] = (unsigned char)part;
    return 0;
}

static int check_ids(struct reading *r, struct error *e)
{
    for (uint32_t row = 0; row < dataset_rows(r->d); row++)
        if (table_add(r->ids, dataset_id(r->d, row)) != row)
            return error_set(e, ERROR_DATA, "the id \"%.200s\" appears twice in the rows file; delete the run's tokens directory",
                             dataset_id(r->d, row));
    return 0;
}

/* Of rows by number: the file has to be known to be of these rows. */
static int read_packed(struct reading *r, const struct json *root, struct error *e)
{
    const char *text = json_string(json_get(root, "part_of"));
    uint32_t rows = dataset_rows(r->d);
    uint8_t *bytes = NULL;
    size_t size = 0;
    if (json_get(root, "parts") || !json_string(json_get(root, "data_sha256")))
        return error_set(e, ERROR_DATA, "%s: part_of stands in place of parts, together with data_sha256", r->path);
    bool right = text && base64_decode(text, &bytes, &size) && size == (rows + (size_t)3) / 4;
    for (uint32_t row = 0; right && row < 4 * size; row++) {
        unsigned part = bytes[row / 4] >> row % 4 * 2 & 3u;
        right = row < rows ? part < PART_COUNT : part == 0;
        if (row < rows)
            r->part_of[row] = (unsigned char)part;
    }
    free(bytes);
    return right ? 0
                 : error_set(e, ERROR_DATA, "%s: part_of is damaged: it is not the parts of %u rows in base64", r->path, rows);
}

static int read_parts(struct reading *r, const struct json *root, struct error *e)
{
    const struct json *parts = json_get(root, "parts");
    char hint[128];
    if (check_ids(r, e))
        return -1;
    for (size_t i = 0; i < json_size(parts); i++) {
        const char *name = json_key(parts, i);
        if (!name || (strcmp(name, part_names[0]) && strcmp(name, part_names[1]) && strcmp(name, part_names[2])))
            return error_set(e, ERROR_DATA, "%s: unknown part \"%.100s\"%s", r->path, name ? name : "",
                             name ? near_hint(hint, sizeof hint, name, part_names, PART_COUNT) : "");
    }
    for (int p = 0; p < PART_COUNT; p++) {
        const struct json *ids = json_get(parts, part_names[p]);
        if (json_type(ids) != JSON_ARRAY)
            return error_set(e, ERROR_DATA, "%s: parts.%s must be a list of row ids", r->path, part_names[p]);
        for (size_t i = 0; i < json_size(ids); i++)
            if (take_id(r, json_at(ids, i), (enum part)p, i, e))
                return -1;
    }
    uint32_t missing = 0, first = 0;
    for (uint32_t row = dataset_rows(r->d); row-- > 0;)
        if (r->part_of[row] == PART_COUNT) {
            missing++;
            first = row;
        }
    if (missing)
        return error_set(e, ERROR_DATA, "%s: %u rows are in no part; the first has the id \"%.200s\"", r->path, missing,
                         dataset_id(r->d, first));
    return 0;
}

static void collect(struct split *s, const unsigned char *part_of, uint32_t rows)
{
    uint32_t counts[PART_COUNT] = {0};
    for (uint32_t row = 0; row < rows; row++)
        counts[part_of[row]]++;
    for (int p = 0; p < PART_COUNT; p++)
        s->part[p].rows = allocate(counts[p], sizeof *s->part[p].rows);
    for (uint32_t row = 0; row < rows; row++)
        s->part[part_of[row]].rows[s->part[part_of[row]].count++] = row;
}

/* The rows must be known before the file's own hash can be checked, since the hash does not depend on the order in the file. */
static int finish(struct split *s, const struct json *root, const struct dataset *d, const char *path, struct error *e)
{
    const struct json *sha256 = json_get(root, "sha256");
    const char *method = json_string(json_get(root, "method"));
    hash(s, d, s->sha256);
    if (sha256 && (!json_string(sha256) || strcmp(json_string(sha256), s->sha256)))
        return error_set(e, ERROR_DATA,
                         "%s: was changed after it was written (its sha256 does not match); restore it, or delete the line",
                         path);
    snprintf(s->method, sizeof s->method, "%s", method ? method : "file");
    return 0;
}

static int read_against(struct split *ret, const struct json *root, struct reading *r, struct error *e)
{
    uint32_t rows = dataset_rows(r->d);
    struct split s = {0};
    if (check_keys(root, r->path, e) || check_data(root, r->d, r->path, e))
        return -1;
    memset(r->part_of, PART_COUNT, rows);
    if (json_get(root, "part_of") ? read_packed(r, root, e) : read_parts(r, root, e))
        return -1;
    collect(&s, r->part_of, rows);
    if (finish(&s, root, r->d, r->path, e)) {
        split_free(&s);
        return -1;
    }
    *ret = s;
    return 0;
}

int split_read(struct split *ret, const char *path, const struct dataset *d, struct error *e)
{
    struct json *root;
    if (json_read(&root, path, e))
        return -1;
    struct reading r = {.path = path, .d = d, .part_of = allocate(dataset_rows(d), 1)};
    table_create(&r.ids);
    int result = read_against(ret, root, &r, e);
    table_destroy(&r.ids);
    free(r.part_of);
    json_destroy(&root);
    return result;
}

void split_free(struct split *s)
{
    for (int p = 0; s && p < PART_COUNT; p++)
        free(s->part[p].rows);
    if (s)
        *s = (struct split){0};
}
