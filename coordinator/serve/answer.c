/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the writing of answers. */
#include "common/base/memory.h"
#include "common/score/labels.h"
#include "coordinator/serve/classify.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct ranked {
    double score;
    uint32_t label;
};

/* One row of logits as scores. */
struct scored {
    double *probability;  /* (labels) */
    struct ranked *order; /* (labels): the highest first, of equals the first label */
};

static int highest_first(const void *left, const void *right)
{
    const struct ranked *a = left, *b = right;
    if (a->score < b->score || a->score > b->score)
        return a->score > b->score ? -1 : 1;
    return (a->label > b->label) - (a->label < b->label);
}

/* (labels); caller frees. */
static uint8_t *decide(const struct classify_request *r, const float *logits, uint32_t labels)
{
    const struct decision_rule *rule = bundle_decision(r->view->bundle);
    const struct truth kind = {.kind = r->view->kind, .rows = 1, .labels = labels, .positive = rule->positive};
    double *thresholds = allocate(labels, sizeof *thresholds);
    for (uint32_t c = 0; c < labels; c++)
        thresholds[c] = isnan(r->threshold) ? rule->thresholds[c] : r->threshold;
    uint8_t *decided = decisions_make(&kind, logits, rule->temperatures, thresholds);
    free(thresholds);
    return decided;
}

static struct scored scored_create(const struct classify_request *r, const float *logits)
{
    uint32_t labels = r->job.labels;
    const double *temperatures = bundle_decision(r->view->bundle)->temperatures;
    struct scored s = {.probability = allocate(labels, sizeof *s.probability), .order = allocate(labels, sizeof *s.order)};
    if (bundle_labels(r->view->bundle)->multi)
        label_probabilities(s.probability, logits, 1, labels, temperatures);
    else
        softmax(s.probability, logits, labels, temperatures);
    for (uint32_t c = 0; c < labels; c++)
        s.order[c] = (struct ranked){r->raw_scores ? (double)logits[c] : s.probability[c], c};
    qsort(s.order, labels, sizeof *s.order, highest_first);
    return s;
}

static void scored_free(struct scored *s)
{
    free(s->probability);
    free(s->order);
}

/* Of one item: all that does not depend on the request as a whole. */
static struct json *item_to_json(const struct classify_request *r, const struct classify_item *item)
{
    if (item->refused)
        return refusal_to_json(&item->why);
    uint32_t labels = r->job.labels;
    char **names = bundle_labels(r->view->bundle)->names;
    const float *logits = r->values + (size_t)item->row * labels;
    uint8_t *decided = decide(r, logits, labels);
    struct json *o = json_object(), *list = json_set(o, "labels", json_array());
    for (uint32_t c = 0; c < labels; c++)
        if (decided[c])
            json_append(list, json_of_string(names[c]));
    free(decided);
    struct scored s = scored_create(r, logits);
    struct json *scores = json_set(o, "scores", json_object());
    bool some = r->top_k && r->top_k < labels;
    for (uint32_t k = 0; k < (some ? r->top_k : labels); k++) {
        uint32_t c = some ? s.order[k].label : k;
        json_set_number(scores, names[c], s.probability[c]);
    }
    struct json *values = r->logits ? json_set(o, "logits", json_array()) : NULL;
    for (uint32_t c = 0; c < labels && values; c++)
        json_append(values, json_of_number((double)logits[c]));
    json_set_number(o, "tokens", (double)item->tokens.count);
    json_set_boolean(o, "truncated", item->truncated);
    scored_free(&s);
    return o;
}

/* Which model and rule it was. */
static void add_rule(struct json *o, const struct classify_request *r)
{
    json_set_string(o, "model", served_model_name(r->view->model));
    struct json *rule = json_set(o, "rule", json_copy(r->view->rule));
    if (!isnan(r->threshold))
        json_set_number(rule, "requested_threshold", r->threshold);
}

/* Every label with its score, the highest first. */
static struct json *tei_scores(const struct classify_request *r, const struct classify_item *item)
{
    struct scored s = scored_create(r, r->values + (size_t)item->row * r->job.labels);
    struct json *list = json_array();
    for (uint32_t k = 0; k < r->job.labels; k++) {
        struct json *o = json_append(list, json_object());
        json_set_number(o, "score", s.order[k].score);
        json_set_string(o, "label", bundle_labels(r->view->bundle)->names[s.order[k].label]);
    }
    scored_free(&s);
    return list;
}

static struct json *all_to_json(const struct classify_request *r)
{
    if (r->form == CLASSIFY_TEI && r->one)
        return tei_scores(r, &r->items[0]);
    if (r->form == CLASSIFY_TEI) {
        struct json *lists = json_array();
        for (size_t i = 0; i < r->count; i++)
            json_append(lists, tei_scores(r, &r->items[i]));
        return lists;
    }
    struct json *o = r->form == CLASSIFY_ONE ? item_to_json(r, &r->items[0]) : json_object();
    if (r->form == CLASSIFY_MANY) {
        struct json *results = json_set(o, "results", json_array());
        for (size_t i = 0; i < r->count; i++)
            json_append(results, item_to_json(r, &r->items[i]));
    }
    add_rule(o, r);
    return o;
}

char *classify_answer(const struct classify_request *r)
{
    struct json *o = all_to_json(r);
    char *text = json_print(o, false);
    json_destroy(&o);
    return text;
}
