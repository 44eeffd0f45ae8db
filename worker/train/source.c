/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the opening and cross-checking of what a trial reads. */
#include "worker/train/source.h"

#include "common/base/memory.h"
#include "common/format/freeze.h"
#include "common/format/model_family.h"

#include <stdlib.h>
#include <string.h>

/* No file of parts: everything is to be scored. */
static void take_all(struct split *ret, const struct dataset *d)
{
    uint32_t count = dataset_rows(d);
    ret->part[PART_TEST].rows = allocate(count, sizeof(uint32_t));
    ret->part[PART_TEST].count = count;
    for (uint32_t row = 0; row < count; row++)
        ret->part[PART_TEST].rows[row] = row;
    strcpy(ret->method, "all");
}

static int check_row(const struct source *s, const struct trial *t, uint32_t row, struct error *e)
{
    const struct model_config *c = &s->config;
    struct token_row tokens = dataset_tokens(s->data, row);
    const char *id = dataset_id(s->data, row);
    if (!tokens.length || tokens.length > model_config_max_length(c))
        return error_set(e, ERROR_DATA, "%s: row '%s' has %u tokens; the model takes 1 to %u: set train.max_length to that",
                         t->dataset, id, tokens.length, model_config_max_length(c));
    if (tokens.first < tokens.length && c->types == 1 && model_family_of(c)->pair_types)
        return error_set(e, ERROR_DATA, "%s: row '%s' is a pair of texts; the model '%s' has no second token type", t->dataset,
                         id, t->model);
    for (uint32_t i = 0; i < tokens.length; i++)
        if (tokens.ids[i] < 0 || (uint32_t)tokens.ids[i] >= c->vocabulary)
            return error_set(e, ERROR_DATA,
                             "%s: row '%s' has token id %d; the vocabulary of model '%s' has %u tokens: the rows were tokenized "
                             "for another model",
                             t->dataset, id, tokens.ids[i], t->model, c->vocabulary);
    if (!dataset_labels(s->data) || t->multi)
        return 0;
    int32_t class = dataset_class(s->data, row);
    if (class < 0 || (uint32_t) class >= t->labels)
        return error_set(e, ERROR_DATA, "%s: row '%s' has class %d; there are %u", t->dataset, id, class, t->labels);
    return 0;
}

int source_check(const struct source *s, const struct trial *t, struct error *e)
{
    uint32_t labels = dataset_labels(s->data);
    if (!labels && t->kind == TRIAL_TRAIN)
        return error_set(e, ERROR_DATA, "%s: the rows have no labels; training needs them", t->dataset);
    if (labels && (labels != t->labels || dataset_is_multi(s->data) != t->multi))
        return error_set(e, ERROR_DATA, "%s: has %u labels (%s), the trial %u (%s): the rows were tokenized for another job",
                         t->dataset, labels, dataset_is_multi(s->data) ? "several a row" : "one a row", t->labels,
                         t->multi ? "several a row" : "one a row");
    for (uint32_t l = 0; t->weights_by_class && l < t->labels; l++)
        if (!(t->weights_by_class[l] > 0 && t->weights_by_class[l] < 1e30))
            return error_set(e, ERROR_USAGE,
                             "weight %g of class %u: weights must be above 0; see train.class_weights and train.pos_weight",
                             t->weights_by_class[l], l);
    for (int part = 0; part < PART_COUNT; part++)
        for (uint32_t i = 0; i < s->split.part[part].count; i++) {
            if (check_row(s, t, s->split.part[part].rows[i], e))
                return -1;
            dataset_walked(s->data, i + 1);
        }
    return 0;
}

int source_open(struct source *ret, const struct trial *t, struct error *e)
{
    struct source s = {0};
    if (model_config_read(&s.config, t->model, e) || dataset_open(&s.data, t->dataset, e))
        return -1;
    s.config.labels = t->labels;
    if (t->dropout >= 0)
        model_config_set_dropout(&s.config, (float)t->dropout);
    if (t->lora_rank && t->kind == TRIAL_TRAIN) {
        s.tuning.lora = (struct lora){.rank = t->lora_rank,
                                      .alpha = t->lora_alpha,
                                      .dropout = t->lora_dropout,
                                      .rslora = t->lora_rslora,
                                      .train_head = !t->lora_freeze_head,
                                      .bias = t->lora_bias};
        if (lora_read_targets(s.tuning.lora.adapted, t->lora_targets, &s.config, e))
            goto fail;
    }
    if (t->freeze) {
        bool *frozen = allocate(s.config.layers + 2, sizeof *frozen);
        s.tuning.frozen = frozen;
        if (freeze_read(frozen, t->freeze, s.config.layers, e))
            goto fail;
    }
    if (t->split && split_read(&s.split, t->split, s.data, e))
        goto fail;
    if (!t->split)
        take_all(&s.split, s.data);
    if (source_check(&s, t, e))
        goto fail;
    *ret = s;
    return 0;
fail:
    source_close(&s);
    return -1;
}

void source_close(struct source *s)
{
    free((void *)(uintptr_t)s->tuning.frozen);
    s->tuning.frozen = NULL;
    split_free(&s->split);
    dataset_close(&s->data);
}

void source_wanted(bool wanted[PART_COUNT], const struct trial *t)
{
    wanted[PART_TRAIN] = t->score_train;
    wanted[PART_VALIDATION] = t->score_validation;
    wanted[PART_TEST] = t->score_test || !t->split;
}

int source_plan(struct plan **ret, const struct source *s, const struct trial *t, struct error *e)
{
    const struct split *p = &s->split;
    return plan_create(ret, p->part[PART_TRAIN].rows, p->part[PART_TRAIN].count, t->seed, t->batch, t->micro_batch, e);
}

double source_weight(const struct source *s, const struct trial *t, uint32_t row)
{
    if (t->multi)
        return t->labels;
    return t->weights_by_class ? (double)(float)t->weights_by_class[dataset_class(s->data, row)] : 1;
}
