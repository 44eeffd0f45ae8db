/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the reading of bodies. */
#include "coordinator/serve/classify.h"

#include "common/base/memory.h"
#include "common/base/near.h"
#include "common/text/compose.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_MOST 256 /* that "did you mean" chooses from */

static const char *const one_options[] = {"threshold", "top_k", "logits", "truncate"},
                         *const many_options[] = {"items", "threshold", "top_k", "logits", "truncate"},
                         *const tei_options[] = {"inputs", "truncate", "raw_scores", "truncation_direction"};

#define COUNT(list) (sizeof(list) / sizeof *(list))

static bool holds(const char *const *names, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

/* ---- the names that an item may have ---- */

struct names {
    const char *list[NAMES_MOST];
    size_t count;
};

static void add_name(struct names *n, const char *name)
{
    if (name && n->count < NAMES_MOST && !holds(n->list, n->count, name))
        n->list[n->count++] = name;
}

static void add_fields(struct names *n, const struct text_fields *f)
{
    for (size_t i = 0; i < f->count; i++)
        add_name(n, f->names[i]);
}

/* Rows of a data file can be sent as they are: id and label may stand in them. */
static void item_names(struct names *n, const struct model_view *v)
{
    const struct json *spec = json_get(bundle_inference(v->bundle), "input");
    *n = (struct names){.count = 0};
    add_fields(n, &v->input.input.text_a);
    add_fields(n, &v->input.input.text_b);
    add_fields(n, &v->input.input.required);
    add_name(n, json_string(json_get(spec, "id")));
    add_name(n, json_string(json_get(spec, "label")));
    add_name(n, "id");
    add_name(n, "text");
    if (v->input.input.text_b.count)
        add_name(n, "text_b");
}

static int check_names(const struct json *o, const struct names *n, struct refusal *why)
{
    for (size_t i = 0; i < json_size(o); i++) {
        char hint[160];
        const char *key = json_key(o, i);
        if (!holds(n->list, n->count, key))
            return refuse(why, REFUSAL_VALIDATION, "field '%.200s' is not known%s", key,
                          near_hint(hint, sizeof hint, key, n->list, n->count));
    }
    return 0;
}

/* ---- options ---- */

static int read_flag(bool *ret, const struct json *o, const char *name, struct refusal *why)
{
    const struct json *j = json_given(o, name);
    if (!j)
        return 0;
    if (json_type(j) != JSON_BOOLEAN)
        return refuse(why, REFUSAL_VALIDATION, "%s: is %s; true or false was expected", name, json_type_name(json_type(j)));
    *ret = json_boolean(j);
    return 0;
}

static int read_number(double *ret, const struct json *o, const char *name, double low, double high, bool whole,
                       struct refusal *why)
{
    const struct json *j = json_given(o, name);
    double value = json_number(j);
    if (!j)
        return 0;
    if (json_type(j) != JSON_NUMBER)
        return refuse(why, REFUSAL_VALIDATION, "%s: is %s; a number was expected", name, json_type_name(json_type(j)));
    if (!(value >= low && value <= high) || (whole && value != floor(value)))
        return refuse(why, REFUSAL_VALIDATION, "%s: expected a %snumber from %g to %g, found %g", name, whole ? "whole " : "",
                      low, high, value);
    *ret = value;
    return 0;
}

static int read_options(struct classify_request *r, const struct json *o, struct refusal *why)
{
    double top_k = 0;
    if (read_number(&r->threshold, o, "threshold", 0, 1, false, why) || read_number(&top_k, o, "top_k", 1, 1e6, true, why) ||
        read_flag(&r->logits, o, "logits", why) || read_flag(&r->truncate, o, "truncate", why))
        return -1;
    r->top_k = (uint32_t)top_k;
    if (!isnan(r->threshold) && r->view->kind == DECISION_CLASS)
        return refuse(why, REFUSAL_VALIDATION,
                      "threshold: this model gives a text the most probable of %u labels, whatever the "
                      "threshold; leave it out",
                      bundle_labels(r->view->bundle)->count);
    return 0;
}

/* ---- items ---- */

static int check_size(const char *text, const struct classify_limits *l, struct refusal *why)
{
    size_t size = text ? strlen(text) : 0;
    if (size <= l->text_most)
        return 0;
    return refuse(why, REFUSAL_TOO_LARGE, "a text has %zu bytes; at most %zu are taken", size, l->text_most);
}

static char *collapse(const char *text)
{
    struct buffer to = {0};
    buffer_text(&to, "");
    compose_text(&to, &text, 1, NULL, "");
    return to.data;
}

/* Texts A and B that are whole already, as a client joined them. */
static int take_texts(struct classify_item *ret, const struct model_view *v, const char *a, const char *b, struct refusal *why)
{
    bool pair = v->input.input.text_b.count > 0;
    if (pair && !b)
        return refuse(why, REFUSAL_VALIDATION, "field 'text_b' is missing: this model takes pairs of texts");
    if (!pair && b)
        return refuse(why, REFUSAL_VALIDATION, "field 'text_b' is not known: this model takes single texts");
    if (text_is_blank(a) && v->input.input.required.count)
        return refuse(why, REFUSAL_VALIDATION, "field 'text' is missing or blank");
    ret->a = collapse(a);
    ret->b = b ? collapse(b) : NULL;
    return 0;
}

static int string_of(const char **ret, const struct json *o, const char *name, struct refusal *why)
{
    const struct json *j = json_get(o, name);
    *ret = json_string(j);
    if (!j || *ret)
        return 0;
    return refuse(why, REFUSAL_VALIDATION, "field '%s' is %s; a string was expected", name, json_type_name(json_type(j)));
}

/* "text" and "text_b" stand for whole texts, unless they are names of the bundle's own fields. */
static int read_object(struct classify_item *ret, const struct model_view *v, const struct json *o, struct refusal *why)
{
    const char *a, *b;
    struct error e;
    if (!model_view_has_field(v, "text") && json_get(o, "text"))
        return string_of(&a, o, "text", why) || string_of(&b, o, "text_b", why) ? -1 : take_texts(ret, v, a, b, why);
    if (record_compose(&ret->a, &ret->b, &v->input.input, o, &e) != 0)
        return refuse(why, REFUSAL_VALIDATION, "%s", e.message);
    return 0;
}

/* A string, or a list of one or two. */
static int read_sequence(struct classify_item *ret, const struct model_view *v, const struct json *j, struct refusal *why)
{
    const char *a = json_string(j), *b = NULL;
    if (json_type(j) == JSON_ARRAY && json_size(j) >= 1 && json_size(j) <= 2) {
        a = json_string(json_at(j, 0));
        b = json_string(json_at(j, 1));
    }
    if (!a || (json_size(j) == 2 && !b))
        return refuse(why, REFUSAL_VALIDATION, "expected a string, or a list of two strings for a pair");
    return take_texts(ret, v, a, b, why);
}

static int read_item(struct classify_item *ret, const struct model_view *v, const struct json *j, const struct names *allowed,
                     const struct classify_limits *l, struct refusal *why)
{
    bool object = json_type(j) == JSON_OBJECT;
    if (object && check_names(j, allowed, why) != 0)
        return -1;
    if ((object ? read_object(ret, v, j, why) : read_sequence(ret, v, j, why)) != 0)
        return -1;
    return check_size(ret->a, l, why) || check_size(ret->b, l, why) ? -1 : 0;
}

/* ---- forms ---- */

static int add_items(struct classify_request *r, size_t count, const struct classify_limits *l, struct refusal *why)
{
    if (count > l->items_most)
        return refuse(why, REFUSAL_TOO_LARGE, "%zu items in one request; at most %zu are taken: send several", count,
                      l->items_most);
    r->items = allocate(count, sizeof *r->items);
    r->count = count;
    return 0;
}

static int read_one(struct classify_request *r, const struct json *body, const struct classify_limits *l, struct refusal *why)
{
    struct names allowed;
    item_names(&allowed, r->view);
    struct json *item = json_object(), *options = json_object();
    for (size_t i = 0; i < json_size(body); i++) {
        const char *key = json_key(body, i);
        bool option = holds(one_options, COUNT(one_options), key) && !model_view_has_field(r->view, key);
        json_set(option ? options : item, key, json_copy(json_at(body, i)));
    }
    for (size_t i = 0; i < COUNT(one_options); i++) /* for "did you mean": the item has none of them */
        add_name(&allowed, one_options[i]);
    int status = read_options(r, options, why);
    if (status == 0)
        status = add_items(r, 1, l, why);
    if (status == 0)
        status = read_item(&r->items[0], r->view, item, &allowed, l, why);
    json_destroy(&item);
    json_destroy(&options);
    return status;
}

static int read_many(struct classify_request *r, const struct json *body, const struct classify_limits *l, struct refusal *why)
{
    struct names allowed = {.count = 0}, of_items;
    const struct json *items = json_get(body, "items");
    for (size_t i = 0; i < COUNT(many_options); i++)
        add_name(&allowed, many_options[i]);
    item_names(&of_items, r->view);
    if (check_names(body, &allowed, why) != 0 || read_options(r, body, why) != 0)
        return -1;
    if (json_type(items) != JSON_ARRAY)
        return refuse(why, REFUSAL_VALIDATION, "items: %s; a list was expected",
                      items ? json_type_name(json_type(items)) : "is missing");
    if (json_size(items) == 0)
        return refuse(why, REFUSAL_EMPTY, "items: is empty");
    if (add_items(r, json_size(items), l, why) != 0)
        return -1;
    for (size_t i = 0; i < r->count; i++) {
        struct classify_item *item = &r->items[i];
        item->refused = read_item(item, r->view, json_at(items, i), &of_items, l, &item->why) != 0;
    }
    return 0;
}

static int name_input(struct refusal *why, size_t i)
{
    char text[sizeof why->message];
    memcpy(text, why->message, sizeof text);
    return refuse(why, why->kind, "inputs[%zu]: %.900s", i, text);
}

/* A list that begins with a string is one sequence, a list of lists is many. */
static int read_tei(struct classify_request *r, const struct json *body, const struct classify_limits *l, struct refusal *why)
{
    struct names allowed = {.count = 0};
    const struct json *inputs = json_get(body, "inputs");
    for (size_t i = 0; i < COUNT(tei_options); i++)
        add_name(&allowed, tei_options[i]);
    if (check_names(body, &allowed, why) != 0 || read_flag(&r->truncate, body, "truncate", why) != 0 ||
        read_flag(&r->raw_scores, body, "raw_scores", why) != 0)
        return -1;
    if (!inputs)
        return refuse(why, REFUSAL_VALIDATION, "inputs: is missing");
    bool many = json_type(inputs) == JSON_ARRAY && json_type(json_at(inputs, 0)) == JSON_ARRAY;
    r->one = !many;
    if (json_type(inputs) == JSON_ARRAY && json_size(inputs) == 0)
        return refuse(why, REFUSAL_EMPTY, "inputs: is empty");
    if (add_items(r, many ? json_size(inputs) : 1, l, why) != 0)
        return -1;
    for (size_t i = 0; i < r->count; i++) {
        const struct json *input = many ? json_at(inputs, i) : inputs;
        if (json_type(input) == JSON_OBJECT)
            return refuse(why, REFUSAL_VALIDATION, "inputs: a string, or lists of strings were expected");
        if (read_item(&r->items[i], r->view, input, &allowed, l, why) != 0)
            return name_input(why, i);
    }
    return 0;
}

int classify_read(struct classify_request *ret, enum classify_form form, const struct model_view *v, const char *body,
                  size_t size, const struct classify_limits *limits, struct refusal *why)
{
    static int (*const readers[])(struct classify_request *, const struct json *, const struct classify_limits *,
                                  struct refusal *) = {
        [CLASSIFY_ONE] = read_one, [CLASSIFY_MANY] = read_many, [CLASSIFY_TEI] = read_tei};
    struct classify_request r = {.form = form, .view = v, .threshold = NAN, .truncate = true};
    struct json *document = NULL;
    struct error e;
    if (size == 0)
        return refuse(why, REFUSAL_BAD_REQUEST, "the body is empty; JSON was expected");
    if (json_parse(&document, body, size, "body", &e) != 0)
        return refuse(why, REFUSAL_BAD_REQUEST, "%s", e.message);
    int status = json_type(document) == JSON_OBJECT ? readers[form](&r, document, limits, why)
                                                    : refuse(why, REFUSAL_VALIDATION, "the body is %s; an object was expected",
                                                             json_type_name(json_type(document)));
    json_destroy(&document);
    if (status == 0)
        *ret = r;
    else
        classify_free(&r);
    return status;
}

/* ---- tokens ---- */

#define BYTES_A_TOKEN 4

size_t classify_expected_tokens(const struct classify_request *r)
{
    size_t tokens = 0, most = r->view->input.max_length;
    for (size_t i = 0; i < r->count; i++) {
        const struct classify_item *item = &r->items[i];
        if (item->refused)
            continue;
        size_t bytes = strlen(item->a) + (item->b ? strlen(item->b) : 0), own = 2 + bytes / BYTES_A_TOKEN;
        tokens += own < most ? own : most;
    }
    return tokens;
}

static int tokenize(const struct classify_request *r, struct classify_item *item, struct refusal *why)
{
    const struct tokenizer *t = served_model_tokenizer(r->view->model);
    const struct bundle_input *in = &r->view->input;
    struct pair p = {.tokens = item->tokens};
    pair_encode(&p, t, item->a, strlen(item->a), item->b, item->b ? strlen(item->b) : 0, in->max_length, in->truncation);
    item->tokens = p.tokens;
    item->first = p.first;
    item->truncated = p.truncated;
    if (p.truncated && !r->truncate)
        return refuse(why, REFUSAL_VALIDATION, "the text has more than %u tokens, and \"truncate\" is false", in->max_length);
    return 0;
}

int classify_tokenize(struct classify_request *r, struct refusal *why)
{
    uint32_t labels = served_model_labels(r->view->model), count = 0;
    r->rows = allocate(r->count, sizeof *r->rows);
    for (size_t i = 0; i < r->count; i++) {
        struct classify_item *item = &r->items[i];
        if (!item->refused)
            item->refused = tokenize(r, item, &item->why) != 0;
        if (item->refused && r->form != CLASSIFY_MANY) {
            *why = item->why;
            return r->form == CLASSIFY_TEI && !r->one ? name_input(why, i) : -1;
        }
        if (item->refused)
            continue;
        item->row = count;
        r->rows[count++] = (struct scoring_row){item->tokens.ids, (uint32_t)item->tokens.count, item->first};
    }
    r->values = allocate((size_t)count * labels, sizeof *r->values);
    r->job.rows = r->rows;
    r->job.count = count;
    r->job.labels = labels;
    r->job.logits = r->values;
    return 0;
}

void classify_free(struct classify_request *r)
{
    for (size_t i = 0; i < r->count; i++) {
        free(r->items[i].a);
        free(r->items[i].b);
        token_list_free(&r->items[i].tokens);
    }
    free(r->items);
    free(r->rows);
    free(r->values);
    *r = (struct classify_request){0};
}
