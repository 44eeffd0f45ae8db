/* SPDX-License-Identifier: Apache-2.0 */
/* Arbitrary bytes as texts of tokenizers of every kind: ids are of the vocabulary, an early stop gives the same start, rows fit
 * and are whole. */
#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/text/pair.h"
#include "tests/fuzz/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char vocabulary[] =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nab\n##b\n##c\nabc\n.\n[\n]\ne\n##\xcc\x81\n\xe4\xb8\xad\n\xd0\xb6\n##\xd0\xb6\n";

/* Cased and uncased, with added tokens of every flag. */
static const char *const bert[] = {
    "{}",
    "{\"do_lower_case\":false,\"added_tokens_decoder\":{"
    "\"18\":{\"content\":\"ab c\",\"normalized\":true,\"lstrip\":true},\"19\":{\"content\":\" "
    "x\",\"normalized\":false,\"rstrip\":true},"
    "\"20\":{\"content\":\"\u00e9\",\"normalized\":true,\"single_word\":true},\"21\":{\"content\":\"b\",\"normalized\":false,"
    "\"single_word\":true,\"lstrip\":true,\"rstrip\":true}}}",
    "{\"strip_accents\":false,\"tokenize_chinese_chars\":false}",
};
#define BERT (sizeof bert / sizeof *bert)

/* tokenizer.json of other kinds. */
#define ROBERTA "\"post_processor\":{\"type\":\"RobertaProcessing\",\"cls\":[\"<s>\",0],\"sep\":[\"</s>\",1]}"
#define MASK "{\"content\":\"<mask>\",\"lstrip\":true,\"special\":true,\"normalized\":false"
#define WORDS "\"<s>\":0,\"</s>\":1,\"<unk>\":2,\"a\":3,\"b\":4,\"ab\":5,"
#define SPLIT(pattern, behavior) "{\"type\":\"Split\",\"behavior\":\"" behavior "\",\"invert\":false,\"pattern\":" pattern "}"
static const char *const others[] = {
    /* byte-level BPE of a few bytes: the others vanish or are unknown */
    "{\"added_tokens\":[" MASK ",\"id\":10}]," ROBERTA
    ",\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":true},\"model\":{\"type\":\"BPE\",\"vocab\":{" WORDS
    "\"\u0120\":6,\"\u0120a\":7,\"\u00c3\":8,\"\u00a9\":9},\"merges\":[\"a b\",\"\u0120 a\"]}}",
    /* whole pieces first, unknown tokens, cl100k's expression */
    "{" ROBERTA ",\"normalizer\":{\"type\":\"NFC\"},\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[" SPLIT(
        "{\"Regex\":\"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}{1,3}| "
        "?[^\\\\s\\\\p{L}\\\\p{N}]+[\\r\\n]*|\\\\s*[\\r\\n]+|\\\\s+(?!\\\\S)|\\\\s+\"}",
        "Isolated") ",{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false}]},\"model\":{\"type\":\"BPE\","
                    "\"ignore_merges\":true,"
                    "\"unk_token\":\"<unk>\",\"vocab\":{" WORDS "\"\u0120\":6,\"\u0120a\":7},\"merges\":[[\"a\",\"b\"]]}}",
    /* as Gemma: words behind U+2581, byte fallback of some bytes */
    "{\"added_tokens\":[" MASK
    ",\"id\":11}],\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"\u2581\"},"
    "\"pre_tokenizer\":" SPLIT("{\"String\":\" \"}",
                               "MergedWithPrevious") "," ROBERTA ",\"model\":{\"type\":\"BPE\",\"byte_fallback\":true,\"fuse_"
                                                     "unk\":true,\"unk_token\":\"<unk>\",\"vocab\":{" WORDS
                                                     "\"\u2581\":6,\"\u2581a\":7,\"<0xC3>\":8,\"<0xA9>\":9,\"<0x0A>\":10},"
                                                     "\"merges\":[[\"a\",\"b\"],[\"\u2581\",\"a\"]]}}",
    /* the steps by kinds of characters, before WordPiece */
    "{" ROBERTA
    ",\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"WhitespaceSplit\"},{\"type\":\"Punctuation\","
    "\"behavior\":\"MergedWithNext\"},{\"type\":\"Digits\",\"individual_digits\":false}]},\"model\":{\"type\":\"WordPiece\","
    "\"unk_token\":\"<unk>\",\"vocab\":{" WORDS "\"##a\":6,\"##b\":7,\".\":8}}}",
};
#define MODELS (BERT + sizeof others / sizeof *others)

static struct tokenizer *open_model(const char *words, const char *settings)
{
    struct error e = {0};
    struct tokenizer *t = NULL;
    char directory[] = "/tmp/fuzz_tokenizer.XXXXXX";
    CHECK(mkdtemp(directory));
    char *text = path_join(directory, words == vocabulary ? "vocab.txt" : "tokenizer.json"),
         *config = path_join(directory, "tokenizer_config.json");
    if (file_write(text, words, strlen(words), &e) || file_write(config, settings, strlen(settings), &e) ||
        tokenizer_open(&t, directory, &e) || directory_remove(directory, &e))
        fprintf(stderr, "%s\n", e.message);
    CHECK(t);
    free(text);
    free(config);
    return t;
}

static struct tokenizer *open_number(size_t i)
{
    return i < BERT ? open_model(vocabulary, bert[i])
                    : open_model(others[i - BERT], "{\"tokenizer_class\":\"PreTrainedTokenizerFast\"}");
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

static void check_pair(const struct tokenizer *t, const char *a, size_t a_size, const char *b, size_t b_size,
                       uint32_t length /* without special tokens */)
{
    struct token_list whole = {0};
    tokenizer_encode(t, a, a_size, SIZE_MAX, &whole);
    size_t first = whole.count;
    tokenizer_encode(t, b, b_size, SIZE_MAX, &whole);
    const struct row_template *r = &tokenizer_templates(t)->pair;
    for (int how = 0; truncation_names[how]; how++) {
        struct pair p = {0};
        pair_encode(&p, t, a, a_size, b, b_size, r->all + length, (enum truncation)how);
        size_t sum = p.tokens.count - r->all, n = 0;
        CHECK(p.tokens.count >= r->all && sum <= length && p.truncated == (whole.count > length));
        CHECK(sum == (whole.count < length ? whole.count : length) || how != TRUNCATE_LONGEST_FIRST);
        const int32_t *ids = p.tokens.ids, *specials = r->specials;
        if (r->first_a && !r->first_b)
            n = p.first - r->first_specials;
        else if (!p.truncated)
            n = first;
        else
            n = SIZE_MAX; /* only the count is known */
        CHECK(!memcmp(ids, specials, r->before * sizeof *ids));
        CHECK(!memcmp(ids + p.tokens.count - r->after, specials + r->before + r->between, r->after * sizeof *ids));
        if (n != SIZE_MAX) {
            size_t m = sum - n;
            CHECK(n <= sum && (!n || !memcmp(ids + r->before, whole.ids, n * sizeof *ids)));
            CHECK(!memcmp(ids + r->before + n, specials + r->before, r->between * sizeof *ids));
            CHECK(!m || !memcmp(ids + r->before + n + r->between, whole.ids + first, m * sizeof *ids));
        }
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
            models[i] = open_number(i);
        const char *text = (const char *)data + 2;
        size_t cut = (size - 2) * data[0] / 255;
        check_encode(models[i], text, size - 2, data[1]);
        check_pair(models[i], text, cut, text + cut, size - 2 - cut, data[1] % 32);
    }
    return 0;
}
