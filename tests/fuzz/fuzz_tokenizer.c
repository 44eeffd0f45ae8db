/* SPDX-License-Identifier: Apache-2.0 */
/* Arbitrary bytes as texts: ids are of the vocabulary, an early stop gives the same start, rows fit and are whole. */
#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/text/pair.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(fact)                                                                                                              \
    do {                                                                                                                         \
        if (!(fact)) {                                                                                                           \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #fact);                                                   \
            abort();                                                                                                             \
        }                                                                                                                        \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char vocabulary[] =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nab\n##b\n##c\nabc\n.\n[\n]\ne\n##\xcc\x81\n\xe4\xb8\xad\n\xd0\xb6\n##\xd0\xb6\n";

/* Cased and uncased, with added tokens of every flag. */
static const char *const configs[] = {
    "{}",
    "{\"do_lower_case\":false,\"added_tokens_decoder\":{"
    "\"18\":{\"content\":\"ab c\",\"normalized\":true,\"lstrip\":true},\"19\":{\"content\":\" "
    "x\",\"normalized\":false,\"rstrip\":true},"
    "\"20\":{\"content\":\"\u00e9\",\"normalized\":true,\"single_word\":true},\"21\":{\"content\":\"b\",\"normalized\":false,"
    "\"single_word\":true,\"lstrip\":true,\"rstrip\":true}}}",
    "{\"strip_accents\":false,\"tokenize_chinese_chars\":false}",
};
#define MODELS (sizeof configs / sizeof *configs)

static struct tokenizer *open_model(const char *config)
{
    struct error e = {0};
    struct tokenizer *t = NULL;
    char directory[] = "/tmp/fuzz_tokenizer.XXXXXX";
    CHECK(mkdtemp(directory));
    char *words = path_join(directory, "vocab.txt"), *settings = path_join(directory, "tokenizer_config.json");
    if (file_write(words, vocabulary, strlen(vocabulary), &e) || file_write(settings, config, strlen(config), &e) ||
        tokenizer_open(&t, directory, &e) || directory_remove(directory, &e))
        fprintf(stderr, "%s\n", e.message);
    CHECK(t);
    free(words);
    free(settings);
    return t;
}

static void check_encode(const struct tokenizer *t, const char *text, size_t size, size_t limit)
{
    struct token_list whole = {0}, start = {0};
    tokenizer_encode(t, text, size, SIZE_MAX, &whole);
    tokenizer_encode(t, text, size, limit, &start);
    CHECK(start.count == (limit < whole.count ? limit : whole.count));
    CHECK(!start.count || !memcmp(start.ids, whole.ids, start.count * sizeof *start.ids));
    for (size_t i = 0; i < whole.count; i++)
        CHECK(whole.ids[i] >= 0 && (uint32_t)whole.ids[i] < tokenizer_size(t));
    token_list_free(&whole);
    token_list_free(&start);
}

static void check_pair(const struct tokenizer *t, const char *a, size_t a_size, const char *b, size_t b_size, uint32_t length)
{
    struct token_list whole = {0};
    tokenizer_encode(t, a, a_size, SIZE_MAX, &whole);
    size_t first = whole.count;
    tokenizer_encode(t, b, b_size, SIZE_MAX, &whole);
    for (int how = 0; truncation_names[how]; how++) {
        struct pair p = {0};
        pair_encode(&p, t, a, a_size, b, b_size, length, (enum truncation)how);
        size_t room = length - 3, n = p.first - 2, m = p.tokens.count - 3 - n;
        CHECK(p.first >= 2 && p.tokens.count >= p.first + 1);
        CHECK(n + m == (whole.count < room ? whole.count : room) || how != TRUNCATE_LONGEST_FIRST);
        CHECK(p.tokens.count <= length && p.truncated == (whole.count > room));
        CHECK(p.tokens.ids[0] == 2 && p.tokens.ids[n + 1] == 3 && p.tokens.ids[n + m + 2] == 3);
        CHECK(!n || !memcmp(p.tokens.ids + 1, whole.ids, n * sizeof *whole.ids));
        CHECK(!m || !memcmp(p.tokens.ids + n + 2, whole.ids + first, m * sizeof *whole.ids));
        token_list_free(&p.tokens);
    }
    token_list_free(&whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct tokenizer *models[MODELS];
    if (size < 2)
        return 0;
    for (size_t i = 0; i < MODELS; i++) {
        if (!models[i])
            models[i] = open_model(configs[i]);
        const char *text = (const char *)data + 2;
        size_t cut = (size - 2) * data[0] / 255;
        check_encode(models[i], text, size - 2, data[1]);
        check_pair(models[i], text, cut, text + cut, size - 2 - cut, 3u + data[1] % 32);
    }
    return 0;
}
