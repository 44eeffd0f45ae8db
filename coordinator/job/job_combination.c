/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/job/job_combination.h"

#include "common/base/memory.h"
#include "coordinator/job/job_combinations.h"
#include "coordinator/job/job_fields.h"
#include "coordinator/job/job_paths.h"

#include <stdlib.h>

/* In the job's order. */
static struct json *chosen(const struct text_fields *all, const struct json *fields)
{
    struct json *list = json_array();
    for (size_t i = 0; i < all->count; i++)
        if (job_combination_has(fields, all->names[i]))
            json_append(list, json_of_string(all->names[i]));
    return list;
}

static void choose_fields(struct json *values, const struct job *j, const struct json *fields)
{
    struct json *limits = json_object();
    for (size_t i = 0; i < json_size(j->data.word_limits); i++)
        if (job_combination_has(fields, json_key(j->data.word_limits, i)))
            json_set(limits, json_key(j->data.word_limits, i), json_copy(json_at(j->data.word_limits, i)));
    json_set(values, "data.text_a", chosen(&j->data.text_a, fields));
    json_set(values, "data.text_b", chosen(&j->data.text_b, fields));
    json_set(values, "data.word_limits", limits);
}

static struct json *values_of(const struct job *j)
{
    struct json *values = json_object();
    for (size_t i = 0; i < job_field_count; i++)
        json_set(values, job_fields[i].key, job_field_value(&job_fields[i], j));
    return values;
}

int job_combination(struct job *ret, const struct job *j, size_t n, const char *split_file, struct error *e)
{
    const char *model = job_combination_model(j, n);
    const struct json *fields = job_combination_fields(j, n);
    char *name = job_combination_name(j, n), *out = format_string("%s/models/%s", j->out, name);
    struct json *values = values_of(j);
    json_set(values, "sweep.model", json_array());
    json_set(values, "sweep.fields", json_array());
    json_set_string(values, "name", name);
    json_set_string(values, "out", out);
    json_set_string(values, "model", model);
    json_set_string(values, "split.file", split_file);
    if (j->train.micro_batch_follows)
        json_set(values, "train.micro_batch", json_null());
    if (fields)
        choose_fields(values, j, fields);
    int status = job_of_values(ret, values, name, e);
    if (status == 0) {
        ret->absolute_paths = j->absolute_paths;
        if (j->search.models.count > 0)
            job_paths_note_absolute(ret, "model", j->absolute_models >> job_combination_model_number(j, n) & 1);
        if (!j->split.file)
            job_paths_note_absolute(ret, "split.file", false);
    }
    json_destroy(&values);
    free(out);
    free(name);
    return status;
}
