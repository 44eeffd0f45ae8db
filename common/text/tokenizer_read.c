/* SPDX-License-Identifier: Apache-2.0 */
/* Opening: a vocabulary with the files beside it, into a tokenizer. */
#include "common/base/buffer.h"
#include "common/base/file.h"
#include "common/base/file_kind.h"
#include "common/base/memory.h"
#include "common/json/json.h"
#include "common/text/tokenizer_files.h"

#include <stdlib.h>
#include <string.h>

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

/* Highest id that a row can have, + 1: empty words match nothing. */
static uint32_t count_ids(const struct tokenizer *t)
{
    uint32_t count = t->size;
    while (count && !(t->words[count - 1] && *t->words[count - 1]))
        count--;
    for (size_t i = 0; i < t->added_count; i++)
        if ((uint32_t)t->added[i].id >= count)
            count = (uint32_t)t->added[i].id + 1;
    const struct row_template *rows[] = {&t->templates.single, &t->templates.pair};
    for (size_t i = 0; i < 2; i++)
        for (unsigned k = 0; k < rows[i]->all; k++)
            if ((uint32_t)rows[i]->specials[k] >= count)
                count = (uint32_t)rows[i]->specials[k] + 1;
    return count;
}

static void describe_value(struct buffer *b, const char *key, const struct json *j)
{
    char *text = j ? json_print(j, false) : NULL;
    buffer_text(b, key);
    buffer_text(b, " ");
    buffer_text(b, text ? text : "null");
    buffer_text(b, "\n");
    free(text);
}

/* A merge counts by its two tokens, however they are spelt ("a b" or ["a", "b"]). */
static void describe_merges(struct buffer *b, const struct json *list)
{
    for (size_t i = 0; i < json_size(list); i++) {
        const char *line = json_string(json_at(list, i)), *left = json_string(json_at(json_at(list, i), 0)),
                   *right = json_string(json_at(json_at(list, i), 1));
        if (line)
            buffer_text(b, line);
        else
            buffer_printf(b, "%s %s", left, right);
        buffer_text(b, "\n");
    }
}

/* What decides an id of another tokeniser than BERT's. */
static void describe_pipeline(const struct tokenizer *t, struct buffer *b)
{
    static const char *const parts[] = {"normalizer", "pre_tokenizer", "post_processor"};
    const struct json *model = json_get(t->root, "model");
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        describe_value(b, parts[i], json_get(t->root, parts[i]));
    for (size_t i = 0; i < json_size(model); i++)
        if (strcmp(json_key(model, i), "merges") != 0)
            describe_value(b, json_key(model, i), json_at(model, i));
    describe_merges(b, json_get(model, "merges"));
}

static void describe_bert(const struct tokenizer *t, struct buffer *b)
{
    buffer_printf(b, "wordpiece %d %d %d %d %u %s\n", t->settings.clean, t->settings.chinese, t->settings.strip,
                  t->settings.lower, t->wordpiece.max_chars, t->prefix);
    for (uint32_t i = 0; i < t->size; i++)
        buffer_printf(b, "%zu %s\n", t->words[i] ? strlen(t->words[i]) : 0, t->words[i] ? t->words[i] : "");
}

/* Digest over all that decides an id. */
static void set_digest(struct tokenizer *t)
{
    struct sha256 *s;
    struct buffer b = {0};
    if (t->pipeline)
        describe_pipeline(t, &b);
    else
        describe_bert(t, &b);
    for (size_t i = 0; i < t->added_count; i++) {
        const struct added_token *a = &t->added[i];
        buffer_printf(&b, "%d %d%d%d%d%d %s\n", a->id, a->special, a->normalized, a->left, a->right, a->single_word, a->content);
    }
    sha256_create(&s);
    sha256_update(s, b.data, b.size);
    sha256_finish(&s, t->sha256);
    buffer_free(&b);
}

static int read_pipeline(struct tokenizer *t, const struct tokenizer_files *f, const char *path, struct error *e)
{
    struct pipeline_source source = {f->root, path, &t->vocabulary};
    return pipeline_read(&t->pipeline, &source, e) ||
                   row_templates_read(&t->templates, json_get(f->root, "post_processor"), path, e)
               ? -1
               : 0;
}

/* A class that takes tokenizer.json as it is may still have BERT's. */
static bool is_bert(struct tokenizer *t, const struct tokenizer_files *f, const char *path)
{
    struct error ignored;
    return f->root && !tokenizer_bert_read(t, f->root, path, &ignored);
}

static int read_words(struct tokenizer *t, struct tokenizer_files *f, const char *directory, const char *path, struct error *e)
{
    if (f->bert && f->root && tokenizer_bert_read(t, f->root, path, e))
        return -1;
    int result = f->root ? tokenizer_words_of_model(t, json_get(f->root, "model"), path, e) : tokenizer_words_of_file(t, path, e);
    if (result)
        return -1;
    t->bert = f->bert || is_bert(t, f, path);
    if (t->bert)
        tokenizer_files_settle(t, f, directory);
    return tokenizer_build_vocabulary(t, path, e);
}

static int read_rules(struct tokenizer *t, struct tokenizer_files *f, const char *path, struct error *e)
{
    if (!t->bert)
        return read_pipeline(t, f, path, e);
    if (tokenizer_bert_check(t, path, e))
        return -1;
    t->wordpiece.nodes = t->vocabulary.nodes;
    t->templates = row_templates_of(tokenizer_special(t, "[CLS]"), tokenizer_special(t, "[SEP]"), false);
    t->normalizer = normalizer_create(t->settings);
    return 0;
}

static int read_directory(struct tokenizer *t, struct tokenizer_files *f, const char *directory, const char *path,
                          struct error *e)
{
    if (tokenizer_files_complete(t, f, directory, e) || read_words(t, f, directory, path, e) ||
        tokenizer_files_add(t, f, directory, e) || read_rules(t, f, path, e))
        return -1;
    t->types = f->types;
    if (t->pipeline) { /* for the digest and the export */
        t->root = f->root;
        f->root = NULL;
    }
    return 0;
}

static void normalize_bert(const void *state, const char *text, size_t size, struct buffer *to)
{
    normalizer_text(state, text, size, to);
}

static void normalize_with_pipeline(const void *state, const char *text, size_t size, struct buffer *to)
{
    const struct pipeline *p = state;
    struct workspace *w = pipeline_acquire(p);
    struct piece normal = pipeline_normalize(p, w, text, size, false);
    buffer_append(to, normal.text, normal.size);
    pipeline_release(p, w);
}

static void build_added(struct tokenizer *t)
{
    added_normalize *normalize = t->pipeline ? normalize_with_pipeline : normalize_bert;
    const void *state = t->pipeline ? (const void *)t->pipeline : t->normalizer;
    sort_added(t);
    added_set_build(&t->raw, t->added, t->added_count, false, normalize, state);
    added_set_build(&t->normalized, t->added, t->added_count, true, normalize, state);
    if (t->bert && t->normalized.count)
        t->plain = normalizer_create((struct normalizer_settings){0});
}

/* A file that is there but is no such file is named for what it is. */
static int check_kind(const char *directory, const char *name, struct error *e)
{
    char *path = path_join(directory, name);
    int result = file_exists(path) ? file_kind_check_file(path, e) : 0;
    free(path);
    return result;
}

static int read_files(struct tokenizer_files *f, const char *directory, struct error *e)
{
    if (!directory_exists(directory))
        return error_set(e, ERROR_USAGE, "%s: no such model directory", directory);
    if (check_kind(directory, "tokenizer.json", e) || tokenizer_files_read(f, directory, e))
        return -1;
    if (!f->root && check_kind(directory, "vocab.txt", e)) {
        tokenizer_files_free(f);
        return -1;
    }
    return 0;
}

int tokenizer_open(struct tokenizer **ret, const char *directory, struct error *e)
{
    struct tokenizer_files f = {0};
    if (read_files(&f, directory, e))
        return -1;
    struct tokenizer *t = allocate(1, sizeof *t);
    char *path = path_join(directory, tokenizer_files_name(&f));
    int result = 0;
    if (!file_exists(path))
        result =
            error_set(e, ERROR_USAGE, "%s: has neither tokenizer.json nor vocab.txt; a model directory needs one", directory);
    if (!result)
        result = read_directory(t, &f, directory, path, e);
    tokenizer_files_free(&f);
    free(path);
    if (result) {
        tokenizer_close(&t);
        return -1;
    }
    t->id_count = count_ids(t);
    build_added(t);
    set_digest(t);
    *ret = t;
    return 0;
}
