/* SPDX-License-Identifier: Apache-2.0 */
/* Tables between structures and JSON: a structure with one field of each type goes out as the text that is written here by hand,
 * and each way in which a text can be wrong is refused, naming the field. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/memory.h"
#include "proto/record.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct inner {
    char *note;
    int number;
};

enum color { RED, GREEN, BLUE };

struct sample {
    char *name, *nick;
    char word[8];
    enum color color;
    bool flag;
    int whole;
    uint32_t small, count;
    uint64_t big, capped;
    double ratio, maybe, bounded;
    double *list;
    struct json *extra;
    struct inner inside;
};

static const char *const colors[] = {"red", "green", "blue", NULL};
static const struct record_field inner_fields[] = {
    {"note", RECORD_STRING, offsetof(struct inner, note), 0, 1, 8, NULL, 0},
    {"number", RECORD_INT, offsetof(struct inner, number), 0, 0, 0, NULL, 0},
    {0},
};
#define AT(member) .name = #member, .offset = offsetof(struct sample, member)
static const struct record_field fields[] = {
    {AT(name), .type = RECORD_STRING, .min = 2, .max = 6},
    {AT(nick), .type = RECORD_STRING, .max = 20, .flags = RECORD_OPTIONAL},
    {AT(word), .type = RECORD_WORD, .min = 1, .max = 7},
    {AT(color), .type = RECORD_CHOICE, .detail = colors},
    {AT(flag), .type = RECORD_BOOLEAN},
    {AT(whole), .type = RECORD_INT},
    {AT(small), .type = RECORD_U32, .min = 1, .max = 9},
    {AT(count), .type = RECORD_U32},
    {AT(big), .type = RECORD_U64},
    {AT(capped), .type = RECORD_U64, .max = 1000},
    {AT(ratio), .type = RECORD_DOUBLE},
    {AT(maybe), .type = RECORD_DOUBLE, .flags = RECORD_NAN},
    {AT(bounded), .type = RECORD_DOUBLE, .min = -1, .max = 0.5},
    {AT(list), .type = RECORD_LIST, .count = offsetof(struct sample, count), .flags = RECORD_OPTIONAL},
    {AT(extra), .type = RECORD_OBJECT, .flags = RECORD_OPTIONAL},
    {AT(inside), .type = RECORD_RECORD, .detail = inner_fields},
    {0},
};

/* What Python's json.dumps writes for these values. */
#define GOOD                                                                                                                     \
    "{\"name\": \"a\\\"b\", \"nick\": null, \"word\": \"seven77\", \"color\": \"blue\", \"flag\": true, \"whole\": "             \
    "-2147483648, "                                                                                                              \
    "\"small\": 9, \"count\": 2, \"big\": \"18446744073709551615\", \"capped\": 1000, \"ratio\": 0.1, \"maybe\": null, "         \
    "\"bounded\": -1, "                                                                                                          \
    "\"list\": [0.5, -3], \"extra\": {\"k\": [1]}, \"inside\": {\"note\": \"in\", \"number\": 7}}"

static struct json *parse(const char *text)
{
    struct json *j;
    struct error e = {0};
    if (json_parse(&j, text, strlen(text), "test", &e))
        fail_msg("%s", e.message);
    return j;
}

static void test_structure_to_text(void **state)
{
    (void)state;
    double list[] = {0.5, -3};
    struct sample s = {.name = (char *)"a\"b",
                       .word = "seven77",
                       .color = BLUE,
                       .flag = true,
                       .whole = INT32_MIN,
                       .small = 9,
                       .count = 2,
                       .big = UINT64_MAX,
                       .capped = 1000,
                       .ratio = 0.1,
                       .maybe = NAN,
                       .bounded = -1,
                       .list = list,
                       .extra = parse("{\"k\":[1]}"),
                       .inside = {(char *)"in", 7}};
    struct json *j = record_to_json(fields, &s);
    char *text = json_print(j, false);
    assert_string_equal(text, GOOD);
    free(text);
    json_destroy(&j);
    json_destroy(&s.extra);
}

static void test_text_to_structure(void **state)
{
    (void)state;
    struct sample s = {0};
    struct error e = {0};
    struct json *j = parse(GOOD);
    if (record_from_json(&s, fields, j, NULL, &e))
        fail_msg("expected: read; found: %s", e.message);
    json_destroy(&j); /* nothing of it may be needed any more */
    assert_string_equal(s.name, "a\"b");
    assert_null(s.nick);
    assert_string_equal(s.word, "seven77");
    assert_int_equal(s.color, BLUE);
    assert_true(s.flag);
    assert_int_equal(s.whole, INT32_MIN);
    assert_int_equal(s.small, 9);
    assert_true(s.big == UINT64_MAX && s.capped == 1000);
    assert_true(s.ratio == 0.1 && isnan(s.maybe) && s.bounded == -1);
    assert_int_equal(s.count, 2);
    assert_true(s.list[0] == 0.5 && s.list[1] == -3);
    assert_true(json_number(json_at(json_get(s.extra, "k"), 0)) == 1);
    assert_string_equal(s.inside.note, "in");
    assert_int_equal(s.inside.number, 7);
    record_free(fields, &s);
    assert_null(s.name);
    assert_null(s.list);
    assert_null(s.extra);
    assert_null(s.inside.note);
    record_free(fields, &s); /* a second time is harmless */
}

/* The values of a record that are owned must all be gone after a failure (a leak is the sanitizer's to find). */
static void expect_refusal(struct json *j, const char *field, const char *found)
{
    struct sample s = {0};
    struct error e = {0};
    char *text = json_print(j, false);
    if (!record_from_json(&s, fields, j, NULL, &e))
        fail_msg("%s: expected: refused because of %s; found: read", text, field);
    assert_int_equal(e.kind, ERROR_FAILED);
    if (!strstr(e.message, field) || !strstr(e.message, found))
        fail_msg("%s: expected a message with '%s' and '%s'; found: %s", text, field, found, e.message);
    if (s.name || s.nick || s.list || s.extra || s.inside.note)
        fail_msg("%s: expected: nothing owned after a failure", text);
    free(text);
    json_destroy(&j);
}

static void test_wrong_values(void **state)
{
    (void)state;
    static const struct {
        const char *field, *value, *found; /* found: must stand in the message besides the field */
    } rows[] = {
        {"name", "5", "a number"},
        {"name", "\"a\"", "2 to 6 bytes expected, 1 found"},
        {"name", "\"\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\"", "8 found"}, /* four letters are eight bytes */
        {"name", "null", "null"},
        {"nick", "[]", "a list"},
        {"word", "\"eight888\"", "1 to 7 bytes expected, 8 found"},
        {"color", "\"Blue\"", "\"Blue\""},
        {"color", "2", "a number"},
        {"flag", "1", "a number"},
        {"flag", "\"true\"", "true or false expected"},
        {"whole", "2147483648", "2147483647"},
        {"whole", "-2147483649", "-2147483648"},
        {"whole", "0.5", "0.5"},
        {"whole", "null", "null"},
        {"small", "0", "from 1 to 9"},
        {"small", "10", "from 1 to 9"},
        {"count", "4294967296", "4294967295"},
        {"list", "[1,2,3]", "2 numbers expected, 3 found"},
        {"list", "[1]", "2 numbers expected, 1 found"},
        {"big", "-1", "0"},
        {"big", "1e16", "9007199254740992"},                /* not exact as a number: it has to be a text */
        {"big", "\"9007199254740992\"", "\"90071992547"},   /* and what is exact must be a number: one form for one value */
        {"big", "\"18446744073709551616\"", "\"184467440"}, /* 2^64 */
        {"big", "\"+9007199254740999\"", "\"+9007"},
        {"big", "\"09007199254740999\"", "\"0900"},
        {"big", "\"-1\"", "\"-1\""},
        {"capped", "1001", "1000"},
        {"capped", "\"18446744073709551615\"", "\"1844"},
        {"ratio", "null", "null"},
        {"ratio", "\"0.1\"", "a number expected"},
        {"maybe", "\"nan\"", "a number expected"},
        {"bounded", "0.5000001", "from -1 to 0.5"},
        {"bounded", "-1.5", "-1.5"},
        {"list", "[1,\"x\"]", "a number expected"},
        {"list", "{}", "a list expected"},
        {"extra", "[1]", "an object expected"},
        {"inside", "{\"note\":\"in\"}", "\"number\" is missing"},
        {"inside", "{\"note\":\"in\",\"number\":7,\"x\":1}", "\"x\""},
        {"inside", "{\"note\":\"ninebytes\",\"number\":7}", "\"note\""},
        {"inside", "7", "an object expected"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct json *j = parse(GOOD);
        json_set(j, rows[i].field, parse(rows[i].value));
        expect_refusal(j, rows[i].field, rows[i].found);
    }
    expect_refusal(parse("[]"), "an object expected", "a list");
}

static void test_missing_and_unknown(void **state)
{
    (void)state;
    static const char *const needed[] = {"name",  "word", "color",  "flag",  "whole", "small",
                                         "count", "big",  "capped", "ratio", "maybe", "bounded"};
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
        struct json *whole = parse(GOOD), *part = json_object();
        for (size_t k = 0; k < json_size(whole); k++)
            if (strcmp(json_key(whole, k), needed[i]))
                json_set(part, json_key(whole, k), json_copy(json_at(whole, k)));
        json_destroy(&whole);
        expect_refusal(part, needed[i], "is missing");
    }
    struct json *j = parse(GOOD);
    json_set(j, "nock", json_null()); /* also when its value says nothing */
    expect_refusal(j, "unknown field", "\"nock\"");
}

static void test_somebody_elses_key(void **state)
{
    (void)state;
    struct sample s = {0};
    struct error e = {0};
    struct json *j = parse(GOOD);
    json_set_string(j, "message", "beat");
    assert_int_equal(record_from_json(&s, fields, j, NULL, &e), -1);
    assert_int_equal(record_from_json(&s, fields, j, "message", &e), 0);
    record_free(fields, &s);
    json_destroy(&j);
}

/* Around 2^53, where numbers stop being exact, and at the ends: what goes out must come back, bit for bit. */
static void test_u64_exactly(void **state)
{
    (void)state;
    const uint64_t edge = (uint64_t)1 << 53,
                   values[] = {0, 1, edge - 1, edge, edge + 1, edge + 2, edge + 3, UINT64_MAX - 1, UINT64_MAX};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        struct json *j = parse(GOOD);
        struct sample s = {0}, back = {0};
        struct error e = {0};
        assert_int_equal(record_from_json(&s, fields, j, NULL, &e), 0);
        s.big = values[i];
        struct json *out = record_to_json(fields, &s);
        if (record_from_json(&back, fields, out, NULL, &e))
            fail_msg("expected: %" PRIu64 " is read back; found: %s", values[i], e.message);
        if (back.big != values[i])
            fail_msg("expected: %" PRIu64 "; found: %" PRIu64, values[i], back.big);
        assert_int_equal(json_type(json_get(out, "big")), values[i] <= edge ? JSON_NUMBER : JSON_STRING);
        record_free(fields, &s);
        record_free(fields, &back);
        json_destroy(&j);
        json_destroy(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_structure_to_text),  cmocka_unit_test(test_text_to_structure),
        cmocka_unit_test(test_wrong_values),       cmocka_unit_test(test_missing_and_unknown),
        cmocka_unit_test(test_somebody_elses_key), cmocka_unit_test(test_u64_exactly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
