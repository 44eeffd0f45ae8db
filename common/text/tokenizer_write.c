/* SPDX-License-Identifier: Apache-2.0 */
/* Export: the tokenizer files of a bundle, as transformers 4 and 5 read them. */
#include "common/base/buffer.h"
#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/json/json.h"
#include "common/text/tokenizer_parts.h"

#include <stdlib.h>
#include <string.h>

static const char *const roles[][2] = {
    {"unk_token", "[UNK]"}, {"sep_token", "[SEP]"}, {"pad_token", "[PAD]"}, {"cls_token", "[CLS]"}, {"mask_token", "[MASK]"}};
#define ROLES (sizeof roles / sizeof *roles)

static bool is_added(const struct tokenizer *t, const char *content)
{
    for (size_t i = 0; i < t->added_count; i++)
        if (!strcmp(t->added[i].content, content))
            return true;
    return false;
}

/* The special tokens by their role, of those that there are. */
static void set_roles(const struct tokenizer *t, struct json *to)
{
    for (size_t i = 0; i < ROLES; i++)
        if (is_added(t, roles[i][1]))
            json_set_string(to, roles[i][0], roles[i][1]);
}

static struct json *added_json(const struct added_token *a, bool with_id)
{
    struct json *j = json_object();
    if (with_id)
        json_set_number(j, "id", a->id);
    json_set_string(j, "content", a->content);
    json_set_boolean(j, "single_word", a->single_word);
    json_set_boolean(j, "lstrip", a->left);
    json_set_boolean(j, "rstrip", a->right);
    json_set_boolean(j, "normalized", a->normalized);
    json_set_boolean(j, "special", a->special);
    return j;
}

/* `tokenizers` wants added tokens in the order of their ids. */
static const struct added_token *next_added(const struct tokenizer *t, int32_t above)
{
    const struct added_token *next = NULL;
    for (size_t i = 0; i < t->added_count; i++)
        if (t->added[i].id > above && (!next || t->added[i].id < next->id))
            next = &t->added[i];
    return next;
}

static void set_strip(const struct tokenizer *t, struct json *to)
{
    if (t->strip_follows_lower)
        json_set(to, "strip_accents", json_null());
    else
        json_set_boolean(to, "strip_accents", t->settings.strip);
}

static struct json *piece(const char *kind, const char *id, double type)
{
    struct json *j = json_object(), *inner = json_set(j, kind, json_object());
    json_set_string(inner, "id", id);
    json_set_number(inner, "type_id", type);
    return j;
}

static void add_sequence(struct json *list, const char *name, double type)
{
    json_append(list, piece("Sequence", name, type));
    json_append(list, piece("SpecialToken", "[SEP]", type));
}

static void add_special(const struct tokenizer *t, struct json *specials, const char *name)
{
    struct json *j = json_set(specials, name, json_object());
    json_set_string(j, "id", name);
    json_append(json_set(j, "ids", json_array()), json_of_number(tokenizer_special(t, name)));
    json_append(json_set(j, "tokens", json_array()), json_of_string(name));
}

static struct json *post_processor(const struct tokenizer *t)
{
    struct json *j = json_object();
    json_set_string(j, "type", "TemplateProcessing");
    struct json *single = json_set(j, "single", json_array());
    json_append(single, piece("SpecialToken", "[CLS]", 0));
    add_sequence(single, "A", 0);
    struct json *pair = json_set(j, "pair", json_array());
    json_append(pair, piece("SpecialToken", "[CLS]", 0));
    add_sequence(pair, "A", 0);
    add_sequence(pair, "B", 1);
    struct json *specials = json_set(j, "special_tokens", json_object());
    add_special(t, specials, "[CLS]");
    add_special(t, specials, "[SEP]");
    return j;
}

static struct json *normalizer_json(const struct tokenizer *t)
{
    struct json *j = json_object();
    json_set_string(j, "type", "BertNormalizer");
    json_set_boolean(j, "clean_text", t->settings.clean);
    json_set_boolean(j, "handle_chinese_chars", t->settings.chinese);
    set_strip(t, j);
    json_set_boolean(j, "lowercase", t->settings.lower);
    return j;
}

static int compare_words(const void *a, const void *b)
{
    return strcmp(((const struct vocabulary_entry *)a)->word, ((const struct vocabulary_entry *)b)->word);
}

static struct json *model_json(const struct tokenizer *t)
{
    struct json *j = json_object();
    json_set_string(j, "type", "WordPiece");
    json_set_string(j, "unk_token", "[UNK]");
    json_set_string(j, "continuing_subword_prefix", t->prefix);
    json_set_number(j, "max_input_chars_per_word", t->wordpiece.max_chars);
    struct json *vocabulary = json_set(j, "vocab", json_object());
    struct vocabulary_entry *entries = allocate(t->model_size, sizeof *entries);
    size_t count = 0;
    for (uint32_t i = 0; i < t->model_size; i++)
        if (t->words[i])
            entries[count++] = (struct vocabulary_entry){t->words[i], (int32_t)i};
    qsort(entries, count, sizeof *entries, compare_words); /* json_set keeps an index by key: cheap at its end alone */
    for (size_t i = 0; i < count; i++)
        json_set_number(vocabulary, entries[i].word, entries[i].id);
    free(entries);
    return j;
}

static struct json *tokenizer_json(const struct tokenizer *t)
{
    struct json *j = json_object();
    json_set_string(j, "version", "1.0");
    json_set(j, "truncation", json_null());
    json_set(j, "padding", json_null());
    struct json *added = json_set(j, "added_tokens", json_array());
    for (const struct added_token *a = next_added(t, -1); a; a = next_added(t, a->id))
        json_append(added, added_json(a, true));
    json_set(j, "normalizer", normalizer_json(t));
    json_set_string(json_set(j, "pre_tokenizer", json_object()), "type", "BertPreTokenizer");
    json_set(j, "post_processor", post_processor(t));
    struct json *decoder = json_set(j, "decoder", json_object());
    json_set_string(decoder, "type", "WordPiece");
    json_set_string(decoder, "prefix", t->prefix);
    json_set_boolean(decoder, "cleanup", true);
    json_set(j, "model", model_json(t));
    return j;
}

/* transformers 5 builds BertTokenizer anew from the vocabulary, the five special tokens and do_lower_case, strip_accents,
 * tokenize_chinese_chars; what these do not say stays only in tokenizer.json, which PreTrainedTokenizerFast reads. */
static bool is_usual(const struct tokenizer *t)
{
    bool usual = t->settings.clean && t->wordpiece.max_chars == TOKENIZER_BERT_CHARS && !strcmp(t->prefix, TOKENIZER_BERT_PREFIX);
    for (size_t i = 0; i < ROLES; i++)
        usual = usual && is_added(t, roles[i][1]);
    return usual;
}

static struct json *config_json(const struct tokenizer *t, uint32_t max_length)
{
    struct json *j = json_object();
    json_set_string(j, "tokenizer_class", is_usual(t) ? "BertTokenizer" : "PreTrainedTokenizerFast");
    if (!is_usual(t) || !t->types) { /* else that class leaves the types out, and BertTokenizer gives them to a model without */
        struct json *inputs = json_set(j, "model_input_names", json_array());
        json_append(inputs, json_of_string("input_ids"));
        if (t->types)
            json_append(inputs, json_of_string("token_type_ids"));
        json_append(inputs, json_of_string("attention_mask"));
    }
    json_set_boolean(j, "do_lower_case", t->settings.lower);
    set_strip(t, j);
    json_set_boolean(j, "tokenize_chinese_chars", t->settings.chinese);
    json_set_number(j, "model_max_length", max_length);
    json_set_boolean(j, "clean_up_tokenization_spaces", true);
    set_roles(t, j);
    struct json *decoder = json_set(j, "added_tokens_decoder", json_object());
    for (const struct added_token *a = next_added(t, -1); a; a = next_added(t, a->id)) {
        char id[16];
        snprintf(id, sizeof id, "%d", a->id);
        json_set(decoder, id, added_json(a, false));
    }
    return j;
}

static struct json *special_tokens_json(const struct tokenizer *t)
{
    struct json *j = json_object();
    set_roles(t, j);
    return j;
}

static int write_json(const char *directory, const char *name, struct json *j, struct error *e)
{
    char *path = path_join(directory, name);
    int result = json_write(path, j, e);
    free(path);
    json_destroy(&j);
    return result;
}

/* One word a line, the line being the id; where the vocabulary has a gap stands its last word, whose last line counts, so that
 * as many words are read as there are. */
static int write_vocabulary(const struct tokenizer *t, const char *directory, struct error *e)
{
    struct buffer b = {0};
    for (uint32_t i = 0; i < t->model_size; i++)
        buffer_printf(&b, "%s\n", t->words[i] ? t->words[i] : t->words[t->model_size - 1]);
    char *path = path_join(directory, "vocab.txt");
    int result = file_write(path, b.data, b.size, e);
    free(path);
    buffer_free(&b);
    return result;
}

/* Another tokeniser than BERT's: tokenizer.json as it was, with the added tokens of all files. */

static bool has_space(const char *word)
{
    return strchr(word, ' ');
}

/* Merges as "a b", which older releases of `tokenizers` read too; as they are, where a token has a space. NULL: there are none.
 */
static struct json *merges_of(const struct json *list)
{
    if (!list)
        return NULL;
    for (size_t i = 0; i < json_size(list); i++)
        if (json_type(json_at(list, i)) == JSON_ARRAY &&
            (has_space(json_string(json_at(json_at(list, i), 0))) || has_space(json_string(json_at(json_at(list, i), 1)))))
            return json_copy(list);
    struct json *merges = json_array();
    struct buffer line = {0};
    for (size_t i = 0; i < json_size(list); i++) {
        const struct json *j = json_at(list, i);
        buffer_clear(&line);
        if (json_type(j) == JSON_ARRAY)
            buffer_printf(&line, "%s %s", json_string(json_at(j, 0)), json_string(json_at(j, 1)));
        else
            buffer_text(&line, json_string(j));
        json_append(merges, json_of_string(line.data));
    }
    buffer_free(&line);
    return merges;
}

static struct json *model_as_it_was(const struct json *model)
{
    struct json *j = json_object();
    for (size_t i = 0; i < json_size(model); i++)
        if (strcmp(json_key(model, i), "merges") != 0)
            json_set(j, json_key(model, i), json_copy(json_at(model, i)));
    struct json *merges = merges_of(json_get(model, "merges"));
    if (merges)
        json_set(j, "merges", merges);
    return j;
}

static struct json *tokenizer_as_it_was(const struct tokenizer *t)
{
    struct json *j = json_object();
    for (size_t i = 0; i < json_size(t->root); i++)
        if (strcmp(json_key(t->root, i), "model") != 0)
            json_set(j, json_key(t->root, i), json_copy(json_at(t->root, i)));
    json_set(j, "model", model_as_it_was(json_get(t->root, "model")));
    struct json *added = json_set(j, "added_tokens", json_array());
    for (const struct added_token *a = next_added(t, -1); a; a = next_added(t, a->id))
        json_append(added, added_json(a, true));
    json_set(j, "truncation", json_null());
    json_set(j, "padding", json_null());
    return j;
}

static bool has_second_type(const struct row_template *r)
{
    return r->first_specials < r->all || !r->first_a || !r->first_b;
}

static void set_all_roles(const struct tokenizer *t, struct json *to)
{
    for (size_t i = 0; i < TOKENIZER_ROLES; i++)
        if (t->roles[i])
            json_set_string(to, tokenizer_roles[i], t->roles[i]);
}

/* PreTrainedTokenizerFast reads tokenizer.json as it is; transformers 5 makes some classes anew, with other ids. What it gives a
 * model beside the ids has to be said: types only where the model tells them apart. */
static struct json *config_as_it_was(const struct tokenizer *t, uint32_t max_length)
{
    struct json *j = json_object();
    json_set_string(j, "tokenizer_class", "PreTrainedTokenizerFast");
    struct json *inputs = json_set(j, "model_input_names", json_array());
    json_append(inputs, json_of_string("input_ids"));
    if (t->types && has_second_type(&t->templates.pair))
        json_append(inputs, json_of_string("token_type_ids"));
    json_append(inputs, json_of_string("attention_mask"));
    json_set_number(j, "model_max_length", max_length);
    json_set_boolean(j, "clean_up_tokenization_spaces", false);
    set_all_roles(t, j);
    return j;
}

static struct json *all_roles(const struct tokenizer *t)
{
    struct json *j = json_object();
    set_all_roles(t, j);
    return j;
}

static int export_as_it_was(const struct tokenizer *t, const char *directory, uint32_t max_length, struct error *e)
{
    return write_json(directory, "tokenizer_config.json", config_as_it_was(t, max_length), e) ||
                   write_json(directory, "special_tokens_map.json", all_roles(t), e) ||
                   write_json(directory, "tokenizer.json", tokenizer_as_it_was(t), e)
               ? -1
               : 0;
}

int tokenizer_export(const struct tokenizer *t, const char *directory, uint32_t max_length, struct error *e)
{
    if (t->pipeline)
        return export_as_it_was(t, directory, max_length, e);
    return write_vocabulary(t, directory, e) || write_json(directory, "tokenizer_config.json", config_json(t, max_length), e) ||
                   write_json(directory, "special_tokens_map.json", special_tokens_json(t), e) ||
                   write_json(directory, "tokenizer.json", tokenizer_json(t), e)
               ? -1
               : 0;
}
