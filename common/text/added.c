/* SPDX-License-Identifier: Apache-2.0 */
#include "common/text/added.h"

#include "common/base/memory.h"
#include "common/text/normalizer.h"
#include "common/text/unicode_table.h"
#include "common/text/utf8.h"

#include <stdlib.h>
#include <string.h>

void added_set_build(struct added_set *s, const struct added_token *all, size_t count, bool normalized,
                     added_normalize *normalize, const void *state)
{
    struct vocabulary_entry *entries = allocate(count, sizeof *entries);
    struct buffer *forms = allocate(count, sizeof *forms);
    *s = (struct added_set){.memory = allocate(count, sizeof *s->memory), .only_start = -1};
    for (size_t i = 0; i < count; i++) {
        if (all[i].normalized != normalized)
            continue;
        struct buffer *form = &forms[s->count];
        if (normalized)
            normalize(state, all[i].content, strlen(all[i].content), form);
        else
            buffer_text(form, all[i].content);
        bool known = !form->size;
        for (size_t k = 0; k < s->count && !known; k++) /* of two with one form the first is found */
            known = !strcmp(entries[k].word, form->data);
        if (known) {
            buffer_free(form);
            continue;
        }
        entries[s->count] = (struct vocabulary_entry){form->data, (int32_t)s->count};
        s->memory[s->count++] = &all[i];
        uint8_t start = (uint8_t)form->data[0];
        s->only_start = s->count == 1 || s->only_start == start ? start : -1;
        s->starts[start] = true;
    }
    s->tokens = s->memory;
    vocabulary_build(&s->trie, entries, s->count, NULL);
    for (size_t i = 0; i < s->count; i++)
        buffer_free(&forms[i]);
    free(forms);
    free(entries);
}

void added_set_free(struct added_set *s)
{
    vocabulary_free(&s->trie);
    free(s->memory);
    *s = (struct added_set){0};
}

static size_t next_start(const struct added_set *s, const uint8_t *text, size_t size, size_t at)
{
    if (s->only_start >= 0) {
        const uint8_t *found = at < size ? memchr(text + at, s->only_start, size - at) : NULL;
        return found ? (size_t)(found - text) : size;
    }
    while (at < size && !s->starts[text[at]])
        at++;
    return at;
}

/* Size of the longest token at `at` (0: none), its index into *index. */
static size_t longest_at(const struct added_set *s, const uint8_t *text, size_t size, size_t at, size_t *index)
{
    size_t best = 0;
    uint32_t node = VOCABULARY_START;
    for (size_t i = at; i < size && (node = vocabulary_step(s->trie.nodes, node, text[i])); i++)
        if (s->trie.nodes[node].id >= 0) {
            best = i + 1 - at;
            *index = (size_t)s->trie.nodes[node].id;
        }
    return best;
}

/* The character that ends at `at`, and where it starts. */
static size_t character_before(const uint8_t *text, size_t at, uint32_t *c)
{
    size_t start = at - 1;
    while (start && at - start < 4 && (text[start] & 0xC0) == 0x80)
        start--;
    if (start + utf8_decode(text + start, text + at, c) != at) { /* a stray byte */
        *c = UTF8_REPLACEMENT;
        return at - 1;
    }
    return start;
}

static bool stands_alone(const uint8_t *text, size_t size, size_t start, size_t stop)
{
    uint32_t before = ' ', after = ' ';
    if (start)
        character_before(text, start, &before);
    if (stop < size)
        utf8_decode(text + stop, text + size, &after);
    return !character_is_word(before) && !character_is_word(after);
}

static size_t skip_space_left(const uint8_t *text, size_t at, size_t floor)
{
    uint32_t c;
    for (size_t start; at > floor && (start = character_before(text, at, &c), unicode_find(&unicode_space, c));)
        at = start;
    return at;
}

static size_t skip_space_right(const uint8_t *text, size_t size, size_t at)
{
    uint32_t c;
    for (unsigned n; at < size && (n = utf8_decode(text + at, text + size, &c), unicode_find(&unicode_space, c));)
        at += n;
    return at;
}

bool added_next(const struct added_set *s, const char *text, size_t size, struct added_walk *walk, struct added_match *ret)
{
    const uint8_t *bytes = (const uint8_t *)text;
    while (s->count && (walk->cursor = next_start(s, bytes, size, walk->cursor)) < size) {
        size_t index = 0, start = walk->cursor, length = longest_at(s, bytes, size, start, &index), stop = start + length;
        walk->cursor += length ? length : 1;
        const struct added_token *t = s->tokens[index];
        if (!length || (t->single_word && !stands_alone(bytes, size, start, stop)))
            continue;
        if (t->left)
            start = skip_space_left(bytes, start, walk->floor);
        if (t->right)
            stop = skip_space_right(bytes, size, stop);
        *ret = (struct added_match){start, stop, t->id};
        walk->floor = stop;
        return true;
    }
    return false;
}
