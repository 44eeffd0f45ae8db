/* SPDX-License-Identifier: Apache-2.0 */
/* TF-IDF against scikit-learn's TfidfVectorizer (tests/golden/baseline_tfidf.json). */
#include "common/base/memory.h"
#include "common/json/json.h"
#include "common/text/tfidf.h"

#include <math.h>
#include <sched.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#define TOLERANCE 1e-9

static const char **texts_of(const struct json *list)
{
    const char **texts = allocate(json_size(list), sizeof *texts);
    for (size_t i = 0; i < json_size(list); i++)
        texts[i] = json_string(json_at(list, i));
    return texts;
}

static void check_columns(const struct tfidf *t, const struct json *c, const char *name)
{
    const struct json *terms = json_get(c, "terms");
    for (uint32_t i = 0; i < tfidf_columns(t) && i < json_size(terms); i++) {
        char *term = tfidf_term(t, i);
        if (strcmp(term, json_string(json_at(terms, i))) != 0)
            fail_msg("%s: column %u: expected \"%s\", found \"%s\"", name, i, json_string(json_at(terms, i)), term);
        free(term);
    }
    if (tfidf_columns(t) != json_size(terms))
        fail_msg("%s: expected %zu columns, found %u", name, json_size(terms), tfidf_columns(t));
}

static void check_row(const struct tfidf_row *row, const struct json *expected, const char *name, size_t i)
{
    const struct json *columns = json_at(expected, 0), *values = json_at(expected, 1);
    if (row->count != json_size(columns))
        fail_msg("%s: row %zu: expected %zu values, found %zu", name, i, json_size(columns), row->count);
    for (size_t k = 0; k < row->count; k++) {
        double value = json_number(json_at(values, k));
        if (row->columns[k] != json_number(json_at(columns, k)) || !(fabs(row->values[k] - value) <= TOLERANCE))
            fail_msg("%s: row %zu, value %zu: expected column %.0f: %.17g, found column %u: %.17g", name, i, k,
                     json_number(json_at(columns, k)), value, row->columns[k], row->values[k]);
    }
}

static void check_case(const struct json *c)
{
    const char *name = json_string(json_get(c, "name"));
    const struct json *fit = json_get(c, "fit"), *score = json_get(c, "score"), *rows = json_get(c, "rows");
    struct tfidf_options o = {(uint32_t)json_number(json_get(c, "min_df")), (uint32_t)json_number(json_get(c, "max_features"))};
    const char **texts = texts_of(fit);
    struct tfidf *t;
    struct tfidf_row row = {0};
    struct error e;
    if (tfidf_fit(&t, texts, json_size(fit), &o, &e) != 0)
        fail_msg("%s: %s", name, e.message);
    check_columns(t, c, name);
    for (size_t i = 0; i < json_size(rows); i++) {
        const struct json *text = i < json_size(fit) ? json_at(fit, i) : json_at(score, i - json_size(fit));
        tfidf_transform(&row, t, json_string(text));
        check_row(&row, json_at(rows, i), name, i);
    }
    tfidf_row_free(&row);
    tfidf_destroy(&t);
    free(texts);
}

static void test_scikit_learn(void **state)
{
    (void)state;
    struct json *golden;
    struct error e;
    if (json_read(&golden, TEST_GOLDEN "/baseline_tfidf.json", &e) != 0)
        fail_msg("%s", e.message);
    const struct json *cases = json_get(golden, "cases");
    assert_int_equal(json_size(cases), 4);
    for (size_t i = 0; i < json_size(cases); i++)
        check_case(json_at(cases, i));
    json_destroy(&golden);
}

/* Pairs are counted in several passes once there are many: the outcome is known here without a second program. */
static void test_many_pairs(void **state)
{
    (void)state;
    enum { TEXTS = 60, WORDS = 90000, DIFFERENT = 700 }; /* 5.4 million words: two passes */
    char **texts = allocate(TEXTS, sizeof *texts);
    for (int i = 0; i < TEXTS; i++) {
        char *at = texts[i] = allocate(WORDS * 6 + 1, 1);
        for (int k = 0; k < WORDS; k++) /* word w is followed by w + 1 or w + 3 alone */
            at += sprintf(at, "w%03d ", i % 2 ? (3 * k + i) % DIFFERENT : (k + i) % DIFFERENT);
    }
    struct tfidf *t;
    struct error e;
    struct tfidf_options o = {TEXTS / 2, 1000000};
    assert_int_equal(tfidf_fit(&t, (const char *const *)texts, TEXTS, &o, &e), 0);
    assert_int_equal(tfidf_columns(t), 3 * DIFFERENT);
    tfidf_destroy(&t);
    o.min_df++; /* pairs are in every second text */
    assert_int_equal(tfidf_fit(&t, (const char *const *)texts, TEXTS, &o, &e), 0);
    assert_int_equal(tfidf_columns(t), DIFFERENT);
    tfidf_destroy(&t);
    for (int i = 0; i < TEXTS; i++)
        free(texts[i]);
    free(texts);
}

static void test_nothing_left(void **state)
{
    (void)state;
    const char *const texts[] = {"one two", "three a b c", "", "\xff\xfe broken"};
    struct tfidf *t = NULL;
    struct error e = {0};
    struct tfidf_options o = {2, 200000};
    for (size_t count = 0; count <= 4; count += 2) {
        assert_int_equal(tfidf_fit(&t, texts, count, &o, &e), -1);
        assert_int_equal(e.kind, ERROR_DATA);
        assert_non_null(strstr(e.message, "no word of two or more letters is in 2 or more of the"));
        assert_null(t);
    }
}

static void test_limit_prefers_the_first_of_equals(void **state)
{
    (void)state;
    const char *const texts[] = {"bb aa cc", "bb aa cc"};
    struct tfidf *t;
    struct error e;
    struct tfidf_options o = {1, 2};
    assert_int_equal(tfidf_fit(&t, texts, 2, &o, &e), 0);
    assert_int_equal(tfidf_columns(t), 2);
    char *first = tfidf_term(t, 0), *second = tfidf_term(t, 1);
    assert_string_equal(first, "aa");
    assert_string_equal(second, "aa cc");
    free(first);
    free(second);
    tfidf_destroy(&t);
}

/* Texts by a linear congruence: 40 words of 500 each. */
static char **make_texts(size_t count)
{
    char **texts = allocate(count, sizeof *texts);
    uint64_t state = 1;
    for (size_t i = 0; i < count; i++) {
        texts[i] = allocate(40 * 8, 1);
        for (int k = 0; k < 40; k++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            sprintf(texts[i] + strlen(texts[i]), "w%llu ", (unsigned long long)(state >> 33) * (state >> 60) % 500);
        }
    }
    return texts;
}

static struct tfidf *fit_on(const char *const *texts, size_t count, const cpu_set_t *cores)
{
    struct tfidf *t;
    struct error e;
    struct tfidf_options o = {2, 20000}; /* of some 200,000 terms */
    assert_int_equal(sched_setaffinity(0, sizeof *cores, cores), 0);
    if (tfidf_fit(&t, texts, count, &o, &e))
        fail_msg("%s", e.message);
    return t;
}

static void all_cores_give_the_same(void **state)
{
    (void)state;
    enum { TEXTS = 10000 };
    char **texts = make_texts(TEXTS);
    cpu_set_t all, one;
    CPU_ZERO(&one);
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    for (int i = 0; CPU_COUNT(&one) == 0; i++)
        if (CPU_ISSET(i, &all))
            CPU_SET(i, &one);
    struct tfidf *expected = fit_on((const char *const *)texts, TEXTS, &one),
                 *found = fit_on((const char *const *)texts, TEXTS, &all);
    assert_int_equal(tfidf_columns(expected), 20000);
    assert_int_equal(tfidf_columns(found), 20000);
    struct tfidf_row x = {0}, y = {0};
    for (uint32_t i = 0; i < 20000; i += 7) {
        char *a = tfidf_term(expected, i), *b = tfidf_term(found, i);
        assert_string_equal(a, b);
        free(a);
        free(b);
    }
    for (size_t i = 0; i < 200; i++) {
        tfidf_transform(&x, expected, texts[i]);
        tfidf_transform(&y, found, texts[i]);
        assert_int_equal(x.count, y.count);
        assert_memory_equal(x.columns, y.columns, x.count * sizeof *x.columns);
        assert_memory_equal(x.values, y.values, x.count * sizeof *x.values);
    }
    tfidf_row_free(&x);
    tfidf_row_free(&y);
    tfidf_destroy(&expected);
    tfidf_destroy(&found);
    for (size_t i = 0; i < TEXTS; i++)
        free(texts[i]);
    free(texts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_scikit_learn), cmocka_unit_test(test_many_pairs),
                                       cmocka_unit_test(all_cores_give_the_same), cmocka_unit_test(test_nothing_left),
                                       cmocka_unit_test(test_limit_prefers_the_first_of_equals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
