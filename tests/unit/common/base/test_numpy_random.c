/* SPDX-License-Identifier: Apache-2.0 */
/* RandomState(seed).shuffle against NumPy's own orders (tests/golden/numpy_shuffle.json). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/base/numpy_random.h"
#include "common/base/sha256.h"

#include <stdlib.h>
#include <string.h>

/* base is below json, so the golden file's numbers are found by their keys: {"seed": S, "count": N, "first": [...], "sha256":
 * "..."} */
static const char *number_behind(const char *at, const char *key, uint32_t *ret)
{
    at = strstr(at, key);
    assert_non_null(at);
    *ret = (uint32_t)strtoul(at + strlen(key), NULL, 10);
    return at + strlen(key);
}

static uint32_t *shuffled(uint32_t seed, uint32_t count)
{
    struct numpy_random r;
    uint32_t *items = allocate(count, sizeof *items);
    for (uint32_t i = 0; i < count; i++)
        items[i] = i;
    numpy_random_seed(&r, seed);
    numpy_random_shuffle(&r, items, count);
    return items;
}

static void check_list(const char *at, const uint32_t *found, uint32_t count, uint32_t seed)
{
    at = strchr(at, '[') + 1;
    for (uint32_t i = 0; i < count; i++) {
        char *end;
        uint32_t expected = (uint32_t)strtoul(at, &end, 10);
        assert_ptr_not_equal(end, at);
        if (found[i] != expected)
            fail_msg("seed %u, place %u: expected %u, found %u", seed, i, expected, found[i]);
        at = end + 1; /* behind the comma */
    }
}

static char *golden(void)
{
    struct error e;
    char *text;
    size_t size;
    if (file_read(&text, &size, TEST_GOLDEN "/numpy_shuffle.json", &e))
        fail_msg("%s", e.message);
    return text;
}

static void test_orders(void **state)
{
    (void)state;
    char *text = golden();
    int cases = 0;
    for (const char *at = text; (at = strstr(at, "{\"seed\":")); cases++) {
        uint32_t seed, count;
        char sha256[SHA256_HEX];
        at = number_behind(at, "\"seed\": ", &seed);
        at = number_behind(at, "\"count\": ", &count);
        uint32_t *items = shuffled(seed, count);
        check_list(at, items, count < 16 ? count : 16, seed);
        sha256_bytes(items, count * sizeof *items, sha256);
        at = strstr(at, "\"sha256\": \"") + strlen("\"sha256\": \"");
        if (memcmp(at, sha256, 64))
            fail_msg("seed %u, %u items: expected sha256 %.64s, found %s", seed, count, at, sha256);
        free(items);
    }
    assert_int_equal(cases, 15);
    free(text);
}

/* The reported split's number of groups, in full. */
static void test_747_groups(void **state)
{
    (void)state;
    char *text = golden();
    uint32_t *items = shuffled(42, 747);
    check_list(strstr(text, "\"order_747_seed_42\""), items, 747, 42);
    free(items);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_orders), cmocka_unit_test(test_747_groups)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
