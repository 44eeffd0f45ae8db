/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/job/job_combinations.h"

#include "common/base/memory.h"

#include <stdlib.h>
#include <string.h>

#define MODELS_MOST 64 /* bits of absolute_models */
#define ABOVE_MOST 3   /* directories above a model that its name may have */

static size_t models_of(const struct job *j)
{
    return j->search.models.count > 0 ? j->search.models.count : 1;
}

static size_t choices_of(const struct job *j)
{
    return j->search.fields ? json_size(j->search.fields) : 1;
}

size_t job_combinations(const struct job *j)
{
    return j->search.models.count > 0 || j->search.fields ? models_of(j) * choices_of(j) : 0;
}

size_t job_combination_model_number(const struct job *j, size_t n)
{
    return n / choices_of(j);
}

const char *job_combination_model(const struct job *j, size_t n)
{
    return j->search.models.count > 0 ? j->search.models.names[job_combination_model_number(j, n)] : j->model;
}

const struct json *job_combination_fields(const struct job *j, size_t n)
{
    return json_at(j->search.fields, n % choices_of(j)); /* NULL: all */
}

bool job_combination_has(const struct json *fields, const char *name)
{
    for (size_t i = 0; i < json_size(fields); i++)
        if (strcmp(json_string(json_at(fields, i)), name) == 0)
            return true;
    return false;
}

/* ---- names ---- */

/* Its last part, and `above` directories above it. Caller frees. */
static char *model_name(const char *path, int above)
{
    char *name = duplicate(path), *end = name + strlen(name);
    while (end > name + 1 && end[-1] == '/')
        *--end = 0;
    char *start = end;
    for (int slashes = 0; start > name && (start[-1] != '/' || slashes++ < above);)
        start--;
    memmove(name, start, strlen(start) + 1);
    return name;
}

/* How far up models have to be named so that no two are the same. */
static int directories_above(const struct job *j)
{
    const struct text_fields *m = &j->search.models;
    int above = 0;
    bool same = true;
    while (same && above < ABOVE_MOST) {
        same = false;
        for (size_t i = 0; i < m->count; i++)
            for (size_t k = 0; k < i; k++) {
                char *a = model_name(m->names[i], above), *b = model_name(m->names[k], above);
                same = same || strcmp(a, b) == 0;
                free(a);
                free(b);
            }
        above += same;
    }
    return above;
}

/* As a job's name may be. */
static void make_file_name(char *name)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    for (char *c = name; *c; c++)
        if (!strchr(allowed, *c) || (c == name && (*c == '.' || *c == '-')))
            *c = '_';
}

/* Of both texts, in the job's order. */
static char *with_fields(char *name, const struct text_fields *all, const struct json *fields, bool *first)
{
    for (size_t i = 0; i < all->count; i++) {
        if (!job_combination_has(fields, all->names[i]))
            continue;
        char *longer = format_string("%s%c%s", name, *first ? '_' : '-', all->names[i]);
        free(name);
        name = longer;
        *first = false;
    }
    return name;
}

char *job_combination_name(const struct job *j, size_t n)
{
    const struct json *fields = job_combination_fields(j, n);
    bool first = true;
    char *name = model_name(job_combination_model(j, n), directories_above(j));
    name = with_fields(name, &j->data.text_a, fields, &first);
    name = with_fields(name, &j->data.text_b, fields, &first);
    make_file_name(name);
    return name;
}

/* ---- what cannot be ---- */

static int check_fields(const struct job *j, struct error *e)
{
    for (size_t c = 0; c < json_size(j->search.fields); c++) {
        const struct json *fields = json_at(j->search.fields, c);
        bool first = false;
        for (size_t i = 0; i < json_size(fields); i++) {
            const char *name = json_string(json_at(fields, i));
            first = first || text_fields_have(&j->data.text_a, name);
            if (!text_fields_have(&j->data.text_a, name) && !text_fields_have(&j->data.text_b, name))
                return error_set(e, ERROR_USAGE, "sweep.fields: \"%s\" is in neither data.text_a nor data.text_b", name);
        }
        if (!first)
            return error_set(e, ERROR_USAGE, "sweep.fields: the choice that begins with \"%s\" has no field of data.text_a",
                             json_string(json_at(fields, 0)));
    }
    return 0;
}

static int check_names(const struct job *j, struct error *e)
{
    size_t count = job_combinations(j);
    char **names = allocate(count, sizeof *names);
    int status = 0;
    for (size_t i = 0; i < count; i++)
        names[i] = job_combination_name(j, i);
    for (size_t i = 0; i < count && status == 0; i++)
        for (size_t k = 0; k < i && status == 0; k++)
            if (strcmp(names[i], names[k]) == 0)
                status = error_set(e, ERROR_USAGE,
                                   "sweep: two combinations of model and fields would both be called \"%s\"; remove one, or link "
                                   "a model under another name",
                                   names[i]);
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    free(names);
    return status;
}

int job_combinations_check(const struct job *j, struct error *e)
{
    const char *list = j->search.models.count > 0 ? "sweep.model" : "sweep.fields";
    if (job_combinations(j) == 0)
        return 0;
    if (j->search.models.count > MODELS_MOST)
        return error_set(e, ERROR_USAGE, "sweep.model: %zu models are more than %d", j->search.models.count, MODELS_MOST);
    if (j->search.models.count > 0 && j->model)
        return error_set(e, ERROR_USAGE, "model and sweep.model are mutually exclusive: remove one");
    if (j->search.models.count > 0 && j->adapter)
        return error_set(e, ERROR_USAGE,
                         "adapter and sweep.model are mutually exclusive: an adapter is of one model; remove one");
    if (j->split.folds > 0)
        return error_set(e, ERROR_USAGE,
                         "split.folds and %s are mutually exclusive: what is compared has to be on the same frozen split; remove "
                         "one",
                         list);
    return check_fields(j, e) != 0 || check_names(j, e) != 0 ? -1 : 0;
}
