/* SPDX-License-Identifier: Apache-2.0 */
/* config.json: which models are supported, and the defaults that transformers' BertConfig has. */
#include "common/format/model_config.h"

#include "common/base/file.h"
#include "common/base/file_kind.h"
#include "common/base/memory.h"
#include "common/format/inference_config.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *key;
    size_t offset;
    double standard, least, most; /* standard: BertConfig's default, for an absent key */
    bool whole;
} numbers[] = {
    {"num_hidden_layers", offsetof(struct model_config, layers), 12, 1, 1024, true},
    {"hidden_size", offsetof(struct model_config, width), 768, 1, 65536, true},
    {"num_attention_heads", offsetof(struct model_config, heads), 12, 1, 1024, true},
    {"intermediate_size", offsetof(struct model_config, inner), 3072, 1, 262144, true},
    {"vocab_size", offsetof(struct model_config, vocabulary), 30522, 1, 16777216, true},
    {"max_position_embeddings", offsetof(struct model_config, positions), 512, 1, 131072, true},
    {"type_vocab_size", offsetof(struct model_config, types), 2, 1, 1024, true},
    {"layer_norm_eps", offsetof(struct model_config, epsilon), 1e-12, 0, 1, false},
    {"hidden_dropout_prob", offsetof(struct model_config, hidden_dropout), 0.1, 0, 0.99, false},
    {"attention_probs_dropout_prob", offsetof(struct model_config, attention_dropout), 0.1, 0, 0.99, false},
    {"initializer_range", offsetof(struct model_config, initializer_range), 0.02, 0, 10, false},
};

static const struct {
    const char *name;
    enum activation value;
} activations[] = {
    {"gelu", ACTIVATION_GELU},        {"gelu_new", ACTIVATION_GELU_NEW},          {"relu", ACTIVATION_RELU},
    {"gelu_python", ACTIVATION_GELU}, {"gelu_pytorch_tanh", ACTIVATION_GELU_NEW}, {"gelu_fast", ACTIVATION_GELU_NEW}};

/* Keys of the pretrained directory that would be wrong in a bundle: code or formats of other files, or said otherwise there. */
static const char *const not_for_bundle[] = {"auto_map", "quantization_config", "num_labels", "finetuning_task"};

#define LENGTH(array) (sizeof(array) / sizeof *(array))
#define LABEL_LIMIT 16384

static const struct json *get_value(const struct json *j, const char *key)
{
    const struct json *value = json_get(j, key);
    return value && json_type(value) != JSON_NULL ? value : NULL;
}

/* BERT's first configurations (2019, among them SciBERT's) had no model_type yet. */
static int check_model_type(const struct json *j, const char *path, struct error *e)
{
    const struct json *type = get_value(j, "model_type"), *architectures = get_value(j, "architectures");
    const char *first = architectures ? json_string(json_at(architectures, 0)) : NULL;
    if (type && (!json_string(type) || strcmp(json_string(type), "bert")))
        return error_set(e, ERROR_USAGE, "%s: model_type is %s; supported is: bert", path,
                         json_string(type) ? json_string(type) : json_type_name(json_type(type)));
    if (!type && first && strncmp(first, "Bert", 4))
        return error_set(e, ERROR_USAGE, "%s: there is no model_type, and the architecture is %s; supported is: bert", path,
                         first);
    return 0;
}

static int check_kind(const struct json *j, const char *path, struct error *e)
{
    static const char *const must_be_false[] = {"is_decoder", "add_cross_attention"};
    const struct json *position = get_value(j, "position_embedding_type"), *pruned = get_value(j, "pruned_heads");
    if (check_model_type(j, path, e))
        return -1;
    if (position && (!json_string(position) || strcmp(json_string(position), "absolute")))
        return error_set(e, ERROR_USAGE, "%s: position_embedding_type is %s; supported is: absolute", path,
                         json_string(position) ? json_string(position) : json_type_name(json_type(position)));
    for (size_t i = 0; i < LENGTH(must_be_false); i++) {
        const struct json *value = get_value(j, must_be_false[i]);
        if (value && (json_type(value) != JSON_BOOLEAN || json_boolean(value)))
            return error_set(e, ERROR_USAGE, "%s: %s must be false: only encoders are supported", path, must_be_false[i]);
    }
    if (pruned && json_size(pruned))
        return error_set(e, ERROR_USAGE, "%s: pruned_heads is not empty; models with pruned heads are not supported", path);
    return 0;
}

static int read_number(double *ret, const struct json *j, size_t i, const char *path, struct error *e)
{
    const struct json *value = get_value(j, numbers[i].key);
    double number = value ? json_number(value) : numbers[i].standard;
    if (value && json_type(value) != JSON_NUMBER)
        return error_set(e, ERROR_USAGE, "%s: %s is %s, not a number", path, numbers[i].key, json_type_name(json_type(value)));
    if (numbers[i].whole && number != floor(number))
        return error_set(e, ERROR_USAGE, "%s: %s is %g, not a whole number", path, numbers[i].key, number);
    if (!(number >= numbers[i].least && number <= numbers[i].most))
        return error_set(e, ERROR_USAGE, "%s: %s is %.12g; it must be within %g to %.12g", path, numbers[i].key, number,
                         numbers[i].least, numbers[i].most);
    *ret = number;
    return 0;
}

static int read_numbers(struct model_config *c, const struct json *j, const char *path, struct error *e)
{
    for (size_t i = 0; i < LENGTH(numbers); i++) {
        double number = 0;
        char *field = (char *)c + numbers[i].offset;
        if (read_number(&number, j, i, path, e))
            return -1;
        if (numbers[i].whole)
            memcpy(field, &(uint32_t){(uint32_t)number}, sizeof(uint32_t));
        else
            memcpy(field, &(float){(float)number}, sizeof(float));
    }
    if (c->width % c->heads)
        return error_set(e, ERROR_USAGE, "%s: hidden_size %u is not a multiple of num_attention_heads %u", path, c->width,
                         c->heads);
    return 0;
}

static int read_classifier_dropout(struct model_config *c, const struct json *j, const char *path, struct error *e)
{
    const struct json *value = get_value(j, "classifier_dropout");
    c->classifier_dropout = value ? (float)json_number(value) : c->hidden_dropout;
    if (value && (json_type(value) != JSON_NUMBER || !(json_number(value) >= 0 && json_number(value) <= 0.99)))
        return error_set(e, ERROR_USAGE, "%s: classifier_dropout must be null or a number within 0 to 0.99", path);
    return 0;
}

static int read_activation(struct model_config *c, const struct json *j, const char *path, struct error *e)
{
    const struct json *value = get_value(j, "hidden_act");
    const char *name = value ? json_string(value) : "gelu";
    for (size_t i = 0; name && i < LENGTH(activations); i++)
        if (!strcmp(name, activations[i].name)) {
            c->activation = activations[i].value;
            return 0;
        }
    return error_set(e, ERROR_USAGE, "%s: hidden_act is %s; supported are: gelu, gelu_new (gelu_pytorch_tanh, gelu_fast), relu",
                     path, name ? name : json_type_name(json_type(value)));
}

/* Only their number counts, in whatever form the names are: the job's labels take their place. */
static int read_labels(struct model_config *c, const struct json *j, const char *path, struct error *e)
{
    const struct json *names = get_value(j, "id2label");
    size_t count = names ? json_size(names) : 2;
    if (count < 1 || count > LABEL_LIMIT)
        return error_set(e, ERROR_USAGE, "%s: id2label must be an object with 1 to %d labels", path, LABEL_LIMIT);
    c->labels = (uint32_t)count;
    return 0;
}

/* What a directory without config.json is, as far as other files in it say. Caller frees. */
static char *other_layout(const char *directory)
{
    struct json *modules = NULL;
    struct error ignored;
    char *path = path_join(directory, "modules.json"), *words = NULL;
    if (directory_holds(directory, "modules.json") && json_read(&modules, path, &ignored) == 0) {
        const char *encoder = json_string(json_get(json_at(modules, 0), "path"));
        words = format_string("is a sentence-transformers directory; name its encoder: \"model\": \"%s/%s\"", directory,
                              encoder ? encoder : "0_Transformer");
    } else if (directory_holds(directory, "bert_model.ckpt.index")) {
        words = duplicate("holds a TensorFlow checkpoint (bert_model.ckpt); convert it once with transformers 4: python3 -c "
                          "'import sys; from transformers import BertForPreTraining as B, BertConfig as C; d = sys.argv[1]; "
                          "m = B.from_pretrained(d + \"/bert_model.ckpt.index\", from_tf=True, "
                          "config=C.from_json_file(d + \"/bert_config.json\")); m.save_pretrained(d)' DIRECTORY");
    } else if (directory_holds(directory, "bert_config.json")) {
        words = duplicate(
            "has bert_config.json in place of config.json, as pytorch-pretrained-bert named it; copy it to config.json");
    }
    json_destroy(&modules);
    free(path);
    return words;
}

static int read_config_file(struct json **ret, char **path, const char *directory, struct error *e)
{
    struct json *j = NULL;
    char *name = path_join(directory, "config.json");
    int result = 0;
    if (!file_exists(name)) {
        char *layout = other_layout(directory);
        result = layout ? error_set(e, ERROR_USAGE, "%s: %s", directory, layout)
                        : error_set(e, ERROR_USAGE,
                                    "%s: does not exist; \"model\" must be a Hugging Face model directory or hub name", name);
        free(layout);
    } else
        result = file_kind_check_file(name, e) ? -1 : json_read(&j, name, e);
    if (!result && json_type(j) != JSON_OBJECT) {
        json_destroy(&j);
        result = error_set(e, ERROR_USAGE, "%s: is not a JSON object", name);
    }
    if (result) {
        free(name);
        return -1;
    }
    *ret = j;
    *path = name;
    return 0;
}

int model_config_read(struct model_config *ret, const char *directory, struct error *e)
{
    struct model_config c = {0};
    struct json *j;
    char *path;
    if (read_config_file(&j, &path, directory, e))
        return -1;
    int result = check_kind(j, path, e);
    if (!result)
        result = read_numbers(&c, j, path, e) || read_classifier_dropout(&c, j, path, e) || read_activation(&c, j, path, e) ||
                         read_labels(&c, j, path, e)
                     ? -1
                     : 0;
    free(path);
    json_destroy(&j);
    if (!result)
        *ret = c;
    return result;
}

/* The number that people wrote, 0.1, rather than what float makes of it, 0.10000000149. */
static double shortest(float value)
{
    char text[32];
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)value);
        if (strtof(text, NULL) == value)
            break;
    }
    return strtod(text, NULL);
}

static bool belongs_in_bundle(const char *key)
{
    for (size_t i = 0; i < LENGTH(not_for_bundle); i++)
        if (!strcmp(key, not_for_bundle[i]))
            return false;
    return true;
}

int model_config_for_bundle(struct json **ret, const char *directory, const struct model_config *c,
                            const char *const *label_names, bool multi, struct error *e)
{
    struct json *from;
    char *path;
    if (read_config_file(&from, &path, directory, e))
        return -1;
    free(path);
    struct json *to = json_object();
    for (size_t i = 0; i < json_size(from); i++)
        if (belongs_in_bundle(json_key(from, i)))
            json_set(to, json_key(from, i), json_copy(json_at(from, i)));
    json_destroy(&from);
    json_set_string(to, "model_type", "bert");
    json_append(json_set(to, "architectures", json_array()), json_of_string("BertForSequenceClassification"));
    json_set_string(to, "problem_type", multi ? "multi_label_classification" : "single_label_classification");
    json_set_string(to, "dtype", "float32");
    json_set_string(to, "torch_dtype", "float32"); /* the same for transformers before 4.56 */
    json_set_number(to, "hidden_dropout_prob", shortest(c->hidden_dropout));
    json_set_number(to, "attention_probs_dropout_prob", shortest(c->attention_dropout));
    json_set_number(to, "classifier_dropout", shortest(c->classifier_dropout));
    label_names_write(to, label_names, c->labels);
    *ret = to;
    return 0;
}
