/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a tokenizer.json is BERT's, and its settings if so. */
#include "common/json/json.h"
#include "common/text/tokenizer_files.h"

#include <string.h>

#define UNKNOWN_WORD "[UNK]"

static const char *const needed_names[] = {UNKNOWN_WORD, "[CLS]", "[SEP]", NULL};

int tokenizer_bert_check(struct tokenizer *t, const char *path, struct error *e)
{
    for (const char *const *name = needed_names; *name; name++)
        if (tokenizer_special(t, *name) < 0)
            return error_set(e, ERROR_DATA, "%s: the vocabulary has no %s; a BERT vocabulary needs it", path, *name);
    t->wordpiece.unknown = tokenizer_special(t, UNKNOWN_WORD);
    return 0;
}

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
struct template_piece {
    const char *kind, *id;
    double type;
};

static bool is_template(const struct json *list, const struct template_piece *pieces, size_t count)
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
    static const struct template_piece pieces[] = {{"SpecialToken", "[CLS]", 0},
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

static int read_model_json(struct tokenizer *t, const struct json *model, const char *path, struct error *e)
{
    const char *unknown = json_string(json_get(model, "unk_token"));
    const struct json *longest = json_get(model, "max_input_chars_per_word");
    double chars = longest ? json_number(longest) : 100;
    if (unknown && strcmp(unknown, UNKNOWN_WORD))
        return error_set(e, ERROR_USAGE, "%s: its unknown token is \"%.60s\", and only %s is supported", path, unknown,
                         UNKNOWN_WORD);
    if (!(chars >= 1 && chars <= TOKENIZER_MAX_CHARS))
        return error_set(e, ERROR_USAGE, "%s: max_input_chars_per_word is %g, and only 1 to %d is supported", path, chars,
                         TOKENIZER_MAX_CHARS);
    t->wordpiece.max_chars = (unsigned)chars;
    return 0;
}

int tokenizer_bert_read(struct tokenizer *t, const struct json *root, const char *path, struct error *e)
{
    return require_type(root, "model", "WordPiece", path, e) || require_type(root, "normalizer", "BertNormalizer", path, e) ||
                   require_type(root, "pre_tokenizer", "BertPreTokenizer", path, e) || check_post_processor(root, path, e) ||
                   normalizer_settings_read(&t->settings, &t->strip_follows_lower, json_get(root, "normalizer"), path, e) ||
                   read_model_json(t, json_get(root, "model"), path, e)
               ? -1
               : 0;
}
