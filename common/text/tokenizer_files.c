/* SPDX-License-Identifier: Apache-2.0 */
/* The files next to a vocabulary: the tokenizer class, and whose flags hold. */
#include "common/text/tokenizer_files.h"

#include "common/base/buffer.h"
#include "common/base/file.h"
#include "common/base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Classes that transformers 5 resolves to BertTokenizer, "Fast" left out. */
static const char *const bert_classes[] = {"BertTokenizer",       "DistilBertTokenizer",  "ElectraTokenizer",
                                           "MobileBertTokenizer", "SqueezeBertTokenizer", "ConvBertTokenizer",
                                           "LayoutLMTokenizer",   "LxmertTokenizer",      NULL};
/* Classes that read tokenizer.json as it is. */
static const char *const plain_classes[] = {"PreTrainedTokenizer", "TokenizersBackend", "PythonBackend", NULL};

static bool names_class(const char *class, const char *const *classes)
{
    size_t size = strlen(class);
    if (size > 4 && !strcmp(class + size - 4, "Fast"))
        size -= 4;
    for (; *classes; classes++)
        if (strlen(*classes) == size && !strncmp(class, *classes, size))
            return true;
    return false;
}

static int read_optional(struct json **ret, const char *directory, const char *name, struct error *e)
{
    char *path = path_join(directory, name);
    int result = file_exists(path) ? json_read(ret, path, e) : 0;
    free(path);
    return result;
}

/* config.json is the model's: whoever opens that says what is wrong with it. */
static void read_model_config(struct tokenizer_files *f, const char *directory)
{
    struct json *model = NULL;
    struct error ignored = {0};
    f->rows = INFINITY;
    if (read_optional(&model, directory, "config.json", &ignored))
        return;
    const struct json *rows = json_get(model, "vocab_size");
    const char *class = json_string(json_get(model, "tokenizer_class"));
    if (rows && json_type(rows) == JSON_NUMBER)
        f->rows = json_number(rows);
    if (class && !f->class)
        f->class = duplicate(class);
    json_destroy(&model);
}

static int check_class(struct tokenizer_files *f, const char *directory, struct error *e)
{
    f->bert = !f->class || names_class(f->class, bert_classes);
    if (f->bert || (f->root && names_class(f->class, plain_classes)))
        return 0;
    return error_set(e, ERROR_USAGE, "%s/tokenizer_config.json: tokenizer_class is \"%.60s\", and only %s is supported",
                     directory, f->class, f->root ? "BertTokenizer or PreTrainedTokenizerFast" : "BertTokenizer");
}

static int check_roles(const struct json *said, const char *directory, const char *name, struct error *e)
{
    static const char *const roles[][2] = {{"unk_token", "[UNK]"}, {"cls_token", "[CLS]"}, {"sep_token", "[SEP]"}};
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
        const struct json *j = json_get(said, roles[i][0]);
        const char *text = j && json_type(j) == JSON_OBJECT ? json_string(json_get(j, "content")) : json_string(j);
        if (text && strcmp(text, roles[i][1]))
            return error_set(e, ERROR_USAGE, "%s/%s: %s is \"%.60s\", and only %s is supported", directory, name, roles[i][0],
                             text, roles[i][1]);
    }
    return 0;
}

int tokenizer_files_read(struct tokenizer_files *ret, const char *directory, struct error *e)
{
    struct tokenizer_files f = {0};
    if (read_optional(&f.config, directory, "tokenizer_config.json", e) ||
        read_optional(&f.map, directory, "special_tokens_map.json", e) ||
        read_optional(&f.added, directory, "added_tokens.json", e) || read_optional(&f.root, directory, "tokenizer.json", e))
        goto fail;
    const char *class = json_string(json_get(f.config, "tokenizer_class"));
    f.class = class ? duplicate(class) : NULL;
    read_model_config(&f, directory);
    if (check_class(&f, directory, e) || check_roles(f.config, directory, "tokenizer_config.json", e) ||
        (!json_get(f.config, "added_tokens_decoder") && check_roles(f.map, directory, "special_tokens_map.json", e)))
        goto fail;
    *ret = f;
    return 0;
fail:
    tokenizer_files_free(&f);
    return -1;
}

void tokenizer_files_free(struct tokenizer_files *f)
{
    json_destroy(&f->config);
    json_destroy(&f->map);
    json_destroy(&f->added);
    json_destroy(&f->root);
    free(f->class);
    *f = (struct tokenizer_files){0};
}

/* Whose flags hold. */

static const char *flag_text(bool value)
{
    return value ? "true" : "false";
}

static void differs(struct buffer *b, const char *key, const char *in_json, const char *flag, const char *in_config, bool said)
{
    buffer_printf(b, "%s%s is %s in tokenizer.json, %s is %s%s", b->size ? "; " : "", key, in_json, flag, in_config,
                  said ? " in tokenizer_config.json" : " by default (tokenizer_config.json does not say it)");
}

static const struct json *find_flag(const struct json *config, const char *key)
{
    const struct json *j = json_get(config, key);
    return j && json_type(j) == JSON_BOOLEAN ? j : NULL;
}

static void compare_flag(struct buffer *b, const char *key, bool in_json, const char *flag, bool in_config, bool said)
{
    if (in_json != in_config)
        differs(b, key, flag_text(in_json), flag, flag_text(in_config), said);
}

/* What only tokenizer.json can say and a BERT class leaves unread. */
static void compare_unread(struct buffer *b, const struct tokenizer *t)
{
    char chars[16];
    snprintf(chars, sizeof chars, "%u", t->max_chars);
    if (!t->settings.clean)
        differs(b, "clean_text", "false", "clean_text", "true", false);
    if (t->max_chars != TOKENIZER_BERT_CHARS)
        differs(b, "max_input_chars_per_word", chars, "max_input_chars_per_word", "100", false);
    if (strcmp(t->prefix, TOKENIZER_BERT_PREFIX))
        differs(b, "continuing_subword_prefix", t->prefix, "continuing_subword_prefix", TOKENIZER_BERT_PREFIX, false);
}

void tokenizer_files_settle(struct tokenizer *t, const struct tokenizer_files *f, const char *directory)
{
    const struct json *lower = find_flag(f->config, "do_lower_case"), *strip = find_flag(f->config, "strip_accents"),
                      *chinese = find_flag(f->config, "tokenize_chinese_chars");
    struct normalizer_settings s = {
        .clean = true, .chinese = !chinese || json_boolean(chinese), .lower = !lower || json_boolean(lower)};
    s.strip = strip ? json_boolean(strip) : s.lower;
    struct buffer b = {0};
    bool said = f->bert || lower; /* a flag that is not said contradicts nothing where tokenizer.json holds */
    bool strip_in_json = t->strip_follows_lower ? s.lower : t->settings.strip;
    if (f->root && said)
        compare_flag(&b, "lowercase", t->settings.lower, "do_lower_case", s.lower, lower);
    if (f->root && (f->bert || strip))
        compare_flag(&b, "strip_accents", strip_in_json, "strip_accents", s.strip, strip);
    if (f->root && (f->bert || chinese))
        compare_flag(&b, "handle_chinese_chars", t->settings.chinese, "tokenize_chinese_chars", s.chinese, chinese);
    if (f->root && f->bert)
        compare_unread(&b, t);
    if (b.size)
        t->disagreement = format_string("%s: %s; %s holds, as transformers 5 reads %s%s", directory, b.data,
                                        f->bert ? "the latter" : "tokenizer.json", f->class ? "" : "a BERT model without ",
                                        f->class ? f->class : "tokenizer_class");
    buffer_free(&b);
    if (!f->bert)
        return;
    t->settings = s;
    t->strip_follows_lower = !strip;
    t->max_chars = TOKENIZER_BERT_CHARS;
    free(t->prefix);
    t->prefix = duplicate(TOKENIZER_BERT_PREFIX);
}
