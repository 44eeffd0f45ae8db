/* SPDX-License-Identifier: Apache-2.0 */
/* The mean of two models. */
#include "coordinator/compare/ensemble.h"

#include "common/base/memory.h"

#include <stdlib.h>
#include <string.h>

static double weight_of(int step)
{
    return (double)step / ENSEMBLE_STEPS;
}

struct both {
    double *a, *b, *mixed; /* (rows, labels) */
    size_t count;
};

static struct both read_both(const struct scored_model *transformer, const struct scored_model *baseline, enum part part,
                             const struct truth *t)
{
    size_t count = (size_t)t->rows * t->labels;
    struct both p = {allocate(count, sizeof(double)), allocate(count, sizeof(double)), allocate(count, sizeof(double)), count};
    probabilities_of(p.a, t, transformer->logits[part]);
    probabilities_of(p.b, t, baseline->logits[part]);
    return p;
}

static void mix(struct both *p, double weight)
{
    for (size_t i = 0; i < p->count; i++)
        p->mixed[i] = (1 - weight) * p->a[i] + weight * p->b[i];
}

static void both_free(struct both *p)
{
    free(p->a);
    free(p->b);
    free(p->mixed);
}

static int try_weights(struct ensemble *n, struct both *p, const struct label_options *o, const struct truth *validation,
                       struct error *e)
{
    double *thresholds = allocate(validation->labels, sizeof *thresholds);
    int best = 0, status = 0;
    for (int step = 0; status == 0 && step <= ENSEMBLE_STEPS; step++) {
        mix(p, weight_of(step));
        status = scored_model_choose(thresholds, &n->scores[step], o, p->mixed, validation, e);
        if (n->scores[step] > n->scores[best])
            best = step;
    }
    free(thresholds);
    n->weight = weight_of(best);
    return status;
}

int ensemble_tune(struct ensemble *ret, const struct scored_model *transformer, const struct scored_model *baseline,
                  const struct label_options *o, const struct truth *validation, struct error *e)
{
    struct ensemble n = {.together = {.name = "ensemble"}};
    struct both p = read_both(transformer, baseline, PART_VALIDATION, validation);
    int status = try_weights(&n, &p, o, validation, e);
    both_free(&p);
    if (status == 0) {
        ensemble_mix(&n, transformer, baseline, PART_VALIDATION, validation);
        status = scored_model_tune(&n.together, o, (struct validation_logits){n.together.logits[PART_VALIDATION], validation}, e);
    }
    if (status == 0)
        *ret = n;
    else
        ensemble_free(&n);
    return status;
}

void ensemble_mix(struct ensemble *n, const struct scored_model *transformer, const struct scored_model *baseline, enum part part,
                  const struct truth *t)
{
    size_t count = (size_t)t->rows * t->labels;
    float *logits = allocate(count, sizeof *logits);
    if (n->weight == 0) { /* to the bit */
        memcpy(logits, transformer->logits[part], count * sizeof *logits);
    } else {
        struct both p = read_both(transformer, baseline, part, t);
        mix(&p, n->weight);
        logits_of(logits, t, p.mixed);
        both_free(&p);
    }
    free(n->together.logits[part]);
    n->together.logits[part] = logits;
}

void ensemble_free(struct ensemble *n)
{
    scored_model_free(&n->together);
}

struct json *ensemble_to_json(const struct ensemble *n, const char *const *label_names)
{
    struct json *o = scored_model_to_json(&n->together, label_names);
    json_set_number(o, "weight", n->weight);
    json_set_string(o, "weight_of", "the baseline's probabilities");
    json_set_string(o, "chosen_on", part_names[PART_VALIDATION]);
    struct json *list = json_set(o, "weights", json_array());
    for (int step = 0; step <= ENSEMBLE_STEPS; step++) {
        struct json *one = json_append(list, json_object());
        json_set_number(one, "weight", weight_of(step));
        json_set(one, "score", n->scores[step] >= 0 ? json_of_number(n->scores[step]) : json_null());
    }
    return o;
}
