/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/train/row_scorer.h"

#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/format/bundle.h"
#include "common/format/model_config.h"
#include "common/format/model_family.h"
#include "worker/nn/model.h"
#include "worker/nn/parameters_adapter.h"
#include "worker/train/batch.h"

#include <stdlib.h>

enum { TOKEN_BUDGET = 4096, ROW_BUDGET = 512 }; /* of one forward: larger ones are no faster and need more memory */

struct scored_model {
    struct model_config config;
    struct parameters *parameters;
    struct model *model;
};

struct row_scorer {
    struct device *device;
    size_t count;
    struct scored_model *models; /* (count) */
    struct parameters *base;     /* of several models; NULL: of one */
    device_memory activations;   /* of all models: they take turns */
    struct batch *batch;
    size_t budget; /* tokens of a forward */
};

static int load_alone(struct row_scorer *s, const char *bundle, struct error *e)
{
    struct scored_model *m = &s->models[0];
    char *weights = NULL, *adapter = NULL; /* the adapter: of a bundle whose weights are its base's */
    int result = bundle_base(&weights, &adapter, bundle, e) || (!weights && model_directory_weights(&weights, bundle, e)) ||
                         parameters_create(&m->parameters, s->device, &m->config, false, e) ||
                         parameters_load_adapted(m->parameters, weights, adapter, e)
                     ? -1
                     : 0;
    free(weights);
    free(adapter);
    return result;
}

/* Of several: the base from where the first has it. */
static int load_base(struct row_scorer *s, const char *bundle, struct error *e)
{
    const struct head_source none = {.made_new = true};
    char *weights = NULL, *adapter = NULL, *report = NULL;
    int result = bundle_base(&weights, &adapter, bundle, e);
    if (!result && !weights)
        result = error_set(e, ERROR_DATA, "%s: has weights of its own, and cannot share a base", bundle);
    if (!result)
        result = parameters_create(&s->base, s->device, &s->models[0].config, false, e) ||
                         parameters_load_file(s->base, weights, &none, 0, &report, e)
                     ? -1
                     : 0;
    free(weights);
    free(adapter);
    free(report);
    return result;
}

static int load_adapted(struct row_scorer *s, const char *const *bundles, struct error *e)
{
    int result = load_base(s, bundles[0], e);
    for (size_t i = 0; i < s->count && !result; i++) {
        char *adapter = path_join(bundles[i], BUNDLE_ADAPTER);
        result = parameters_create_adapted(&s->models[i].parameters, s->base, &s->models[i].config, adapter, e);
        free(adapter);
    }
    return result;
}

static int create_models(struct row_scorer *s, struct error *e)
{
    struct model_limits sizes = {.max_tokens = s->budget, .max_rows = ROW_BUDGET, .training = false};
    size_t most = 0;
    for (size_t i = 0; i < s->count; i++) {
        size_t bytes = model_bytes(&s->models[i].config, &sizes, s->device->precision);
        most = bytes > most ? bytes : most;
    }
    if (s->device->run->allocate(s->device, &s->activations, most, e) < 0) {
        s->activations = DEVICE_NOTHING;
        return error_prefix(e, "activations of %zu tokens: ", s->budget);
    }
    sizes.arena = s->activations;
    for (size_t i = 0; i < s->count; i++)
        if (model_create(&s->models[i].model, s->models[i].parameters, &s->models[i].config, &sizes, e))
            return -1;
    return 0;
}

static int load(struct row_scorer *s, const char *const *bundles, struct error *e)
{
    for (size_t i = 0; i < s->count; i++)
        if (model_config_read(&s->models[i].config, bundles[i], e))
            return -1;
    if (s->count == 1 ? load_alone(s, bundles[0], e) : load_adapted(s, bundles, e))
        return -1;
    const struct model_config *c = &s->models[0].config; /* the others' differ in what no batch knows */
    uint32_t longest = model_config_max_length(c);
    s->budget = longest > TOKEN_BUDGET ? longest : TOKEN_BUDGET;
    const struct batch_limits limits = {.tokens = s->budget, .rows = ROW_BUDGET};
    return create_models(s, e) || batch_create(&s->batch, s->device, NULL, c, &limits, e) ? -1 : 0;
}

int row_scorer_create(struct row_scorer **ret, struct device *d, const char *const *bundles, size_t count, struct error *e)
{
    struct row_scorer *s = allocate(1, sizeof *s);
    s->device = d;
    s->count = count;
    s->models = allocate(count, sizeof *s->models);
    d->rows_alone = true;
    if (load(s, bundles, e)) {
        row_scorer_destroy(&s);
        return -1;
    }
    *ret = s;
    return 0;
}

void row_scorer_destroy(struct row_scorer **scorer)
{
    struct row_scorer *s = *scorer;
    if (!s)
        return;
    batch_destroy(&s->batch);
    for (size_t i = 0; i < s->count; i++) {
        model_destroy(&s->models[i].model);
        parameters_destroy(&s->models[i].parameters);
    }
    parameters_destroy(&s->base);
    if (s->activations.address)
        s->device->run->release(s->device, s->activations);
    free(s->models);
    free(s);
    *scorer = NULL;
}

uint32_t row_scorer_labels(const struct row_scorer *s, size_t model)
{
    return s->models[model].config.labels;
}

static int check_row(const struct model_config *c, const struct token_row *row, uint32_t number, struct error *e)
{
    if (!row->length || row->length > model_config_max_length(c))
        return error_set(e, ERROR_DATA, "row %u has %u tokens; the model takes 1 to %u", number, row->length,
                         model_config_max_length(c));
    if (row->first < row->length && c->types < 2 && model_family_of(c)->pair_types)
        return error_set(e, ERROR_DATA, "row %u is a pair of texts; the model has no second token type", number);
    for (uint32_t i = 0; i < row->length; i++)
        if (row->ids[i] < 0 || (uint32_t)row->ids[i] >= c->vocabulary)
            return error_set(e, ERROR_DATA, "row %u has token id %d; the vocabulary has %u tokens", number, row->ids[i],
                             c->vocabulary);
    return 0;
}

/* Rows from `at` on that fit into one forward. */
static uint32_t take(const struct row_scorer *s, const struct token_row *rows, uint32_t at, uint32_t count)
{
    size_t tokens = 0;
    uint32_t n = 0;
    while (at + n < count && n < ROW_BUDGET && tokens + rows[at + n].length <= s->budget)
        tokens += rows[at + n++].length;
    return n;
}

int row_scorer_run(struct row_scorer *s, size_t model, const struct token_row *rows, uint32_t count, float *logits,
                   struct error *e)
{
    struct scored_model *m = &s->models[model];
    for (uint32_t i = 0; i < count; i++)
        if (check_row(&m->config, &rows[i], i, e))
            return -1;
    size_t labels = m->config.labels;
    for (uint32_t at = 0, n; at < count; at += n) {
        n = take(s, rows, at, count);
        device_memory result =
            model_forward(m->model, batch_pack_tokens(s->batch, rows + at, n), (struct model_dropout){.on = false});
        s->device->run->download(s->device, logits + at * labels, result, n * labels * sizeof *logits);
        if (s->device->run->finish(s->device, e))
            return -1;
    }
    return 0;
}
