/* SPDX-License-Identifier: Apache-2.0 */
/* Opening: tokenizer.json, or vocab.txt with tokenizer_config.json, into a tokenizer. */
#include "common/base/buffer.h"
#include "common/base/file.h"
#include "common/base/file_kind.h"
#include "common/base/memory.h"
#include "common/json/json.h"
#include "common/text/tokenizer_parts.h"
#include "common/text/utf8.h"

#include <stdlib.h>
#include <string.h>

#define MAX_IDS 16000000 /* far above any model: an id above it is a broken file */
#define UNKNOWN_WORD "[UNK]"

static const char *const special_names[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", NULL};
static const char *const needed_names[] = {UNKNOWN_WORD, "[CLS]", "[SEP]", NULL};

static bool is_one_of(const char *text, const char *const *names)
{
    for (; *names; names++)
        if (!strcmp(text, *names))
            return true;
    return false;
}

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

static int read_vocabulary_file(struct tokenizer *t, const char *path, struct error *e)
{
    char *text;
    size_t size, capacity = 0;
    if (file_kind_check_file(path, e) || file_read(&text, &size, path, e))
        return -1;
    size_t line = 0;
    for (char *at = text, *end = text + size, *next; at < end; at = next) {
        char *stop = memchr(at, '\n', (size_t)(end - at));
        next = stop ? stop + 1 : end;
        stop = stop ? stop : end;
        if (stop > at && stop[-1] == '\r')
            stop--;
        line++;
        if (!is_text(at, stop)) {
            error_set(e, ERROR_DATA, "%s:%zu: the word is not UTF-8 text; is this a vocabulary?", path, line);
            goto fail;
        }
        *stop = 0;
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
    t->model_size = t->size;
    if (!t->size)
        return error_set(e, ERROR_DATA, "%s: the vocabulary is empty", path);
    struct vocabulary_entry *entries = allocate(t->size, sizeof *entries);
    size_t count = 0;
    int result = 0;
    for (uint32_t i = 0; i < t->size; i++)
        if (t->words[i])
            entries[count++] = (struct vocabulary_entry){t->words[i], (int32_t)i};
    qsort(entries, count, sizeof *entries, compare_entries);
    for (size_t i = 1; i < count && !result; i++)
        if (!strcmp(entries[i - 1].word, entries[i].word))
            result = error_set(e, ERROR_DATA, "%s: the word \"%.100s\" appears twice, on lines %d and %d; keep one", path,
                               entries[i].word, entries[i - 1].id + 1, entries[i].id + 1);
    if (!result)
        vocabulary_build(&t->vocabulary, entries, count, t->prefix);
    free(entries);
    return result;
}

static int check_needed(struct tokenizer *t, const char *path, struct error *e)
{
    for (const char *const *name = needed_names; *name; name++)
        if (tokenizer_special(t, *name) < 0)
            return error_set(e, ERROR_DATA, "%s: the vocabulary has no %s; a BERT vocabulary needs it", path, *name);
    t->unknown = tokenizer_special(t, UNKNOWN_WORD);
    return 0;
}

/* Added tokens. */

/* As `tokenizers` numbers them: a word of the vocabulary keeps its id, others follow in order. `id` is what the file says. */
static int add_token(struct tokenizer *t, struct added_token token, const char *content, double id, const char *place,
                     struct error *e)
{
    if (!content || !*content)
        return error_set(e, ERROR_DATA, "%s: an added token has no content", place);
    for (size_t i = 0; i < t->added_count; i++)
        if (!strcmp(t->added[i].content, content))
            return error_set(e, ERROR_DATA, "%s: the added token \"%.100s\" appears twice", place, content);
    int32_t known = tokenizer_special(t, content);
    uint32_t expected = known >= 0 ? (uint32_t)known : t->size;
    if (id != (double)expected)
        return error_set(e, ERROR_DATA, "%s: the added token \"%.100s\" has id %.0f, but by the vocabulary it is %u", place,
                         content, id, expected);
    if (known < 0) {
        t->words = reallocate(t->words, t->size + 1, sizeof *t->words);
        t->words[t->size++] = duplicate(content);
    }
    token.content = duplicate(content);
    token.id = (int32_t)expected;
    t->added = reallocate(t->added, t->added_count + 1, sizeof *t->added);
    t->added[t->added_count++] = token;
    return 0;
}

/* {"content":..., "lstrip":..., ...}, as tokenizer.json and added_tokens_decoder have it. */
static int add_token_json(struct tokenizer *t, const struct json *j, double id, const char *place, struct error *e)
{
    struct added_token token = {
        .special = json_boolean(json_get(j, "special")),
        .normalized = json_boolean(json_get(j, "normalized")),
        .left = json_boolean(json_get(j, "lstrip")),
        .right = json_boolean(json_get(j, "rstrip")),
        .single_word = json_boolean(json_get(j, "single_word")),
    };
    return add_token(t, token, json_string(json_get(j, "content")), id, place, e);
}

/* Special ones first, otherwise in order: of two with one normal form the first is found. */
static void sort_added(struct tokenizer *t)
{
    for (size_t i = 1; i < t->added_count; i++) {
        struct added_token token = t->added[i];
        size_t k = i;
        for (; k && token.special && !t->added[k - 1].special; k--)
            t->added[k] = t->added[k - 1];
        t->added[k] = token;
    }
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

static int read_tokenizer_json(struct tokenizer *t, const char *path, struct error *e)
{
    struct json *root;
    if (file_kind_check_file(path, e) || json_read(&root, path, e))
        return -1;
    if (require_type(root, "model", "WordPiece", path, e) || require_type(root, "normalizer", "BertNormalizer", path, e) ||
        require_type(root, "pre_tokenizer", "BertPreTokenizer", path, e) || check_post_processor(root, path, e) ||
        read_normalizer_json(t, root, path, e) || read_model_json(t, json_get(root, "model"), path, e) ||
        build_vocabulary(t, path, e))
        goto fail;
    const struct json *added = json_get(root, "added_tokens");
    for (size_t i = 0; i < json_size(added); i++) {
        const struct json *j = json_at(added, i), *id = json_get(j, "id");
        if (add_token_json(t, j, id ? json_number(id) : -1, path, e))
            goto fail;
    }
    json_destroy(&root);
    return 0;
fail:
    json_destroy(&root);
    return -1;
}

/* vocab.txt, tokenizer_config.json, added_tokens.json. */

static int read_optional(struct json **ret, const char *directory, const char *name, struct error *e)
{
    char *path = path_join(directory, name);
    int result = 0;
    *ret = NULL;
    if (file_exists(path))
        result = json_read(ret, path, e);
    free(path);
    return result;
}

static bool flag(const struct json *config, const char *key, bool otherwise)
{
    const struct json *j = json_get(config, key);
    return j && json_type(j) == JSON_BOOLEAN ? json_boolean(j) : otherwise;
}

static int check_config(const struct json *config, const char *directory, struct error *e)
{
    static const char *const classes[] = {"BertTokenizer",           "BertTokenizerFast", "DistilBertTokenizer",
                                          "DistilBertTokenizerFast", "ElectraTokenizer",  "ElectraTokenizerFast",
                                          "PreTrainedTokenizerFast", "TokenizersBackend", NULL};
    static const char *const roles[][2] = {{"unk_token", UNKNOWN_WORD}, {"cls_token", "[CLS]"}, {"sep_token", "[SEP]"}};
    const char *class = json_string(json_get(config, "tokenizer_class"));
    if (class && !is_one_of(class, classes))
        return error_set(e, ERROR_USAGE,
                         "%s/tokenizer_config.json: tokenizer_class is \"%.60s\", and only BertTokenizer is supported", directory,
                         class);
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
        const struct json *j = json_get(config, roles[i][0]);
        const char *text = j && json_type(j) == JSON_OBJECT ? json_string(json_get(j, "content")) : json_string(j);
        if (text && strcmp(text, roles[i][1]))
            return error_set(e, ERROR_USAGE, "%s/tokenizer_config.json: %s is \"%.60s\", and only %s is supported", directory,
                             roles[i][0], text, roles[i][1]);
    }
    return 0;
}

static int add_special_names(struct tokenizer *t, const char *place, struct error *e)
{
    for (const char *const *name = special_names; *name; name++) {
        int32_t id = tokenizer_special(t, *name);
        bool known = false;
        for (size_t i = 0; i < t->added_count && !known; i++)
            known = !strcmp(t->added[i].content, *name);
        if (id >= 0 && !known && add_token(t, (struct added_token){.special = true}, *name, id, place, e))
            return -1;
    }
    return 0;
}

static bool lists(const struct json *config, const char *name)
{
    const struct json *more = json_get(config, "additional_special_tokens");
    for (size_t i = 0; i < json_size(more); i++) {
        const struct json *j = json_at(more, i);
        const char *text = json_type(j) == JSON_OBJECT ? json_string(json_get(j, "content")) : json_string(j);
        if (text && !strcmp(text, name))
            return true;
    }
    return false;
}

/* The newer form with flags, keyed by id. */
static int add_decoder(struct tokenizer *t, const struct json *decoder, const char *place, struct error *e)
{
    for (size_t i = 0; i < json_size(decoder); i++) {
        const char *id = json_key(decoder, i);
        if (!*id || id[strspn(id, "0123456789")])
            return error_set(e, ERROR_DATA, "%s: added_tokens_decoder: the key \"%s\" is not a token id", place, id);
        if (add_token_json(t, json_at(decoder, i), strtod(id, NULL), place, e))
            return -1;
    }
    return 0;
}

/* The older form, word -> id, in the order of ids. */
static int add_numbered(struct tokenizer *t, const struct json *added, const struct json *config, const char *place,
                        struct error *e)
{
    size_t count = json_size(added);
    for (double above = -1; count; count--) {
        size_t best = SIZE_MAX;
        for (size_t i = 0; i < json_size(added); i++) {
            double id = json_number(json_at(added, i));
            if (id > above && (best == SIZE_MAX || id < json_number(json_at(added, best))))
                best = i;
        }
        if (best == SIZE_MAX)
            return error_set(e, ERROR_DATA, "%s: two added tokens have one id", place);
        above = json_number(json_at(added, best));
        const char *word = json_key(added, best);
        bool special = is_one_of(word, special_names) || lists(config, word), known = false;
        for (size_t i = 0; i < t->added_count && !known; i++)
            known = !strcmp(t->added[i].content, word);
        if (!known && add_token(t, (struct added_token){.special = special, .normalized = !special}, word, above, place, e))
            return -1;
    }
    return 0;
}

static int read_vocabulary_directory(struct tokenizer *t, const char *directory, const char *path, struct error *e)
{
    struct json *config = NULL, *added = NULL;
    int result = -1;
    if (read_optional(&config, directory, "tokenizer_config.json", e) ||
        read_optional(&added, directory, "added_tokens.json", e) || check_config(config, directory, e))
        goto done;
    t->settings.clean = true;
    t->settings.chinese = flag(config, "tokenize_chinese_chars", true);
    t->settings.lower = flag(config, "do_lower_case", true);
    t->settings.strip = flag(config, "strip_accents", t->settings.lower);
    const struct json *strip = json_get(config, "strip_accents");
    t->strip_follows_lower = !strip || json_type(strip) != JSON_BOOLEAN;
    t->prefix = duplicate("##");
    t->max_chars = 100;
    if (read_vocabulary_file(t, path, e) || build_vocabulary(t, path, e) ||
        add_decoder(t, json_get(config, "added_tokens_decoder"), directory, e) || add_special_names(t, directory, e) ||
        add_numbered(t, added, config, directory, e))
        goto done;
    result = 0;
done:
    json_destroy(&config);
    json_destroy(&added);
    return result;
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
    if (path == json ? read_tokenizer_json(t, path, e) : read_vocabulary_directory(t, directory, path, e))
        goto fail;
    if (check_needed(t, path, e))
        goto fail;
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
