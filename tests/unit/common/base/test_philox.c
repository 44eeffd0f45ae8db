/* SPDX-License-Identifier: Apache-2.0 */
/* Philox4x32-10 against the known answers of Random123 (kat_vectors), and dropout against its definition. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/philox.h"

#include <math.h>

static void test_known_answers(void **state)
{
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], expected[4];
    } cases[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (int i = 0; i < 3; i++) {
        const uint32_t *c = cases[i].counter;
        /* the second key word carries the purpose, xored into the seed: purpose 5 is taken out again */
        uint64_t seed = (uint64_t)(cases[i].key[1] ^ 5u) << 32 | cases[i].key[0];
        struct philox_block b = philox(seed, 5, c[0], c[1], c[2], c[3]);
        for (int k = 0; k < 4; k++)
            if (b.word[k] != cases[i].expected[k])
                fail_msg("case %d, word %d: expected %08x, found %08x", i, k, cases[i].expected[k], b.word[k]);
    }
}

static void test_dropout_scale(void **state)
{
    (void)state;
    const float p[] = {0, 0.1f, 0.25f, 0.5f, 0.9f, 0.99999f};
    for (int i = 0; i < 6; i++) {
        uint32_t bound = dropout_bound(p[i]);
        assert_true(fabs(bound / 65536.0 - p[i]) <= 1 / 131072.0 + 1e-7);
        /* what is kept times its scale is exactly 1 on average */
        assert_true(fabs((65536.0 - bound) / 65536.0 * dropout_scale(p[i]) - 1) < 1e-6);
    }
}

static void test_dropout_rate(void **state)
{
    (void)state;
    const int rows = 50, positions = 20, elements = 384;
    uint32_t bound = dropout_bound(0.1f);
    double kept = 0, total = 0, both = 0;
    for (int r = 0; r < rows; r++)
        for (int t = 0; t < positions; t++)
            for (int k = 0; k < elements; k++) {
                int keeps = dropout_keeps(42, 3, 1, (uint32_t)r, (uint32_t)t, (uint32_t)k, bound);
                kept += keeps;
                both += keeps && dropout_keeps(42, 4, 1, (uint32_t)r, (uint32_t)t, (uint32_t)k, bound); /* another epoch */
                total++;
            }
    double sigma = sqrt(0.09 / total);
    if (fabs(kept / total - 0.9) > 5 * sigma)
        fail_msg("kept %.5f of all, expected 0.9 within %.5f", kept / total, 5 * sigma);
    if (fabs(both / total - 0.81) > 5 * sqrt(0.81 * 0.19 / total))
        fail_msg("two epochs keep %.5f together, expected 0.81: they are not independent", both / total);
}

static void test_halves(void **state)
{
    (void)state;
    struct philox_block b = philox(42, RANDOM_DROPOUT, 7, 11, 13, 2u << 16 | 5);
    for (uint32_t k = 0; k < 8; k++) {
        uint32_t half = b.word[k / 2] >> (k & 1 ? 16 : 0) & 0xffff;
        assert_int_equal(dropout_keeps(42, 2, 5, 13, 11, 56 + k, half), 1); /* half >= bound: kept at equality */
        assert_int_equal(dropout_keeps(42, 2, 5, 13, 11, 56 + k, half + 1), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_known_answers), cmocka_unit_test(test_dropout_scale),
                                       cmocka_unit_test(test_dropout_rate), cmocka_unit_test(test_halves)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
