/* SPDX-License-Identifier: Apache-2.0 */
/* JSON: what is read, what is refused and where, how it prints. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/buffer.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/json/json.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct json *parse(const char *text)
{
    struct error e;
    struct json *j;
    if (json_parse(&j, text, strlen(text), "t", &e))
        fail_msg("%s: %s", text, e.message);
    return j;
}

static void prints(const char *text, const char *expected)
{
    struct json *j = parse(text);
    char *found = json_print(j, false);
    assert_string_equal(found, expected);
    free(found);
    json_destroy(&j);
}

static void test_values(void **state)
{
    (void)state;
    prints(" {\"a\" : [1, -2.5e3 ,true,false,null],\"b\":{},\"c\":[] }\r\n",
           "{\"a\": [1, -2500, true, false, null], \"b\": {}, \"c\": []}");
    prints("\"\\u0041\\u00e9\\ud83d\\ude00\\n\\/\"", "\"A\xc3\xa9\xf0\x9f\x98\x80\\n/\"");
    prints("\"\\u0001\\u001f\\b\\f\\t\\r\\\"\\\\\x7f\"", "\"\\u0001\\u001f\\b\\f\\t\\r\\\"\\\\\x7f\"");
    prints("\"\\uABCD\\uabcd\\u2028\"", "\"\xea\xaf\x8d\xea\xaf\x8d\xe2\x80\xa8\"");
    prints("\xef\xbb\xbf[0]", "[0]");
    prints("\"\xf4\x8f\xbf\xbf\xee\x80\x80\xed\x9f\xbf\xe0\xa0\x80\"",
           "\"\xf4\x8f\xbf\xbf\xee\x80\x80\xed\x9f\xbf\xe0\xa0\x80\"");
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"", "t:1:1: is empty"},
        {" \n ", "t:2:2: is empty"},
        {"{\"a\":1}x", "t:1:8: text after the end"},
        {"{\"a\":1}\n\n{}", "t:3:1: text after the end"},
        {"{\"a\":1,\n \"b\":{\"c\":1,\"\\u0063\":2}}", "t:2:13: the key \"c\" appears twice"},
        {"{\"a\":1,\"b\":2,\"a\":3}", "t:1:14: the key \"a\" appears twice"},
        {"[01]", "t:1:2: a number does not start with 0"},
        {"[-01]", "does not start with 0"},
        {"[1.]", "digits behind its point"},
        {"[.5]", "t:1:2: not a value"},
        {"[+1]", "not a value"},
        {"[1e]", "digits in its exponent"},
        {"[1e+]", "digits in its exponent"},
        {"[-]", "not a value"},
        {"[1e400]", "out of range"},
        {"[0x10]", "t:1:3: a comma or ] is missing"},
        {"[NaN]", "t:1:2: NaN and Infinity are not JSON"},
        {"[-Infinity]", "NaN and Infinity are not JSON"},
        {"[nul]", "not a value"},
        {"[True]", "not a value"},
        {"['a']", "not a value"},
        {"\xff\xfe{\"", "t:1:1: not valid UTF-8; convert the file"},
        {"[1 2]", "t:1:4: a comma or ] is missing"},
        {"[1,]", "t:1:4: a value is missing"},
        {"[,1]", "t:1:2: a value is missing"},
        {"{,}", "a key in quotes"},
        {"{\"a\":1,}", "t:1:8: a key in quotes"},
        {"{a:1}", "a key in quotes"},
        {"{\"a\" 1}", "t:1:6: a colon is missing"},
        {"{\"a\":}", "a value is missing"},
        {"{\"a\":1 \"b\":2}", "a comma or } is missing"},
        {"[[1]", "t:1:1: the list that starts here is never closed"},
        {"{\"a\":[1]", "the object that starts here is never closed"},
        {"\"abc", "t:1:1: the string that starts here is never closed"},
        {"\"a\tb\"", "t:1:3: control character"},
        {"\"a\nb\"", "not closed on its line"},
        {"\"\\x\"", "unknown escape"},
        {"\"\\", "unknown escape"},
        {"\"\\u12\"", "four hexadecimal digits"},
        {"\"\\u12g4\"", "four hexadecimal digits"},
        {"\"\\u\x11\x12\x13\x14\"", "four hexadecimal digits"},
        {"\"\\u0000\"", "\\u0000 is not accepted"},
        {"\"\\ud83d\"", "half of a surrogate pair"},
        {"\"\\ude00\"", "half of a surrogate pair"},
        {"\"\\ud83d\\u0041\"", "half of a surrogate pair"},
        {"\"\\ud83d", "half of a surrogate pair"},
        {"\"\xc3\xa9\xff\"", "t:1:3: not valid UTF-8"},
        {"\"\xc0\xaf\"", "not valid UTF-8"},
        {"\"\xed\xa0\x80\"", "not valid UTF-8"},
        {"\"\xf4\x90\x80\x80\"", "not valid UTF-8"},
        {"\"\xe2\x82\"", "not valid UTF-8"},
        {"\"\xe0\x80\x80\"", "not valid UTF-8"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error e = {0};
        struct json *j = (struct json *)&e;
        if (!json_parse(&j, cases[i].text, strlen(cases[i].text), "t", &e))
            fail_msg("accepted: %s", cases[i].text);
        if (!strstr(e.message, cases[i].words))
            fail_msg("%s: expected \"%s\", found \"%s\"", cases[i].text, cases[i].words, e.message);
        assert_int_equal(e.kind, ERROR_DATA);
        assert_ptr_equal(j, &e);
    }
}

static void test_bytes_behind_the_end(void **state)
{
    (void)state;
    struct error e;
    struct json *j;
    /* the size counts, not a NUL: each cut of a document ends inside its own memory (the sanitizer watches) */
    const char *text = "{\"a\": [12.5e-1, \"x\\u00e9\\ud83d\\ude00 \xe2\x82\xac\", true, null], \"b\": -0}";
    for (size_t size = 0; size < strlen(text); size++) {
        char *cut = allocate(size, 1);
        memcpy(cut, text, size);
        if (!json_parse(&j, cut, size, "t", &e))
            fail_msg("accepted when cut at %zu", size);
        free(cut);
    }
    assert_int_equal(json_parse(&j, "[1]\0", 4, "t", &e), -1);
    assert_int_equal(json_parse(&j, "[\"a\0\"]", 6, "t", &e), -1);
}

static void nested(int depth, const char *open, const char *close, int expected)
{
    struct buffer b = {0};
    struct error e = {0};
    struct json *j = NULL;
    for (int i = 0; i < depth; i++)
        buffer_text(&b, open);
    buffer_text(&b, "1");
    for (int i = 0; i < depth; i++)
        buffer_text(&b, close);
    assert_int_equal(json_parse(&j, b.data, b.size, "t", &e), expected);
    if (expected)
        assert_non_null(strstr(e.message, "64 deep"));
    json_destroy(&j);
    buffer_free(&b);
}

static void test_depth(void **state)
{
    (void)state;
    nested(64, "[", "]", 0);
    nested(65, "[", "]", -1);
    nested(64, "{\"a\":", "}", 0);
    nested(200000, "{\"a\":[", "]}", -1);
}

static void test_line(void **state)
{
    (void)state;
    struct error e;
    struct json *j;
    struct json_leniency met = {0};
    const char *text = "{\"a\": NaN, \"b\": [-Infinity, Infinity, 1e999, \"NaN\", 2], \"c\": -1e999}";
    assert_int_equal(json_parse_rows(&j, text, strlen(text), "t", 7, &met, &e), 0);
    char *found = json_print(j, false);
    assert_string_equal(found, "{\"a\": null, \"b\": [null, null, null, \"NaN\", 2], \"c\": null}");
    free(found);
    json_destroy(&j);
    text = "{\"a\": NaN, \"a\": 1}";
    assert_int_equal(json_parse(&j, text, strlen(text), "t", &e), -1);
    text = "{\"a\": 1, \"a\": 1}";
    assert_int_equal(json_parse(&j, text, strlen(text), "t", &e), -1);
    assert_string_equal(e.message, "t:1:10: the key \"a\" appears twice in its object");
}

/* Expected: what Python's json.loads gives, \u0000 and lone surrogates as U+FFFD; strictly each is refused. */
static void rows_are_read_as_python_reads_them(void **state)
{
    (void)state;
    static const struct {
        const char *text, *expected;
        struct json_leniency met;
    } cases[] = {
        {"{\"a\": 1, \"b\": 2, \"a\": 3, \"a\": 4}", "{\"a\": 4, \"b\": 2}", {.repeated_keys = 2}},
        {"{\"a\": {\"x\": 1, \"x\": [2]}}", "{\"a\": {\"x\": [2]}}", {.repeated_keys = 1}},
        {"{\"a\": \"x\\u0000y\"}", "{\"a\": \"x\xef\xbf\xbdy\"}", {.nuls = 1}},
        {"{\"a\": \"\\ud800\", \"\\udc00\": \"\\ud800x\"}",
         "{\"a\": \"\xef\xbf\xbd\", \"\xef\xbf\xbd\": \"\xef\xbf\xbdx\"}",
         {.surrogates = 3}},
        {"{\"a\": NaN, \"b\": [-Infinity, Infinity]}", "{\"a\": null, \"b\": [null, null]}", {.nans = 3}},
        {"{\"a\": \"\\ud83d\\ude00\"}", "{\"a\": \"\xf0\x9f\x98\x80\"}", {0}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error e = {0};
        struct json *j;
        struct json_leniency met = {0};
        if (json_parse_rows(&j, cases[i].text, strlen(cases[i].text), "t", 1, &met, &e))
            fail_msg("%s: %s", cases[i].text, e.message);
        char *found = json_print(j, false);
        assert_string_equal(found, cases[i].expected);
        assert_memory_equal(&met, &cases[i].met, sizeof met);
        free(found);
        json_destroy(&j);
        bool strict = met.repeated_keys + met.nuls + met.surrogates + met.nans > 0;
        assert_int_equal(json_parse(&j, cases[i].text, strlen(cases[i].text), "t", &e), strict ? -1 : 0);
        if (!strict)
            json_destroy(&j);
    }
}

/* 17 keys, each three times over, are more than the index begins at; what is left of them is fewer. */
static void many_repeated_keys_leave_their_last_values(void **state)
{
    (void)state;
    char text[2000] = "{";
    struct error e = {0};
    struct json *j;
    struct json_leniency met = {0};
    for (int i = 0; i < 51; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s\"k%d\": %d", i ? ", " : "", i % 17, i);
    strcat(text, ", \"k3\": {\"k3\": 7, \"k3\": 8}}");
    if (json_parse_rows(&j, text, strlen(text), "t", 1, &met, &e))
        fail_msg("%s", e.message);
    assert_int_equal(json_size(j), 17);
    assert_int_equal(met.repeated_keys, 36);
    for (int i = 0; i < 17; i++) {
        char key[8];
        snprintf(key, sizeof key, "k%d", i);
        assert_string_equal(json_key(j, (size_t)i), key);
        if (i == 3)
            assert_true(json_number(json_get(json_get(j, key), "k3")) == 8);
        else
            assert_true(json_number(json_get(j, key)) == 34 + i);
    }
    json_destroy(&j);
    /* ten keys twice: with the index, then without it */
    assert_int_equal(json_parse_rows(&j,
                                     "{\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,\"g\":1,\"h\":1,\"i\":1,"
                                     "\"a\":2,\"b\":2,\"c\":2,\"d\":2,\"e\":2,\"f\":2,\"g\":2,\"h\":2,\"i\":2}",
                                     109, "t", 1, &met, &e),
                     0);
    char *found = json_print(j, false);
    assert_string_equal(found, "{\"a\": 2, \"b\": 2, \"c\": 2, \"d\": 2, \"e\": 2, \"f\": 2, \"g\": 2, \"h\": 2, \"i\": 2}");
    free(found);
    json_destroy(&j);
}

/* Expected: Python's float() of the same digits. */
static void long_numbers_are_read(void **state)
{
    (void)state;
    char text[400] = "0.";
    struct error e;
    struct json *j;
    for (size_t i = 0; i < 80; i++)
        strcat(text, "1");
    assert_int_equal(json_parse(&j, text, strlen(text), "t", &e), 0);
    assert_true(json_number(j) == 0.1111111111111111);
    json_destroy(&j);
    memset(text, '9', 350);
    text[350] = 0;
    assert_int_equal(json_parse(&j, text, strlen(text), "t", &e), -1);
    assert_non_null(strstr(e.message, "out of range"));
}

/* Expected texts are Python's repr of the same numbers. */
static void test_numbers(void **state)
{
    (void)state;
    static const struct {
        double value;
        const char *text;
    } cases[] = {{0, "0"},
                 {-0.0, "-0"},
                 {1, "1"},
                 {-7, "-7"},
                 {100000000, "100000000"},
                 {9007199254740992.0, "9007199254740992"},
                 {9007199254740994.0, "9007199254740994"},
                 {0.1, "0.1"},
                 {2e-5, "2e-05"},
                 {0.1 + 0.2, "0.30000000000000004"},
                 {1.0 / 3, "0.3333333333333333"},
                 {12345678901234567890.0, "1.2345678901234567e+19"},
                 {1e22, "1e+22"},
                 {1e23, "1e+23"},
                 {5e-324, "5e-324"},
                 {DBL_MAX, "1.7976931348623157e+308"},
                 {DBL_MIN, "2.2250738585072014e-308"},
                 {0.5763546798029556, "0.5763546798029556"},
                 {2.5, "2.5"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct json *j = json_of_number(cases[i].value);
        char *found = json_print(j, false);
        assert_string_equal(found, cases[i].text);
        free(found);
        json_destroy(&j);
    }
    uint64_t bits = 1;
    for (int i = 0; i < 20000; i++) { /* any double comes back with the same bits */
        bits = bits * 6364136223846793005u + 1442695040888963407u;
        double value;
        memcpy(&value, &bits, sizeof value);
        if (!isfinite(value))
            continue;
        struct json *j = json_of_number(value), *again;
        char *text = json_print(j, false);
        again = parse(text);
        double back = json_number(again);
        if (memcmp(&back, &value, sizeof value))
            fail_msg("%.17g printed as %s", value, text);
        free(text);
        json_destroy(&again);
        json_destroy(&j);
    }
    struct json *nothing = json_of_number(NAN);
    assert_int_equal(json_type(nothing), JSON_NULL);
    json_destroy(&nothing);
}

static void floats_of_a_file_print_as_floats(void **state)
{
    (void)state;
    static const char text[] =
        "{\"a\":[1,2.0,-0.0,1e3,9007199254740994.0,2.5,1E+2,-7],\"b\":{\"c\":3.0,\"d\":3,\"e\":1e-3,\"f\":1e30}}";
    static const char as_written[] = "{\"a\": [1, 2.0, -0.0, 1000.0, 9007199254740994.0, 2.5, 100.0, -7], \"b\": {\"c\": 3.0, "
                                     "\"d\": 3, \"e\": 0.001, \"f\": 1e+30}}";
    static const char plain[] =
        "{\"a\": [1, 2, -0, 1000, 9007199254740994, 2.5, 100, -7], \"b\": {\"c\": 3, \"d\": 3, \"e\": 0.001, \"f\": 1e+30}}";
    char path[] = "floats-XXXXXX";
    struct error e = {0};
    int file = mkstemp(path);
    assert_true(file >= 0);
    assert_int_equal(write(file, text, sizeof text - 1), sizeof text - 1);
    close(file);
    for (int kept = 0; kept < 2; kept++) {
        struct json *j, *copy;
        assert_int_equal(kept ? json_read_as_written(&j, path, &e) : json_read(&j, path, &e), 0);
        copy = json_copy(j);
        char *found = json_print(copy, false);
        assert_string_equal(found, kept ? as_written : plain);
        free(found);
        json_destroy(&j);
        json_destroy(&copy);
    }
    assert_int_equal(unlink(path), 0);
    struct json *made = json_of_float(2);
    char *found = json_print(made, false);
    assert_string_equal(found, "2.0");
    free(found);
    json_destroy(&made);
}

static void test_building(void **state)
{
    (void)state;
    struct json *j = json_object();
    json_set_string(j, "name", "a\"b");
    json_set_string(j, "none", NULL);
    json_set_number(j, "n", 3);
    json_set_boolean(j, "yes", true);
    struct json *list = json_set(j, "list", json_array());
    json_append(list, json_of_string("bad \xff bytes"));
    json_append(list, json_null());
    json_set_number(json_set(j, "name", json_object()), "inner", 1); /* replaced where it stands */
    struct json *copy = json_copy(j);
    json_destroy(&j);
    assert_null(j);
    json_destroy(&j);
    char *found = json_print(copy, true);
    assert_string_equal(found, "{\n  \"name\": {\n    \"inner\": 1\n  },\n  \"none\": null,\n  \"n\": 3,\n  \"yes\": true,\n"
                               "  \"list\": [\n    \"bad \xef\xbf\xbd bytes\",\n    null\n  ]\n}");
    free(found);
    assert_null(json_get(copy, "absent"));
    assert_null(json_get(json_get(copy, "n"), "x"));
    assert_null(json_get(NULL, "x"));
    assert_null(json_at(json_get(copy, "list"), 2));
    assert_null(json_string(json_get(copy, "n")));
    assert_int_equal(json_size(json_get(copy, "n")), 0);
    assert_string_equal(json_key(copy, 4), "list");
    json_destroy(&copy);
}

static void test_large_object(void **state)
{
    (void)state;
    struct json *j = json_object();
    char key[32];
    for (int i = 0; i < 2000; i++) {
        snprintf(key, sizeof key, "k%d", i * 7919 % 2000);
        json_set_number(j, key, i);
    }
    char *text = json_print(j, false);
    struct json *read = parse(text);
    for (int i = 0; i < 2000; i++) {
        snprintf(key, sizeof key, "k%d", i * 7919 % 2000);
        assert_string_equal(json_key(read, (size_t)i), key); /* the order is kept */
        assert_int_equal(json_number(json_get(read, key)), i);
        assert_int_equal(json_number(json_get(j, key)), i);
    }
    assert_null(json_get(read, "k2000"));
    json_destroy(&read);
    char *twice = format_string("%.*s, \"k1234\": 0}", (int)strlen(text) - 1, text);
    struct error e;
    assert_int_equal(json_parse(&read, twice, strlen(twice), "t", &e), -1);
    char *place = format_string("t:1:%zu: the key \"k1234\"", strlen(text) + 2);
    if (!strstr(e.message, place))
        fail_msg("expected \"%s\", found \"%s\"", place, e.message);
    free(place);
    free(twice);
    free(text);
    json_destroy(&j);
}

/* 100,000 elements walked by index: quadratic code would take minutes here. */
static void test_long_list(void **state)
{
    (void)state;
    struct buffer b = {0};
    for (int i = 0; i < 100000; i++)
        buffer_printf(&b, "%c\"row-%d\"", i ? ',' : '[', i);
    buffer_text(&b, "]");
    struct json *j = parse(b.data);
    double start = clock_seconds();
    size_t total = 0;
    for (size_t i = 0; i < json_size(j); i++)
        total += strlen(json_string(json_at(j, i)));
    assert_int_equal(total, 888890);
    assert_true(clock_seconds() - start < 2);
    json_destroy(&j);
    buffer_free(&b);
}

static void test_files(void **state)
{
    (void)state;
    struct error e;
    struct json *j = parse("{\"a\": [1, 2]}"), *read;
    assert_int_equal(json_write("test_json.json", j, &e), 0);
    assert_int_equal(json_read(&read, "test_json.json", &e), 0);
    char *a = json_print(j, true), *b = json_print(read, true), *bytes;
    size_t size;
    assert_string_equal(a, b);
    assert_int_equal(file_read(&bytes, &size, "test_json.json", &e), 0);
    assert_int_equal(bytes[size - 1], '\n');
    free(bytes);
    free(a);
    free(b);
    json_destroy(&j);
    json_destroy(&read);
    assert_int_equal(file_write("test_json.json", "", 0, &e), 0);
    assert_int_equal(json_read(&read, "test_json.json", &e), -1);
    assert_string_equal(e.message, "test_json.json:1:1: is empty");
    remove("test_json.json");
    assert_int_equal(json_read(&read, "test_json.json", &e), -1);
    assert_int_equal(e.kind, ERROR_DATA);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_values),
                                       cmocka_unit_test(test_refused),
                                       cmocka_unit_test(test_bytes_behind_the_end),
                                       cmocka_unit_test(test_depth),
                                       cmocka_unit_test(test_line),
                                       cmocka_unit_test(rows_are_read_as_python_reads_them),
                                       cmocka_unit_test(many_repeated_keys_leave_their_last_values),
                                       cmocka_unit_test(long_numbers_are_read),
                                       cmocka_unit_test(test_numbers),
                                       cmocka_unit_test(floats_of_a_file_print_as_floats),
                                       cmocka_unit_test(test_building),
                                       cmocka_unit_test(test_large_object),
                                       cmocka_unit_test(test_long_list),
                                       cmocka_unit_test(test_files)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
