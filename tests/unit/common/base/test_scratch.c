/* SPDX-License-Identifier: Apache-2.0 */
/* Tables and texts that go to temporary files once they are large: their content, and that they leave memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/arena.h"
#include "common/base/machine.h"
#include "common/base/scratch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MB ((size_t)1 << 20)

static void fill(struct scratch *s, size_t from)
{
    uint64_t *words = s->data;
    for (size_t i = from / sizeof *words; i < s->size / sizeof *words; i++) {
        if (words[i] != 0)
            fail_msg("new word %zu is %llx", i, (unsigned long long)words[i]);
        words[i] = i * 0x9e3779b97f4a7c15u + 1;
    }
}

static void assert_filled(const struct scratch *s)
{
    const uint64_t *words = s->data;
    for (size_t i = 0; i < s->size / sizeof *words; i++)
        if (words[i] != i * 0x9e3779b97f4a7c15u + 1)
            fail_msg("word %zu of %zu is %llx", i, s->size / sizeof *words, (unsigned long long)words[i]);
}

static void grow_table(bool in_file)
{
    static const size_t sizes[] = {MB, 6 * MB, 12 * MB, 40 * MB, 4 * MB}; /* 64 MB / 8 stay in memory */
    struct scratch s = {0};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t before = s.size;
        scratch_resize(&s, sizes[i]);
        assert_int_equal(s.size, sizes[i]);
        assert_int_equal(s.mapped, in_file && sizes[i] > 8 * MB);
        if (sizes[i] > before)
            fill(&s, before);
        double resident = machine_resident_bytes();
        scratch_rest(&s);
        if (s.mapped)
            assert_true(machine_resident_bytes() < resident - (double)(sizes[i] - before) / 2);
        assert_filled(&s);
    }
    scratch_free(&s);
    assert_null(s.data);
}

static void a_large_table_lies_in_a_file(void **state)
{
    (void)state;
    setenv("MUSTER_MEMORY", "64M", 1);
    grow_table(true);
    setenv("TMPDIR", "/nowhere", 1);
    grow_table(false);
    unsetenv("TMPDIR");
}

/* Eight megabytes of all tables and texts together stay in memory, and what goes makes room. */
static void tables_share_what_stays_in_memory(void **state)
{
    (void)state;
    struct scratch one = {0}, two = {0}, small = {0};
    struct arena *texts;
    setenv("MUSTER_MEMORY", "64M", 1);
    scratch_resize(&one, 5 * MB);
    scratch_resize(&two, 5 * MB);
    scratch_resize(&small, MB);
    assert_int_equal(one.mapped, false);
    assert_int_equal(two.mapped, true);
    assert_int_equal(small.mapped, false);
    arena_create(&texts);
    arena_string(texts, "text", 4);
    scratch_free(&one);
    scratch_resize(&two, 6 * MB);
    assert_int_equal(two.mapped, false);
    scratch_resize(&two, 2 * MB);
    scratch_resize(&one, 4 * MB);
    assert_int_equal(one.mapped, false);
    arena_destroy(&texts);
    scratch_free(&small);
    scratch_resize(&one, 6 * MB);
    assert_int_equal(one.mapped, false);
    scratch_free(&one);
    scratch_free(&two);
}

static void many_texts_lie_in_a_file(void **state)
{
    (void)state;
    enum { TEXTS = 300000 };
    struct arena *a;
    const char **texts = calloc(TEXTS, sizeof *texts);
    char text[400];
    setenv("MUSTER_MEMORY", "64M", 1);
    arena_create(&a);
    for (size_t i = 0; i < TEXTS; i++) {
        int size = snprintf(text, sizeof text, "%zu%*s", i, (int)(i % 300), "end");
        texts[i] = arena_string(a, text, (size_t)size);
    }
    double resident = machine_resident_bytes();
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < TEXTS; i++) {
            snprintf(text, sizeof text, "%zu%*s", i, (int)(i % 300), "end");
            assert_string_equal(texts[i], text);
        }
        arena_rest(a);
        double after = machine_resident_bytes();
        if (after > resident + 12 * (double)MB) /* of 38 in the file; a sanitizer keeps some of its own */
            fail_msg("%.0f MB were resident, after reading and rest %.0f", resident / (double)MB, after / (double)MB);
    }
    arena_destroy(&a);
    assert_null(a);
    free(texts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_large_table_lies_in_a_file),
                                       cmocka_unit_test(tables_share_what_stays_in_memory),
                                       cmocka_unit_test(many_texts_lie_in_a_file)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
