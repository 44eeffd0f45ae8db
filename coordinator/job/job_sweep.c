/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/job/job_sweep.h"

#include "common/base/memory.h"

#include <stdlib.h>
#include <string.h>

static const struct job_field *field_of(const char *key)
{
    char *full = format_string("train.%s", key);
    const struct job_field *f = job_field_find(full);
    free(full);
    return f ? f : job_field_find(key);
}

const struct job_field *job_swept_field(const char *key)
{
    const struct job_field *f = field_of(key);
    return f && f->flags & JOB_SWEPT ? f : NULL;
}

bool job_sweep_is_range(const struct json *values)
{
    return json_type(values) == JSON_OBJECT;
}

bool job_sweep_is_log(const char *key, const struct json *range)
{
    const struct json *log = json_get(range, "log");
    return log ? json_boolean(log) : strcmp(key, "lr") == 0;
}

/* Values are stored into a scratch job, by the same table that reads "train". */
static int check_value(const struct job_field *f, const struct json *value, struct error *e)
{
    struct job scratch = {0};
    if (json_type(value) == JSON_ARRAY && f->type != JOB_BOUNDS)
        return error_set(e, ERROR_USAGE, "%s: expected single values in the list, found a list", f->key);
    return job_field_store(f, &scratch, value, e);
}

static int check_list(const struct job_field *f, const struct json *list, struct error *e)
{
    int status = 0;
    for (size_t i = 0; status == 0 && i < json_size(list); i++) {
        status = check_value(f, json_at(list, i), e);
        for (size_t k = 0; status == 0 && k < i; k++) {
            char *a = json_print(json_at(list, i), false), *b = json_print(json_at(list, k), false);
            if (strcmp(a, b) == 0)
                status = error_set(e, ERROR_USAGE, "the value %s is in the list twice", a);
            free(a);
            free(b);
        }
    }
    return status;
}

static int check_range(const char *key, const struct job_field *f, const struct json *range, struct error *e)
{
    const struct json *from = json_get(range, "from"), *to = json_get(range, "to"), *log = json_get(range, "log");
    if (f->type != JOB_NUMBER && f->type != JOB_COUNT && f->type != JOB_SEED)
        return error_set(e, ERROR_USAGE, "only numeric keys take a range; give a list of values");
    for (size_t i = 0; i < json_size(range); i++)
        if (strcmp(json_key(range, i), "from") != 0 && strcmp(json_key(range, i), "to") != 0 &&
            strcmp(json_key(range, i), "log") != 0)
            return error_set(e, ERROR_USAGE, "a range has \"from\", \"to\" and \"log\", found \"%s\"", json_key(range, i));
    if (json_type(from) != JSON_NUMBER || json_type(to) != JSON_NUMBER || (log && json_type(log) != JSON_BOOLEAN))
        return error_set(e, ERROR_USAGE, "expected a range such as {\"from\": 1e-6, \"to\": 1e-4, \"log\": true}");
    if (check_value(f, from, e) != 0 || check_value(f, to, e) != 0)
        return -1;
    if (json_number(from) >= json_number(to))
        return error_set(e, ERROR_USAGE, "\"from\" must be below \"to\"");
    if (job_sweep_is_log(key, range) && !(json_number(from) > 0))
        return error_set(e, ERROR_USAGE, "a logarithmic range must start above 0; raise \"from\", or set \"log\": false");
    return 0;
}

static int check_key(const char *key, const struct json *values, struct error *e)
{
    const struct job_field *f = field_of(key);
    int status;
    if (!f)
        status = job_unknown_swept_key(key, e);
    else if (!(f->flags & JOB_SWEPT))
        status = error_set(e, ERROR_USAGE, "%s cannot be swept: all trials share it", f->key);
    else if (job_sweep_is_range(values))
        status = check_range(key, f, values, e);
    else if (json_type(values) != JSON_ARRAY || json_size(values) == 0)
        status = error_set(e, ERROR_USAGE, "expected a list of values such as [1e-5, 2e-5], found %s",
                           json_type_name(json_type(values)));
    else
        status = check_list(f, values, e);
    return status == 0 ? 0 : error_prefix(e, "sweep.%s: ", key);
}

int job_sweep_check(const struct json *sweep, struct error *e)
{
    for (size_t i = 0; i < json_size(sweep); i++)
        if (check_key(json_key(sweep, i), json_at(sweep, i), e) != 0)
            return -1;
    return 0;
}
