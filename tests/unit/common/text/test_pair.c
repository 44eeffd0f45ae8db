/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of model input against Hugging Face `tokenizers` at many lengths; what happens where that one fails; threads. */
#include "tests/unit/common/text/text_test.h"

#include "common/base/parallel.h"
#include "common/text/pair.h"

static enum truncation truncation_of(const char *name)
{
    int i = 0;
    while (truncation_names[i] && strcmp(truncation_names[i], name))
        i++;
    assert_non_null(truncation_names[i]);
    return (enum truncation)i;
}

static void encode(struct pair *p, const struct tokenizer *t, const char *a, const char *b, uint32_t length, enum truncation how)
{
    pair_encode(p, t, a, strlen(a), b, b ? strlen(b) : 0, length, how);
}

static void every_truncation_at_many_lengths(void **state)
{
    (void)state;
    struct tokenizer *t = open_small();
    struct json *g = golden("text_pairs.json");
    const struct json *rows = json_get(g, "rows"), *texts = json_get(g, "texts");
    struct pair p = {0};
    size_t compared = 0;
    for (size_t i = 0; i < json_size(rows); i++) {
        const struct json *row = json_at(rows, i), *ids = json_at(row, 4);
        const char *how = json_string(json_at(row, 0)), *a = json_string(json_at(texts, (size_t)json_number(json_at(row, 2))));
        double second = json_number(json_at(row, 3));
        const char *b = second < 0 ? NULL : json_string(json_at(texts, (size_t)second));
        uint32_t length = (uint32_t)json_number(json_at(row, 1));
        if (json_type(ids) == JSON_NULL) /* `tokenizers` fails: the next test */
            continue;
        encode(&p, t, a, b, length, truncation_of(how));
        char *what = format_string("%s %u \"%s\" \"%s\"", how, length, a, b ? b : "(none)");
        assert_ids(ids, p.tokens.ids, p.tokens.count, what);
        if (p.first != (uint32_t)json_number(json_at(row, 5)))
            fail_msg("%s: expected %.0f tokens of type 0, found %u", what, json_number(json_at(row, 5)), p.first);
        free(what);
        compared++;
    }
    assert_true(compared > 1000);
    token_list_free(&p.tokens);
    json_destroy(&g);
    tokenizer_close(&t);
}

/* Where `tokenizers` refuses: the row still fits, starts with A's tokens, and says what was done. */
static void what_cannot_fit_is_cut_last(void **state)
{
    (void)state;
    struct tokenizer *t = open_small();
    struct json *g = golden("text_pairs.json");
    const struct json *rows = json_get(g, "rows"), *texts = json_get(g, "texts");
    struct pair p = {0};
    struct token_list whole_a = {0}, whole_b = {0};
    size_t compared = 0;
    for (size_t i = 0; i < json_size(rows); i++) {
        const struct json *row = json_at(rows, i);
        if (json_type(json_at(row, 4)) != JSON_NULL)
            continue;
        enum truncation how = truncation_of(json_string(json_at(row, 0)));
        const char *a = json_string(json_at(texts, (size_t)json_number(json_at(row, 2))));
        double second = json_number(json_at(row, 3));
        const char *b = second < 0 ? NULL : json_string(json_at(texts, (size_t)second));
        uint32_t length = (uint32_t)json_number(json_at(row, 1));
        encode(&p, t, a, b, length, how);
        whole_a.count = whole_b.count = 0;
        tokenizer_encode(t, a, strlen(a), SIZE_MAX, &whole_a);
        tokenizer_encode(t, b ? b : "", b ? strlen(b) : 0, SIZE_MAX, &whole_b);
        size_t room = length - (b ? 3 : 2), stays = how == TRUNCATE_ONLY_FIRST && b ? whole_b.count : whole_a.count;
        stays = stays < room ? stays : room;
        if (p.tokens.count != stays + (b ? 3 : 2) || !p.truncated)
            fail_msg("row %zu: expected %zu tokens, found %zu", i, stays + (b ? 3 : 2), p.tokens.count);
        if (how == TRUNCATE_ONLY_FIRST && b) {
            assert_int_equal(p.first, 2);
            assert_memory_equal(p.tokens.ids + 2, whole_b.ids, stays * sizeof *whole_b.ids);
        } else {
            assert_int_equal(p.first, stays + 2);
            assert_memory_equal(p.tokens.ids + 1, whole_a.ids, stays * sizeof *whole_a.ids);
        }
        assert_int_equal(p.first_too_long, how == TRUNCATE_ONLY_SECOND && b);
        compared++;
    }
    assert_true(compared > 100);
    token_list_free(&p.tokens);
    token_list_free(&whole_a);
    token_list_free(&whole_b);
    json_destroy(&g);
    tokenizer_close(&t);
}

static void flags_say_what_was_cut(void **state)
{
    (void)state;
    struct tokenizer *t = open_small();
    struct pair p = {0};
    encode(&p, t, "a b", "c d", 7, TRUNCATE_ONLY_SECOND);
    assert_false(p.truncated || p.first_too_long);
    assert_int_equal(p.tokens.count, 7);
    assert_int_equal(p.first, 4);
    encode(&p, t, "a b", "c d", 6, TRUNCATE_ONLY_SECOND);
    assert_true(p.truncated && !p.first_too_long);
    encode(&p, t, "a b c", "d", 6, TRUNCATE_ONLY_SECOND);
    assert_true(p.truncated && p.first_too_long);
    assert_int_equal(p.first, 5);
    encode(&p, t, "a b c d", NULL, 5, TRUNCATE_ONLY_SECOND);
    assert_true(p.truncated && !p.first_too_long);
    assert_int_equal(p.tokens.count, 5);
    encode(&p, t, "a b c d", "e", 0, TRUNCATE_LONGEST_FIRST); /* less than the special tokens: these alone */
    assert_int_equal(p.tokens.count, 3);
    token_list_free(&p.tokens);
    tokenizer_close(&t);
}

#define ROWS 1000

struct encoding {
    const struct tokenizer *tokenizer;
    const char *const *a, *const *b;
    struct pair *to; /* (ROWS) */
};

static void encode_rows(void *context, size_t begin, size_t end)
{
    const struct encoding *c = context;
    for (size_t i = begin; i < end; i++)
        encode(&c->to[i], c->tokenizer, c->a[i], c->b[i], 40, TRUNCATE_LONGEST_FIRST);
}

static void threads_give_what_one_gives(void **state)
{
    (void)state;
    struct tokenizer *t = open_small();
    struct json *g = golden("text_sentences.json");
    const struct json *rows = json_get(g, "rows");
    struct pair *all = allocate(ROWS, sizeof *all), one = {0};
    const char **a = allocate(ROWS, sizeof *a), **b = allocate(ROWS, sizeof *b);
    struct encoding c = {t, a, b, all};
    struct error e = {0};
    for (size_t i = 0; i < ROWS; i++) {
        a[i] = json_string(json_at(json_at(rows, i % json_size(rows)), 0));
        b[i] = i % 2 ? json_string(json_at(json_at(rows, (i * 7 + 3) % json_size(rows)), 0)) : NULL;
    }
    assert_int_equal(parallel_blocks(ROWS, 16, encode_rows, &c, &e), 0);
    for (size_t i = 0; i < ROWS; i++) {
        encode(&one, t, a[i], b[i], 40, TRUNCATE_LONGEST_FIRST);
        assert_int_equal(all[i].tokens.count, one.tokens.count);
        assert_int_equal(all[i].first, one.first);
        assert_int_equal(all[i].truncated, one.truncated);
        assert_memory_equal(all[i].tokens.ids, one.tokens.ids, one.tokens.count * sizeof *one.tokens.ids);
        token_list_free(&all[i].tokens);
    }
    token_list_free(&one.tokens);
    free(all);
    free(a);
    free(b);
    json_destroy(&g);
    tokenizer_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_truncation_at_many_lengths),
                                       cmocka_unit_test(what_cannot_fit_is_cut_last), cmocka_unit_test(flags_say_what_was_cut),
                                       cmocka_unit_test(threads_give_what_one_gives)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
