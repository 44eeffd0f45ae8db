/* SPDX-License-Identifier: Apache-2.0 */
/* Files from before tokenizer.json: vocab.json and merges.txt of RoBERTa's classes become the tokenizer.json that transformers
 * makes of them; and the one setting that these classes take from tokenizer_config.json although tokenizer.json says it too. */
#include "common/base/buffer.h"
#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/text/sentencepiece_model.h"
#include "common/text/tokenizer_files.h"

#include <stdlib.h>
#include <string.h>

enum { ROLE_SEP = 3, ROLE_CLS = 5 }; /* of tokenizer_roles */

/* A merge a line; empty ones and "#version" say nothing. */
static int read_merges(struct json *list, const char *directory, struct error *e)
{
    char *path = path_join(directory, "merges.txt"), *text = NULL;
    size_t size;
    int result = file_read(&text, &size, path, e);
    for (char *at = text, *next; !result && at < text + size; at = next) {
        char *stop = memchr(at, '\n', (size_t)(text + size - at));
        next = stop ? stop + 1 : text + size;
        stop = stop ? stop : next;
        if (stop > at && stop[-1] == '\r')
            stop--;
        char saved = *stop;
        *stop = 0;
        if (*at && strncmp(at, "#version", 8) != 0)
            json_append(list, json_of_string(at));
        *stop = saved;
    }
    free(text);
    free(path);
    return result;
}

static int add_processor_token(struct json *to, const char *key, const struct json *vocabulary, const char *word,
                               const char *directory, struct error *e)
{
    const struct json *id = json_get(vocabulary, word ? word : "");
    if (!id)
        return error_set(e, ERROR_DATA, "%s/vocab.json: the vocabulary has no \"%.60s\", which is the %s_token", directory,
                         word ? word : "", key);
    struct json *pair = json_set(to, key, json_array());
    json_append(pair, json_of_string(word));
    json_append(pair, json_copy(id));
    return 0;
}

static bool prefix_in_config(const struct tokenizer_files *f)
{
    return json_boolean(json_get(f->config, "add_prefix_space"));
}

static void set_byte_level(struct json *j, bool prefix)
{
    json_set_string(j, "type", "ByteLevel");
    json_set_boolean(j, "add_prefix_space", prefix);
    json_set_boolean(j, "trim_offsets", true);
    json_set_boolean(j, "use_regex", true);
}

static int set_processor(struct json *root, const struct tokenizer_files *f, const struct json *vocabulary, const char *directory,
                         struct error *e)
{
    struct json *j = json_set(root, "post_processor", json_object());
    json_set_string(j, "type", "RobertaProcessing");
    if (add_processor_token(j, "sep", vocabulary, tokenizer_files_role(f, ROLE_SEP), directory, e) ||
        add_processor_token(j, "cls", vocabulary, tokenizer_files_role(f, ROLE_CLS), directory, e))
        return -1;
    json_set_boolean(j, "trim_offsets", true);
    json_set_boolean(j, "add_prefix_space", prefix_in_config(f));
    return 0;
}

static int make_root(struct json *root, const struct tokenizer_files *f, const char *directory, struct error *e)
{
    struct json *vocabulary = NULL;
    char *path = path_join(directory, "vocab.json");
    int result = json_read(&vocabulary, path, e);
    free(path);
    if (result)
        return -1;
    json_set_string(root, "version", "1.0");
    json_set(root, "added_tokens", json_array());
    json_set(root, "normalizer", json_null());
    set_byte_level(json_set(root, "pre_tokenizer", json_object()), prefix_in_config(f));
    result = set_processor(root, f, vocabulary, directory, e);
    set_byte_level(json_set(root, "decoder", json_object()), true);
    struct json *model = json_set(root, "model", json_object());
    json_set_string(model, "type", "BPE");
    json_set(model, "vocab", vocabulary);
    return result ? -1 : read_merges(json_set(model, "merges", json_array()), directory, e);
}

/* RoBERTa's classes take add_prefix_space from tokenizer_config.json, false where it does not say it. */
static void settle_prefix(struct tokenizer *t, struct tokenizer_files *f, const char *directory)
{
    const struct json *found = json_get(f->root, "pre_tokenizer");
    const char *type = json_string(json_get(found, "type"));
    bool prefix = prefix_in_config(f);
    if (!type || strcmp(type, "ByteLevel") != 0 || json_boolean(json_get(found, "add_prefix_space")) == prefix)
        return;
    struct json *changed = json_copy(found);
    json_set_boolean(changed, "add_prefix_space", prefix);
    json_set(f->root, "pre_tokenizer", changed);
    t->disagreement =
        format_string("%s: add_prefix_space is %s in tokenizer.json, %s %s; the latter holds, as transformers reads %s",
                      directory, prefix ? "false" : "true", prefix ? "true" : "false",
                      json_get(f->config, "add_prefix_space") ? "in tokenizer_config.json"
                                                              : "by default (tokenizer_config.json does not say it)",
                      f->class);
}

/* As transformers' converter of slow tokenizers makes a tokenizer.json of the .model file. */
static int read_sentencepiece(struct tokenizer_files *f, const char *directory, struct error *e)
{
    bool deberta = !strncmp(f->class, "DebertaV2", 9);
    struct sentencepiece_options options = {.family = deberta ? SENTENCEPIECE_DEBERTA : SENTENCEPIECE_XLM,
                                            .lower = json_boolean(json_get(f->config, "do_lower_case")),
                                            .split_punctuation = json_boolean(json_get(f->config, "split_by_punct"))};
    char *path = path_join(directory, tokenizer_files_name(f));
    int result = sentencepiece_read(&f->root, path, options, e);
    free(path);
    return result;
}

int tokenizer_files_complete(struct tokenizer *t, struct tokenizer_files *f, const char *directory, struct error *e)
{
    if (f->root && f->roberta)
        settle_prefix(t, f, directory);
    if (!f->root && f->source == SOURCE_SENTENCEPIECE)
        return read_sentencepiece(f, directory, e);
    if (f->root || f->source != SOURCE_MERGES)
        return 0;
    struct json *root = json_object();
    if (make_root(root, f, directory, e)) {
        json_destroy(&root);
        return -1;
    }
    f->root = root;
    return 0;
}
