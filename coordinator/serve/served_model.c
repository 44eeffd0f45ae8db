/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/serve/served_model.h"

#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/base/sha256.h"
#include "common/format/bundle.h"
#include "common/format/peft.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Which file it is, and that it has not been written to. */
struct stamp {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec written;
};

struct served_model {
    char *name, *path, *weights, *base, *zoo;
    char weights_sha256[SHA256_HEX];
    struct stamp stamp;
    struct tokenizer *tokenizer;
    uint32_t labels;
    pthread_mutex_t lock;
    struct model_view *view; /* the one that new requests get */
};

static int read_stamp(struct stamp *ret, const char *path)
{
    struct stat s;
    if (stat(path, &s) != 0)
        return -1;
    *ret = (struct stamp){s.st_dev, s.st_ino, s.st_size, s.st_mtim};
    return 0;
}

/* ---- view ---- */

static struct json *rule_to_json(const struct bundle *b)
{
    static const char *const copied[] = {"threshold", "thresholds", "temperature", "temperatures", "positive"};
    const struct json *inference = bundle_inference(b), *rule = json_get(inference, "rule");
    struct json *o = json_object();
    json_set_string(o, "name", json_string(json_get(rule, "rule")));
    for (size_t i = 0; i < sizeof copied / sizeof *copied; i++)
        if (json_get(inference, copied[i]))
            json_set(o, copied[i], json_copy(json_get(inference, copied[i])));
    if (bundle_labels(b)->multi || bundle_labels(b)->count == 2)
        return o;
    struct json *highest = json_object(); /* of many classes the most probable: no threshold decides */
    json_set_string(highest, "name", "highest");
    json_set(highest, "temperature", json_copy(json_get(o, "temperature")));
    json_destroy(&o);
    return highest;
}

static void view_destroy(struct model_view *v)
{
    if (!v)
        return;
    bundle_input_free(&v->input);
    bundle_close(&v->bundle);
    json_destroy(&v->rule);
    free(v);
}

static int view_create(struct model_view **ret, const struct served_model *m, struct error *e)
{
    static const struct input_options as_it_is;
    struct model_view *v = allocate(1, sizeof *v);
    v->model = m;
    if (bundle_open(&v->bundle, m->path, e) != 0 ||
        bundle_input_read(&v->input, bundle_inference(v->bundle), false, &as_it_is, e) != 0) {
        view_destroy(v);
        return -1;
    }
    const struct label_set *l = bundle_labels(v->bundle);
    v->kind = decision_kind_of(l->multi, l->count);
    v->rule = rule_to_json(v->bundle);
    *ret = v;
    return 0;
}

bool model_view_has_field(const struct model_view *v, const char *name)
{
    const struct input *in = &v->input.input;
    return text_fields_have(&in->text_a, name) || text_fields_have(&in->text_b, name) || text_fields_have(&in->required, name);
}

struct json *model_view_describe(const struct model_view *v)
{
    static const char *const copied[] = {"task",     "threshold",  "thresholds", "temperature", "temperatures",
                                         "positive", "input",      "truncation", "max_length",  "calibration",
                                         "training", "provenance", "metrics",    "versions"};
    const struct json *inference = bundle_inference(v->bundle);
    const struct label_set *l = bundle_labels(v->bundle);
    const struct served_model *m = v->model;
    struct json *o = json_object();
    json_set_string(o, "name", m->name);
    json_set_string(o, "bundle", m->path);
    json_set_boolean(o, "multi_label", l->multi);
    struct json *labels = json_set(o, "labels", json_array());
    for (uint32_t i = 0; i < l->count; i++)
        json_append(labels, json_of_string(l->names[i]));
    json_set(o, "rule", json_copy(v->rule));
    for (size_t i = 0; i < sizeof copied / sizeof *copied; i++)
        if (json_get(inference, copied[i]))
            json_set(o, copied[i], json_copy(json_get(inference, copied[i])));
    struct json *hashes = json_set(o, "sha256", json_object());
    json_set_string(hashes, "model", m->weights_sha256);
    json_set_string(hashes, "tokenizer", tokenizer_sha256(m->tokenizer));
    char *text = json_print(inference, false), hash[SHA256_HEX];
    sha256_bytes(text, strlen(text), hash);
    free(text);
    json_set_string(hashes, "inference_config", hash);
    return o;
}

/* ---- model ---- */

static char *name_of(const struct model_view *v, const char *path)
{
    const char *own = json_string(json_get(bundle_inference(v->bundle), "name")), *slash = strrchr(path, '/');
    return duplicate(own && *own ? own : slash && slash[1] ? slash + 1 : path);
}

/* The file of what was trained: all weights, or the adapter of a bundle that has no more. Caller frees. */
static char *trained_weights(const char *bundle)
{
    return path_join(bundle, directory_holds(bundle, BUNDLE_WEIGHTS) ? BUNDLE_WEIGHTS : BUNDLE_ADAPTER "/" PEFT_WEIGHTS);
}

/* By the bundle as it is named, which may be a link to one of the models that the table compares. Caller frees. */
static char *zoo_by(const char *bundle)
{
    char *own = duplicate(bundle), *end = own + strlen(own);
    while (end > own + 1 && end[-1] == '/')
        *--end = 0;
    char *directory = path_directory(own), *absolute = path_absolute(directory), *zoo = path_join(absolute, "zoo.json");
    free(absolute);
    free(directory);
    free(own);
    return zoo;
}

int served_model_open(struct served_model **ret, const char *path, const char *name, struct error *e)
{
    struct served_model *m = allocate(1, sizeof *m);
    pthread_mutex_init(&m->lock, NULL);
    m->path = path_resolve(path, e);
    m->zoo = zoo_by(path);
    if (!m->path)
        goto fail;
    m->weights = trained_weights(m->path);
    if (view_create(&m->view, m, e) != 0 || tokenizer_open(&m->tokenizer, m->path, e) != 0 ||
        bundle_shared_base(&m->base, m->path, e) != 0 || sha256_file(m->weights, m->weights_sha256, e) != 0)
        goto fail;
    if (read_stamp(&m->stamp, m->weights) != 0) {
        error_set(e, ERROR_DATA, "%s: is gone", m->weights);
        goto fail;
    }
    m->view->holders = 1;
    m->labels = bundle_labels(m->view->bundle)->count;
    m->name = name ? duplicate(name) : name_of(m->view, m->path);
    *ret = m;
    return 0;
fail:
    served_model_close(&m);
    return -1;
}

void served_model_close(struct served_model **model)
{
    struct served_model *m = model ? *model : NULL;
    if (!m)
        return;
    view_destroy(m->view);
    tokenizer_close(&m->tokenizer);
    pthread_mutex_destroy(&m->lock);
    free(m->name);
    free(m->path);
    free(m->weights);
    free(m->base);
    free(m->zoo);
    free(m);
    *model = NULL;
}

const char *served_model_name(const struct served_model *m)
{
    return m->name;
}

const char *served_model_path(const struct served_model *m)
{
    return m->path;
}

const char *served_model_base(const struct served_model *m)
{
    return m->base;
}

const char *served_model_zoo(const struct served_model *m)
{
    return m->zoo;
}

const struct tokenizer *served_model_tokenizer(const struct served_model *m)
{
    return m->tokenizer;
}

uint32_t served_model_labels(const struct served_model *m)
{
    return m->labels;
}

bool served_model_is_changed(const struct served_model *m, struct error *e)
{
    struct stamp now;
    if (read_stamp(&now, m->weights) != 0)
        error_set(e, ERROR_DATA, "%s: has been deleted or cannot be read", m->weights);
    else if (now.device != m->stamp.device || now.inode != m->stamp.inode || now.size != m->stamp.size ||
             now.written.tv_sec != m->stamp.written.tv_sec || now.written.tv_nsec != m->stamp.written.tv_nsec)
        error_set(e, ERROR_DATA, "%s: has changed since it was loaded; start the server again to serve it", m->weights);
    else
        return false;
    return true;
}

static int check_same_labels(const struct label_set *a, const struct label_set *b, const char *path, struct error *e)
{
    bool same = a->count == b->count && a->multi == b->multi;
    for (uint32_t i = 0; same && i < a->count; i++)
        same = strcmp(a->names[i], b->names[i]) == 0;
    return same ? 0 : error_set(e, ERROR_DATA, "%s: has other labels than what is served; start the server again", path);
}

int served_model_reload(struct served_model *m, struct error *e)
{
    struct model_view *v;
    if (served_model_is_changed(m, e) || view_create(&v, m, e) != 0)
        return -1;
    pthread_mutex_lock(&m->lock);
    struct model_view *before = m->view;
    int status = check_same_labels(bundle_labels(before->bundle), bundle_labels(v->bundle), m->path, e);
    if (status == 0) {
        m->view = v;
        v->holders = 1;
    }
    pthread_mutex_unlock(&m->lock);
    if (status == 0)
        served_model_release(m, before);
    else
        view_destroy(v);
    return status;
}

const struct model_view *served_model_hold(struct served_model *m)
{
    pthread_mutex_lock(&m->lock);
    struct model_view *v = m->view;
    v->holders++;
    pthread_mutex_unlock(&m->lock);
    return v;
}

void served_model_release(struct served_model *m, const struct model_view *view)
{
    struct model_view *v = (struct model_view *)(uintptr_t)view;
    if (!v)
        return;
    pthread_mutex_lock(&m->lock);
    bool last = --v->holders == 0;
    pthread_mutex_unlock(&m->lock);
    if (last)
        view_destroy(v);
}
