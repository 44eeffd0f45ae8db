/* SPDX-License-Identifier: Apache-2.0 */
/* Which tokens are added to a vocabulary, from which file, and their ids: transformers 5's _from_pretrained and
 * TokenizersBackend.__init__, then `tokenizers`' AddedVocabulary::add_tokens. */
#include "common/base/memory.h"
#include "common/text/tokenizer_files.h"

#include <stdlib.h>
#include <string.h>

#define NO_ID (-1.0) /* no file says one */

static struct added_token *find_added(const struct tokenizer *t, const char *content)
{
    for (size_t i = 0; i < t->added_count; i++)
        if (!strcmp(t->added[i].content, content))
            return &t->added[i];
    return NULL;
}

/* The id that `tokenizers` gives a token which is no word: after the words, counted without gaps, and the tokens before it. */
static uint32_t next_id(const struct tokenizer *t)
{
    uint32_t next = t->word_count;
    for (size_t i = 0; i < t->added_count; i++)
        if ((uint32_t)t->added[i].id >= next)
            next = (uint32_t)t->added[i].id + 1;
    return next;
}

static uint32_t id_of(const struct tokenizer *t, const char *content)
{
    int32_t known = tokenizer_special(t, content);
    return known >= 0 ? (uint32_t)known : next_id(t);
}

static void set_added_word(struct tokenizer *t, uint32_t id, const char *content)
{
    if (id < t->model_size)
        return;
    if (id >= t->size) {
        t->words = reallocate(t->words, id + 1, sizeof *t->words);
        while (t->size <= id)
            t->words[t->size++] = NULL;
    }
    if (!t->words[id])
        t->words[id] = duplicate(content);
}

/* `token` without content and id; of one that is there already the flags become these. */
static int add_token(struct tokenizer *t, struct added_token token, const char *content, double id, const char *place,
                     struct error *e)
{
    if (!content || !*content)
        return error_set(e, ERROR_DATA, "%s: an added token has no content", place);
    uint32_t expected = id_of(t, content);
    if (id != NO_ID && id != (double)expected)
        return error_set(e, ERROR_DATA, "%s: the added token \"%.100s\" has id %.0f, but by the vocabulary it is %u", place,
                         content, id, expected);
    struct added_token *known = find_added(t, content);
    if (known) {
        token.content = known->content;
        token.id = known->id;
        *known = token;
        return 0;
    }
    set_added_word(t, expected, content);
    token.content = duplicate(content);
    token.id = (int32_t)expected;
    t->added = reallocate(t->added, t->added_count + 1, sizeof *t->added);
    t->added[t->added_count++] = token;
    return 0;
}

/* {"content":..., "lstrip":..., ...}, as tokenizer.json and added_tokens_decoder have it. */
static struct added_token read_flags(const struct json *j)
{
    const struct json *normalized = json_get(j, "normalized");
    struct added_token token = {
        .special = json_boolean(json_get(j, "special")),
        .left = json_boolean(json_get(j, "lstrip")),
        .right = json_boolean(json_get(j, "rstrip")),
        .single_word = json_boolean(json_get(j, "single_word")),
    };
    token.normalized = normalized ? json_boolean(normalized) : !token.special;
    return token;
}

/* Members of an object, 0 of anything else: a list has no keys. */
static size_t members(const struct json *j)
{
    return j && json_type(j) == JSON_OBJECT ? json_size(j) : 0;
}

/* A special token, "text" or {"content":"text",...}; one that is there already stays as it is. */
static int add_special(struct tokenizer *t, const struct json *j, const char *place, struct error *e)
{
    bool object = j && json_type(j) == JSON_OBJECT;
    const char *content = json_string(object ? json_get(j, "content") : j);
    struct added_token token = {0};
    if (!content || !*content || find_added(t, content))
        return 0;
    if (object)
        token = read_flags(j);
    token.special = true;
    if (!object || !json_get(j, "normalized"))
        token.normalized = false;
    return add_token(t, token, content, NO_ID, place, e);
}

/* The tokens that files number: by id. */

struct numbered {
    double id;
    struct added_token token;
    const char *content; /* borrowed */
};

struct numbered_list {
    struct numbered *items;
    size_t count, capacity;
};

static void put_numbered(struct numbered_list *l, double id, struct added_token token, const char *content)
{
    size_t i = 0;
    while (i < l->count && l->items[i].id != id)
        i++;
    if (i == l->count)
        l->items = grow(l->items, &l->capacity, ++l->count, sizeof *l->items);
    l->items[i] = (struct numbered){id, token, content};
}

static int compare_numbered(const void *a, const void *b)
{
    double x = ((const struct numbered *)a)->id, y = ((const struct numbered *)b)->id;
    return (x > y) - (x < y);
}

/* The newer form with flags, keyed by id. */
static int read_decoder(struct numbered_list *l, const struct json *decoder, const char *place, struct error *e)
{
    for (size_t i = 0; i < members(decoder); i++) {
        const char *id = json_key(decoder, i);
        const struct json *j = json_at(decoder, i);
        if (!*id || id[strspn(id, "0123456789")])
            return error_set(e, ERROR_DATA, "%s: added_tokens_decoder: the key \"%s\" is not a token id", place, id);
        put_numbered(l, strtod(id, NULL), read_flags(j), json_string(json_get(j, "content")));
    }
    return 0;
}

static bool lists(const struct json *list, const char *word)
{
    for (size_t i = 0; i < json_size(list); i++) {
        const struct json *j = json_at(list, i);
        const char *text = json_string(json_type(j) == JSON_OBJECT ? json_get(j, "content") : j);
        if (text && !strcmp(text, word))
            return true;
    }
    return false;
}

const char *const tokenizer_roles[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                       "pad_token", "cls_token", "mask_token"};

/* What a key says: special_tokens_map.json counts only where there is no added_tokens_decoder, and then before the other. */
static const struct json *said(const struct tokenizer_files *f, const char *key)
{
    bool decoder = json_get(f->config, "added_tokens_decoder");
    const struct json *mapped = decoder ? NULL : json_get(f->map, key);
    return mapped ? mapped : json_get(f->config, key);
}

/* The text of a role; NULL: it has none. */
const char *tokenizer_files_role(const struct tokenizer_files *f, size_t role)
{
    const struct json *j = said(f, tokenizer_roles[role]);
    if (!j)
        return f->roles ? f->roles[role] : NULL;
    return json_string(json_type(j) == JSON_OBJECT ? json_get(j, "content") : j);
}

static bool is_role(const struct tokenizer_files *f, const char *word)
{
    for (size_t i = 0; i < TOKENIZER_ROLES; i++) {
        const char *text = tokenizer_files_role(f, i);
        if (text && !strcmp(text, word))
            return true;
    }
    return false;
}

/* The lists of further special tokens that count, in order. */
static size_t further_lists(const struct tokenizer_files *f, const struct json *lists[2])
{
    bool decoder = json_get(f->config, "added_tokens_decoder");
    size_t count = 0;
    const struct json *extra = json_get(f->config, "extra_special_tokens"), *mapped = json_get(f->map, "extra_special_tokens");
    if (!json_size(extra))
        extra = json_get(f->config, "additional_special_tokens");
    if (extra && json_type(extra) == JSON_ARRAY && json_size(extra))
        lists[count++] = extra;
    if (!decoder && mapped && json_type(mapped) == JSON_ARRAY && json_size(mapped))
        lists[count++] = mapped;
    if (!decoder && !count && json_get(f->map, "additional_special_tokens"))
        lists[count++] = json_get(f->map, "additional_special_tokens");
    return count;
}

/* The older form, word -> id. */
static void read_numbers(struct numbered_list *l, const struct tokenizer_files *f)
{
    const struct json *further[2];
    size_t count = further_lists(f, further);
    for (size_t i = 0; i < members(f->added); i++) {
        const char *word = json_key(f->added, i);
        bool special = is_role(f, word);
        for (size_t k = 0; k < count && !special; k++)
            special = lists(further[k], word);
        put_numbered(l, json_number(json_at(f->added, i)), (struct added_token){.special = special, .normalized = !special},
                     word);
    }
}

/* Those of tokenizer.json, whose ids are checked in the file's order. */
static int add_from_root(struct tokenizer *t, struct numbered_list *l, const struct tokenizer_files *f, const char *directory,
                         struct error *e)
{
    const struct json *added = json_get(f->root, "added_tokens");
    char *place = format_string("%s/tokenizer.json", directory);
    int result = 0;
    for (size_t i = 0; i < json_size(added) && !result; i++) {
        const struct json *j = json_at(added, i), *id = json_get(j, "id");
        const char *content = json_string(json_get(j, "content"));
        double number = id ? json_number(id) : NO_ID - 1;
        if (content && find_added(t, content))
            result = error_set(e, ERROR_DATA, "%s: the added token \"%.100s\" appears twice", place, content);
        else if (!f->bert || !content || !*content)
            result = add_token(t, read_flags(j), content, number, place, e);
        if (!result)
            put_numbered(l, number, read_flags(j), content);
    }
    free(place);
    return result;
}

static int add_numbered(struct tokenizer *t, const struct tokenizer_files *f, const char *directory, struct error *e)
{
    struct numbered_list l = {0};
    const struct json *decoder = json_get(f->config, "added_tokens_decoder");
    if (!decoder)
        read_numbers(&l, f);
    int result = add_from_root(t, &l, f, directory, e);
    if (decoder) {
        l.count = 0;
        if (!result)
            result = read_decoder(&l, decoder, directory, e);
    }
    if (l.count)
        qsort(l.items, l.count, sizeof *l.items, compare_numbered);
    for (size_t i = 0; i < l.count && !result; i++) {
        struct added_token token = l.items[i].token;
        token.special = token.special || (l.items[i].content && is_role(f, l.items[i].content));
        result = add_token(t, token, l.items[i].content, l.items[i].id, directory, e);
    }
    free(l.items);
    return result;
}

/* [PAD] and [MASK] are no words of some vocabularies, whose model has no row for them either: they stay text there. Of the others
 * tokenizer_open wants words. */
static int add_roles(struct tokenizer *t, const struct tokenizer_files *f, const char *place, struct error *e)
{
    for (size_t i = 0; i < TOKENIZER_ROLES; i++) {
        const char *text = tokenizer_files_role(f, i);
        const struct json *j = said(f, tokenizer_roles[i]);
        struct json *usual = text && !j ? json_of_string(text) : NULL;
        int result = 0;
        bool needed =
            f->roles && f->roles[i] && strcmp(tokenizer_roles[i], "pad_token") && strcmp(tokenizer_roles[i], "mask_token");
        if (text && *text && (tokenizer_special(t, text) >= 0 || (!needed && (double)next_id(t) < f->rows)))
            result = add_special(t, j ? j : usual, place, e);
        json_destroy(&usual);
        if (result)
            return -1;
        if (text && tokenizer_special(t, text) >= 0)
            t->roles[i] = duplicate(text);
    }
    return 0;
}

static bool is_further_key(const char *key, const struct json *value)
{
    size_t size = strlen(key);
    if (size < 6 || strcmp(key + size - 6, "_token") || (json_type(value) != JSON_STRING && json_type(value) != JSON_OBJECT))
        return false;
    for (size_t i = 0; i < TOKENIZER_ROLES; i++)
        if (!strcmp(key, tokenizer_roles[i]))
            return false;
    return true;
}

/* "image_token": "<image>", and a dictionary extra_special_tokens. */
static int add_named(struct tokenizer *t, const struct json *from, bool any_key, const char *place, struct error *e)
{
    for (size_t i = 0; i < members(from); i++)
        if ((any_key || is_further_key(json_key(from, i), json_at(from, i))) && add_special(t, json_at(from, i), place, e))
            return -1;
    return 0;
}

static int add_further(struct tokenizer *t, const struct tokenizer_files *f, const char *place, struct error *e)
{
    bool decoder = json_get(f->config, "added_tokens_decoder");
    const struct json *sources[] = {f->config, decoder ? NULL : f->map};
    if ((!decoder && add_named(t, f->map, false, place, e)) || add_named(t, f->config, false, place, e))
        return -1;
    for (size_t i = 0; i < 2; i++) {
        const struct json *extra = json_get(sources[i], "extra_special_tokens");
        if (extra && json_type(extra) == JSON_OBJECT && add_named(t, extra, true, place, e))
            return -1;
    }
    const struct json *further[2];
    for (size_t i = 0, count = further_lists(f, further); i < count; i++)
        for (size_t k = 0; k < json_size(further[i]); k++)
            if (add_special(t, json_at(further[i], k), place, e))
                return -1;
    return 0;
}

int tokenizer_files_add(struct tokenizer *t, const struct tokenizer_files *f, const char *directory, struct error *e)
{
    return add_numbered(t, f, directory, e) || add_roles(t, f, directory, e) || add_further(t, f, directory, e) ? -1 : 0;
}
