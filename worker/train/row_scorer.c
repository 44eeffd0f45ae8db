/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/train/row_scorer.h"

#include "common/base/memory.h"
#include "common/format/bundle.h"
#include "common/format/model_config.h"
#include "common/format/model_family.h"
#include "worker/nn/model.h"
#include "worker/nn/parameters_adapter.h"
#include "worker/train/batch.h"

#include <stdlib.h>

enum { TOKEN_BUDGET = 4096, ROW_BUDGET = 512 }; /* of one forward: larger ones are no faster and need more memory */

struct row_scorer {
    struct device *device;
    struct model_config config;
    struct parameters *parameters;
    struct model *model;
    struct batch *batch;
    size_t budget; /* tokens of a forward */
};

static int load(struct row_scorer *s, const char *bundle, struct error *e)
{
    char *weights = NULL, *adapter = NULL; /* the adapter: of a bundle whose weights are its base's */
    int result = model_config_read(&s->config, bundle, e) || bundle_base(&weights, &adapter, bundle, e) ||
                         (!weights && model_directory_weights(&weights, bundle, e)) ||
                         parameters_create(&s->parameters, s->device, &s->config, false, e) ||
                         parameters_load_adapted(s->parameters, weights, adapter, e)
                     ? -1
                     : 0;
    free(weights);
    free(adapter);
    if (result)
        return -1;
    uint32_t longest = model_config_max_length(&s->config);
    s->budget = longest > TOKEN_BUDGET ? longest : TOKEN_BUDGET;
    const struct model_limits sizes = {.max_tokens = s->budget, .max_rows = ROW_BUDGET, .training = false};
    const struct batch_limits limits = {.tokens = s->budget, .rows = ROW_BUDGET};
    return model_create(&s->model, s->parameters, &s->config, &sizes, e) ||
                   batch_create(&s->batch, s->device, NULL, &s->config, &limits, e)
               ? -1
               : 0;
}

int row_scorer_create(struct row_scorer **ret, struct device *d, const char *bundle, struct error *e)
{
    struct row_scorer *s = allocate(1, sizeof *s);
    s->device = d;
    d->rows_alone = true;
    if (load(s, bundle, e)) {
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
    model_destroy(&s->model);
    parameters_destroy(&s->parameters);
    free(s);
    *scorer = NULL;
}

uint32_t row_scorer_labels(const struct row_scorer *s)
{
    return s->config.labels;
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

int row_scorer_run(struct row_scorer *s, const struct token_row *rows, uint32_t count, float *logits, struct error *e)
{
    for (uint32_t i = 0; i < count; i++)
        if (check_row(&s->config, &rows[i], i, e))
            return -1;
    size_t labels = s->config.labels;
    for (uint32_t at = 0, n; at < count; at += n) {
        n = take(s, rows, at, count);
        device_memory result =
            model_forward(s->model, batch_pack_tokens(s->batch, rows + at, n), (struct model_dropout){.on = false});
        s->device->run->download(s->device, logits + at * labels, result, n * labels * sizeof *logits);
        if (s->device->run->finish(s->device, e))
            return -1;
    }
    return 0;
}
