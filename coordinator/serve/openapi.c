/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/serve/openapi.h"

#include "common/base/buffer.h"
#include "common/base/memory.h"
#include "common/base/version.h"
#include "embedded_page.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LABELS_LISTED 1000 /* above, a schema does not name them */

/* What a value may be, from JSON text written here. */
static struct json *schema(const char *text)
{
    struct json *o;
    struct error ignored;
    return json_parse(&o, text, strlen(text), "schema", &ignored) == 0 ? o : json_object();
}

/* ---- the body of /classify ---- */

static void add_options(struct json *to, const struct model_view *v)
{
    static const char *const options[][2] = {
        {"threshold", "{\"type\":[\"number\",\"null\"],\"minimum\":0,\"maximum\":1,\"description\":\"in place of the model's\"}"},
        {"top_k",
         "{\"type\":[\"integer\",\"null\"],\"minimum\":1,\"maximum\":1000000,\"description\":\"scores of so many labels\"}"},
        {"logits", "{\"type\":[\"boolean\",\"null\"],\"description\":\"true: they are in the answer\"}"},
        {"truncate", "{\"type\":[\"boolean\",\"null\"],\"description\":\"false: a text that is too long is refused\"}"}};
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        if (!model_view_has_field(v, options[i][0]))
            json_set(to, options[i][0], schema(i == 0 && v->kind == DECISION_CLASS ? "{\"type\":\"null\"}" : options[i][1]));
}

static void add_field(struct json *properties, struct json *required, const struct input *in, const char *name, bool fixed)
{
    static const char anything[] = "{\"description\":\"of no effect beside text\"}",
                      text[] = "{\"anyOf\":[{\"type\":[\"string\",\"number\",\"null\"]},{\"type\":\"array\",\"items\":{\"type\":"
                               "\"string\"}}]}",
                      needed[] =
                          "{\"anyOf\":[{\"type\":\"string\",\"pattern\":\"\\\\S\"},{\"type\":\"number\"},{\"type\":\"array\","
                          "\"minItems\":1,\"items\":{\"type\":\"string\",\"pattern\":\"\\\\S\"}}]}";
    bool is_needed = text_fields_have(&in->required, name);
    if (json_get(properties, name))
        return;
    json_set(properties, name, schema(!fixed ? anything : is_needed ? needed : text));
    if (fixed && is_needed)
        json_append(required, json_of_string(name));
}

static void add_fields(struct json *properties, struct json *required, const struct model_view *v, bool fixed)
{
    const struct input *in = &v->input.input;
    const struct text_fields *lists[] = {&in->text_a, &in->text_b, &in->required};
    const struct json *spec = json_get(bundle_inference(v->bundle), "input");
    const char *others[] = {"id", json_string(json_get(spec, "id")), json_string(json_get(spec, "label"))};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        for (size_t k = 0; k < lists[i]->count; k++)
            add_field(properties, required, in, lists[i]->names[k], fixed);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (others[i] && !json_get(properties, others[i]))
            json_set(properties, others[i], schema("{\"description\":\"taken, as in a row of data, and of no effect\"}"));
}

static struct json *object_of(struct json *properties, struct json *required)
{
    struct json *o = json_object();
    json_set_string(o, "type", "object");
    json_set(o, "properties", properties);
    json_set(o, "required", required);
    json_set(o, "additionalProperties", json_of_boolean(false));
    return o;
}

/* By the model's fields. */
static struct json *by_fields(const struct model_view *v)
{
    struct json *properties = json_object(), *required = json_array();
    add_fields(properties, required, v, true);
    add_options(properties, v);
    return object_of(properties, required);
}

static const char *whole_text(const struct model_view *v)
{
    return v->input.input.required.count ? "{\"type\":\"string\",\"pattern\":\"\\\\S\"}" : "{\"type\":\"string\"}";
}

/* By whole texts, where no field has that name. */
static struct json *by_texts(const struct model_view *v)
{
    struct json *properties = json_object(), *required = json_array();
    json_set(properties, "text", schema(whole_text(v)));
    json_append(required, json_of_string("text"));
    if (v->input.input.text_b.count) {
        json_set(properties, "text_b", schema("{\"type\":\"string\"}"));
        json_append(required, json_of_string("text_b"));
    }
    add_fields(properties, required, v, false);
    add_options(properties, v);
    return object_of(properties, required);
}

static struct json *request_schema(const struct model_view *v)
{
    struct json *o = json_object(), *any = json_set(o, "anyOf", json_array());
    json_append(any, by_fields(v));
    if (!model_view_has_field(v, "text"))
        json_append(any, by_texts(v));
    return o;
}

static struct json *batch_schema(const struct model_view *v, size_t items_most)
{
    struct json *properties = json_object(), *required = json_array();
    struct json *items = json_set(properties, "items", json_object());
    json_set_string(items, "type", "array");
    json_set_number(items, "minItems", 1);
    char *words =
        format_string("at most %zu (413): objects as of /classify without its options, strings, or lists of two strings; "
                      "anything else gets an error in its place",
                      items_most);
    json_set_string(items, "description", words);
    free(words);
    json_append(required, json_of_string("items"));
    add_options(properties, v);
    return object_of(properties, required);
}

/* ---- the body of /predict ---- */

/* A list of one text, or of two. */
static struct json *sequence_schema(const struct model_view *v)
{
    bool pair = v->input.input.text_b.count > 0;
    struct json *o = json_object();
    json_set_string(o, "type", "array");
    json_set_number(o, "minItems", pair ? 2 : 1);
    json_set_number(o, "maxItems", pair ? 2 : 1);
    json_append(json_set(o, "prefixItems", json_array()), schema(whole_text(v)));
    json_set(o, "items", schema("{\"type\":\"string\"}"));
    return o;
}

/* A text alone, where the model takes single texts, or a list of one or two. */
static struct json *inputs_schema(const struct model_view *v)
{
    struct json *o = json_object(), *any = json_set(o, "anyOf", json_array());
    if (!v->input.input.text_b.count)
        json_append(any, schema(whole_text(v)));
    json_append(any, sequence_schema(v));
    return o;
}

static struct json *predict_schema(const struct model_view *v, size_t items_most)
{
    struct json *properties = json_object(), *required = json_array(), *inputs = inputs_schema(v), *many = json_object();
    char *words = format_string("at most %zu (413)", items_most);
    json_set_string(many, "type", "array");
    json_set_string(many, "description", words);
    json_set_number(many, "minItems", 1);
    free(words);
    json_append(json_set(many, "prefixItems", json_array()), sequence_schema(v));
    json_set(many, "items", inputs_schema(v));
    struct json *all = json_set(properties, "inputs", json_object()), *any = json_set(all, "anyOf", json_array());
    for (size_t i = 0; i < json_size(json_get(inputs, "anyOf")); i++)
        json_append(any, json_copy(json_at(json_get(inputs, "anyOf"), i)));
    json_append(any, many);
    json_destroy(&inputs);
    json_set(properties, "truncate", schema("{\"type\":[\"boolean\",\"null\"]}"));
    json_set(properties, "raw_scores", schema("{\"type\":[\"boolean\",\"null\"],\"description\":\"true: logits\"}"));
    json_set(properties, "truncation_direction", schema("{\"description\":\"of no effect: the bundle has it\"}"));
    json_append(required, json_of_string("inputs"));
    return object_of(properties, required);
}

/* ---- answers ---- */

static struct json *label_schema(const struct model_view *v)
{
    const struct label_set *l = bundle_labels(v->bundle);
    struct json *o = schema("{\"type\":\"string\"}");
    if (l->count > LABELS_LISTED)
        return o;
    struct json *names = json_set(o, "enum", json_array());
    for (uint32_t i = 0; i < l->count; i++)
        json_append(names, json_of_string(l->names[i]));
    return o;
}

static struct json *result_schema(const struct model_view *v)
{
    struct json *o = schema("{\"type\":\"object\",\"required\":[\"labels\",\"scores\",\"tokens\",\"truncated\"],\"properties\":{"
                            "\"labels\":{\"type\":\"array\",\"description\":\"by the rule\"},\"scores\":{\"type\":\"object\","
                            "\"minProperties\":1,\"additionalProperties\":{\"type\":\"number\",\"minimum\":0,\"maximum\":1}},"
                            "\"logits\":{\"type\":\"array\",\"items\":{\"type\":\"number\"}},\"tokens\":{\"type\":\"integer\","
                            "\"minimum\":1},\"truncated\":{\"type\":\"boolean\"}}}");
    struct json *copy = json_copy(json_get(o, "properties")), *labels = json_copy(json_get(copy, "labels"));
    json_set(labels, "items", label_schema(v));
    json_set(copy, "labels", labels);
    json_set(o, "properties", copy);
    return o;
}

static struct json *scores_schema(const struct model_view *v)
{
    struct json *o = json_object(), *item = json_set(o, "items", json_object());
    json_set_string(o, "type", "array");
    json_set_number(o, "minItems", 1);
    json_set_string(item, "type", "object");
    json_set(item, "required", schema("[\"score\",\"label\"]"));
    struct json *properties = json_set(item, "properties", json_object());
    json_set(properties, "score", schema("{\"type\":\"number\"}"));
    json_set(properties, "label", label_schema(v));
    return o;
}

static void set_numbered(struct json *schemas, const char *name, size_t number, struct json *value)
{
    char *key = format_string("%s%zu", name, number);
    json_set(schemas, key, value);
    free(key);
}

static void add_schemas(struct json *schemas, const struct model_view *v, size_t number, size_t items_most)
{
    char *reference = format_string("[{\"$ref\":\"#/components/schemas/Result%zu\"}]", number);
    struct json *answer = schema("{\"type\":\"object\",\"required\":[\"model\",\"rule\"],\"properties\":{\"model\":{\"type\":"
                                 "\"string\"},\"rule\":{\"$ref\":\"#/components/schemas/Rule\"}}}");
    json_set(answer, "allOf", schema(reference));
    set_numbered(schemas, "Request", number, request_schema(v));
    set_numbered(schemas, "Batch", number, batch_schema(v, items_most));
    set_numbered(schemas, "Predict", number, predict_schema(v, items_most));
    set_numbered(schemas, "Result", number, result_schema(v));
    set_numbered(schemas, "Answer", number, answer);
    set_numbered(schemas, "Scores", number, scores_schema(v));
    free(reference);
}

/* ---- paths ---- */

static char *replace(const char *text, const char *word, const char *by)
{
    struct buffer b = {0};
    buffer_text(&b, "");
    for (const char *at; (at = strstr(text, word)) != NULL; text = at + strlen(word)) {
        buffer_append(&b, text, (size_t)(at - text));
        buffer_text(&b, by);
    }
    buffer_text(&b, text);
    return b.data;
}

/* A name as a path has it: all but letters, digits and "-._~/" as %XX. */
static char *path_of(const char *name)
{
    static const char kept[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/";
    struct buffer b = {0};
    buffer_text(&b, "/models/");
    for (; *name; name++)
        buffer_printf(&b, strchr(kept, *name) ? "%c" : "%%%02X", (unsigned char)*name);
    return b.data;
}

/* Those of one model behind `prefix`; operation: the beginning of their operationId. */
static void add_paths(struct json *paths, const char *templates, const char *prefix, const char *operation, size_t number)
{
    char digits[32];
    snprintf(digits, sizeof digits, "%zu", number);
    char *numbered = replace(templates, "@N", digits), *named = replace(numbered, "@O", operation);
    struct json *list = schema(named);
    for (size_t i = 0; i < json_size(list); i++) {
        char *path = format_string("%s%s", prefix, json_key(list, i));
        json_set(paths, path, json_copy(json_at(list, i)));
        free(path);
    }
    json_destroy(&list);
    free(named);
    free(numbered);
}

static void add_model(struct json *paths, struct json *schemas, const char *templates, struct served_model *m, size_t number,
                      size_t items_most)
{
    const struct model_view *v = served_model_hold(m);
    char *prefix = path_of(served_model_name(m)), *operation = format_string("model%zu", number);
    add_schemas(schemas, v, number, items_most);
    if (number == 1)
        add_paths(paths, templates, "", "default", number);
    add_paths(paths, templates, prefix, operation, number);
    free(operation);
    free(prefix);
    served_model_release(m, v);
}

struct json *openapi_make(struct served_model *const *models, size_t count, size_t items_most, bool keys)
{
    struct json *base, *o = json_object();
    struct error ignored;
    if (json_parse(&base, (const char *)embedded_openapi_json, sizeof embedded_openapi_json, "openapi.json", &ignored) != 0)
        return o;
    struct json *info = json_copy(json_get(base, "info")), *paths = json_copy(json_get(base, "paths")),
                *components = json_copy(json_get(base, "components")), *schemas = json_copy(json_get(components, "schemas"));
    char *templates = json_print(json_get(base, "x-model-paths"), false);
    json_set_string(info, "version", MUSTER_VERSION);
    for (size_t i = 0; i < count; i++)
        add_model(paths, schemas, templates, models[i], i + 1, items_most);
    json_set(components, "schemas", schemas);
    json_set(o, "openapi", json_copy(json_get(base, "openapi")));
    json_set(o, "info", info);
    json_set(o, "servers", json_copy(json_get(base, "servers")));
    json_set(o, "tags", json_copy(json_get(base, "tags")));
    if (keys)
        json_set(o, "security", schema("[{\"key\":[]}]"));
    json_set(o, "paths", paths);
    json_set(o, "components", components);
    free(templates);
    json_destroy(&base);
    return o;
}
