/* SPDX-License-Identifier: Apache-2.0 */
/* Which models there are, and how they compare. */
#include "coordinator/zoo/zoo.h"

#include "common/base/file.h"
#include "common/base/memory.h"
#include "coordinator/job/job_combinations.h"
#include "coordinator/zoo/zoo_row.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- what is there ---- */

/* Of a job for several models: those of its runs that have begun, in the job's order. */
static int add_combinations(struct zoo_rows *to, const char *directory, const struct job *j, struct error *e)
{
    int status = 0;
    for (size_t i = 0; i < job_combinations(j) && status == 0; i++) {
        char *name = job_combination_name(j, i), *path = format_string("%s/models/%s", directory, name);
        if (directory_holds(path, "events.jsonl"))
            status = zoo_add_run(to, path, e);
        free(path);
        free(name);
    }
    return status;
}

static int add_run(struct zoo_rows *to, const char *directory, struct error *e)
{
    struct job j;
    char *path = path_join(directory, "job.json");
    bool there = file_exists(path);
    int status = there ? job_read(&j, path, NULL, 0, e) : 0;
    free(path);
    if (status != 0)
        return -1;
    status = there && job_combinations(&j) > 0 ? add_combinations(to, directory, &j, e) : zoo_add_run(to, directory, e);
    if (there)
        job_free(&j);
    return status;
}

static int add_path(struct zoo_rows *to, const char *path, bool *found, struct error *e)
{
    *found = true;
    if (directory_holds(path, "events.jsonl"))
        return add_run(to, path, e);
    if (directory_holds(path, "inference_config.json"))
        return zoo_add_bundle(to, path, e);
    *found = false;
    return 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* The runs and bundles in a directory, by name. */
static int add_all(struct zoo_rows *to, const char *directory, struct error *e)
{
    struct dirent **entries;
    int count = scandir(directory, &entries, visible, by_name), status = 0;
    bool some = false, found;
    if (count < 0)
        return error_set(e, ERROR_USAGE, "%s: %s; name the directory of a run, of a bundle, or one that holds some", directory,
                         strerror(errno));
    for (int i = 0; i < count; i++) {
        char *path = path_join(directory, entries[i]->d_name);
        if (status == 0 && directory_exists(path)) {
            status = add_path(to, path, &found, e);
            some = some || found;
        }
        free(path);
        free(entries[i]);
    }
    free(entries);
    if (status == 0 && !some)
        return error_set(e, ERROR_USAGE, "%s: holds no run (events.jsonl) and no bundle (inference_config.json)", directory);
    return status;
}

static int collect(struct zoo_rows *to, const char *const *paths, size_t count, struct error *e)
{
    for (size_t i = 0; i < count; i++) {
        bool found;
        if (add_path(to, paths[i], &found, e) != 0 || (!found && add_all(to, paths[i], e) != 0))
            return -1;
    }
    return 0;
}

/* ---- who is compared with whom ---- */

static bool same_rows(const struct zoo_row *a, const struct zoo_row *b)
{
    return strcmp(a->protocol, b->protocol) == 0 && (!a->data || !b->data || strcmp(a->data, b->data) == 0);
}

static double headline(const struct zoo_row *r, const char *part)
{
    const struct json *value = json_get(json_get(r->values, part), bootstrap_metric_names[zoo_headline(r->most_probable)]);
    return value ? json_number(value) : -1;
}

/* A baseline is trained once for each run: the same scores on the same fields are the same model. */
static bool is_repeated(const struct zoo_row *a, const struct zoo_row *b)
{
    const char *x = json_string(json_get(a->values, "fields")), *y = json_string(json_get(b->values, "fields"));
    return json_get(a->values, "baseline") && json_get(b->values, "baseline") && x && y && strcmp(x, y) == 0 &&
           headline(a, "validation") == headline(b, "validation") && headline(a, "test") == headline(b, "test");
}

static void add_differences(struct zoo_row *row, const struct zoo_row *best)
{
    static const char *const parts[] = {"validation", "test"};
    const double *const own[] = {row->validation, row->test}, *const others[] = {best->validation, best->test};
    for (int p = 0; p < 2 && row != best; p++) {
        const struct json *mine = json_get(row->values, parts[p]), *other = json_get(best->values, parts[p]);
        if (!own[p] || !others[p] || json_number(json_get(mine, "rows")) != json_number(json_get(other, "rows")))
            continue;
        struct json *part = json_set(row->values, parts[p], json_copy(mine));
        zoo_compare(part, other, own[p], others[p], zoo_headline(row->most_probable));
    }
}

/* Best on validation first; equals keep their order. */
static void sort(struct zoo_row **rows, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct zoo_row *row = rows[i];
        size_t at = i;
        for (; at > 0 && headline(rows[at - 1], "validation") < headline(row, "validation"); at--)
            rows[at] = rows[at - 1];
        rows[at] = row;
    }
}

static struct json *table(struct zoo_row **rows, size_t count)
{
    struct json *o = json_object(), *models;
    sort(rows, count);
    const struct zoo_row *best = rows[0];
    const struct json *protocol = json_get(best->values, "protocol");
    json_set(o, "protocol", protocol ? json_copy(protocol) : json_null());
    json_set_string(o, "compared_by", bootstrap_metric_names[zoo_headline(best->most_probable)]);
    if (best->labels)
        json_set(o, "labels", json_copy(best->labels));
    models = json_set(o, "models", json_array());
    for (size_t i = 0; i < count; i++) {
        add_differences(rows[i], best);
        json_append(models, json_copy(rows[i]->values));
    }
    return o;
}

/* The rows that stand in a table with the first that stands in none yet; 0: all do. */
static size_t take(struct zoo_row **rows, struct zoo_rows *all, bool *taken)
{
    size_t count = 0;
    for (size_t i = 0; i < all->count; i++) {
        struct zoo_row *row = &all->list[i];
        bool repeated = false;
        if (taken[i] || (count > 0 && !same_rows(rows[0], row)))
            continue;
        taken[i] = true;
        for (size_t k = 0; k < count; k++)
            repeated = repeated || is_repeated(rows[k], row);
        if (!repeated)
            rows[count++] = row;
    }
    return count;
}

int zoo_read(struct json **ret, const char *const *paths, size_t count, struct error *e)
{
    struct zoo_rows rows = {0};
    if (collect(&rows, paths, count, e) != 0) {
        zoo_rows_free(&rows);
        return -1;
    }
    struct json *o = json_object(), *tables = json_set(o, "tables", json_array());
    struct zoo_row **some = allocate(rows.count, sizeof *some);
    bool *taken = allocate(rows.count, sizeof *taken);
    for (size_t size; (size = take(some, &rows, taken)) > 0;)
        json_append(tables, table(some, size));
    free(taken);
    free(some);
    zoo_rows_free(&rows);
    *ret = o;
    return 0;
}
