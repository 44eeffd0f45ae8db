/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/job/job_schema.h"

#include "common/base/memory.h"
#include "common/base/version.h"
#include "coordinator/job/job_fields.h"

#include <stdlib.h>
#include <string.h>

static struct json *of_type(const char *type)
{
    struct json *schema = json_object();
    json_set_string(schema, "type", type);
    return schema;
}

static struct json *any_of(struct json *first, struct json *second)
{
    struct json *schema = json_object(), *list = json_set(schema, "anyOf", json_array());
    json_append(list, first);
    json_append(list, second);
    return schema;
}

static struct json *string_schema(bool may_be_empty)
{
    struct json *schema = of_type("string");
    if (!may_be_empty)
        json_set_number(schema, "minLength", 1);
    return schema;
}

/* true and false as words are taken as JSON's own too. */
static struct json *enum_schema(const char *const *words)
{
    struct json *schema = json_object(), *list = json_set(schema, "enum", json_array());
    for (size_t i = 0; words[i]; i++) {
        json_append(list, json_of_string(words[i]));
        if (strcmp(words[i], "true") == 0 || strcmp(words[i], "false") == 0)
            json_append(list, json_of_boolean(strcmp(words[i], "true") == 0));
    }
    return schema;
}

static struct json *number_schema(const char *type, const struct job_field *f)
{
    struct json *schema = of_type(type);
    json_set_number(schema, f->flags & JOB_ABOVE ? "exclusiveMinimum" : "minimum", f->low);
    json_set_number(schema, f->flags & JOB_BELOW ? "exclusiveMaximum" : "maximum", f->high);
    return schema;
}

static struct json *list_schema(struct json *items, double least, double most)
{
    struct json *schema = of_type("array");
    json_set(schema, "items", items);
    if (least > 0)
        json_set_number(schema, "minItems", least);
    if (most > 0)
        json_set_number(schema, "maxItems", most);
    return schema;
}

static struct json *strings_schema(const struct job_field *f, bool filled)
{
    struct json *schema = list_schema(f->words ? enum_schema(f->words) : string_schema(false), filled ? 1 : 0, 0);
    json_set_boolean(schema, "uniqueItems", true);
    return schema;
}

static struct json *seeds_schema(const struct job_field *f)
{
    struct json *schema = list_schema(number_schema("integer", f), 1, 0);
    json_set_boolean(schema, "uniqueItems", true);
    return schema;
}

/* A number above 0 and at most `most`. */
static struct json *positive_schema(double most)
{
    struct json *schema = of_type("number");
    json_set_number(schema, "exclusiveMinimum", 0);
    json_set_number(schema, "maximum", most);
    return schema;
}

static struct json *interval_schema(void)
{
    struct json *schema = of_type("string");
    json_set_string(schema, "pattern", "^(epoch|[1-9][0-9]* steps?|([1-9][0-9]*|[0-9]*\\.[0-9]*[1-9][0-9]*) minutes?)$");
    return schema;
}

static struct json *limits_schema(const struct job_field *f)
{
    struct json *schema = of_type("object");
    json_set(schema, "additionalProperties", number_schema("integer", f));
    return schema;
}

static struct json *lists_schema(void)
{
    struct json *one = list_schema(string_schema(false), 1, 0);
    json_set_boolean(one, "uniqueItems", true);
    struct json *schema = list_schema(one, 0, 0);
    json_set_boolean(schema, "uniqueItems", true);
    return schema;
}

static struct json *sweep_schema(void);

/* What a value of this key may be, null apart. */
static struct json *value_schema(const struct job_field *f)
{
    switch (f->type) {
    case JOB_STRING:
        return string_schema(f->flags & JOB_EMPTY);
    case JOB_WORD:
    case JOB_TRUNCATION:
    case JOB_RULE:
    case JOB_SCHEDULER:
        return enum_schema(f->words);
    case JOB_NUMBER:
        return number_schema("number", f);
    case JOB_COUNT:
    case JOB_POINTS:
    case JOB_SEED:
        return number_schema("integer", f);
    case JOB_SEEDS:
        return seeds_schema(f);
    case JOB_BOOLEAN:
        return of_type("boolean");
    case JOB_STRINGS:
        return strings_schema(f, f->flags & JOB_FILLED);
    case JOB_LABEL:
        return any_of(string_schema(false), strings_schema(f, true));
    case JOB_CLASS_WEIGHTS:
        return any_of(enum_schema(f->words), list_schema(positive_schema(1e9), 1, 0));
    case JOB_INTERVAL:
        return interval_schema();
    case JOB_BOUNDS:
        return list_schema(positive_schema(f->high), 2, 2);
    case JOB_LIMITS:
        return limits_schema(f);
    case JOB_LISTS:
        return lists_schema();
    case JOB_SWEEP:
        return sweep_schema();
    default:
        return of_type("null");
    }
}

static struct json *nullable(const struct job_field *f, struct json *schema)
{
    return job_field_takes_null(f) && !(f->flags & JOB_REQUIRED) ? any_of(schema, of_type("null")) : schema;
}

static struct json *field_schema(const struct job_field *f)
{
    struct json *schema = nullable(f, value_schema(f)), *fallback;
    struct error ignored;
    json_set_string(schema, "description", f->help);
    if (!(f->flags & JOB_REQUIRED) && json_parse(&fallback, f->fallback, strlen(f->fallback), f->key, &ignored) == 0)
        json_set(schema, "default", fallback);
    return schema;
}

/* An object with nothing but the keys of a section ("data."), in table order. */
static struct json *section_schema(const char *section)
{
    struct json *schema = of_type("object"), *properties = json_set(schema, "properties", json_object()),
                *required = json_array();
    size_t size = strlen(section);
    for (size_t i = 0; i < job_field_count; i++) {
        const struct job_field *f = &job_fields[i];
        if (strncmp(f->key, section, size) != 0)
            continue;
        json_set(properties, f->key + size, field_schema(f));
        if (f->flags & JOB_REQUIRED)
            json_append(required, json_of_string(f->key + size));
    }
    if (json_size(required) > 0)
        json_set(schema, "required", required);
    else
        json_destroy(&required);
    if (strcmp(section, "train.") == 0) /* also as a section of its own */
        json_set(properties, "lora", section_schema("train.lora_"));
    json_set_boolean(schema, "additionalProperties", false);
    return schema;
}

/* ---- sweep ---- */

static struct json *range_schema(const struct job_field *f)
{
    struct json *schema = of_type("object"), *properties = json_set(schema, "properties", json_object());
    struct json *required = json_set(schema, "required", json_array());
    json_set(properties, "from", value_schema(f));
    json_set(properties, "to", value_schema(f));
    json_set(properties, "log", of_type("boolean"));
    json_append(required, json_of_string("from"));
    json_append(required, json_of_string("to"));
    json_set_boolean(schema, "additionalProperties", false);
    return schema;
}

/* A list of single values, or for numbers a range (job_sweep.h). */
static struct json *swept_schema(const struct job_field *f)
{
    struct json *value = f->type == JOB_CLASS_WEIGHTS ? enum_schema(f->words) : value_schema(f);
    struct json *schema = list_schema(nullable(f, value), 1, 0);
    json_set_boolean(schema, "uniqueItems", true);
    if (f->type == JOB_NUMBER || f->type == JOB_COUNT || f->type == JOB_SEED)
        schema = any_of(schema, range_schema(f));
    json_set_string(schema, "description", f->help);
    return schema;
}

/* Keys of the search itself, and swept keys, by their names in "train". */
static struct json *sweep_schema(void)
{
    struct json *schema = of_type("object"), *properties = json_set(schema, "properties", json_object());
    for (size_t i = 0; i < job_field_count; i++) {
        const struct job_field *f = &job_fields[i];
        if (strncmp(f->key, "sweep.", strlen("sweep.")) == 0)
            json_set(properties, f->key + strlen("sweep."), field_schema(f));
        else if (f->flags & JOB_SWEPT)
            json_set(properties, strncmp(f->key, "train.", strlen("train.")) == 0 ? f->key + strlen("train.") : f->key,
                     swept_schema(f));
    }
    json_set_boolean(schema, "additionalProperties", false);
    return schema;
}

/* ---- the job ---- */

static void add_section(struct json *properties, struct json *required, const char *key)
{
    char *section = format_string("%.*s", (int)(strchr(key, '.') - key), key), *prefix = format_string("%s.", section);
    if (!json_get(properties, section)) {
        const struct json *schema = json_set(properties, section, section_schema(prefix));
        if (json_get(schema, "required"))
            json_append(required, json_of_string(section));
    }
    free(section);
    free(prefix);
}

static struct json *requiring(const char *key)
{
    struct json *schema = of_type("object");
    json_append(json_set(schema, "required", json_array()), json_of_string(key));
    return schema;
}

/* `model`, or models to be compared in its place. */
static struct json *model_choice(void)
{
    struct json *list = json_array(), *several = requiring("sweep"), *sweep = requiring("model");
    json_set_number(json_set(json_set(sweep, "properties", json_object()), "model", json_object()), "minItems", 1);
    json_set(json_set(several, "properties", json_object()), "sweep", sweep);
    json_append(list, requiring("model"));
    json_append(list, several);
    return list;
}

struct json *job_schema(void)
{
    struct json *schema = json_object(), *properties, *required;
    json_set_string(schema, "$schema", "https://json-schema.org/draft/2020-12/schema");
    json_set_string(schema, "title", "Muster job file");
    json_set_string(schema, "$comment", "printed by `muster schema`, muster " MUSTER_VERSION);
    json_set_string(schema, "type", "object");
    properties = json_set(schema, "properties", json_object());
    required = json_set(schema, "required", json_array());
    json_set_string(json_set(properties, JOB_SCHEMA_KEY, of_type("string")), "description",
                    "where this schema is, for editors; not part of the job");
    for (size_t i = 0; i < job_field_count; i++) {
        const struct job_field *f = &job_fields[i];
        if (strchr(f->key, '.')) {
            add_section(properties, required, f->key);
            continue;
        }
        json_set(properties, f->key, field_schema(f));
        if (f->flags & JOB_REQUIRED && strcmp(f->key, "model") != 0)
            json_append(required, json_of_string(f->key));
    }
    json_set(schema, "anyOf", model_choice());
    json_set_boolean(schema, "additionalProperties", false);
    return schema;
}
