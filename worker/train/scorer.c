/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the scoring of whole parts with given weights. */
#include "worker/train/trainer.h"

#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/base/operation.h"
#include "common/format/results.h"
#include "worker/nn/parameters_adapter.h"
#include "worker/train/agree.h"
#include "worker/train/evaluate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct scorer {
    const struct trial *trial;
    struct communicator *communicator;
    const struct observer *observer;
    struct source source;
    struct parameters *parameters;
    struct model *model;
    struct evaluator *evaluator;
};

/* What this rank can find out alone. */
static int open_all(struct scorer *s, struct device *d, struct error *e)
{
    const struct trial *t = s->trial;
    char *weights = duplicate(t->weights);
    int result = source_open(&s->source, t, e) || (!weights && model_directory_weights(&weights, t->model, e)) ||
                         parameters_create(&s->parameters, d, &s->source.config, false, e) ||
                         parameters_load_adapted(s->parameters, weights, t->adapter, e)
                     ? -1
                     : 0;
    free(weights);
    if (result)
        return -1;
    struct model_limits sizes = {.training = false};
    evaluator_limits(&s->source, &sizes.max_tokens, &sizes.max_rows);
    if (model_create(&s->model, s->parameters, &s->source.config, &sizes, e) ||
        evaluator_create(&s->evaluator, d, s->communicator, s->model, &s->source, e))
        return -1;
    return s->communicator->rank ? 0 : directory_create(t->directory, e);
}

static void on_batch(void *context, uint64_t done, uint64_t all)
{
    const struct scorer *s = context;
    struct step_report r = {.step = done, .steps = all, .epoch = 1, .epochs = 1, .loss = NAN};
    if (s->observer && s->observer->step)
        s->observer->step(s->observer->context, &r);
}

static int write_logits(struct scorer *s, enum part part, float *values, struct error *e)
{
    const struct trial *t = s->trial;
    const uint32_t *rows = s->source.split.part[part].rows;
    struct logits l = {.part = part, .epoch = 1, .rows = s->source.split.part[part].count, .labels = t->labels, .values = values};
    l.loss = evaluate_loss(&s->source, t, rows, l.rows, values);
    memcpy(l.split_sha256, s->source.split.sha256, sizeof l.split_sha256);
    char *path = path_join(t->directory, "logits.h5");
    int result = logits_append(path, &l, e);
    free(path);
    return result;
}

static int score(struct scorer *s, enum part part, struct error *e)
{
    uint32_t count = s->source.split.part[part].count;
    float *values = allocate((size_t)count * s->trial->labels, sizeof *values);
    operation_begin("evaluate");
    int result = evaluator_run(s->evaluator, s->source.split.part[part].rows, count, values, on_batch, s, e);
    if (!result)
        result = agree(s->communicator, s->communicator->rank ? 0 : write_logits(s, part, values, e), e);
    free(values);
    return result;
}

int scorer_run(const struct trial *t, struct device *d, struct communicator *c, const struct observer *o, struct error *e)
{
    struct scorer s = {.trial = t, .communicator = c, .observer = o};
    bool wanted[PART_COUNT];
    d->rows_alone = !t->split; /* a file of rows that somebody predicts: the same numbers as the row alone */
    int result = agree(c, open_all(&s, d, e), e);
    source_wanted(wanted, t);
    for (int part = 0; part < PART_COUNT && !result; part++)
        if (wanted[part])
            result = score(&s, (enum part)part, e);
    evaluator_destroy(&s.evaluator);
    model_destroy(&s.model);
    parameters_destroy(&s.parameters);
    source_close(&s.source);
    d->rows_alone = false;
    return result;
}
