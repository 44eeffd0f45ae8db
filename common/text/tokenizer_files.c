/* SPDX-License-Identifier: Apache-2.0 */
/* The files next to a vocabulary: the tokenizer class, and whose flags hold. */
#include "common/text/tokenizer_files.h"

#include "common/base/buffer.h"
#include "common/base/file.h"
#include "common/base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What the special tokens are called where no file says it, by role. */
static const char *const bert_roles[TOKENIZER_ROLES] = {NULL, NULL, "[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"};
static const char *const roberta_roles[TOKENIZER_ROLES] = {"<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>"};
static const char *const deberta_roles[TOKENIZER_ROLES] = {"[CLS]", "[SEP]", "[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"};

/* A tokenizer class ("Fast" left out): which model of tokenizer.json belongs to it, and which files may stand in for that one. */
static const struct class_row {
    const char *name;
    const char *model;
    enum tokenizer_source source;
    const char *const *roles;
} classes[] = {
    /* transformers 5 resolves these to BertTokenizer */
    {"BertTokenizer", "WordPiece", SOURCE_VOCABULARY, bert_roles},
    {"DistilBertTokenizer", "WordPiece", SOURCE_VOCABULARY, bert_roles},
    {"ElectraTokenizer", "WordPiece", SOURCE_VOCABULARY, bert_roles},
    {"MobileBertTokenizer", "WordPiece", SOURCE_VOCABULARY, bert_roles},
    {"SqueezeBertTokenizer", "WordPiece", SOURCE_VOCABULARY, bert_roles},
    {"ConvBertTokenizer", "WordPiece", SOURCE_VOCABULARY, bert_roles},
    {"LayoutLMTokenizer", "WordPiece", SOURCE_VOCABULARY, bert_roles},
    {"LxmertTokenizer", "WordPiece", SOURCE_VOCABULARY, bert_roles},
    {"RobertaTokenizer", "BPE", SOURCE_MERGES, roberta_roles},
    {"LongformerTokenizer", "BPE", SOURCE_MERGES, roberta_roles},
    {"LEDTokenizer", "BPE", SOURCE_MERGES, roberta_roles},
    {"BartTokenizer", "BPE", SOURCE_MERGES, roberta_roles},
    {"XLMRobertaTokenizer", "Unigram", SOURCE_SENTENCEPIECE, roberta_roles},
    {"CamembertTokenizer", "Unigram", SOURCE_SENTENCEPIECE, roberta_roles},
    {"DebertaV2Tokenizer", "Unigram", SOURCE_SENTENCEPIECE, deberta_roles},
};

/* Model types of config.json whose tokenizer class is not BERT's where no file says one. */
static const char *const model_classes[][2] = {
    {"roberta", "RobertaTokenizer"},           {"longformer", "LongformerTokenizer"}, {"led", "LEDTokenizer"},
    {"xlm-roberta", "XLMRobertaTokenizer"},    {"camembert", "CamembertTokenizer"},   {"deberta-v2", "DebertaV2Tokenizer"},
    {"modernbert", "PreTrainedTokenizerFast"},
};

#define COUNT(table) (sizeof table / sizeof *table)

static const struct class_row *find_class(const char *class)
{
    size_t size = strlen(class);
    if (size > 4 && !strcmp(class + size - 4, "Fast"))
        size -= 4;
    for (size_t i = 0; i < COUNT(classes); i++)
        if (strlen(classes[i].name) == size && !strncmp(class, classes[i].name, size))
            return &classes[i];
    return NULL;
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
    const char *class = json_string(json_get(model, "tokenizer_class")), *type = json_string(json_get(model, "model_type"));
    if (rows && json_type(rows) == JSON_NUMBER)
        f->rows = json_number(rows);
    f->types = json_get(model, "type_vocab_size") ? json_number(json_get(model, "type_vocab_size")) > 1
                                                  : !type || !strcmp(type, "bert") || !strcmp(type, "electra");
    for (size_t i = 0; i < COUNT(model_classes) && !class; i++)
        if (type && !strcmp(type, model_classes[i][0]))
            class = model_classes[i][1];
    if (class && !f->class)
        f->class = duplicate(class);
    json_destroy(&model);
}

static const char *model_in(const struct json *root)
{
    return json_string(json_get(json_get(root, "model"), "type"));
}

static bool has_file(const char *directory, const char *name)
{
    char *path = path_join(directory, name);
    bool found = file_exists(path);
    free(path);
    return found;
}

static bool only_sentencepiece(const char *directory)
{
    return !has_file(directory, "vocab.txt") &&
           (has_file(directory, "spm.model") || has_file(directory, "sentencepiece.bpe.model"));
}

const char *tokenizer_files_name(const struct tokenizer_files *f)
{
    static const char *const names[] = {[SOURCE_JSON] = "tokenizer.json",
                                        [SOURCE_VOCABULARY] = "vocab.txt",
                                        [SOURCE_MERGES] = "vocab.json",
                                        [SOURCE_SENTENCEPIECE] = "sentencepiece.bpe.model"};
    return f->source == SOURCE_SENTENCEPIECE && f->roles == deberta_roles ? "spm.model" : names[f->source];
}

static bool has_files(const char *directory, enum tokenizer_source source)
{
    static const char *const names[][2] = {[SOURCE_VOCABULARY] = {"vocab.txt"}, [SOURCE_MERGES] = {"vocab.json", "merges.txt"}};
    for (size_t i = 0; i < 2 && names[source][i]; i++)
        if (!has_file(directory, names[source][i]))
            return false;
    return true;
}

/* No tokenizer.json. */
static int check_older_files(const struct tokenizer_files *f, const struct class_row *row, const char *directory, struct error *e)
{
    bool sentencepiece = f->source == SOURCE_SENTENCEPIECE && strncmp(f->class, "Camembert", 9) != 0;
    const char *instead = row && row->source == SOURCE_MERGES ? "tokenizer.json, or vocab.json and merges.txt"
                          : !sentencepiece                    ? "a tokenizer.json"
                          : f->roles == deberta_roles         ? "tokenizer.json or spm.model"
                                                              : "tokenizer.json or sentencepiece.bpe.model";
    if (sentencepiece && has_file(directory, tokenizer_files_name(f)))
        return 0;
    if (f->bert || (row && row->source == SOURCE_MERGES && has_files(directory, row->source)))
        return 0;
    return error_set(e, ERROR_USAGE,
                     "%s/tokenizer_config.json: tokenizer_class is \"%.60s\", which is only supported with %s; save one with "
                     "transformers: AutoTokenizer.from_pretrained(DIRECTORY).save_pretrained(DIRECTORY)",
                     directory, f->class, instead);
}

/* Without a class it is BERT, unless tokenizer.json has another model than BERT's. */
static int check_class(struct tokenizer_files *f, const char *directory, struct error *e)
{
    const char *model = model_in(f->root);
    if (!f->class && !f->root && only_sentencepiece(directory))
        return error_set(e, ERROR_USAGE,
                         "%s: has a sentencepiece model, but neither tokenizer_config.json nor config.json says whose; add "
                         "\"tokenizer_class\" (XLMRobertaTokenizer, DebertaV2Tokenizer) to tokenizer_config.json",
                         directory);
    if (!f->class) {
        f->bert = !model || !strcmp(model, "WordPiece");
        f->source = f->root ? SOURCE_JSON : SOURCE_VOCABULARY;
        f->roles = f->bert ? bert_roles : NULL;
        return 0;
    }
    const struct class_row *row = find_class(f->class);
    f->roles = row ? row->roles : NULL;
    f->bert = row && row->source == SOURCE_VOCABULARY;
    f->roberta = row && row->source == SOURCE_MERGES;
    f->source = f->root ? SOURCE_JSON : row ? row->source : SOURCE_JSON;
    if (!f->root)
        return check_older_files(f, row, directory, e);
    if (f->bert || !row || !model || !strcmp(row->model, model))
        return 0;
    return error_set(
        e, ERROR_USAGE,
        "%s/tokenizer_config.json: tokenizer_class is \"%.60s\", which has a %s model, but that of tokenizer.json is "
        "\"%.60s\"; one of the two files is another model's",
        directory, f->class, row->model, model);
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
    if (check_class(&f, directory, e) || (f.bert && check_roles(f.config, directory, "tokenizer_config.json", e)) ||
        (f.bert && !json_get(f.config, "added_tokens_decoder") && check_roles(f.map, directory, "special_tokens_map.json", e)))
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
    snprintf(chars, sizeof chars, "%u", t->wordpiece.max_chars);
    if (!t->settings.clean)
        differs(b, "clean_text", "false", "clean_text", "true", false);
    if (t->wordpiece.max_chars != TOKENIZER_BERT_CHARS)
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
    t->wordpiece.max_chars = TOKENIZER_BERT_CHARS;
    free(t->prefix);
    t->prefix = duplicate(TOKENIZER_BERT_PREFIX);
}
