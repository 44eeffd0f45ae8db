/* SPDX-License-Identifier: Apache-2.0 */
/* Near duplicates, against all pairs compared word by word here. */
#include "common/base/buffer.h"
#include "common/base/memory.h"
#include "coordinator/data/row_facts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ROWS 600
#define WORDS 60

static uint32_t state = 3;

static uint32_t chance(uint32_t below)
{
    state = state * 1664525u + 1013904223u;
    return (state >> 8) % below;
}

/* Half of the rows are copies of an earlier one with some words changed. */
static uint16_t words[ROWS][WORDS];
static uint32_t count[ROWS];

static void make_texts(struct records *r)
{
    arena_create(&r->texts);
    r->rows = allocate(ROWS, sizeof *r->rows);
    r->count = ROWS;
    for (uint32_t i = 0; i < ROWS; i++) {
        bool copy = i > 10 && chance(2);
        uint32_t from = copy ? chance(i) : 0;
        count[i] = copy ? count[from] : 3 + chance(WORDS - 3);
        for (uint32_t k = 0; k < count[i]; k++)
            words[i][k] = copy ? words[from][k] : (uint16_t)chance(2000);
        for (uint32_t k = chance(4); copy && k > 0; k--)
            words[i][chance(count[i])] = (uint16_t)chance(2000);
        struct buffer text = {0};
        for (uint32_t k = 0; k < count[i]; k++)
            buffer_printf(&text, "%s%c%u", k ? " " : "", chance(2) ? 'w' : 'W', words[i][k]);
        r->rows[i] = (struct record){.a = arena_string(r->texts, text.data, text.size), .class = (int32_t)(i % 2)};
        buffer_free(&text);
    }
}

static bool same_words(const uint16_t *a, const uint16_t *b, uint32_t n)
{
    return !memcmp(a, b, n * sizeof *a);
}

static uint32_t shingles(uint32_t i)
{
    return count[i] < 5 ? 1 : count[i] - 4;
}

/* How many different shingles of row a stand in row b too; a == b: how many different ones there are. */
static uint32_t common(uint32_t a, uint32_t b)
{
    uint32_t found = 0, n = count[a] < 5 ? count[a] : 5;
    if ((count[b] < 5 ? count[b] : 5) != n)
        return 0;
    for (uint32_t i = 0; i < shingles(a); i++) {
        bool before = false, there = false;
        for (uint32_t k = 0; k < i && !before; k++)
            before = same_words(&words[a][i], &words[a][k], n);
        for (uint32_t k = 0; k < shingles(b) && !there; k++)
            there = same_words(&words[a][i], &words[b][k], n);
        found += !before && there;
    }
    return found;
}

static uint32_t root_of(const uint32_t *parent, uint32_t i)
{
    while (parent[i] != i)
        i = parent[i];
    return i;
}

static void clusters_are_those_of_all_pairs(void **unused)
{
    (void)unused;
    struct records r = {0};
    struct near_duplicates n;
    struct error e;
    make_texts(&r);
    uint32_t *exact, parent[ROWS], size[ROWS], pairs = 0;
    assert_int_equal(exact_duplicates(&exact, &r, &e), 0);
    for (uint32_t i = 0; i < ROWS; i++) {
        parent[i] = i;
        size[i] = common(i, i);
    }
    for (uint32_t a = 0; a < ROWS; a++)
        for (uint32_t b = a + 1; b < ROWS; b++) {
            uint32_t same = common(a, b), x, y;
            if (5 * same < 4 * (size[a] + size[b] - same))
                continue;
            pairs++;
            if ((x = root_of(parent, a)) != (y = root_of(parent, b)))
                parent[x < y ? y : x] = x < y ? x : y;
        }
    assert_int_equal(near_duplicates_find(&n, &r, exact, &e), 0);
    for (uint32_t i = 0; i < ROWS; i++)
        if (n.root[i] != root_of(parent, i))
            fail_msg("row %u: expected cluster %u, found %u", i, root_of(parent, i), n.root[i]);
    assert_in_range(pairs, 50, 5000);
    assert_true(n.listed > 20);
    for (size_t k = 0; k < n.listed; k++) {
        uint32_t a = n.pairs[k].a, b = n.pairs[k].b, same = common(a, b);
        double expected = (double)same / (size[a] + size[b] - same);
        assert_true(n.pairs[k].jaccard > expected - 1e-12 && n.pairs[k].jaccard < expected + 1e-12);
    }
    near_duplicates_free(&n);
    free(exact);
    free(r.rows);
    arena_destroy(&r.texts);
}

/* Of pairs, both texts must be near: one sentence with two references is two rows. */
static void pairs_need_both_texts(void **unused)
{
    (void)unused;
    static const char *const long_text = "a b c d e f g h i j k l m n o p q r s t u v w x y z";
    struct record rows[] = {{.a = long_text, .b = "one two three four five six"},
                            {.a = long_text, .b = "one two three four five six"},
                            {.a = long_text, .b = "seven eight nine ten eleven"},
                            {.a = "one two three four five six", .b = long_text}};
    struct records r = {.rows = rows, .count = 4};
    struct near_duplicates n;
    struct error e;
    uint32_t *exact;
    assert_int_equal(exact_duplicates(&exact, &r, &e), 0);
    assert_int_equal(exact[1], 0);
    assert_int_equal(near_duplicates_find(&n, &r, exact, &e), 0);
    static const uint32_t expected[] = {0, 0, 2, 3};
    assert_memory_equal(n.root, expected, sizeof expected);
    near_duplicates_free(&n);
    free(exact);
}

/* The fingerprint of a set is that of texts and labels: no id, no order. */
static void fingerprints_follow_texts_and_labels(void **unused)
{
    (void)unused;
    char *names[] = {"NO", "YES"}, first[FINGERPRINT_HEX], second[FINGERPRINT_HEX];
    struct record rows[] = {{.id = "1", .a = "x", .class = 0}, {.id = "2", .a = "y", .class = 1}};
    struct record swapped[] = {{.id = "9", .a = "y", .class = 1}, {.id = "8", .a = "x", .class = 0}};
    struct records r = {.rows = rows, .count = 2, .labels = names, .label_count = 2};
    struct row_facts f, g;
    struct error e;
    uint32_t exact[] = {0, 1};
    assert_int_equal(row_facts_make(&f, &r, exact, NULL, &e), 0);
    assert_int_equal(row_facts_fingerprint(first, &f, NULL, 2, &e), 0);
    r.rows = swapped;
    assert_int_equal(row_facts_make(&g, &r, exact, NULL, &e), 0);
    assert_int_equal(row_facts_fingerprint(second, &g, (uint32_t[]){1, 0}, 2, &e), 0);
    assert_string_equal(first, second);
    row_facts_free(&g);
    swapped[1].class = 1;
    assert_int_equal(row_facts_make(&g, &r, exact, NULL, &e), 0);
    assert_int_equal(row_facts_fingerprint(second, &g, NULL, 2, &e), 0);
    assert_string_not_equal(first, second);
    row_facts_free(&g);
    assert_int_equal(row_facts_write("test.facts", &f, &e), 0);
    assert_int_equal(row_facts_read(&g, "test.facts", 3, &e), -1);
    assert_non_null(strstr(e.message, "is damaged"));
    assert_int_equal(row_facts_read(&g, "test.facts", 2, &e), 0);
    assert_int_equal(row_facts_fingerprint(second, &g, NULL, 2, &e), 0);
    assert_string_equal(first, second);
    row_facts_free(&g);
    row_facts_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(clusters_are_those_of_all_pairs), cmocka_unit_test(pairs_need_both_texts),
                                       cmocka_unit_test(fingerprints_follow_texts_and_labels)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
