/* SPDX-License-Identifier: Apache-2.0 */
/* config.json: read, checked, and made for a bundle, by the rows of model_family.c. */
#include "common/format/model_config.h"

#include "common/base/file.h"
#include "common/base/file_kind.h"
#include "common/base/memory.h"
#include "common/format/inference_config.h"
#include "common/format/model_config_distances.h"
#include "common/format/model_config_layers.h"
#include "common/format/model_family.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
#define key_of(f, field) model_family_key(f, offsetof(struct model_config, field))

/* The first configurations of a family (2019, among them SciBERT's) had no model_type yet, but mostly architectures. */
static int find_by_architecture(uint32_t *ret, const struct json *j, const char *path, struct error *e)
{
    const char *first = json_string(json_at(json_get(j, "architectures"), 0));
    char names[256];
    for (uint32_t i = 0; first && model_families[i].model_type; i++)
        if (!strncmp(first, model_families[i].class_prefix, strlen(model_families[i].class_prefix))) {
            *ret = i;
            return 0;
        }
    *ret = 0;
    if (!first)
        return 0;
    model_family_names(names, sizeof names);
    return error_set(e, ERROR_USAGE, "%s: there is no model_type, and the architecture is %s; supported are: %s", path, first,
                     names);
}

static int find_family(uint32_t *ret, const struct json *j, const char *path, struct error *e)
{
    const struct json *type = json_given(j, "model_type");
    const char *name = json_string(type);
    char names[256];
    if (!type)
        return find_by_architecture(ret, j, path, e);
    for (uint32_t i = 0; name && model_families[i].model_type; i++)
        if (!strcmp(name, model_families[i].model_type)) {
            *ret = i;
            return 0;
        }
    model_family_names(names, sizeof names);
    return error_set(e, ERROR_USAGE, "%s: model_type is %s; supported are: %s", path,
                     name ? name : json_type_name(json_type(type)), names);
}

static int check_kind(const struct json *j, const char *path, struct error *e)
{
    static const struct {
        const char *key, *reason;
    } must_be_false[] = {
        {"is_decoder", "only encoders are supported"},
        {"add_cross_attention", "only encoders are supported"},
        {"sinusoidal_pos_embds",
         "whether such positions are trained differs between transformers' releases; the weights hold their table, "
         "which is trained where this is false, and kept with train.freeze: [\"embeddings\"]"}};
    const struct json *position = json_given(j, "position_embedding_type"), *pruned = json_given(j, "pruned_heads");
    if (position && (!json_string(position) || strcmp(json_string(position), "absolute")))
        return error_set(e, ERROR_USAGE, "%s: position_embedding_type is %s; supported is: absolute", path,
                         json_string(position) ? json_string(position) : json_type_name(json_type(position)));
    for (size_t i = 0; i < LENGTH(must_be_false); i++) {
        const struct json *value = json_given(j, must_be_false[i].key);
        if (value && (json_type(value) != JSON_BOOLEAN || json_boolean(value)))
            return error_set(e, ERROR_USAGE, "%s: %s must be false: %s", path, must_be_false[i].key, must_be_false[i].reason);
    }
    if (pruned && json_size(pruned))
        return error_set(e, ERROR_USAGE, "%s: pruned_heads is not empty; models with pruned heads are not supported", path);
    return 0;
}

static int read_number(double *ret, const struct json *j, const struct config_key *k, const char *path, struct error *e)
{
    const struct json *value = json_given(j, k->name);
    const char *name = value || !k->also ? k->name : k->also;
    if (!value && k->also)
        value = json_given(j, k->also);
    double number = value ? json_number(value) : k->standard;
    if (!value && isnan(k->standard))
        return error_set(e, ERROR_USAGE, "%s: there is no %s%s%s, which this model_type needs; get the model's config.json again",
                         path, k->name, k->also ? " or " : "", k->also ? k->also : "");
    if (value && json_type(value) != JSON_NUMBER)
        return error_set(e, ERROR_USAGE, "%s: %s is %s, not a number", path, name, json_type_name(json_type(value)));
    if (k->whole && number != floor(number))
        return error_set(e, ERROR_USAGE, "%s: %s is %g, not a whole number", path, name, number);
    if (!(number >= k->least && number <= k->most))
        return error_set(e, ERROR_USAGE, "%s: %s is %.12g; it must be within %g to %.12g", path, name, number, k->least, k->most);
    *ret = number;
    return 0;
}

static int read_numbers(struct model_config *c, const struct json *j, const char *path, struct error *e)
{
    const struct model_family *f = model_family_of(c);
    for (const struct config_key *k = f->keys; k->name; k++) {
        double number = 0;
        char *field = (char *)c + k->field;
        if (read_number(&number, j, k, path, e))
            return -1;
        if (k->whole)
            memcpy(field, &(uint32_t){(uint32_t)number}, sizeof(uint32_t));
        else
            memcpy(field, &(float){(float)number}, sizeof(float));
    }
    if (c->width % c->heads)
        return error_set(e, ERROR_USAGE, "%s: %s %u is not a multiple of %s %u", path, key_of(f, width), c->width,
                         key_of(f, heads), c->heads);
    if (f->positions == POSITIONS_AFTER_PAD && c->positions <= c->pad + 1)
        return error_set(e, ERROR_USAGE, "%s: max_position_embeddings %u must be above pad_token_id %u + 1", path, c->positions,
                         c->pad);
    return 0;
}

/* A text may hold the padding token as a word. Negative ids count from the table's end, as torch counts them; null is none. */
static void read_padding(struct model_config *c, const struct json *j)
{
    const struct json *value = json_get(j, "pad_token_id");
    double id = value ? json_number(value) : model_family_of(c)->padding;
    if (value && json_type(value) != JSON_NUMBER)
        return;
    if (id < 0)
        id += c->vocabulary;
    if (id >= 0 && id < c->vocabulary)
        c->padding = (uint32_t)id + 1;
}

static int read_head_dropout(struct model_config *c, const struct json *j, const char *path, struct error *e)
{
    const struct model_family *f = model_family_of(c);
    const struct json *value = json_given(j, f->head_dropout_key);
    c->classifier_dropout = isnan(f->head_dropout) ? c->hidden_dropout : (float)f->head_dropout;
    if (value)
        c->classifier_dropout = (float)json_number(value);
    if (value && (json_type(value) != JSON_NUMBER || !(json_number(value) >= 0 && json_number(value) <= 0.99)))
        return error_set(e, ERROR_USAGE, "%s: %s must be null or a number within 0 to 0.99", path, f->head_dropout_key);
    return 0;
}

static int read_flags(struct model_config *c, const struct json *j, const char *path, struct error *e)
{
    for (const struct config_flag *f = model_family_of(c)->flags; f && f->name; f++) {
        const struct json *value = json_given(j, f->name);
        if (value && json_type(value) != JSON_BOOLEAN)
            return error_set(e, ERROR_USAGE, "%s: %s is %s; it must be true or false", path, f->name,
                             json_type_name(json_type(value)));
        *(bool *)((char *)c + f->field) = value ? json_boolean(value) : f->standard;
    }
    return 0;
}

static int read_activation(struct model_config *c, const struct json *j, const char *path, struct error *e)
{
    const char *key = model_family_of(c)->activation_key;
    const struct json *value = json_given(j, key);
    const char *name = value ? json_string(value) : "gelu";
    for (size_t i = 0; name && i < LENGTH(activations); i++)
        if (!strcmp(name, activations[i].name)) {
            c->activation = activations[i].value;
            return 0;
        }
    return error_set(e, ERROR_USAGE, "%s: %s is %s; supported are: gelu, gelu_new (gelu_pytorch_tanh, gelu_fast), relu", path,
                     key, name ? name : json_type_name(json_type(value)));
}

/* Only their number counts, in whatever form the names are, object or list: the job's labels take their place. */
static int read_labels(struct model_config *c, const struct json *j, const char *path, struct error *e)
{
    const struct json *names = json_given(j, "id2label"), *number = json_given(j, "num_labels");
    if (!names)
        names = json_given(j, "label2id");
    if (!names && number && json_type(number) != JSON_NUMBER)
        return error_set(e, ERROR_USAGE, "%s: num_labels is %s, not a number", path, json_type_name(json_type(number)));
    double count = names ? (double)json_size(names) : number ? json_number(number) : 2;
    if (!(count >= 1 && count <= LABEL_LIMIT))
        return error_set(e, ERROR_USAGE, "%s: id2label must be an object or a list of 1 to %d labels", path, LABEL_LIMIT);
    c->labels = (uint32_t)count;
    return 0;
}

uint32_t model_config_max_length(const struct model_config *c)
{
    return model_family_of(c)->positions == POSITIONS_AFTER_PAD ? c->positions - c->pad - 1 : c->positions;
}

void model_config_set_dropout(struct model_config *c, float probability)
{
    c->hidden_dropout = c->attention_dropout = c->classifier_dropout = c->embedding_dropout = c->pooler_dropout = probability;
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
        result = file_kind_check_file(name, e) ? -1 : json_read_as_written(&j, name, e);
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
    int result = find_family(&c.family, j, path, e) || check_kind(j, path, e) || read_numbers(&c, j, path, e) ||
                         read_flags(&c, j, path, e) || model_config_read_layers(&c, j, path, e) ||
                         model_config_read_distances(&c, j, path, e) || read_head_dropout(&c, j, path, e) ||
                         read_activation(&c, j, path, e) || read_labels(&c, j, path, e)
                     ? -1
                     : 0;
    read_padding(&c, j);
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

/* transformers 5 refuses a 2 where its class declares a float. */
static void write_floats(struct json *to, const struct model_family *f)
{
    for (const struct config_key *k = f->keys; k->name; k++)
        for (int other = 0; other < 2; other++) {
            const char *name = other ? k->also : k->name;
            const struct json *value = name ? json_get(to, name) : NULL;
            if (!k->whole && json_type(value) == JSON_NUMBER)
                json_set(to, name, json_of_float(json_number(value)));
        }
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
    const struct model_family *f = model_family_of(c);
    char *class = format_string("%sForSequenceClassification", f->class_prefix);
    json_set_string(to, "model_type", f->model_type);
    json_append(json_set(to, "architectures", json_array()), json_of_string(class));
    free(class);
    json_set_string(to, "problem_type", multi ? "multi_label_classification" : "single_label_classification");
    json_set_string(to, "dtype", "float32");
    json_set_string(to, "torch_dtype", "float32"); /* the same for transformers before 4.56 */
    json_set_number(to, key_of(f, hidden_dropout), shortest(c->hidden_dropout));
    json_set_number(to, key_of(f, attention_dropout), shortest(c->attention_dropout));
    if (key_of(f, embedding_dropout))
        json_set_number(to, key_of(f, embedding_dropout), shortest(c->embedding_dropout));
    if (key_of(f, pooler_dropout))
        json_set_number(to, key_of(f, pooler_dropout), shortest(c->pooler_dropout));
    json_set(to, f->head_dropout_key, json_of_float(shortest(c->classifier_dropout)));
    write_floats(to, f);
    label_names_write(to, label_names, c->labels);
    *ret = to;
    return 0;
}
