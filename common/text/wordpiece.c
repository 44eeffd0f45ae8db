/* SPDX-License-Identifier: Apache-2.0 */
/* WordPiece and WordLevel as models of a pipeline. */
#include "common/text/wordpiece.h"

#include "common/base/memory.h"
#include "common/text/utf8.h"

#include <stdlib.h>
#include <string.h>

/* The id of the unknown token, which these models cannot do without. */
static int read_unknown(int32_t *ret, const struct json *j, const struct pipeline_source *s, struct error *e)
{
    const char *unknown = json_string(json_get(j, "unk_token"));
    unknown = unknown ? unknown : "[UNK]";
    *ret = vocabulary_find(s->vocabulary, unknown, strlen(unknown));
    if (*ret < 0)
        return error_set(e, ERROR_DATA, "%s: the vocabulary has no \"%.60s\", which is its model's unk_token", s->path, unknown);
    return 0;
}

static void encode_wordpiece(const void *state, void *scratch, const char *text, size_t size, struct token_list *to)
{
    const uint8_t *p = (const uint8_t *)text;
    size_t chars = 0;
    (void)scratch;
    for (size_t i = 0; i < size; i++)
        chars += (p[i] & 0xC0) != 0x80;
    wordpiece_put(state, p, size, chars, to);
}

int wordpiece_read(struct token_model *ret, const struct json *j, const struct pipeline_source *s, struct error *e)
{
    struct wordpiece w = {.nodes = s->vocabulary->nodes, .max_chars = 100};
    const struct json *longest = json_get(j, "max_input_chars_per_word");
    double chars = longest ? json_number(longest) : w.max_chars;
    if (read_unknown(&w.unknown, j, s, e))
        return -1;
    if (!(chars >= 0 && chars <= 1e9))
        return error_set(e, ERROR_DATA, "%s: max_input_chars_per_word is %g", s->path, chars);
    w.max_chars = (unsigned)chars;
    struct wordpiece *state = allocate(1, sizeof *state);
    *state = w;
    *ret = (struct token_model){.encode = encode_wordpiece, .destroy = free, .state = state};
    return 0;
}

struct word_level {
    const struct vocabulary *vocabulary;
    int32_t unknown;
};

static void encode_word_level(const void *state, void *scratch, const char *text, size_t size, struct token_list *to)
{
    const struct word_level *w = state;
    int32_t id = vocabulary_find(w->vocabulary, text, size);
    (void)scratch;
    token_list_put(to, id >= 0 ? id : w->unknown);
}

int word_level_read(struct token_model *ret, const struct json *j, const struct pipeline_source *s, struct error *e)
{
    struct word_level w = {.vocabulary = s->vocabulary};
    if (read_unknown(&w.unknown, j, s, e))
        return -1;
    struct word_level *state = allocate(1, sizeof *state);
    *state = w;
    *ret = (struct token_model){.encode = encode_word_level, .destroy = free, .state = state};
    return 0;
}
