/* SPDX-License-Identifier: Apache-2.0 */
/* CSV, TSV and compressed files, read as Python's csv module reads them; and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/buffer.h"
#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/format/csv.h"
#include "common/format/table_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH "test_table_file.csv"

static void write_text(const char *path, const char *text, size_t size)
{
    struct error e;
    if (file_write(path, text, size, &e))
        fail_msg("%s", e.message);
}

static void compare_rows(struct csv *f, const struct json *table, size_t number)
{
    struct error e;
    const struct json *row, *columns = json_get(table, "columns"), *rows = json_get(table, "rows");
    size_t line;
    for (size_t i = 0; i < json_size(rows); i++) {
        if (csv_next(f, &row, &line, &e) != 1)
            fail_msg("table %zu, row %zu: %s", number, i, e.message);
        assert_int_equal(json_size(row), json_size(columns));
        for (size_t k = 0; k < json_size(columns); k++) {
            const char *expected = json_string(json_at(json_at(rows, i), k)), *found = json_string(json_at(row, k));
            assert_string_equal(json_key(row, k), json_string(json_at(columns, k)));
            if (!expected != !found || (expected && strcmp(expected, found)))
                fail_msg("table %zu, row %zu, cell %zu: expected \"%s\", found \"%s\"", number, i, k,
                         expected ? expected : "nothing", found ? found : "nothing");
        }
    }
    assert_int_equal(csv_next(f, &row, &line, &e), 0);
    assert_int_equal(csv_next(f, &row, &line, &e), 0);
}

static void tables_read_as_python_reads_them(void **state)
{
    (void)state;
    struct json *golden;
    struct error e;
    if (json_read(&golden, TEST_GOLDEN "/csv_tables.json", &e))
        fail_msg("%s", e.message);
    const struct json *tables = json_get(golden, "tables");
    assert_int_equal(json_size(tables), 24);
    for (size_t i = 0; i < json_size(tables); i++) {
        const struct json *table = json_at(tables, i);
        const char *text = json_string(json_get(table, "text"));
        struct csv *f;
        write_text(PATH, text, strlen(text));
        if (csv_open(&f, PATH, NULL, &e) &&
            csv_open(&f, PATH, &(struct csv_options){.separator = *json_string(json_get(table, "separator"))}, &e))
            fail_msg("%s", e.message);
        assert_int_equal(csv_dialect(f).separator, *json_string(json_get(table, "separator")));
        compare_rows(f, table, i);
        csv_close(&f);
    }
    json_destroy(&golden);
}

static void rows_know_their_lines(void **state)
{
    (void)state;
    static const char text[] = "a,b\r\n1,\"two\r\nlines\"\r\n\r\n4,x\n\"5\",\n6,\"\"\n7,last";
    static const size_t lines[] = {2, 5, 6, 7, 8};
    struct error e;
    struct table_file *f;
    const struct json *row;
    size_t line;
    write_text(PATH, text, strlen(text));
    assert_int_equal(table_file_open(&f, PATH, NULL, &e), 0);
    assert_true(table_file_has_cells(f));
    for (size_t i = 0; i < 5; i++) {
        if (table_file_next(f, &row, &line, &e) != 1)
            fail_msg("%s", e.message);
        assert_int_equal(line, lines[i]);
        assert_int_equal(json_type(json_get(row, "b")), i == 2 || i == 3 ? JSON_NULL : JSON_STRING);
    }
    assert_int_equal(table_file_next(f, &row, &line, &e), 0);
    table_file_close(&f);
    assert_null(f);
}

static void compressed_files_read_whole(void **state)
{
    (void)state;
    static const char *const paths[] = {TEST_GOLDEN "/csv_rows.csv.gz", TEST_GOLDEN "/csv_rows.csv.zst"};
    for (size_t p = 0; p < 2; p++) {
        struct error e;
        struct table_file *f;
        const struct json *row;
        size_t line, rows = 0;
        if (table_file_open(&f, paths[p], NULL, &e))
            fail_msg("%s", e.message);
        int more;
        while ((more = table_file_next(f, &row, &line, &e)) > 0) {
            rows++;
            assert_int_equal(line, rows + 1);
            assert_int_equal(atoi(json_string(json_get(row, "id"))), rows);
        }
        if (more)
            fail_msg("%s", e.message);
        assert_int_equal(rows, 9000);
        table_file_close(&f);
    }
}

/* Cut or bent at any byte, a compressed file is refused or read whole, never read in part as if it were whole. */
static void damaged_files_are_refused(void **state)
{
    (void)state;
    static const char *const suffixes[] = {"gz", "zst"};
    for (size_t p = 0; p < 2; p++) {
        char *from = format_string(TEST_GOLDEN "/csv_rows.csv.%s", suffixes[p]),
             *to = format_string("test_cut.csv.%s", suffixes[p]), *bytes;
        size_t size;
        struct error e;
        assert_int_equal(file_read(&bytes, &size, from, &e), 0);
        for (int k = 1; k <= 40; k++) {
            struct table_file *f = NULL;
            const struct json *row;
            size_t line, rows = 0, half = size / 40 * (size_t)k;
            write_text(to, bytes, half);
            int more = table_file_open(&f, to, NULL, &e) ? -1 : 1;
            while (more > 0 && (more = table_file_next(f, &row, &line, &e)) > 0)
                rows++;
            table_file_close(&f);
            if (more == 0 && rows != 9000 && rows < 4400) /* cut between the two members is whole */
                fail_msg("%s cut to %zu of %zu bytes gives %zu rows and no error", to, half, size, rows);
            if (more < 0 && (e.kind != ERROR_DATA || strncmp(e.message, to, strlen(to))))
                fail_msg("'%s' does not name %s", e.message, to);
        }
        bytes[size / 3] ^= 0x55;
        struct table_file *f = NULL;
        const struct json *row;
        size_t line;
        write_text(to, bytes, size);
        int more = table_file_open(&f, to, NULL, &e) ? -1 : 1;
        while (more > 0)
            more = table_file_next(f, &row, &line, &e);
        assert_int_equal(more, -1);
        table_file_close(&f);
        free(bytes);
        free(to);
        free(from);
    }
}

static void each_wrong_table_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *path, *text, *words;
    } cases[] = {
        {PATH, "", PATH ": is empty"},
        {PATH, "\n\n", PATH ": is empty"},
        {PATH, "a,b,a\n1,2,3\n", PATH ":1: the header has the column \"a\" twice"},
        {PATH, "a,b\n1,2\n3\n", PATH ":3: the row has 1 cells, the header 2"},
        {PATH, "a,b\n1,2,3\n", PATH ":2: the row has 3 cells, the header 2 columns; put cells that hold ',' in quotes"},
        {PATH, "a,b\n1,\"two\nthree", PATH ":3: a cell's quote is never closed"},
        {PATH, "a,b\n1,\"two\"x\n", PATH ":2: text behind a cell's closing quote"},
        {PATH, "a,b\n1,\xff\n", PATH ":2: cell 2 is not valid UTF-8"},
        {PATH, "a,b\n1,\xed\xa0\x80\n", PATH ":2: cell 2 is not valid UTF-8"},
        {PATH,
         "\xff\xfe"
         "a",
         "is UTF-16; set data.encoding to \"utf-16\", or save it as UTF-8"},
        {PATH, "PAR1\x15\x04", "is a Parquet file; convert it: python3 -c"},
        {PATH, "PK\003\004 and more", "is a ZIP archive or an Excel workbook; unpack it"},
        {PATH, "BZh91AY&SY....", "is bzip2 data; unpack it: bunzip2 -k " PATH},
        {PATH,
         "\xfd"
         "7zXZ",
         "cell 1 is not valid UTF-8"},
        {PATH, "version https://git-lfs.github.com/spec/v1\noid sha256:46\n",
         "is a Git LFS pointer, not the file itself; fetch it: git lfs pull"},
        {PATH, "\n<!DOCTYPE html><html>", "is an HTML page; was it a failed download?"},
        {"test_name.jsonl", "[1, 2]\n", "test_name.jsonl:1: a row is a number; an object is expected"},
        {"test_name.json", "{\"a\": [1, 2],\n \"b\": [1]}", "test_name.json: is one JSON object and no table"},
        {"test_name.csv.gz", "a,b\n1,2\n", "is named .gz but holds no gzip data"},
        {"test_name.jsonl.zst", "{}\n", "is named .zst but holds no Zstandard data"},
        {"test_name.jsonl", "a,b\n1,2\n", "test_name.jsonl:1:1: "},
        {"test_name", "{\"a\": }\n", "test_name:1:7"},
        {"test_name", "a\tb\n1\n", "test_name:2: the row has 1 cells, the header 2 columns; put cells that hold 'tab'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct table_file *f = NULL;
        struct error e = {0};
        const struct json *row;
        size_t line;
        write_text(cases[i].path, cases[i].text, strlen(cases[i].text));
        int more = table_file_open(&f, cases[i].path, NULL, &e) ? -1 : 1;
        while (more > 0)
            more = table_file_next(f, &row, &line, &e);
        if (more == 0 || e.kind != ERROR_DATA || !strstr(e.message, cases[i].words))
            fail_msg("expected: %s\nfound:    %s", cases[i].words, more ? e.message : "no error");
        table_file_close(&f);
    }
}

struct expected_table {
    const char *path, *text;
    size_t size; /* 0: strlen */
    struct table_options options;
    const char *format, *rows; /* rows: as JSON, one behind another */
};

static void expect_table(const struct expected_table *c)
{
    struct table_file *f;
    struct error e = {0};
    const struct json *row;
    size_t line;
    char found[2000] = "";
    int more;
    write_text(c->path, c->text, c->size ? c->size : strlen(c->text));
    if (table_file_open(&f, c->path, &c->options, &e))
        fail_msg("%s", e.message);
    while ((more = table_file_next(f, &row, &line, &e)) > 0) {
        char *text = json_print(row, false);
        strncat(found, text, sizeof found - strlen(found) - 1);
        free(text);
    }
    if (more)
        fail_msg("%s", e.message);
    if (strcmp(found, c->rows) || strcmp(table_file_format(f), c->format))
        fail_msg("%s\nexpected: %s %s\nfound:    %s %s", c->text, c->format, c->rows, table_file_format(f), found);
    table_file_close(&f);
}

/* Expected: pandas.read_csv of the same bytes (sep, encoding, quoting=3 where said), an empty cell as null. */
static void dialects_are_found(void **state)
{
    (void)state;
    static const char utf16[] = "\xff\xfe"
                                "a\0,\0b\0\n\0\xe9\0,\0"
                                "1\0\n\0";
    static const struct expected_table cases[] = {
        {PATH, "a;b, c\n1;2\n3;4\n", .format = "CSV (separator ';')",
         .rows = "{\"a\": \"1\", \"b, c\": \"2\"}{\"a\": \"3\", \"b, c\": \"4\"}"},
        {PATH, "a,b\tc\nx\t1\ny\t2\n", .format = "CSV (separator tab)",
         .rows = "{\"a,b\": \"x\", \"c\": \"1\"}{\"a,b\": \"y\", \"c\": \"2\"}"},
        {PATH, "a|b\n1, 2|x\n", .format = "CSV (separator '|')", .rows = "{\"a\": \"1, 2\", \"b\": \"x\"}"},
        {PATH, "\xef\xbb\xbfsep=;\r\na;b\r\n1;2,3\r\n", .format = "CSV (separator ';')",
         .rows = "{\"a\": \"1\", \"b\": \"2,3\"}"},
        {PATH, "a,b\r1,2\r\r3,\"4\r5\"\r", .format = "CSV (CR line ends)",
         .rows = "{\"a\": \"1\", \"b\": \"2\"}{\"a\": \"3\", \"b\": \"4\\r5\"}"},
        {PATH, "a,b\r\r\n1,2\r\r\n", .format = "CSV", .rows = "{\"a\": \"1\", \"b\": \"2\"}"},
        {PATH, "v1,,x,\n1,,2,\n", .format = "CSV",
         .rows = "{\"v1\": \"1\", \"Unnamed: 1\": null, \"x\": \"2\", \"Unnamed: 3\": null}"},
        {PATH, "a,b\ncaf\xe9,\x80\n", .options = {.encoding = "cp1252"}, .format = "CSV (encoding cp1252)",
         .rows = "{\"a\": \"caf\xc3\xa9\", \"b\": \"\xe2\x82\xac\"}"},
        {PATH, utf16, sizeof utf16 - 1, .options = {.encoding = "utf-16"}, .format = "CSV (encoding utf-16)",
         .rows = "{\"a\": \"\xc3\xa9\", \"b\": \"1\"}"},
        {PATH, "a,b\n\"x,1\n", .options = {.plain_quotes = true}, .format = "CSV (quotes are text)",
         .rows = "{\"a\": \"\\\"x\", \"b\": \"1\"}"},
        {"test_name.tsv", "a\tb\n\"x\t1\ny\t2\nz\"\t3\n", .format = "TSV (quotes are text)",
         .rows = "{\"a\": \"\\\"x\", \"b\": \"1\"}{\"a\": \"y\", \"b\": \"2\"}{\"a\": \"z\\\"\", \"b\": \"3\"}"},
        {"test_name.tsv", "a\tb\n\"x\"\"\"\t1\n", .format = "TSV", .rows = "{\"a\": \"x\\\"\", \"b\": \"1\"}"},
        {"test_name.tsv", "a\tb\n\"x\n y\"\t1\n", .format = "TSV", .rows = "{\"a\": \"x\\n y\", \"b\": \"1\"}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_table(&cases[i]);
}

/* Expected: pandas.read_json of what to_json writes with each orient, and datasets' {"data": [...]}. */
static void json_documents_are_tables(void **state)
{
    (void)state;
    static const char *const documents[] = {
        "[{\"a\": \"x\", \"b\": 1}, {\"a\": \"y\", \"b\": 2}]",
        "[\n  {\n    \"a\": \"x\",\n    \"b\": 1\n  },\n  {\"a\": \"y\", \"b\": 2}\n]\n",
        "{\"version\": \"1\", \"data\": [{\"a\": \"x\", \"b\": 1}, {\"a\": \"y\", \"b\": 2}]}",
        "{\"a\": {\"0\": \"x\", \"1\": \"y\"}, \"b\": {\"0\": 1, \"1\": 2}}",
        "{\"0\": {\"a\": \"x\", \"b\": 1}, \"1\": {\"a\": \"y\", \"b\": 2}}",
        "{\"columns\": [\"a\", \"b\"], \"index\": [0, 1], \"data\": [[\"x\", 1], [\"y\", 2]]}",
        "{\"a\": [\"x\", \"y\"],\n \"b\": [1, 2]}",
    };
    static const char *const paths[] = {"test_name.json", "test_name.jsonl", "test_name"};
    for (size_t i = 0; i < sizeof documents / sizeof *documents; i++)
        for (size_t p = 0; p < 3; p++)
            expect_table(&(struct expected_table){paths[p], documents[i], .format = "JSON",
                                                  .rows = "{\"a\": \"x\", \"b\": 1}{\"a\": \"y\", \"b\": 2}"});
    expect_table(&(struct expected_table){"test_name.json", "{\"a\": \"x\"}\n{\"a\": \"y\"}\n", .format = "JSON Lines",
                                          .rows = "{\"a\": \"x\"}{\"a\": \"y\"}"});
    expect_table(&(struct expected_table){"test_name.json", "{\"a\": \"x\", \"labels\": [\"p\", \"q\"]}", .format = "JSON Lines",
                                          .rows = "{\"a\": \"x\", \"labels\": [\"p\", \"q\"]}"});
}

static void lines_in_a_quoted_cell_are_told(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t swallowed;
        size_t line;
    } cases[] = {
        {"a,b\n1,x\n\"2,x\n3,y\n4\",z\n", 1, 3},
        {"a,b\n1,\"x\ny\"\n\"2,x\n3,y\n\",z\n", 1, 4},
        {"a,b\n1,\"a line\nand one more\"\n", 0, 0},
        {"a,b,c\n\"a line\nand one more\",1,2\n", 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct table_file *f;
        struct error e;
        const struct json *row;
        size_t line;
        write_text(PATH, cases[i].text, strlen(cases[i].text));
        assert_int_equal(table_file_open(&f, PATH, NULL, &e), 0);
        while (table_file_next(f, &row, &line, &e) > 0)
            ;
        const struct table_notes notes = table_file_notes(f);
        if (notes.swallowed != cases[i].swallowed || notes.swallowed_line != cases[i].line)
            fail_msg("%s: expected %d at line %zu, found %d at line %zu", cases[i].text, (int)cases[i].swallowed, cases[i].line,
                     (int)notes.swallowed, notes.swallowed_line);
        table_file_close(&f);
    }
}

static void encodings_are_guessed(void **state)
{
    (void)state;
    write_text(PATH, "a,b\ncaf\xe9,1\n", 12);
    assert_string_equal(table_file_guess_encoding(PATH), "cp1252");
    write_text(PATH, "a,b\ncaf\xc3\xa9,1\n", 13);
    assert_null(table_file_guess_encoding(PATH));
    write_text(PATH,
               "\xff\xfe"
               "a\0",
               4);
    assert_string_equal(table_file_guess_encoding(PATH), "utf-16");
    write_text(PATH, "a,b\n\x81\xe9,1\n", 10); /* 0x81 is nothing in cp1252 */
    assert_null(table_file_guess_encoding(PATH));
}

static void a_walk_goes_on_behind_a_bad_row(void **state)
{
    (void)state;
    static const char text[] = "a,b\n1\n2,\"x\"y,\n3,\"ok\"\n4,5,6\n7,8\n";
    static const int expected[] = {-1, -1, 1, -1, 1, 0};
    static const size_t lines[] = {2, 3, 4, 5, 6};
    struct error e;
    struct table_file *f;
    const struct json *row;
    size_t line;
    write_text(PATH, text, strlen(text));
    assert_int_equal(table_file_open(&f, PATH, NULL, &e), 0);
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(table_file_next(f, &row, &line, &e), expected[i]);
        if (i < 5)
            assert_int_equal(line, lines[i]);
    }
    table_file_close(&f);
}

/* As test_many_blocks of JSON Lines, with cells of two lines and rows of a cell too many. */
static void rows_of_many_blocks_come_in_order(void **state)
{
    (void)state;
    enum { ROWS = 40000 };
    struct buffer text = {0};
    struct error e;
    struct csv *f;
    const struct json *row;
    size_t line, expected = 2, bad = 0;
    buffer_text(&text, "number,text\n");
    for (int i = 1; i <= ROWS; i++)
        buffer_printf(&text,
                      i % 9973 == 0 ? "%d,one,more\n"
                      : i % 7 == 0  ? "%d,\"of two\nlines, the last like a row\"\n"
                                    : "%d,a text of one line\n",
                      i);
    write_text(PATH, text.data, text.size);
    assert_int_equal(csv_open(&f, PATH, NULL, &e), 0);
    for (int i = 1; i <= ROWS; i++) {
        int more = csv_next(f, &row, &line, &e);
        assert_int_equal(more, i % 9973 ? 1 : -1);
        assert_int_equal(line, expected);
        if (more == 1)
            assert_int_equal(atoi(json_string(json_get(row, "number"))), i);
        if (i < 9973) /* those of rows that were parsed ahead are not counted yet */
            assert_int_equal(csv_dialect(f).swallowed, i / 7);
        bad += more == -1;
        expected += i % 9973 && i % 7 == 0 ? 2 : 1;
    }
    assert_int_equal(bad, 4);
    assert_int_equal(csv_next(f, &row, &line, &e), 0);
    assert_false(csv_failed(f));
    csv_close(&f);
    buffer_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(tables_read_as_python_reads_them),
                                       cmocka_unit_test(rows_know_their_lines),
                                       cmocka_unit_test(rows_of_many_blocks_come_in_order),
                                       cmocka_unit_test(compressed_files_read_whole),
                                       cmocka_unit_test(damaged_files_are_refused),
                                       cmocka_unit_test(each_wrong_table_is_named),
                                       cmocka_unit_test(dialects_are_found),
                                       cmocka_unit_test(json_documents_are_tables),
                                       cmocka_unit_test(lines_in_a_quoted_cell_are_told),
                                       cmocka_unit_test(encodings_are_guessed),
                                       cmocka_unit_test(a_walk_goes_on_behind_a_bad_row)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
