/* SPDX-License-Identifier: Apache-2.0 */
#include "common/text/row_template.h"

#include "common/json/json.h"

#include <string.h>

/* A template as it is read: which texts were seen so far, and whether a token of type 1 was. */
struct reading {
    struct row_template t;
    bool a, b, second;
    const char *path;
};

static int set_type(struct reading *r, double type, struct error *e)
{
    if (type != 0 && type != 1)
        return error_set(e, ERROR_USAGE, "%s: its post_processor has a type_id %g, and only 0 and 1 are supported", r->path,
                         type);
    if (r->second && type == 0)
        return error_set(e, ERROR_USAGE,
                         "%s: its post_processor has tokens of type 0 behind some of type 1, which is not supported", r->path);
    r->second = type == 1;
    return 0;
}

static int put_special(struct reading *r, double id, double type, struct error *e)
{
    struct row_template *t = &r->t;
    if (!(id >= 0 && id < INT32_MAX) || id != (double)(int32_t)id)
        return error_set(e, ERROR_DATA, "%s: its post_processor has a token id %g", r->path, id);
    if (t->all == TEMPLATE_SPECIALS)
        return error_set(e, ERROR_USAGE, "%s: its post_processor adds more than %d tokens, which is not supported", r->path,
                         TEMPLATE_SPECIALS);
    if (set_type(r, type, e))
        return -1;
    t->specials[t->all++] = (int32_t)id;
    t->first_specials += !r->second;
    *(r->b ? &t->after : r->a ? &t->between : &t->before) += 1;
    return 0;
}

static int put_text(struct reading *r, bool b, double type, struct error *e)
{
    bool *seen = b ? &r->b : &r->a;
    if (*seen || (b && !r->a))
        return error_set(e, ERROR_USAGE, "%s: its post_processor does not have A once and then B, which alone is supported",
                         r->path);
    if (set_type(r, type, e))
        return -1;
    *seen = true;
    *(b ? &r->t.first_b : &r->t.first_a) = !r->second;
    return 0;
}

/* What a template of one text has behind A is `after`. */
static int finish(struct row_template *ret, struct reading *r, bool pair, struct error *e)
{
    if (!r->a || r->b != pair)
        return error_set(e, ERROR_DATA, "%s: its post_processor's template for %s does not have %s", r->path,
                         pair ? "two texts" : "one text", pair ? "A and B" : "A alone");
    if (!pair) {
        r->t.after = r->t.between;
        r->t.between = 0;
    }
    *ret = r->t;
    return 0;
}

static struct row_template usual(const int32_t *before, int32_t sep, unsigned between, bool pair, bool one_type)
{
    struct reading r = {.path = ""};
    struct row_template t;
    unsigned specials = before ? 1 : 0;
    if (before)
        put_special(&r, *before, 0, NULL);
    put_text(&r, false, 0, NULL);
    for (unsigned i = 0; i < (pair ? between : specials); i++)
        put_special(&r, sep, 0, NULL);
    if (pair)
        put_text(&r, true, one_type ? 0 : 1, NULL);
    for (unsigned i = 0; i < specials && pair; i++)
        put_special(&r, sep, one_type ? 0 : 1, NULL);
    finish(&t, &r, pair, NULL);
    return t;
}

struct row_templates row_templates_of(int32_t cls, int32_t sep, bool twice)
{
    unsigned between = twice ? 2 : 1;
    return (struct row_templates){usual(&cls, sep, between, false, twice), usual(&cls, sep, between, true, twice)};
}

/* TemplateProcessing. */

static int put_named(struct reading *r, const struct json *specials, const struct json *j, struct error *e)
{
    const char *name = json_string(json_get(j, "id"));
    const struct json *ids = json_get(json_get(specials, name ? name : ""), "ids");
    if (!json_size(ids))
        return error_set(e, ERROR_DATA, "%s: its post_processor gives no ids for the token \"%.60s\"", r->path, name ? name : "");
    for (size_t i = 0; i < json_size(ids); i++)
        if (put_special(r, json_number(json_at(ids, i)), json_number(json_get(j, "type_id")), e))
            return -1;
    return 0;
}

static int read_template(struct row_template *ret, const struct json *j, bool pair, const char *path, struct error *e)
{
    struct reading r = {.path = path};
    const struct json *pieces = json_get(j, pair ? "pair" : "single"), *specials = json_get(j, "special_tokens");
    for (size_t i = 0; i < json_size(pieces); i++) {
        const struct json *text = json_get(json_at(pieces, i), "Sequence"),
                          *special = json_get(json_at(pieces, i), "SpecialToken");
        const char *id = json_string(json_get(text, "id"));
        if (!special && !id)
            return error_set(e, ERROR_DATA, "%s: its post_processor has a piece that is neither SpecialToken nor Sequence", path);
        if (special ? put_named(&r, specials, special, e)
                    : put_text(&r, !strcmp(id, "B"), json_number(json_get(text, "type_id")), e))
            return -1;
    }
    return finish(ret, &r, pair, e);
}

/* BertProcessing, RobertaProcessing: "cls": ["[CLS]", 101]. */
static int read_fixed(struct row_templates *ret, const struct json *j, bool twice, const char *path, struct error *e)
{
    static const char *const keys[] = {"cls", "sep"};
    int32_t ids[2];
    for (size_t i = 0; i < 2; i++) {
        const struct json *id = json_at(json_get(j, keys[i]), 1);
        double number = id && json_type(id) == JSON_NUMBER ? json_number(id) : -1;
        if (!(number >= 0 && number < INT32_MAX) || number != (double)(int32_t)number)
            return error_set(e, ERROR_DATA, "%s: its post_processor's \"%s\" has no token id", path, keys[i]);
        ids[i] = (int32_t)number;
    }
    *ret = row_templates_of(ids[0], ids[1], twice);
    return 0;
}

/* The steps of a Sequence: one at most adds tokens. */
static int read_sequence(struct row_templates *ret, const struct json *j, const char *path, struct error *e)
{
    const struct json *steps = json_get(j, "processors");
    bool found = false;
    for (size_t i = 0; i < json_size(steps); i++) {
        struct row_templates t;
        if (row_templates_read(&t, json_at(steps, i), path, e))
            return -1;
        bool adds = t.single.all || t.pair.all;
        if (adds && found)
            return error_set(e, ERROR_USAGE, "%s: two steps of its post_processor add tokens, which is not supported", path);
        if (adds || !found)
            *ret = t;
        found = found || adds;
    }
    return 0;
}

int row_templates_read(struct row_templates *ret, const struct json *j, const char *path, struct error *e)
{
    const char *type = json_string(json_get(j, "type"));
    *ret = (struct row_templates){usual(NULL, -1, 0, false, false), usual(NULL, -1, 0, true, false)};
    if (!j || json_type(j) == JSON_NULL)
        return 0;
    if (!type)
        return error_set(e, ERROR_DATA, "%s: its post_processor has no type", path);
    if (!strcmp(type, "ByteLevel"))
        return 0;
    if (!strcmp(type, "Sequence"))
        return read_sequence(ret, j, path, e);
    if (!strcmp(type, "BertProcessing") || !strcmp(type, "RobertaProcessing"))
        return read_fixed(ret, j, *type == 'R', path, e);
    if (!strcmp(type, "TemplateProcessing"))
        return read_template(&ret->single, j, false, path, e) || read_template(&ret->pair, j, true, path, e) ? -1 : 0;
    return error_set(e, ERROR_USAGE, "%s: its post_processor \"%.60s\" is not supported", path, type);
}
