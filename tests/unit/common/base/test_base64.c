/* SPDX-License-Identifier: Apache-2.0 */
/* Base64: the examples of RFC 4648, every byte, and texts that are none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/base64.h"

#include <stdlib.h>
#include <string.h>

static void test_examples(void **state)
{
    static const char *const pairs[][2] = {{"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="},
                                           {"foobar", "Zm9vYmFy"}};
    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        uint8_t *bytes;
        size_t size;
        char *text = base64_encode(pairs[i][0], strlen(pairs[i][0]));
        assert_string_equal(text, pairs[i][1]);
        assert_true(base64_decode(text, &bytes, &size));
        assert_int_equal(size, strlen(pairs[i][0]));
        assert_memory_equal(bytes, pairs[i][0], size);
        free(bytes);
        free(text);
    }
}

static void test_all_bytes(void **state)
{
    uint8_t all[256], *bytes;
    size_t size;
    (void)state;
    for (unsigned i = 0; i < 256; i++)
        all[i] = (uint8_t)(i * 7);
    char *text = base64_encode(all, sizeof all);
    assert_true(base64_decode(text, &bytes, &size));
    assert_int_equal(size, sizeof all);
    assert_memory_equal(bytes, all, size);
    free(bytes);
    free(text);
}

static void test_refused(void **state)
{
    static const char *const texts[] = {"Zg", "Zg=", "Z===", "Zm9v\n", "Zm 9", "Zm9-", "=Zg="};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        uint8_t *bytes;
        size_t size;
        assert_false(base64_decode(texts[i], &bytes, &size));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_examples),
        cmocka_unit_test(test_all_bytes),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
