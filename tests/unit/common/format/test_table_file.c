/* CSV, TSV and compressed files, read as Python's csv module reads them; and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

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
         "is UTF-16; save it as UTF-8"},
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_read_as_python_reads_them), cmocka_unit_test(rows_know_their_lines),
        cmocka_unit_test(compressed_files_read_whole),      cmocka_unit_test(damaged_files_are_refused),
        cmocka_unit_test(each_wrong_table_is_named),        cmocka_unit_test(a_walk_goes_on_behind_a_bad_row)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
