/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/data/protocol_freeze.h"

#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/base/table.h"
#include "common/base/version.h"
#include "coordinator/data/check.h"
#include "coordinator/data/protocol.h"
#include "coordinator/data/shuffle.h"
#include "coordinator/data/split.h"

#include <stdlib.h>
#include <string.h>

enum fate { FATE_KEPT, FATE_LIMIT, FATE_RARE };

/* The job's rows as it splits them, before labels are dropped. */
struct first_pass {
    struct json *check;
    struct dataset *d;
    struct split split;
    enum fate *fates; /* (rows) */
    bool *label_kept; /* (labels) */
};

static void limit_part(struct first_pass *f, enum part part, uint32_t limit, uint64_t seed)
{
    uint32_t count = f->split.part[part].count;
    if (!limit || limit >= count)
        return;
    uint32_t *order = allocate(count, sizeof *order);
    memcpy(order, f->split.part[part].rows, count * sizeof *order);
    shuffle_numbers(order, count, seed, RANDOM_LIMIT, 0);
    for (uint32_t i = limit; i < count; i++)
        f->fates[order[i]] = FATE_LIMIT;
    free(order);
}

static bool has_label(const struct dataset *d, uint32_t row, uint32_t label)
{
    return dataset_is_multi(d) ? dataset_targets(d, row)[label] > 0 : dataset_class(d, row) == (int32_t)label;
}

/* Labels by their rows in train alone, then rows that have lost all of theirs. */
static int drop_rare(struct first_pass *f, uint32_t least, struct error *e)
{
    uint32_t labels = dataset_labels(f->d), kept = 0;
    for (uint32_t c = 0; c < labels; c++) {
        uint32_t count = 0;
        for (uint32_t i = 0; i < f->split.part[PART_TRAIN].count; i++) {
            uint32_t row = f->split.part[PART_TRAIN].rows[i];
            count += f->fates[row] == FATE_KEPT && has_label(f->d, row, c);
        }
        f->label_kept[c] = count >= least;
        kept += f->label_kept[c];
    }
    if (kept < (dataset_is_multi(f->d) ? 1 : 2))
        return error_set(e, ERROR_DATA, "%u labels have %u rows in the train part (data.min_label_count); lower it", kept, least);
    for (uint32_t row = 0; row < dataset_rows(f->d); row++) {
        bool had = false, has = false;
        for (uint32_t c = 0; c < labels; c++) {
            had |= has_label(f->d, row, c);
            has |= f->label_kept[c] && has_label(f->d, row, c);
        }
        if (had && !has && f->fates[row] == FATE_KEPT)
            f->fates[row] = FATE_RARE;
    }
    return 0;
}

static void first_pass_free(struct first_pass *f)
{
    free(f->fates);
    free(f->label_kept);
    split_free(&f->split);
    dataset_close(&f->d);
    json_destroy(&f->check);
}

static int pass_once(struct first_pass *f, const struct job *j, char *work, struct error *e)
{
    struct job all = *j; /* the same job elsewhere, with all labels; what it owns stays j's */
    all.out = work;
    all.data.min_label_count = 0;
    if (data_open(&f->d, &f->check, &all, e))
        return -1;
    return data_split(&f->split, &all, f->d, f->check, e);
}

/* ---- what is written ---- */

static struct json *describe_files(const struct json *check)
{
    const struct json *files = json_get(check, "files");
    struct json *list = json_array();
    for (size_t i = 0; i < json_size(files); i++) {
        const char *path = json_string(json_get(json_at(files, i), "path")), *slash = strrchr(path, '/');
        struct json *file = json_append(list, json_object());
        json_set_string(file, "name", slash ? slash + 1 : path);
        json_set_string(file, "sha256", json_string(json_get(json_at(files, i), "sha256")));
    }
    return list;
}

static void describe_labels(struct json *to, const struct first_pass *f)
{
    struct json *kept = json_set(to, "labels", json_array()), *dropped = json_set(to, "dropped_labels", json_array());
    const struct json *labels = json_get(f->check, "labels");
    for (uint32_t c = 0; c < dataset_labels(f->d); c++)
        json_append(f->label_kept[c] ? kept : dropped, json_copy(json_get(json_at(labels, c), "name")));
}

/* All rows that the data has and no part: by reason. */
static int describe_left_out(struct json *to, const struct first_pass *f, const struct job *j, struct error *e)
{
    struct json *left_out = json_set(to, "left_out", json_object()), *limit = json_set(left_out, "limit", json_array()),
                *rare = json_set(left_out, "rare_labels", json_array()), *cleaning = json_set(left_out, "cleaning", json_array());
    const char *paths[PART_COUNT];
    size_t count = job_data_files(paths, j);
    struct input input = input_of_job(j);
    struct records all;
    struct table *used;
    if (records_read(&all, paths, count, &input, false, e))
        return -1;
    table_create(&used);
    for (uint32_t row = 0; row < dataset_rows(f->d); row++) {
        table_add(used, dataset_id(f->d, row));
        if (f->fates[row] != FATE_KEPT)
            json_append(f->fates[row] == FATE_LIMIT ? limit : rare, json_of_string(dataset_id(f->d, row)));
    }
    for (size_t i = 0; i < all.count; i++)
        if (table_find(used, all.rows[i].id) == TABLE_ABSENT)
            json_append(cleaning, json_of_string(all.rows[i].id));
    table_destroy(&used);
    records_free(&all);
    return 0;
}

static void describe_split(struct json *to, const struct first_pass *f, const struct job *j, const uint32_t limits[PART_COUNT])
{
    struct json *split = json_set(to, "split", json_object()), *most = json_set(split, "limits", json_object());
    json_set_string(split, "method", f->split.method);
    json_set_number(split, "seed", (double)j->seed);
    json_set_number(split, "train", j->split.train);
    json_set_number(split, "validation", j->split.validation);
    json_set_string(split, "group", j->data.group);
    json_set_string(split, "time", j->data.time);
    for (int p = 0; p < PART_COUNT; p++)
        json_set(most, part_names[p], limits[p] ? json_of_number(limits[p]) : json_null());
}

static struct json *describe_parts(struct protocol_summary *count, const struct first_pass *f, struct error *e)
{
    struct json *parts = json_object();
    for (int p = 0; p < PART_COUNT; p++) {
        struct json *ids = json_set(parts, part_names[p], json_array());
        for (uint32_t i = 0; i < f->split.part[p].count; i++)
            if (f->fates[f->split.part[p].rows[i]] == FATE_KEPT)
                json_append(ids, json_of_string(dataset_id(f->d, f->split.part[p].rows[i])));
        count->rows[p] = (uint32_t)json_size(ids);
        if (!count->rows[p]) {
            error_set(e, ERROR_DATA, "the %s part would be empty: its rows have labels below data.min_label_count only; lower it",
                      part_names[p]);
            json_destroy(&parts);
            break;
        }
    }
    return parts;
}

/* The protocol without what the second pass finds out. */
static int describe(struct json **ret, struct protocol_summary *count, const struct first_pass *f, const struct job *j,
                    const uint32_t limits[PART_COUNT], struct error *e)
{
    struct json *root = json_object(), *parts = describe_parts(count, f, e),
                *protocol = json_set(root, "protocol", json_object());
    json_set_string(root, "method", f->split.method);
    json_set_number(protocol, "version", PROTOCOL_VERSION_READ);
    json_set_string(protocol, "name", j->name);
    json_set_string(protocol, "made_by", "muster " MUSTER_VERSION);
    json_set(protocol, "files", describe_files(f->check));
    json_set(protocol, "texts", protocol_text_options(j));
    json_set_number(protocol, "min_label_count", j->data.min_label_count);
    describe_labels(protocol, f);
    describe_split(protocol, f, j, limits);
    if (!parts || describe_left_out(protocol, f, j, e)) {
        json_destroy(&parts);
        json_destroy(&root);
        return -1;
    }
    json_set(root, "parts", parts);
    count->labels = (uint32_t)json_size(json_get(protocol, "labels"));
    count->dropped_labels = (uint32_t)json_size(json_get(protocol, "dropped_labels"));
    const struct json *left_out = json_get(protocol, "left_out");
    for (size_t i = 0; i < json_size(left_out); i++)
        count->left_out += (uint32_t)json_size(json_at(left_out, i));
    *ret = root;
    return 0;
}

/* The split that came out, with the ids of its rows also where split.json has numbers in their place. Caller frees. */
static struct json *with_ids(const struct json *split, const struct json *root)
{
    struct json *protocol = json_object();
    for (size_t i = 0; i < json_size(split); i++) {
        bool packed = strcmp(json_key(split, i), "part_of") == 0;
        json_set(protocol, packed ? "parts" : json_key(split, i),
                 json_copy(packed ? json_get(root, "parts") : json_at(split, i)));
    }
    json_set(protocol, "protocol", json_copy(json_get(root, "protocol")));
    return protocol;
}

/* Uses the protocol as any job will, and takes over the hashes of what came out. */
static int pass_twice(struct protocol_summary *count, const struct json *root, const struct job *j, char *work,
                      const char *directory, struct error *e)
{
    struct job frozen = *j;
    struct dataset *d = NULL;
    struct json *check = NULL, *split = NULL;
    struct split s = {0};
    char *draft = path_join(work, "protocol.json"), *made = path_join(work, "split.json"),
         *path = path_join(directory, "protocol.json");
    frozen.out = work;
    frozen.split.file = draft;
    int result = json_write(draft, root, e) || data_open(&d, &check, &frozen, e) || data_split(&s, &frozen, d, check, e) ||
                         json_read(&split, made, e)
                     ? -1
                     : 0;
    if (!result) {
        struct json *protocol = with_ids(split, root);
        memcpy(count->sha256, s.sha256, sizeof count->sha256);
        result = json_write(path, protocol, e);
        json_destroy(&protocol);
    }
    split_free(&s);
    json_destroy(&split);
    json_destroy(&check);
    dataset_close(&d);
    free(path);
    free(made);
    free(draft);
    return result;
}

int protocol_freeze(struct protocol_summary *ret, const struct job *j, const char *directory, const uint32_t limits[PART_COUNT],
                    struct error *e)
{
    struct first_pass f = {0};
    struct json *root = NULL;
    struct error ignored;
    if (j->split.file)
        return error_set(e, ERROR_USAGE, "split.file: the split is frozen already; remove the key to freeze another");
    struct job own = *j; /* borrows from j */
    if (!own.model && own.search.models.count > 0)
        own.model = own.search.models.names[0]; /* of tokens, which the protocol does not depend on */
    *ret = (struct protocol_summary){0};
    char *first = path_join(directory, ".first"), *second = path_join(directory, ".second");
    int result = directory_create(first, e) || directory_create(second, e) || pass_once(&f, &own, first, e) ? -1 : 0;
    if (!result) {
        f.fates = allocate(dataset_rows(f.d), sizeof *f.fates);
        f.label_kept = allocate(dataset_labels(f.d), sizeof *f.label_kept);
        for (int p = 0; p < PART_COUNT; p++)
            limit_part(&f, (enum part)p, limits[p], j->seed);
        result = drop_rare(&f, j->data.min_label_count, e) || describe(&root, ret, &f, j, limits, e) ||
                         pass_twice(ret, root, &own, second, directory, e)
                     ? -1
                     : 0;
    }
    json_destroy(&root);
    first_pass_free(&f);
    if (directory_remove(first, result ? &ignored : e) || directory_remove(second, result ? &ignored : e))
        result = -1;
    free(second);
    free(first);
    return result;
}
