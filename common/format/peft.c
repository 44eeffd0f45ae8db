/* SPDX-License-Identifier: Apache-2.0 */
/* The reading of PEFT's files, and their fit to a model. */
#include "common/format/peft.h"

#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/format/weights_index.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- adapter_config.json ---- */

#define MERGE_IT "merge the adapter with PEFT's merge_and_unload"

/* What changes what the tensors mean: refused where it is on. */
static const char *const unsupported[] = {"use_dora",          "layer_replication", "fan_in_fan_out", "trainable_token_indices",
                                          "use_qalora",        "lora_bias",         "use_bdlora",     "megatron_config",
                                          "target_parameters", "arrow_config"};
/* Initialisations that change the base's weights, too. */
static const char *const changing[] = {"pissa", "olora", "loftq", "corda"};

static bool is_on(const struct json *value)
{
    enum json_type type = json_type(value);
    if (!value || type == JSON_NULL)
        return false;
    return type == JSON_BOOLEAN ? json_boolean(value) : type == JSON_ARRAY || type == JSON_OBJECT ? json_size(value) > 0 : true;
}

static int check_kind(const struct json *j, const char *place, struct error *e)
{
    const char *type = json_string(json_get(j, "peft_type")), *task = json_string(json_get(j, "task_type")),
               *init = json_string(json_get(j, "init_lora_weights"));
    if (!type || strcmp(type, "LORA") != 0)
        return error_set(e, ERROR_DATA, "%s: peft_type: only LORA is supported", place);
    if (task && strcmp(task, "SEQ_CLS") != 0)
        return error_set(e, ERROR_DATA, "%s: task_type: an adapter of a classifier, SEQ_CLS, is needed", place);
    for (size_t i = 0; i < sizeof unsupported / sizeof *unsupported; i++)
        if (is_on(json_get(j, unsupported[i])))
            return error_set(e, ERROR_DATA, "%s: %s is not supported; " MERGE_IT, place, unsupported[i]);
    for (size_t i = 0; init && i < sizeof changing / sizeof *changing; i++)
        if (strncmp(init, changing[i], strlen(changing[i])) == 0)
            return error_set(e, ERROR_DATA, "%s: init_lora_weights \"%s\" changes the base and is not supported; " MERGE_IT,
                             place, changing[i]);
    return 0;
}

static int read_number(double *ret, const struct json *j, const char *key, double least, double most, const char *place,
                       struct error *e)
{
    const struct json *value = json_get(j, key);
    double number = json_number(value);
    if (!value || json_type(value) != JSON_NUMBER || !(number >= least && number <= most))
        return error_set(e, ERROR_DATA, "%s: %s: expected a number from %g to %g", place, key, least, most);
    *ret = number;
    return 0;
}

/* {name: number}: of modules that end with the name. PEFT takes names for regular expressions; here they are names, and what
 * cannot be one is refused. */
static int check_pattern(const struct json *j, const char *key, double most, bool whole, const char *place, struct error *e)
{
    const struct json *pattern = json_get(j, key);
    for (size_t i = 0; i < json_size(pattern); i++) {
        const char *name = json_type(pattern) == JSON_OBJECT ? json_key(pattern, i) : "";
        double number = json_number(json_at(pattern, i));
        if (!*name || strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.") < strlen(name))
            return error_set(e, ERROR_DATA, "%s: %s: \"%s\": only names of modules are supported; " MERGE_IT, place, key, name);
        if (!(number >= (whole ? 1 : 1e-6) && number <= most) || (whole && number != floor(number)))
            return error_set(e, ERROR_DATA, "%s: %s: \"%s\": expected a %s up to %g", place, key, name,
                             whole ? "whole number from 1" : "number above 0", most);
    }
    return 0;
}

/* The first name of the pattern that the module ends with, behind a dot. */
static double matched(const struct json *pattern, const char *module, double otherwise)
{
    size_t size = strlen(module);
    for (size_t i = 0; i < json_size(pattern); i++) {
        const char *name = json_key(pattern, i);
        size_t tail = strlen(name);
        if (tail <= size && strcmp(module + size - tail, name) == 0 && (tail == size || module[size - tail - 1] == '.'))
            return json_number(json_at(pattern, i));
    }
    return otherwise;
}

int peft_config_read(struct peft_config *ret, const struct json *j, const char *place, struct error *e)
{
    struct peft_config c = {0};
    double rank = 0;
    const char *bias = json_string(json_get(j, "bias"));
    if (json_type(j) != JSON_OBJECT)
        return error_set(e, ERROR_DATA, "%s: expected an object, found %s", place, json_type_name(json_type(j)));
    if (check_kind(j, place, e) != 0 || read_number(&rank, j, "r", 1, 65536, place, e) != 0 ||
        read_number(&c.alpha, j, "lora_alpha", 1e-6, 1e6, place, e) != 0)
        return -1;
    if (json_get(j, "lora_dropout") && read_number(&c.dropout, j, "lora_dropout", 0, 1, place, e) != 0)
        return -1;
    if (rank != floor(rank))
        return error_set(e, ERROR_DATA, "%s: r: expected a whole number, found %g", place, rank);
    if (check_pattern(j, "rank_pattern", 65536, true, place, e) != 0 ||
        check_pattern(j, "alpha_pattern", 1e6, false, place, e) != 0)
        return -1;
    if (bias && !lora_bias_find(&c.bias, bias))
        return error_set(e, ERROR_DATA, "%s: bias: expected none, all or lora_only", place);
    c.rank = (uint32_t)rank;
    c.rslora = json_boolean(json_get(j, "use_rslora"));
    *ret = c;
    return 0;
}

uint32_t peft_rank(const struct peft_config *c, const struct json *j, const char *module)
{
    return (uint32_t)matched(json_get(j, "rank_pattern"), module, c->rank);
}

double peft_scale(const struct peft_config *c, const struct json *j, const char *module)
{
    const struct lora l = {
        .rank = peft_rank(c, j, module), .alpha = matched(json_get(j, "alpha_pattern"), module, c->alpha), .rslora = c->rslora};
    return lora_scale(&l);
}

/* ---- tensors ---- */

static void take_out(char *name, const char *word)
{
    char *at = strstr(name, word);
    if (at)
        memmove(at, at + strlen(word), strlen(at + strlen(word)) + 1);
}

/* The model's name of a tensor of the adapter: ".lora_A" and such taken out. Caller frees; NULL: not behind PEFT's prefix. */
static char *model_name(const char *name, enum peft_part *part)
{
    size_t size = strlen(LORA_PREFIX);
    if (strncmp(name, LORA_PREFIX, size) != 0)
        return NULL;
    char *plain = duplicate(name + size);
    *part = strstr(plain, ".lora_A.") ? PEFT_A : strstr(plain, ".lora_B.") ? PEFT_B : PEFT_WHOLE;
    take_out(plain, *part == PEFT_A ? ".lora_A" : ".lora_B");
    take_out(plain, ".modules_to_save");
    take_out(plain, ".base_layer");
    take_out(plain, ".default");
    return plain;
}

static int match(struct peft_tensor *ret, const struct tensor *t, const struct model_tensor *tensors, size_t count,
                 const char *path, struct error *e)
{
    *ret = (struct peft_tensor){.tensor = t, .index = count};
    char *name = model_name(t->name, &ret->part);
    for (size_t i = 0; name && i < count && ret->index == count; i++)
        if (strcmp(tensors[i].name, name) == 0)
            ret->index = i;
    free(name);
    if (ret->index < count)
        return 0;
    return error_set(e, ERROR_DATA, "%s: tensor %s is of no part of the model: the adapter is of another one", path, t->name);
}

static void set_scale(struct peft_tensor *p, const struct peft_config *c, const struct json *j,
                      const struct model_tensor *tensors)
{
    char *module = duplicate(tensors[p->index].name), *end = strrchr(module, '.');
    if (end)
        *end = '\0';
    p->rank = peft_rank(c, j, module);
    p->scale = peft_scale(c, j, module);
    free(module);
}

static int check_tensor(const struct peft_tensor *p, const struct model_tensor *tensors, const char *path, struct error *e)
{
    struct model_tensor wanted = tensors[p->index];
    if (p->part != PEFT_WHOLE && (wanted.dimensions != 2 || wanted.is_bias || wanted.role == ROLE_WORDS))
        return error_set(e, ERROR_DATA, "%s: tensor %s: only linear maps can be adapted", path, p->tensor->name);
    if (p->part != PEFT_WHOLE) {
        wanted.shape[p->part == PEFT_A ? 0 : 1] = p->rank;
        wanted.role = ROLE_HEAD_LINEAR; /* the message has no word of labels or words */
    }
    if (model_tensor_check(p->tensor, &wanted, path, e) != 0)
        return -1;
    int64_t bad = tensor_first_not_finite(p->tensor);
    if (bad < 0)
        return 0;
    return error_set(e, ERROR_DATA, "%s: tensor %s is not finite at element %lld; the file is damaged or its training diverged",
                     path, p->tensor->name, (long long)bad);
}

static int by_place(const void *a, const void *b)
{
    const struct peft_tensor *x = a, *y = b;
    if (x->index != y->index)
        return x->index < y->index ? -1 : 1;
    return (int)x->part - (int)y->part;
}

static int check_pairs(const struct peft_adapter *a, struct error *e)
{
    size_t pairs = 0;
    for (size_t i = 0; i < a->count; i++) {
        const struct peft_tensor *t = &a->tensors[i], *before = i > 0 ? t - 1 : NULL, *next = i + 1 < a->count ? t + 1 : NULL;
        if (before && before->index == t->index && before->part == t->part)
            return error_set(e, ERROR_DATA, "%s: tensors %s and %s are the same", a->path, before->tensor->name, t->tensor->name);
        bool alone = (t->part == PEFT_A && !(next && next->index == t->index && next->part == PEFT_B)) ||
                     (t->part == PEFT_B && !(before && before->index == t->index && before->part == PEFT_A));
        if (alone)
            return error_set(e, ERROR_DATA, "%s: tensor %s has no %s to it", a->path, t->tensor->name,
                             t->part == PEFT_A ? "lora_B" : "lora_A");
        pairs += t->part == PEFT_A;
    }
    return pairs > 0 ? 0 : error_set(e, ERROR_DATA, "%s: holds no adapter of a linear map (lora_A, lora_B)", a->path);
}

/* With bias "all" PEFT also saves biases of what modules_to_save replace, and a second time those that replace them. */
static bool is_repeated(const struct tensor_file *f, const char *name)
{
    if (strstr(name, ".original_module."))
        return true;
    if (!strstr(name, ".modules_to_save."))
        return false;
    char *plain = duplicate(name);
    take_out(plain, ".modules_to_save");
    take_out(plain, ".default");
    bool ret = tensor_file_find(f, plain);
    free(plain);
    return ret;
}

static int match_all(struct peft_adapter *a, const struct json *j, const struct model_config *c, bool new_classifier,
                     struct error *e)
{
    size_t count = model_tensors(NULL, c), found = tensor_file_count(a->weights);
    struct model_tensor *tensors = allocate(count, sizeof *tensors);
    int result = 0;
    model_tensors(tensors, c);
    a->tensors = allocate(found + 1, sizeof *a->tensors);
    for (size_t i = 0; i < found && result == 0; i++) {
        struct peft_tensor *to = &a->tensors[a->count];
        if (is_repeated(a->weights, tensor_file_at(a->weights, i)->name))
            continue;
        result = match(to, tensor_file_at(a->weights, i), tensors, count, a->path, e);
        if (result == 0 && new_classifier && tensors[to->index].role == ROLE_CLASSIFIER)
            continue;
        if (result == 0) {
            set_scale(to, &a->config, j, tensors);
            result = check_tensor(to, tensors, a->path, e);
        }
        a->count++;
    }
    free(tensors);
    if (result != 0)
        return -1;
    qsort(a->tensors, a->count, sizeof *a->tensors, by_place);
    return check_pairs(a, e);
}

/* ---- the directory ---- */

int peft_weights(char **ret, const char *directory, struct error *e)
{
    static const char *const names[] = {PEFT_WEIGHTS, "adapter_model.bin"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (directory_holds(directory, names[i])) {
            *ret = path_join(directory, names[i]);
            return 0;
        }
    return error_set(e, ERROR_DATA, "%s: holds no weights of an adapter (" PEFT_WEIGHTS " or adapter_model.bin)", directory);
}

/* *object: freed by the caller. */
static int read_config(struct peft_config *ret, struct json **object, const char *directory, struct error *e)
{
    if (!directory_holds(directory, PEFT_CONFIG))
        return error_set(e, ERROR_DATA, "%s: is no directory of a PEFT adapter: it holds no " PEFT_CONFIG, directory);
    char *path = path_join(directory, PEFT_CONFIG);
    int result = json_read(object, path, e) == 0 ? peft_config_read(ret, *object, path, e) : -1;
    free(path);
    return result;
}

int peft_open(struct peft_adapter **ret, const char *directory, const struct model_config *c, bool new_classifier,
              struct error *e)
{
    struct peft_adapter *a = allocate(1, sizeof *a);
    struct json *j = NULL;
    int result = -1;
    if (read_config(&a->config, &j, directory, e) == 0 && peft_weights(&a->path, directory, e) == 0 &&
        tensor_file_open(&a->weights, a->path, e) == 0)
        result = match_all(a, j, c, new_classifier, e);
    json_destroy(&j);
    if (result != 0)
        peft_close(&a);
    else
        *ret = a;
    return result;
}

void peft_close(struct peft_adapter **adapter)
{
    struct peft_adapter *a = *adapter;
    if (!a)
        return;
    tensor_file_close(&a->weights);
    free(a->tensors);
    free(a->path);
    free(a);
    *adapter = NULL;
}

/* ---- training goes on from it ---- */

static int check_numbers(const struct peft_adapter *a, const struct lora *l, struct error *e)
{
    const struct peft_config *c = &a->config;
    if (l->rank != c->rank || l->alpha != c->alpha || l->rslora != c->rslora)
        return error_set(e, ERROR_USAGE,
                         "%s: has r %u, alpha %g%s; the job has train.lora_r %u, lora_alpha %g%s: set them to that", a->path,
                         c->rank, c->alpha, c->rslora ? ", rslora" : "", l->rank, l->alpha, l->rslora ? ", rslora" : "");
    if (c->bias != l->bias)
        return error_set(e, ERROR_USAGE, "%s: has bias \"%s\"; the job has train.lora_bias \"%s\": set it to that", a->path,
                         lora_bias_names[c->bias], lora_bias_names[l->bias]);
    return 0;
}

static bool is_adapted(const struct lora *l, const struct model_config *c, const struct model_tensor *t)
{
    return t->bucket >= 1 && t->bucket <= (int)c->layers && !t->is_bias && l->adapted[t->role];
}

static int check_maps(const struct peft_adapter *a, const struct lora *l, const struct model_config *c,
                      const struct model_tensor *tensors, size_t count, struct error *e)
{
    size_t pairs = 0, own = 0;
    for (size_t i = 0; i < a->count; i++) {
        const struct peft_tensor *t = &a->tensors[i];
        if (t->part != PEFT_A)
            continue;
        pairs++;
        if (t->rank != l->rank || t->scale != lora_scale(l))
            return error_set(e, ERROR_USAGE,
                             "%s: has another rank or alpha for %s, LoRA cannot go on from it; use train.method \"full\"",
                             a->path, tensors[t->index].name);
        if (!is_adapted(l, c, &tensors[t->index]))
            return error_set(e, ERROR_USAGE, "%s: adapts %s, which is not among train.lora_targets; set these to the adapter's",
                             a->path, tensors[t->index].name);
    }
    for (size_t i = 0; i < count; i++)
        own += is_adapted(l, c, &tensors[i]);
    if (pairs != own)
        return error_set(e, ERROR_USAGE, "%s: adapts %zu linear maps, train.lora_targets are %zu; set these to the adapter's",
                         a->path, pairs, own);
    return 0;
}

int peft_check_same(const struct peft_adapter *a, const struct lora *l, const struct model_config *c, struct error *e)
{
    if (check_numbers(a, l, e) != 0)
        return -1;
    size_t count = model_tensors(NULL, c);
    struct model_tensor *tensors = allocate(count, sizeof *tensors);
    model_tensors(tensors, c);
    int result = check_maps(a, l, c, tensors, count, e);
    free(tensors);
    return result;
}

/* ---- the base ---- */

/* *ret NULL: there is no base.json. */
static int read_base(struct json **ret, const char *directory, struct error *e)
{
    char *path = path_join(directory, PEFT_BASE);
    int result = 0;
    *ret = NULL;
    if (file_exists(path))
        result = json_read(ret, path, e);
    const char *digest = json_string(json_get(*ret, "weights_sha256"));
    if (result == 0 && *ret && (!json_string(json_get(*ret, "model")) || !digest || strlen(digest) != SHA256_HEX - 1)) {
        json_destroy(ret);
        result = error_set(e, ERROR_DATA, "%s: expected {\"model\": DIRECTORY, \"weights_sha256\": DIGEST}", path);
    }
    free(path);
    return result;
}

/* ret may be NULL. */
static int check_weights(char **ret, const struct json *base, const char *directory, const char *model, struct error *e)
{
    char found[SHA256_HEX], *weights;
    const char *wanted = json_string(json_get(base, "weights_sha256"));
    if (model_directory_weights(&weights, model, e) != 0)
        return -1;
    int result = weights_sha256(weights, found, e);
    if (result == 0 && strcmp(found, wanted) != 0)
        result = error_set(e, ERROR_DATA, "%s: is an adapter of weights with the sha256 %s; those of %s have %s", directory,
                           wanted, model, found);
    if (result == 0 && ret)
        *ret = weights;
    else
        free(weights);
    return result;
}

int peft_check_base(const char *directory, const char *model, struct error *e)
{
    struct json *base;
    if (read_base(&base, directory, e) != 0)
        return -1;
    int result = base ? check_weights(NULL, base, directory, model, e) : 0;
    json_destroy(&base);
    return result;
}

int peft_base_weights(char **ret, const char *directory, struct error *e)
{
    struct json *base;
    if (read_base(&base, directory, e) != 0)
        return -1;
    if (!base)
        return error_set(e, ERROR_DATA, "%s: holds no " PEFT_BASE ", which names the base model", directory);
    const char *name = json_string(json_get(base, "model"));
    char *beside = path_join(directory, name), *model = NULL;
    int result = directory_exists(beside) ? 0 : model_directory_find(&model, name, e);
    if (result == 0)
        result = check_weights(ret, base, directory, model ? model : beside, e);
    else
        error_prefix(e, "%s/" PEFT_BASE ": ", directory);
    if (result != 0 && e && e->kind == ERROR_USAGE)
        e->kind = ERROR_DATA;
    free(beside);
    free(model);
    json_destroy(&base);
    return result;
}
