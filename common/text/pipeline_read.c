/* SPDX-License-Identifier: Apache-2.0 */
/* From tokenizer.json to a pipeline: a kind of step or model is a row of a table. */
#include "common/text/pipeline.h"

#include "common/base/memory.h"
#include "common/text/bpe.h"
#include "common/text/byte_level.h"
#include "common/text/metaspace.h"
#include "common/text/normalizer.h"
#include "common/text/normalizer_steps.h"
#include "common/text/pattern.h"
#include "common/text/pre_tokenizers.h"
#include "common/text/unigram.h"
#include "common/text/wordpiece.h"
#include "common/text/workspace.h"

#include <stdlib.h>
#include <string.h>

static normalizer_reader read_bert_normalizer;

static const struct {
    const char *type;
    normalizer_reader *read;
} normalizers[] = {
    {"BertNormalizer", read_bert_normalizer},
    {"Lowercase", read_lowercase},
    {"NFC", read_nfc},
    {"NFD", read_nfd},
    {"NFKC", read_nfkc},
    {"NFKD", read_nfkd},
    {"Nmt", read_nmt},
    {"Precompiled", read_precompiled},
    {"Prepend", read_prepend},
    {"Replace", read_replace},
    {"Strip", read_strip},
    {"StripAccents", read_strip_accents},
    {"ByteLevel", byte_level_normalizer_read},
};

static const struct {
    const char *type;
    pre_tokenizer_reader *read;
} pre_tokenizers[] = {
    {"BertPreTokenizer", bert_pre_tokenizer_read},
    {"ByteLevel", byte_level_read},
    {"CharDelimiterSplit", delimiter_read},
    {"Digits", digits_read},
    {"Metaspace", metaspace_read},
    {"Punctuation", punctuation_read},
    {"Split", split_step_read},
    {"Whitespace", whitespace_read},
    {"WhitespaceSplit", whitespace_split_read},
};

static const struct {
    const char *type;
    token_model_reader *read;
} models[] = {
    {"WordPiece", wordpiece_read},
    {"Unigram", unigram_read},
    {"WordLevel", word_level_read},
    {"BPE", bpe_read},
};

#define COUNT(table) (sizeof table / sizeof *table)

/* BertNormalizer, as a step of a longer list. */

static void apply_bert(const void *state, const char *text, size_t size, struct buffer *to)
{
    normalizer_text(state, text, size, to);
}

static int read_bert_normalizer(struct normalizer_step *ret, const struct json *j, const struct pipeline_source *s,
                                struct error *e)
{
    struct normalizer_settings settings;
    bool follows;
    if (normalizer_settings_read(&settings, &follows, j, s->path, e))
        return -1;
    *ret = (struct normalizer_step){apply_bert, free, normalizer_create(settings)};
    return 0;
}

/* The parts. */

static const char *type_of(const struct json *j)
{
    const char *type = json_string(json_get(j, "type"));
    return type ? type : "(none)";
}

static bool is_absent(const struct json *j)
{
    return !j || json_type(j) == JSON_NULL;
}

static int refuse(const struct pipeline_source *s, const char *part, const char *type, struct error *e)
{
    return error_set(e, ERROR_USAGE, "%s: its %s \"%.60s\" is not supported; use a model whose tokenizer has another", s->path,
                     part, type);
}

/* A step, or those of a Sequence, appended. */
static int read_normalizer(struct pipeline *p, const struct json *j, const struct pipeline_source *s, struct error *e)
{
    const char *type = type_of(j);
    if (is_absent(j))
        return 0;
    if (!strcmp(type, "Sequence")) {
        const struct json *steps = json_get(j, "normalizers");
        for (size_t i = 0; i < json_size(steps); i++)
            if (read_normalizer(p, json_at(steps, i), s, e))
                return -1;
        return 0;
    }
    for (size_t i = 0; i < COUNT(normalizers); i++)
        if (!strcmp(type, normalizers[i].type)) {
            struct normalizer_step step;
            if (normalizers[i].read(&step, j, s, e))
                return -1;
            p->normalizer = reallocate(p->normalizer, p->normalizer_count + 1, sizeof *p->normalizer);
            p->normalizer[p->normalizer_count++] = step;
            return 0;
        }
    return refuse(s, "normalizer", type, e);
}

static void add_pre_tokenizer(struct pipeline *p, struct pre_tokenizer_step step)
{
    p->pre_tokenizer = reallocate(p->pre_tokenizer, p->pre_tokenizer_count + 1, sizeof *p->pre_tokenizer);
    p->pre_tokenizer[p->pre_tokenizer_count++] = step;
}

static int read_pre_tokenizer(struct pipeline *p, const struct json *j, const struct pipeline_source *s, struct error *e)
{
    const char *type = type_of(j);
    if (is_absent(j))
        return 0;
    if (!strcmp(type, "Sequence")) {
        const struct json *steps = json_get(j, "pretokenizers");
        for (size_t i = 0; i < json_size(steps); i++)
            if (read_pre_tokenizer(p, json_at(steps, i), s, e))
                return -1;
        return 0;
    }
    if (p->pre_tokenizer_count + 1 == PRE_TOKENIZER_STEPS) /* one is kept for what the model may add */
        return error_set(e, ERROR_USAGE, "%s: its pre_tokenizer has more than %d steps, which is not supported", s->path,
                         PRE_TOKENIZER_STEPS - 1);
    for (size_t i = 0; i < COUNT(pre_tokenizers); i++)
        if (!strcmp(type, pre_tokenizers[i].type)) {
            struct pre_tokenizer_step step;
            if (pre_tokenizers[i].read(&step, j, s, e))
                return -1;
            add_pre_tokenizer(p, step);
            return 0;
        }
    return refuse(s, "pre_tokenizer", type, e);
}

static int read_model(struct pipeline *p, const struct json *j, const struct pipeline_source *s, struct error *e)
{
    const char *type = type_of(j);
    for (size_t i = 0; i < COUNT(models); i++)
        if (!strcmp(type, models[i].type))
            return models[i].read(&p->model, j, s, e);
    return refuse(s, "model", type, e);
}

/* Ways that give the same tokens sooner. */
static void shorten(struct pipeline *p)
{
    size_t n = p->pre_tokenizer_count;
    struct pre_tokenizer_step step;
    if (n && bpe_is(&p->model) && byte_level_set_bytes(&p->pre_tokenizer[n - 1]))
        bpe_set_bytes(&p->model);
    else if (bpe_cut_step(&step, &p->model))
        add_pre_tokenizer(p, step);
}

int pipeline_read(struct pipeline **ret, const struct pipeline_source *s, struct error *e)
{
    struct pipeline *p = allocate(1, sizeof *p);
    p->workspaces = workspace_pool_create();
    if (read_normalizer(p, json_get(s->root, "normalizer"), s, e) ||
        read_pre_tokenizer(p, json_get(s->root, "pre_tokenizer"), s, e) || read_model(p, json_get(s->root, "model"), s, e)) {
        pipeline_destroy(&p);
        return -1;
    }
    shorten(p);
    *ret = p;
    return 0;
}
