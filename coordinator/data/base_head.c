/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/data/base_head.h"

#include "common/base/buffer.h"
#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/format/model_tensors.h"
#include "common/format/pretrained.h"
#include "common/json/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The head as the model directory has it. */
struct found_head {
    bool there;       /* weight and bias */
    bool any;         /* one of them */
    uint32_t rows;    /* of the classifier's weight */
    bool fits;        /* the shapes are those of a head on this encoder */
    char **names;     /* (rows), each owned; NULL: id2label does not name them */
    bool generic;     /* LABEL_0, LABEL_1, ... or no id2label at all */
    char *other_task; /* what config.json says where it is no classification of texts; NULL: it is, or is not said */
};

static void found_head_free(struct found_head *h)
{
    for (uint32_t i = 0; h->names && i < h->rows; i++)
        free(h->names[i]);
    free(h->names);
    free(h->other_task);
}

/* Names in circulation are also numbers: {"0": 0}. */
static char *name_of(const struct json *value)
{
    if (!value || json_type(value) == JSON_NULL)
        return NULL;
    return json_string(value) ? duplicate(json_string(value)) : json_print(value, false);
}

static bool is_generic(const char *name, uint32_t i)
{
    char expected[32];
    snprintf(expected, sizeof expected, "LABEL_%u", i);
    return strcmp(name, expected) == 0;
}

/* The name of row i in id2label, {"0": "a"} or ["a"], or else in label2id, {"a": 0}. Caller frees; NULL: none. */
static char *name_of_row(const struct json *config, uint32_t i)
{
    const struct json *names = json_get(config, "id2label"), *numbers = json_get(config, "label2id");
    char key[16];
    snprintf(key, sizeof key, "%u", i);
    if (json_size(names))
        return name_of(json_type(names) == JSON_ARRAY ? json_at(names, i) : json_get(names, key));
    for (size_t k = 0; json_type(numbers) == JSON_OBJECT && k < json_size(numbers); k++)
        if (json_type(json_at(numbers, k)) == JSON_NUMBER && json_number(json_at(numbers, k)) == i)
            return duplicate(json_key(numbers, k));
    return NULL;
}

static void read_names(struct found_head *h, const struct json *config)
{
    size_t count = json_size(json_get(config, "id2label"));
    count = count ? count : json_size(json_get(config, "label2id"));
    h->generic = true;
    if (!count)
        return;
    bool complete = count == h->rows;
    h->names = allocate(h->rows, sizeof *h->names);
    for (uint32_t i = 0; i < h->rows; i++) {
        h->names[i] = name_of_row(config, i);
        complete = complete && h->names[i];
        h->generic = h->generic && h->names[i] && is_generic(h->names[i], i);
    }
    if (complete)
        return;
    for (uint32_t i = 0; i < h->rows; i++)
        free(h->names[i]);
    free(h->names);
    h->names = NULL;
    h->generic = false;
}

/* All but the head, as workers will want them: what does not fit is known before anything is trained. */
static int check_encoder(const struct tensor_file *f, const struct model_config *c, const char *path, struct error *e)
{
    size_t count = model_tensors(NULL, c);
    struct model_tensor *tensors = allocate(count, sizeof *tensors);
    const struct tensor **found = allocate(count, sizeof *found);
    model_tensors(tensors, c);
    int result = model_tensors_find(found, tensors, count, f, c, true, path, e);
    free(found);
    free(tensors);
    return result;
}

/* The classifier's weight, or its bias; NULL: absent. */
static const struct tensor *find_classifier(const struct tensor_file *f, const struct model_config *c, bool is_bias)
{
    const struct model_family *family = model_family_of(c);
    const char *weight = model_family_classifier(family);
    char *bias = format_string("%.*s.bias", (int)(strrchr(weight, '.') - weight), weight);
    const struct tensor *found = pretrained_find(f, family->prefix, is_bias ? bias : weight);
    free(bias);
    return found;
}

static int read_weights(struct found_head *h, const char *directory, struct error *e)
{
    struct model_config c;
    struct tensor_file *f;
    char *path;
    if (model_config_read(&c, directory, e) || model_directory_weights(&path, directory, e))
        return -1;
    if (tensor_file_open(&f, path, e)) {
        free(path);
        return -1;
    }
    int result = check_encoder(f, &c, path, e);
    const struct tensor *weight = find_classifier(f, &c, false), *bias = find_classifier(f, &c, true);
    h->there = weight && bias;
    h->any = weight || bias;
    if (h->there) {
        bool shaped = weight->dimensions == 2 && bias->dimensions == 1 && weight->shape[0] == bias->shape[0];
        h->fits = shaped && weight->shape[0] > 0 && weight->shape[0] <= UINT16_MAX && weight->shape[1] == (int64_t)c.width;
        h->rows = h->fits ? (uint32_t)weight->shape[0] : 0;
    }
    tensor_file_close(&f);
    free(path);
    return result;
}

/* A classifier of tokens has the same name and shape as one of texts. Caller frees; NULL: it is one of texts, or is not said. */
static char *other_task(const struct json *config)
{
    static const char *const others[] = {"ForTokenClassification", "ForMultipleChoice"};
    const char *problem = json_string(json_get(config, "problem_type")),
               *class = json_string(json_at(json_get(config, "architectures"), 0));
    if (problem && strcmp(problem, "single_label_classification") != 0 && strcmp(problem, "multi_label_classification") != 0)
        return format_string("the base's problem_type is %s", problem);
    for (size_t i = 0; class && i < sizeof others / sizeof *others; i++)
        if (strstr(class, others[i]))
            return format_string("the base is a %s", class);
    return NULL;
}

static int read_head(struct found_head *h, const char *directory, struct error *e)
{
    struct json *config;
    if (read_weights(h, directory, e))
        return -1;
    char *path = path_join(directory, "config.json");
    int result = json_read(&config, path, e);
    free(path);
    if (result)
        return -1;
    h->other_task = other_task(config);
    if (h->fits)
        read_names(h, config);
    json_destroy(&config);
    return 0;
}

/* The row of that name, the only one; -1: none or several. */
static int64_t row_named(const struct found_head *h, const char *name)
{
    int64_t row = -1;
    for (uint32_t i = 0; i < h->rows; i++)
        if (strcmp(h->names[i], name) == 0) {
            if (row >= 0)
                return -1;
            row = i;
        }
    return row;
}

/* For each label its row, or the reason (caller frees) why there is none for one of them. */
static char *match(double *rows, const struct found_head *h, const char *const *labels, uint32_t count)
{
    for (uint32_t l = 0; l < count; l++) {
        int64_t row = row_named(h, labels[l]);
        if (row < 0)
            return format_string("the labels differ: of the base's id2label exactly one must be \"%s\"", labels[l]);
        rows[l] = (double)row;
    }
    return NULL;
}

/* Why the head cannot be kept (caller frees), or NULL: kept, with `rows` set; *by_index: names were no help. */
static char *reason_against(double *rows, bool *by_index, const struct found_head *h, const char *const *labels, uint32_t count)
{
    *by_index = false;
    if (!h->there)
        return duplicate("the base's weights have none");
    if (!h->fits)
        return duplicate("the base's classifier is not one linear layer on its hidden_size");
    if (h->rows != count)
        return format_string("the base's head has %u label%s, the job %u", h->rows, h->rows == 1 ? "" : "s", count);
    if (h->other_task)
        return duplicate(h->other_task);
    char *reason = h->names ? match(rows, h, labels, count) : NULL;
    if (!h->generic && !h->names)
        return format_string("id2label in the base's config.json does not name its %u rows 0 to %u", h->rows, h->rows - 1);
    if (reason && !h->generic)
        return reason;
    *by_index = h->generic && (reason || !h->names);
    free(reason);
    for (uint32_t l = 0; *by_index && l < count; l++)
        rows[l] = l;
    return NULL;
}

static bool in_order(const double *rows, uint32_t count)
{
    for (uint32_t l = 0; l < count; l++)
        if (rows[l] != l)
            return false;
    return true;
}

static char *describe_kept(const double *rows, bool by_index, const char *const *labels, uint32_t count)
{
    struct buffer b = {0};
    if (by_index) {
        buffer_printf(&b, "kept from the base by index: its label names are generic (LABEL_0, ...), so its row 0 is taken for %s",
                      labels[0]);
        for (uint32_t l = 1; l < count && l < 4; l++)
            buffer_printf(&b, ", %u for %s", l, labels[l]);
        buffer_text(&b, count > 4 ? ", ..." : "");
        return b.data;
    }
    buffer_text(&b, "kept from the base, whose labels are the job's");
    if (in_order(rows, count))
        return b.data;
    buffer_text(&b, " in another order; rows permuted:");
    for (uint32_t l = 0; l < count && l < 4; l++)
        buffer_printf(&b, "%s %s from row %.0f", l ? "," : "", labels[l], rows[l]);
    buffer_text(&b, count > 4 ? ", ..." : "");
    return b.data;
}

static int decide(struct base_head *ret, const char *mode, const struct found_head *h, const char *const *labels, uint32_t count,
                  struct error *e)
{
    bool by_index, wanted = strcmp(mode, "new") != 0;
    double *rows = allocate(count, sizeof *rows);
    char *against = wanted ? reason_against(rows, &by_index, h, labels, count) : duplicate("train.head is new");
    int result = 0;
    *ret = (struct base_head){0};
    if (!against) {
        ret->text = describe_kept(rows, by_index, labels, count);
        ret->rows = in_order(rows, count) ? NULL : rows;
    } else if (strcmp(mode, "keep") == 0) {
        result = error_set(e, ERROR_USAGE, "train.head is keep, but the head cannot be kept: %s; use auto or new", against);
    } else {
        ret->made_new = h->any;
        ret->text = format_string("new: %s", against);
    }
    if (!ret->rows)
        free(rows);
    free(against);
    return result;
}

int base_head_decide(struct base_head *ret, const char *mode, const char *directory, const char *const *labels, uint32_t count,
                     struct error *e)
{
    struct found_head h = {0};
    int result = read_head(&h, directory, e);
    if (!result)
        result = decide(ret, mode, &h, labels, count, e);
    found_head_free(&h);
    return result;
}

void base_head_free(struct base_head *h)
{
    free(h->rows);
    free(h->text);
    *h = (struct base_head){0};
}
