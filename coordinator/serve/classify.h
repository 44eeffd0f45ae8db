/* SPDX-License-Identifier: Apache-2.0 */
/* A request to classify, from the bytes of its body to those of its answer. Nothing here blocks or knows of HTTP. */
#pragma once

#include "common/base/buffer.h"
#include "coordinator/serve/engine.h"
#include "coordinator/serve/refusal.h"
#include "coordinator/serve/served_model.h"

enum classify_form {
    CLASSIFY_ONE,  /* POST /classify: fields of the bundle, or text and text_b, and options: one answer */
    CLASSIFY_MANY, /* POST /classify/batch: {"items": [...]} and options: {"results": [...]}, an error an item */
    CLASSIFY_TEI   /* POST /predict as text-embeddings-inference has it: {"inputs": ..., "truncate", "raw_scores"} */
};

struct classify_limits {
    size_t items_most, text_most; /* items of a request; bytes of a text */
};

struct classify_item {
    char *a, *b; /* composed texts; NULL where refused */
    struct token_list tokens;
    uint32_t first, row; /* row: its place among those that are scored */
    bool truncated, refused;
    struct refusal why;
};

struct classify_request {
    enum classify_form form;
    const struct model_view *view; /* borrowed */
    double threshold;              /* NaN: the bundle's */
    uint32_t top_k;                /* 0: scores of all labels */
    bool logits, truncate, raw_scores;
    bool one; /* CLASSIFY_TEI: not a list of inputs: one list of scores */
    struct classify_item *items;
    size_t count;
    struct scoring_row *rows; /* of the items that are not refused */
    float *values;            /* (rows, labels) */
    struct engine_job job;    /* for engine_submit once tokenised; `done`, `context` and `model` are the caller's to fill */
};

/* Reads a body: each item's texts are composed. What is wrong with the whole, or with the item of CLASSIFY_ONE or CLASSIFY_TEI,
 * is the request's refusal; an item of CLASSIFY_MANY has its own. On failure there is nothing to free. */
int classify_read(struct classify_request *ret, enum classify_form form, const struct model_view *v, const char *body,
                  size_t size, const struct classify_limits *limits, struct refusal *why);
/* About how many tokens they have: for room in the queue before the work. */
size_t classify_expected_tokens(const struct classify_request *r);
/* Tokens of all items, and the job's rows. Refused where a text had to be cut and may not be ("truncate": false). */
int classify_tokenize(struct classify_request *r, struct refusal *why);
/* After the job: the answer's JSON text. Caller frees. */
char *classify_answer(const struct classify_request *r);
void classify_free(struct classify_request *r);
