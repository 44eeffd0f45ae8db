/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the user's data again, for the rows that a report shows. */
#include "coordinator/report/report_texts.h"

#include "common/base/memory.h"
#include "common/base/sha256.h"
#include "coordinator/data/records.h"

#include <stdlib.h>
#include <string.h>

#define FILES_MOST 3

/* What was checked is what is there now. */
static int check_file(const struct json *file, struct error *e)
{
    char found[SHA256_HEX];
    const char *path = json_string(json_get(file, "path")), *was = json_string(json_get(file, "sha256"));
    if (!path || !was || sha256_file(path, found, e) != 0)
        return -1;
    return strcmp(found, was) == 0 ? 0 : error_set(e, ERROR_DATA, "%s has changed since", path);
}

static int find_files(const char **paths, size_t *count, const struct report_run *r, struct error *e)
{
    const struct json *files = json_get(r->check, "files");
    *count = json_size(files);
    if (*count == 0 || *count > FILES_MOST)
        return error_set(e, ERROR_DATA, "check.json does not name the data");
    for (size_t i = 0; i < *count; i++) {
        if (check_file(json_at(files, i), e) != 0)
            return -1;
        paths[i] = json_string(json_get(json_at(files, i), "path"));
    }
    return 0;
}

static void take(struct report_texts *t, const struct records *records, const struct report_run *r, const uint32_t *rows)
{
    for (size_t i = 0; i < records->count; i++)
        for (size_t k = 0; k < t->count; k++)
            if (strcmp(records->rows[i].id, dataset_id(r->data, rows[k])) == 0) {
                free(t->a[k]);
                free(t->b[k]);
                t->a[k] = duplicate(records->rows[i].a);
                t->b[k] = duplicate(records->rows[i].b);
            }
}

void report_texts_read(struct report_texts *ret, const struct report_run *r, const uint32_t *rows, size_t count)
{
    struct report_texts t = {.a = allocate(count, sizeof(char *)), .b = allocate(count, sizeof(char *)), .count = count};
    const char *paths[FILES_MOST];
    size_t files;
    struct records records;
    struct error e = {0};
    const struct job *j = &r->job;
    struct input input = input_of_job(j);
    input.group = input.label = NULL;
    input.label_columns.count = input.labels.count = 0;
    if (count > 0 && find_files(paths, &files, r, &e) == 0 && records_read(&records, paths, files, &input, false, &e) == 0) {
        take(&t, &records, r, rows);
        records_free(&records);
    }
    if (e.kind)
        t.why = duplicate(e.message);
    *ret = t;
}

void report_texts_free(struct report_texts *t)
{
    for (size_t i = 0; i < t->count; i++) {
        free(t->a[i]);
        free(t->b[i]);
    }
    free(t->a);
    free(t->b);
    free(t->why);
    memset(t, 0, sizeof *t);
}
