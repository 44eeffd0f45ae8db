/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 against the examples of FIPS 180-4, whole and in pieces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/base/sha256.h"
#include "common/base/stop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *text, *expected;
} cases[] = {{"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
             {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
             {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
              "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"}};

static void test_bytes(void **state)
{
    (void)state;
    char found[SHA256_HEX];
    for (int i = 0; i < 3; i++) {
        sha256_bytes(cases[i].text, strlen(cases[i].text), found);
        assert_string_equal(found, cases[i].expected);
    }
}

static void test_pieces(void **state)
{
    (void)state;
    char found[SHA256_HEX], *million = allocate(1000000, 1);
    struct sha256 *s;
    memset(million, 'a', 1000000);
    sha256_create(&s);
    for (size_t at = 0, size = 0; at < 1000000; at += size, size = (size * 3 + 1) % 7919) {
        size = at + size > 1000000 ? 1000000 - at : size;
        sha256_update(s, million + at, size);
    }
    sha256_update(s, NULL, 0);
    sha256_finish(&s, found);
    assert_null(s);
    assert_string_equal(found, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    free(million);
}

static void test_file(void **state)
{
    (void)state;
    struct error e;
    char found[SHA256_HEX];
    assert_int_equal(file_write("test_sha256.bin", "abc", 3, &e), 0);
    assert_int_equal(sha256_file("test_sha256.bin", found, &e), 0);
    assert_string_equal(found, cases[1].expected);
    assert_int_equal(file_write("test_sha256.bin", "", 0, &e), 0);
    assert_int_equal(sha256_file("test_sha256.bin", found, &e), 0);
    assert_string_equal(found, cases[0].expected);
    remove("test_sha256.bin");
    assert_int_equal(sha256_file("test_sha256.bin", found, &e), -1);
    assert_int_equal(e.kind, ERROR_DATA);
}

static void a_stop_ends_hashing_where_it_is_polled_for(void **state)
{
    (void)state;
    struct error e;
    char found[SHA256_HEX];
    assert_int_equal(file_write("test_sha256.bin", "abc", 3, &e), 0);
    assert_int_equal(sha256_file_polling("test_sha256.bin", found, &e), 0);
    assert_string_equal(found, cases[1].expected);
    stop_request();
    assert_int_equal(sha256_file_polling("test_sha256.bin", found, &e), -1);
    assert_int_equal(e.kind, ERROR_STOPPED);
    assert_int_equal(sha256_file("test_sha256.bin", found, &e), 0);
    remove("test_sha256.bin");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bytes), cmocka_unit_test(test_pieces), cmocka_unit_test(test_file),
                                       cmocka_unit_test(a_stop_ends_hashing_where_it_is_polled_for)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
