/* SPDX-License-Identifier: Apache-2.0 */
/* The vocabulary of a tokeniser: from vocab.txt or the model of tokenizer.json. */
#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/json/json.h"
#include "common/text/tokenizer_files.h"
#include "common/text/unicode_table.h"
#include "common/text/utf8.h"

#include <stdlib.h>
#include <string.h>

#define MAX_IDS 16000000 /* far above any model: an id above it is a broken file */

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
int tokenizer_words_of_file(struct tokenizer *t, const char *path, struct error *e)
{
    char *text;
    size_t size, capacity = 0;
    t->prefix = duplicate(TOKENIZER_BERT_PREFIX);
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

static int set_words(struct tokenizer *t, const struct json *vocabulary, const char *path, struct error *e)
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

/* Unigram's list of [word, score]: the place is the id. */
static int set_listed_words(struct tokenizer *t, const struct json *vocabulary, const char *path, struct error *e)
{
    size_t capacity = 0;
    for (size_t i = 0; i < json_size(vocabulary); i++) {
        const char *word = json_string(json_at(json_at(vocabulary, i), 0));
        if (!word)
            return error_set(e, ERROR_DATA, "%s: its model's vocabulary has no word at place %zu", path, i);
        if (set_word(t, &capacity, word, (double)i, path, e))
            return -1;
    }
    return 0;
}

int tokenizer_words_of_model(struct tokenizer *t, const struct json *model, const char *path, struct error *e)
{
    const struct json *vocabulary = json_get(model, "vocab");
    const char *type = json_string(json_get(model, "type")), *prefix = json_string(json_get(model, "continuing_subword_prefix"));
    if (type && !strcmp(type, "WordPiece"))
        t->prefix = duplicate(prefix ? prefix : TOKENIZER_BERT_PREFIX);
    if (vocabulary && json_type(vocabulary) == JSON_OBJECT)
        return set_words(t, vocabulary, path, e);
    if (vocabulary && json_type(vocabulary) == JSON_ARRAY)
        return set_listed_words(t, vocabulary, path, e);
    return error_set(e, ERROR_DATA, "%s: its model has no \"vocab\" of words", path);
}

static int compare_entries(const void *a, const void *b)
{
    const struct vocabulary_entry *x = a, *y = b;
    int order = strcmp(x->word, y->word);
    return order ? order : (x->id > y->id) - (x->id < y->id);
}

int tokenizer_build_vocabulary(struct tokenizer *t, const char *path, struct error *e)
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
