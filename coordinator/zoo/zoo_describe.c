/* SPDX-License-Identifier: Apache-2.0 */
/* Model, method, fields, rule and size. */
#include "coordinator/zoo/zoo_describe.h"

#include "common/base/buffer.h"
#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/format/tensor_file.h"
#include "coordinator/job/job_fields.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void add_names(struct buffer *b, const struct json *list)
{
    for (size_t i = 0; i < json_size(list); i++)
        buffer_printf(b, "%s%s", i ? " + " : "", json_string(json_at(list, i)));
}

char *zoo_fields(const struct json *text_a, const struct json *text_b)
{
    struct buffer b = {0};
    add_names(&b, text_a);
    if (json_size(text_b) > 0) {
        buffer_text(&b, " | ");
        add_names(&b, text_b);
    }
    return b.data;
}

/* ---- weights ---- */

static double size_of(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0 ? (double)about.st_size : 0;
}

/* Elements of the tensors of floating point numbers; 0: no such file. */
static double count_parameters(const char *path)
{
    struct tensor_file *f;
    struct error ignored;
    double count = 0;
    if (!file_exists(path) || tensor_file_open(&f, path, &ignored) != 0)
        return 0;
    for (size_t i = 0; i < tensor_file_count(f); i++) {
        const struct tensor *t = tensor_file_at(f, i);
        bool real = t->type == TENSOR_F32 || t->type == TENSOR_F16 || t->type == TENSOR_BF16 || t->type == TENSOR_F64;
        count += real ? (double)t->count : 0;
    }
    tensor_file_close(&f);
    return count;
}

static bool is_lora(const struct json *options)
{
    const char *method = json_string(json_get(options, "method"));
    return method && strcmp(method, "lora") == 0;
}

void zoo_copy(struct json *to, const char *key, const struct json *value)
{
    if (value && json_type(value) != JSON_NULL)
        json_set(to, key, json_copy(value));
}

void zoo_set_above_zero(struct json *to, const char *key, double value)
{
    if (value > 0)
        json_set_number(to, key, value);
}

void zoo_describe_weights(struct json *to, const struct json *options, const char *weights, const char *adapter)
{
    double all = count_parameters(weights);
    zoo_set_above_zero(to, "bytes", size_of(file_exists(weights) ? weights : adapter));
    zoo_set_above_zero(to, "parameters", all);
    if (is_lora(options))
        zoo_set_above_zero(to, "parameters_trained", count_parameters(adapter));
    else if (!json_given(options, "freeze"))
        zoo_set_above_zero(to, "parameters_trained", all);
}

/* ---- inference_config.json ---- */

static void add_words(struct buffer *b, const struct json *words)
{
    for (size_t i = 0; i < json_size(words); i++)
        buffer_printf(b, "%s%s", i ? ", " : " on ", json_string(json_at(words, i)));
    if (json_size(words) == 0)
        buffer_text(b, " on all linear maps");
}

/* Options of a trial are written without those that have their default. */
static double option(const struct json *options, const char *key)
{
    const struct json *value = json_get(options, key);
    char *full = format_string("train.%s", key);
    const struct job_field *f = job_field_find(full);
    double found = value ? json_number(value) : f ? strtod(f->fallback, NULL) : NAN;
    free(full);
    return found;
}

static void describe_method(struct json *to, const struct json *options)
{
    struct buffer b = {0};
    const struct json *freeze = json_get(options, "freeze");
    if (is_lora(options)) {
        buffer_printf(&b, "LoRA r %g, alpha %g", option(options, "lora_r"), option(options, "lora_alpha"));
        add_words(&b, json_get(options, "lora_targets"));
    } else
        buffer_text(&b, "full");
    for (size_t i = 0; i < json_size(freeze); i++)
        buffer_printf(&b, "%s%s", i ? ", " : ", frozen: ", json_string(json_at(freeze, i)));
    json_set_string(to, "method", b.data);
    buffer_free(&b);
}

static void describe_thresholds(struct json *to, const struct json *inference)
{
    const struct json *each = json_get(inference, "thresholds"), *one = json_get(inference, "threshold");
    double least = INFINITY, most = -INFINITY;
    for (size_t i = 0; i < json_size(each); i++) {
        least = fmin(least, json_number(json_at(each, i)));
        most = fmax(most, json_number(json_at(each, i)));
    }
    if (json_size(each) > 0 && least < most) {
        struct json *range = json_set(to, "thresholds", json_array());
        json_append(range, json_of_number(least));
        json_append(range, json_of_number(most));
    } else if (json_size(each) > 0)
        json_set_number(to, "threshold", least);
    else if (json_type(one) == JSON_NUMBER)
        json_set_number(to, "threshold", json_number(one));
}

bool zoo_most_probable(const struct json *inference)
{
    const struct json *input = json_get(inference, "input");
    return !json_boolean(json_get(input, "multi")) && json_size(json_get(input, "labels")) > 2;
}

static void describe_rule(struct json *to, const struct json *inference)
{
    const char *rule = json_string(json_get(json_get(inference, "rule"), "rule"));
    if (zoo_most_probable(inference))
        json_set_string(to, "rule", "most probable");
    else if (rule) {
        char *words = format_string("%s on validation", rule);
        json_set_string(to, "rule", words);
        free(words);
        describe_thresholds(to, inference);
    }
}

void zoo_describe(struct json *to, const struct json *inference)
{
    const struct json *input = json_get(inference, "input");
    char *fields = zoo_fields(json_get(input, "text_a"), json_get(input, "text_b"));
    const char *model = json_string(json_get(inference, "model_name")), *slash = model ? strrchr(model, '/') : NULL;
    bool is_path = model && (*model == '.' || *model == '/');
    json_set_string(to, "backbone", is_path && slash ? slash + 1 : model);
    describe_method(to, json_get(inference, "options"));
    json_set_string(to, "fields", fields);
    zoo_copy(to, "max_length", json_get(inference, "max_length"));
    zoo_copy(to, "protocol", json_get(inference, "split_sha256"));
    describe_rule(to, inference);
    zoo_copy(to, "version", json_get(json_get(inference, "versions"), "muster"));
    free(fields);
}
