/* SPDX-License-Identifier: Apache-2.0 */
/* The bundle directory: what is in it, and that it is put in place whole. */
#include "common/format/bundle.h"

#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/format/model_family.h"
#include "common/format/peft.h"
#include "common/format/tensor_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct bundle {
    struct model_config model;
    struct label_set labels;
    struct decision_rule decision;
    struct json *inference;
};

static bool directory_is_empty(const char *path)
{
    DIR *directory = opendir(path);
    int entries = 0;
    while (directory && readdir(directory))
        entries++;
    if (directory)
        closedir(directory);
    return entries == 2; /* . and .. */
}

/* Replacing a directory removes it: that must not happen to anything but a bundle. */
static int check_replaceable(const char *path, struct error *e)
{
    if (directory_exists(path) ? directory_holds(path, BUNDLE_INFERENCE) || directory_is_empty(path) : access(path, F_OK) != 0)
        return 0;
    return error_set(e, ERROR_USAGE, "%s: exists and is not a bundle; remove it, or choose another directory for the bundle",
                     path);
}

static int check_label_names(const struct bundle_parts *parts, struct error *e)
{
    for (uint32_t i = 0; i < parts->model->labels; i++) {
        if (!parts->label_names[i][0])
            return error_set(e, ERROR_USAGE, "label %u has an empty name; name the labels in data.labels", i);
        for (uint32_t j = 0; j < i; j++)
            if (!strcmp(parts->label_names[i], parts->label_names[j]))
                return error_set(e, ERROR_USAGE, "labels %u and %u have the same name %s; names must differ", j, i,
                                 parts->label_names[i]);
    }
    return 0;
}

static int check_weights(const struct bundle_parts *parts, struct error *e)
{
    struct tensor_file *f;
    if (!parts->weights)
        return 0;
    if (tensor_file_open(&f, parts->weights, e))
        return -1;
    const struct model_config *c = parts->model;
    const char *name = model_family_classifier(model_family_of(c)), *format = tensor_file_metadata(f, "format");
    const struct tensor *t = tensor_file_find(f, name);
    int result = 0;
    if (!format || strcmp(format, "pt"))
        result = error_set(e, ERROR_DATA, "%s: is no safetensors file with metadata format=pt, which transformers needs",
                           parts->weights);
    else if (!t || t->dimensions != 2 || t->shape[0] != c->labels || t->shape[1] != c->width)
        result = error_set(e, ERROR_DATA, "%s: has no %s of %u labels and width %u", parts->weights, name, c->labels, c->width);
    tensor_file_close(&f);
    return result;
}

static int write_config(const char *directory, const struct bundle_parts *parts, struct error *e)
{
    struct json *config;
    if (model_config_for_bundle(&config, parts->model_directory, parts->model, parts->label_names, parts->multi, e))
        return -1;
    char *path = path_join(directory, "config.json");
    int result = json_write(path, config, e);
    free(path);
    json_destroy(&config);
    return result;
}

static int write_inference(const char *directory, const struct bundle_parts *parts, struct error *e)
{
    struct json *inference = json_copy(parts->inference);
    label_names_write(inference, parts->label_names, parts->model->labels);
    char *path = path_join(directory, BUNDLE_INFERENCE);
    int result = json_write(path, inference, e);
    free(path);
    json_destroy(&inference);
    return result;
}

static int write_text(const char *directory, const char *name, const char *text, struct error *e)
{
    char *path = path_join(directory, name);
    int result = text ? file_write(path, text, strlen(text), e) : 0;
    free(path);
    return result;
}

static int write_card(const char *directory, const char *card, struct error *e)
{
    return write_text(directory, "README.md", card, e);
}

static int copy_weights(const char *directory, const char *from, struct error *e)
{
    if (!from)
        return 0;
    char *path = path_join(directory, BUNDLE_WEIGHTS);
    int result = file_copy(from, path, e);
    free(path);
    return result;
}

static int write_known(const char *directory, const struct training_rows *known, struct error *e)
{
    char *path = path_join(directory, TRAINING_ROWS_FILE);
    int result = known ? training_rows_write(path, known, e) : 0;
    free(path);
    return result;
}

static int write_adapter(const char *directory, const struct bundle_parts *parts, struct error *e)
{
    if (!parts->adapter)
        return 0;
    char *inside = path_join(directory, BUNDLE_ADAPTER), *weights = path_join(inside, PEFT_WEIGHTS),
         *config = path_join(inside, PEFT_CONFIG), *base = path_join(inside, PEFT_BASE);
    int result = directory_create(inside, e) || file_copy(parts->adapter, weights, e) ||
                         json_write(config, parts->adapter_config, e) || json_write(base, parts->adapter_base, e) ||
                         write_card(inside, parts->adapter_card, e) || directory_sync(inside, e)
                     ? -1
                     : 0;
    free(inside);
    free(weights);
    free(config);
    free(base);
    return result;
}

static int fill(const char *directory, const struct bundle_parts *parts, struct error *e)
{
    struct bundle *check;
    uint32_t max_length = (uint32_t)json_number(json_get(parts->inference, "max_length"));
    if (directory_create(directory, e) || write_config(directory, parts, e) || write_inference(directory, parts, e) ||
        write_card(directory, parts->card, e) || write_text(directory, BUNDLE_EVALUATION, parts->evaluation, e) ||
        write_known(directory, parts->known, e) || write_adapter(directory, parts, e) ||
        copy_weights(directory, parts->weights, e) || tokenizer_export(parts->tokenizer, directory, max_length, e) ||
        bundle_open(&check, directory, e))
        return -1;
    bundle_close(&check);
    return 0;
}

/* Where the file system cannot exchange two names (NFS), the old bundle steps aside for the moment of a rename. */
static int replace_by_two_renames(const char *temporary, const char *path, struct error *e)
{
    char *old = format_string("%s.old-%d", path, (int)getpid());
    int result = 0;
    if (rename(path, old))
        result = error_errno(e, errno, "%s: cannot be replaced", path);
    else if (rename(temporary, path)) {
        result = error_errno(e, errno, "%s: cannot be put in place", path);
        rename(old, path);
    } else
        result = directory_remove(old, e);
    free(old);
    return result;
}

static int put_in_place(const char *temporary, const char *path, struct error *e)
{
    if (!directory_exists(path))
        return rename(temporary, path) ? error_errno(e, errno, "%s: cannot be put in place", path) : 0;
    if (!renameat2(AT_FDCWD, temporary, AT_FDCWD, path, RENAME_EXCHANGE))
        return directory_remove(temporary, e);
    if (errno == EINVAL || errno == ENOSYS)
        return replace_by_two_renames(temporary, path, e);
    return error_errno(e, errno, "%s: cannot be replaced", path);
}

/* Without slashes at the end, and with links followed: what is replaced is the directory, not a link to it. */
static char *real_place(const char *path)
{
    char *real = realpath(path, NULL);
    size_t size = strlen(path);
    while (size > 1 && path[size - 1] == '/')
        size--;
    return real ? real : format_string("%.*s", (int)size, path);
}

static int sync_parent(const char *path, struct error *e)
{
    char *parent = path_directory(path);
    int result = directory_sync(parent, e);
    free(parent);
    return result;
}

int bundle_write(const char *path, const struct bundle_parts *parts, struct error *e)
{
    char *place = real_place(path), *temporary = format_string("%s.tmp-%d", place, (int)getpid());
    int result = -1;
    if (check_replaceable(place, e) || check_label_names(parts, e) || check_weights(parts, e) || directory_remove(temporary, e))
        goto done;
    if (fill(temporary, parts, e) || directory_sync(temporary, e) || put_in_place(temporary, place, e)) {
        directory_remove(temporary, NULL);
        goto done;
    }
    result = sync_parent(place, e);
done:
    free(place);
    free(temporary);
    return result;
}

/* No weights of its own, but an adapter. */
static bool is_separate(const char *path)
{
    char *inside = path_join(path, BUNDLE_ADAPTER);
    bool separate = !directory_holds(path, BUNDLE_WEIGHTS) && directory_holds(inside, PEFT_BASE);
    free(inside);
    return separate;
}

static int check_is_bundle(const char *path, struct error *e)
{
    if (!directory_exists(path))
        return error_set(e, ERROR_DATA, "%s: does not exist or is not a directory; name the directory of a bundle", path);
    if (access(path, X_OK) != 0)
        return error_set(e, ERROR_DATA, "%s: cannot be read: %s", path, strerror(errno));
    if (!directory_holds(path, BUNDLE_INFERENCE))
        return error_set(e, ERROR_DATA,
                         "%s: is not a bundle: it has no " BUNDLE_INFERENCE "; name a directory that 'muster publish' made",
                         path);
    if (!directory_holds(path, BUNDLE_WEIGHTS) && !is_separate(path))
        return error_set(e, ERROR_DATA, "%s: holds no " BUNDLE_WEIGHTS "; publish the bundle again", path);
    return 0;
}

int bundle_base(char **weights, char **adapter, const char *path, struct error *e)
{
    *weights = *adapter = NULL;
    if (!is_separate(path))
        return 0;
    *adapter = path_join(path, BUNDLE_ADAPTER);
    if (peft_base_weights(weights, *adapter, e) == 0)
        return 0;
    free(*adapter);
    *adapter = NULL;
    return -1;
}

static bool differs_by_task(const char *key)
{
    return strcmp(key, "id2label") == 0 || strcmp(key, "label2id") == 0 || strcmp(key, "problem_type") == 0 || strstr(key, "drop");
}

/* config.json but for what adapters of one base may have of their own. Caller destroys. */
static int read_encoder(struct json **ret, const char *path, struct error *e)
{
    struct json *config;
    char *name = path_join(path, "config.json");
    int result = json_read(&config, name, e);
    free(name);
    if (result)
        return -1;
    *ret = json_object();
    for (size_t i = 0; i < json_size(config); i++)
        if (!differs_by_task(json_key(config, i)))
            json_set(*ret, json_key(config, i), json_copy(json_at(config, i)));
    json_destroy(&config);
    return 0;
}

int bundle_shared_base(char **ret, const char *path, struct error *e)
{
    struct json *shared = NULL, *base = NULL, *inference = NULL;
    char *of_base = path_join(path, BUNDLE_ADAPTER "/" PEFT_BASE), *of_rule = path_join(path, BUNDLE_INFERENCE);
    int result = 0;
    *ret = NULL;
    if (is_separate(path))
        result = json_read(&base, of_base, e) || json_read(&inference, of_rule, e) || read_encoder(&shared, path, e) ? -1 : 0;
    if (shared) {
        const char *digest = json_string(json_get(base, "weights_sha256")),
                   *precision = json_string(json_get(json_get(inference, "options"), "precision"));
        json_set_string(shared, "weights_sha256", digest ? digest : "");
        json_set_string(shared, "precision", precision ? precision : "");
        *ret = json_print(shared, false);
    }
    json_destroy(&shared);
    json_destroy(&inference);
    json_destroy(&base);
    free(of_rule);
    free(of_base);
    return result;
}

static int read_config(struct bundle *b, const char *path, struct error *e)
{
    struct json *config;
    char *name = path_join(path, "config.json");
    int result = model_config_read(&b->model, path, e) || json_read(&config, name, e) ? -1 : 0;
    if (!result) {
        result = label_set_read(&b->labels, config, name, e);
        json_destroy(&config);
    }
    free(name);
    return result;
}

/* The decision of `inference` or, where that is NULL, of the file. */
static int read_inference(struct bundle *b, const char *path, const struct json *inference, struct error *e)
{
    char *name = path_join(path, BUNDLE_INFERENCE);
    int result = 0;
    if (inference)
        b->inference = json_copy(inference);
    else
        result = json_read(&b->inference, name, e);
    if (!result)
        result = decision_rule_read(&b->decision, b->inference, &b->labels, model_config_max_length(&b->model), name, e);
    free(name);
    return result;
}

static int open_with(struct bundle **ret, const char *path, const struct json *inference, struct error *e)
{
    struct bundle *b = allocate(1, sizeof *b);
    if (check_is_bundle(path, e) || read_config(b, path, e) || read_inference(b, path, inference, e)) {
        if (e && e->kind == ERROR_USAGE)
            e->kind = ERROR_DATA; /* here the model is not what a job names but what a bundle holds */
        bundle_close(&b);
        return -1;
    }
    *ret = b;
    return 0;
}

int bundle_open(struct bundle **ret, const char *path, struct error *e)
{
    return open_with(ret, path, NULL, e);
}

void bundle_close(struct bundle **bundle)
{
    struct bundle *b = bundle ? *bundle : NULL;
    if (!b)
        return;
    label_set_free(&b->labels);
    decision_rule_free(&b->decision);
    json_destroy(&b->inference);
    free(b);
    *bundle = NULL;
}

const struct label_set *bundle_labels(const struct bundle *b)
{
    return &b->labels;
}

const struct decision_rule *bundle_decision(const struct bundle *b)
{
    return &b->decision;
}

const struct json *bundle_inference(const struct bundle *b)
{
    return b->inference;
}

int bundle_set_inference(const char *path, const struct json *inference, struct error *e)
{
    struct bundle *check;
    if (open_with(&check, path, inference, e))
        return -1;
    bundle_close(&check);
    char *name = path_join(path, BUNDLE_INFERENCE);
    int result = json_write(name, inference, e);
    free(name);
    return result;
}
