/* SPDX-License-Identifier: Apache-2.0 */
/* A bundle that is served: its tokenizer and labels for as long as it is, and its rule, which can be read again. Requests work on
 * a view, which stays as it is while somebody holds it. All calls but open and close may come from any thread. */
#pragma once

#include "common/format/bundle.h"
#include "coordinator/data/tokenize.h"
#include "coordinator/decision/metrics.h"

struct served_model;

/* What a request needs; read only. */
struct model_view {
    struct bundle *bundle;
    struct bundle_input input;
    enum decision_kind kind;
    struct json *rule; /* as answers have it */
    const struct served_model *model;
    unsigned holders; /* under the model's lock */
};

/* name: NULL: the one in inference_config.json. ERROR_DATA. */
int served_model_open(struct served_model **ret, const char *path, const char *name, struct error *e);
void served_model_close(struct served_model **m);
const char *served_model_name(const struct served_model *m);
const char *served_model_path(const struct served_model *m); /* absolute */
const char *served_model_base(const struct served_model *m); /* bundle_shared_base; NULL: it has weights of its own */
const char *served_model_zoo(const struct served_model *m);  /* the table that lies by the bundle, if there is one */
const struct tokenizer *served_model_tokenizer(const struct served_model *m);
uint32_t served_model_labels(const struct served_model *m);
/* Reads inference_config.json again: threshold, temperature. ERROR_DATA, and nothing is changed: it does not open, has other
 * labels, or its weights are not those that were loaded. */
int served_model_reload(struct served_model *m, struct error *e);
/* The bundle's weights on disk are not those that were loaded, or gone: in *e what has become of them. */
bool served_model_is_changed(const struct served_model *m, struct error *e);

const struct model_view *served_model_hold(struct served_model *m);
void served_model_release(struct served_model *m, const struct model_view *v); /* v: NULL: nothing */
bool model_view_has_field(const struct model_view *v, const char *name);       /* of a row: in text_a, text_b or required */
/* For /info and /models: name, task, labels, input, rule, thresholds, temperatures, hashes. Caller destroys. */
struct json *model_view_describe(const struct model_view *v);
