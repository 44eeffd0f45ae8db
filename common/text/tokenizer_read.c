/* SPDX-License-Identifier: Apache-2.0 */
/* Opening: tokenizer.json or vocab.txt, with the files beside it, into a tokenizer. */
#include "common/base/buffer.h"
#include "common/base/file.h"
#include "common/base/file_kind.h"
#include "common/base/memory.h"
#include "common/json/json.h"
#include "common/text/tokenizer_files.h"
#include "common/text/unicode_table.h"
#include "common/text/utf8.h"

#include <stdlib.h>
#include <string.h>

#define MAX_IDS 16000000 /* far above any model: an id above it is a broken file */
#define UNKNOWN_WORD "[UNK]"

static const char *const needed_names[] = {UNKNOWN_WORD, "[CLS]", "[SEP]", NULL};

/* The words of the model: id -> word. */

static int set_word(struct tokenizer *t, size_t *capacity, const char *word, double number, const char *place, struct error *e)
{
    if (!(number >= 0 && number < MAX_IDS) || number != (double)(uint32_t)number)
        return error_set(e, ERROR_DATA, "%s: the id of \"%.100s\" is not a whole number from 0 to %d", place, word, MAX_IDS - 1);
    uint32_t id = (uint32_t)number;
    t->words = grow(t->words, capacity, id + 1, sizeof *t->words);
    while (t->size <= id)
        t->words[t->size++] = NULL;
    if (t->words[id])
        return error_set(e, ERROR_DATA, "%s: id %u belongs to both \"%.100s\" and \"%.100s\"", place, id, t->words[id], word);
    t->words[id] = duplicate(word);
    return 0;
}

/* UTF-8 without NUL. */
static bool is_text(const char *text, const char *stop)
{
    const uint8_t *p = (const uint8_t *)text, *end = (const uint8_t *)stop;
    while (p < end) {
        uint32_t c;
        unsigned n = utf8_decode(p, end, &c);
        if (!c || (c == UTF8_REPLACEMENT && (n != 3 || p[0] != 0xEF)))
            return false;
        p += n;
    }
    return true;
}

/* Where the word ends: as `tokenizers` reads vocab.txt, without white space at the end of the line. */
static char *trim_end(char *start, char *stop)
{
    for (char *from = stop; from > start;) {
        uint32_t c;
        do
            from--;
        while (from > start && ((uint8_t)*from & 0xC0) == 0x80);
        utf8_decode((const uint8_t *)from, (const uint8_t *)stop, &c);
        if (!unicode_find(&unicode_space, c))
            break;
        stop = from;
    }
    return stop;
}

/* A line a word, its number the id; of equal words the last line counts. */
static int read_vocabulary_file(struct tokenizer *t, const char *path, struct error *e)
{
    char *text;
    size_t size, capacity = 0;
    if (file_read(&text, &size, path, e))
        return -1;
    size_t line = 0;
    for (char *at = text, *end = text + size, *next; at < end; at = next) {
        char *stop = memchr(at, '\n', (size_t)(end - at));
        next = stop ? stop + 1 : end;
        stop = stop ? stop : end;
        line++;
        if (!is_text(at, stop)) {
            error_set(e, ERROR_DATA, "%s:%zu: the word is not UTF-8 text; is this a vocabulary?", path, line);
            goto fail;
        }
        *trim_end(at, stop) = 0;
        if (set_word(t, &capacity, at, (double)(line - 1), path, e))
            goto fail;
    }
    free(text);
    return 0;
fail:
    free(text);
    return -1;
}

static int read_vocabulary_json(struct tokenizer *t, const struct json *vocabulary, const char *path, struct error *e)
{
    size_t capacity = 0;
    for (size_t i = 0; i < json_size(vocabulary); i++) {
        const struct json *id = json_at(vocabulary, i);
        double number = json_type(id) == JSON_NUMBER ? json_number(id) : -1;
        if (set_word(t, &capacity, json_key(vocabulary, i), number, path, e))
            return -1;
    }
    return 0;
}

static int compare_entries(const void *a, const void *b)
{
    const struct vocabulary_entry *x = a, *y = b;
    int order = strcmp(x->word, y->word);
    return order ? order : (x->id > y->id) - (x->id < y->id);
}

static int build_vocabulary(struct tokenizer *t, const char *path, struct error *e)
{
    uint32_t kept = 0;
    t->model_size = t->size;
    if (!t->size)
        return error_set(e, ERROR_DATA, "%s: the vocabulary is empty", path);
    struct vocabulary_entry *entries = allocate(t->size, sizeof *entries);
    size_t count = 0;
    for (uint32_t i = 0; i < t->size; i++)
        if (t->words[i])
            entries[count++] = (struct vocabulary_entry){t->words[i], (int32_t)i};
    qsort(entries, count, sizeof *entries, compare_entries);
    for (size_t i = 0; i < count; i++)
        if (i + 1 < count && !strcmp(entries[i].word, entries[i + 1].word)) {
            free(t->words[entries[i].id]);
            t->words[entries[i].id] = NULL;
        } else {
            entries[kept++] = entries[i];
        }
    vocabulary_build(&t->vocabulary, entries, kept, t->prefix);
    t->word_count = kept;
    free(entries);
    return 0;
}

static int check_needed(struct tokenizer *t, const char *path, struct error *e)
{
    for (const char *const *name = needed_names; *name; name++)
        if (tokenizer_special(t, *name) < 0)
            return error_set(e, ERROR_DATA, "%s: the vocabulary has no %s; a BERT vocabulary needs it", path, *name);
    t->unknown = tokenizer_special(t, UNKNOWN_WORD);
    return 0;
}

static int compare_added(const void *a, const void *b)
{
    const struct added_token *x = a, *y = b;
    return x->special == y->special ? (x->id > y->id) - (x->id < y->id) : y->special - x->special;
}

/* Special ones first, otherwise by id: of two with one normal form the first is found. */
static void sort_added(struct tokenizer *t)
{
    if (t->added_count)
        qsort(t->added, t->added_count, sizeof *t->added, compare_added);
}

/* tokenizer.json. */

static int require_type(const struct json *root, const char *part, const char *type, const char *path, struct error *e)
{
    const struct json *j = json_get(root, part);
    const char *found = json_string(json_get(j, "type"));
    if (found && !strcmp(found, type))
        return 0;
    return error_set(e, ERROR_USAGE, "%s: its %s is %s%s%s, and only BERT's %s is supported", path, part, found ? "\"" : "",
                     found ? found : "missing", found ? "\"" : "", type);
}

/* One piece of a template: {"SpecialToken": {"id": "[CLS]", "type_id": 0}} or {"Sequence": {"id": "A", "type_id": 0}}. */
struct piece {
    const char *kind, *id;
    double type;
};

static bool is_template(const struct json *list, const struct piece *pieces, size_t count)
{
    bool same = json_size(list) == count;
    for (size_t i = 0; i < count && same; i++) {
        const struct json *j = json_get(json_at(list, i), pieces[i].kind);
        const char *id = json_string(json_get(j, "id"));
        same = id && !strcmp(id, pieces[i].id) && json_number(json_get(j, "type_id")) == pieces[i].type;
    }
    return same;
}

static int check_post_processor(const struct json *root, const char *path, struct error *e)
{
    static const struct piece pieces[] = {{"SpecialToken", "[CLS]", 0},
                                          {"Sequence", "A", 0},
                                          {"SpecialToken", "[SEP]", 0},
                                          {"Sequence", "B", 1},
                                          {"SpecialToken", "[SEP]", 1}};
    const struct json *j = json_get(root, "post_processor");
    if (!j || json_type(j) == JSON_NULL)
        return 0;
    const char *type = json_string(json_get(j, "type"));
    if (type && !strcmp(type, "BertProcessing")) {
        const char *cls = json_string(json_at(json_get(j, "cls"), 0)), *sep = json_string(json_at(json_get(j, "sep"), 0));
        if (cls && sep && !strcmp(cls, "[CLS]") && !strcmp(sep, "[SEP]"))
            return 0;
    } else if (!type || strcmp(type, "TemplateProcessing")) {
        return error_set(e, ERROR_USAGE, "%s: its post_processor is \"%.60s\", and only BERT's TemplateProcessing is supported",
                         path, type ? type : "?");
    } else if (is_template(json_get(j, "single"), pieces, 3) && is_template(json_get(j, "pair"), pieces, 5)) {
        return 0;
    }
    return error_set(e, ERROR_USAGE,
                     "%s: its post_processor does not give BERT's [CLS] A [SEP] B [SEP], which alone is supported", path);
}

static int read_normalizer_json(struct tokenizer *t, const struct json *root, const char *path, struct error *e)
{
    static const char *const keys[] = {"clean_text", "handle_chinese_chars", "lowercase"};
    bool *values[] = {&t->settings.clean, &t->settings.chinese, &t->settings.lower};
    const struct json *j = json_get(root, "normalizer"), *strip = json_get(j, "strip_accents");
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const struct json *value = json_get(j, keys[i]);
        if (!value || json_type(value) != JSON_BOOLEAN)
            return error_set(e, ERROR_DATA, "%s: its normalizer's \"%s\" is not true or false", path, keys[i]);
        *values[i] = json_boolean(value);
    }
    t->strip_follows_lower = !strip || json_type(strip) != JSON_BOOLEAN;
    t->settings.strip = t->strip_follows_lower ? t->settings.lower : json_boolean(strip);
    return 0;
}

static int read_model_json(struct tokenizer *t, const struct json *model, const char *path, struct error *e)
{
    const char *unknown = json_string(json_get(model, "unk_token")),
               *prefix = json_string(json_get(model, "continuing_subword_prefix"));
    const struct json *longest = json_get(model, "max_input_chars_per_word");
    double chars = longest ? json_number(longest) : 100;
    if (unknown && strcmp(unknown, UNKNOWN_WORD))
        return error_set(e, ERROR_USAGE, "%s: its unknown token is \"%.60s\", and only %s is supported", path, unknown,
                         UNKNOWN_WORD);
    if (!(chars >= 1 && chars <= TOKENIZER_MAX_CHARS))
        return error_set(e, ERROR_USAGE, "%s: max_input_chars_per_word is %g, and only 1 to %d is supported", path, chars,
                         TOKENIZER_MAX_CHARS);
    if (json_type(model) != JSON_OBJECT || !json_get(model, "vocab") || json_type(json_get(model, "vocab")) != JSON_OBJECT)
        return error_set(e, ERROR_DATA, "%s: its model has no \"vocab\" of words", path);
    t->prefix = duplicate(prefix ? prefix : "##");
    t->max_chars = (unsigned)chars;
    return read_vocabulary_json(t, json_get(model, "vocab"), path, e);
}

static int read_tokenizer_json(struct tokenizer *t, const struct json *root, const char *path, struct error *e)
{
    return require_type(root, "model", "WordPiece", path, e) || require_type(root, "normalizer", "BertNormalizer", path, e) ||
                   require_type(root, "pre_tokenizer", "BertPreTokenizer", path, e) || check_post_processor(root, path, e) ||
                   read_normalizer_json(t, root, path, e) || read_model_json(t, json_get(root, "model"), path, e)
               ? -1
               : 0;
}

static int read_directory(struct tokenizer *t, const char *directory, const char *path, struct error *e)
{
    struct tokenizer_files f;
    if (tokenizer_files_read(&f, directory, e))
        return -1;
    int result = f.root ? read_tokenizer_json(t, f.root, path, e) : read_vocabulary_file(t, path, e);
    if (!result) {
        tokenizer_files_settle(t, &f, directory);
        result = build_vocabulary(t, path, e) || tokenizer_files_add(t, &f, directory, e) ? -1 : 0;
    }
    tokenizer_files_free(&f);
    return result;
}

/* Highest id that a text can give, + 1: empty words match nothing. */
static uint32_t count_ids(const struct tokenizer *t)
{
    uint32_t count = t->size;
    while (count && !(t->words[count - 1] && *t->words[count - 1]))
        count--;
    for (size_t i = 0; i < t->added_count; i++)
        if ((uint32_t)t->added[i].id >= count)
            count = (uint32_t)t->added[i].id + 1;
    return count;
}

/* Digest over all that decides an id. */
static void set_digest(struct tokenizer *t)
{
    struct sha256 *s;
    struct buffer b = {0};
    buffer_printf(&b, "wordpiece %d %d %d %d %u %s\n", t->settings.clean, t->settings.chinese, t->settings.strip,
                  t->settings.lower, t->max_chars, t->prefix);
    for (uint32_t i = 0; i < t->size; i++)
        buffer_printf(&b, "%zu %s\n", t->words[i] ? strlen(t->words[i]) : 0, t->words[i] ? t->words[i] : "");
    for (size_t i = 0; i < t->added_count; i++) {
        const struct added_token *a = &t->added[i];
        buffer_printf(&b, "%d %d%d%d%d%d %s\n", a->id, a->special, a->normalized, a->left, a->right, a->single_word, a->content);
    }
    sha256_create(&s);
    sha256_update(s, b.data, b.size);
    sha256_finish(&s, t->sha256);
    buffer_free(&b);
}

int tokenizer_open(struct tokenizer **ret, const char *directory, struct error *e)
{
    struct tokenizer *t = allocate(1, sizeof *t);
    char *json = path_join(directory, "tokenizer.json"), *text = path_join(directory, "vocab.txt");
    const char *path = file_exists(json) ? json : text;
    if (!directory_exists(directory)) {
        error_set(e, ERROR_USAGE, "%s: no such model directory", directory);
        goto fail;
    }
    if (!file_exists(path)) {
        error_set(e, ERROR_USAGE, "%s: has neither tokenizer.json nor vocab.txt; a model directory needs one", directory);
        goto fail;
    }
    if (file_kind_check_file(path, e) || read_directory(t, directory, path, e) || check_needed(t, path, e))
        goto fail;
    t->id_count = count_ids(t);
    sort_added(t);
    set_digest(t);
    t->normalizer = normalizer_create(t->settings);
    added_set_build(&t->raw, t->added, t->added_count, false, t->normalizer);
    added_set_build(&t->normalized, t->added, t->added_count, true, t->normalizer);
    if (t->normalized.count)
        t->plain = normalizer_create((struct normalizer_settings){0});
    free(json);
    free(text);
    *ret = t;
    return 0;
fail:
    free(json);
    free(text);
    tokenizer_close(&t);
    return -1;
}
