/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of this room share: golden files, model directories made on the spot, comparison of ids. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/buffer.h"
#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/json/json.h"
#include "common/text/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static inline struct json *golden(const char *name)
{
    struct json *j = NULL;
    struct error e = {0};
    char *path = path_join(TEST_GOLDEN, name);
    if (json_read(&j, path, &e))
        fail_msg("%s", e.message);
    free(path);
    return j;
}

static inline char *make_directory(void)
{
    char *directory = format_string("%s/text_test.XXXXXX", TEST_BINARY);
    assert_non_null(mkdtemp(directory));
    return directory;
}

static inline void remove_directory(char *directory)
{
    struct error e = {0};
    if (directory_remove(directory, &e))
        fail_msg("%s", e.message);
    free(directory);
}

static inline void put_file(const char *directory, const char *name, const char *text, size_t size)
{
    struct error e = {0};
    char *path = path_join(directory, name);
    if (file_write(path, text, size, &e))
        fail_msg("%s", e.message);
    free(path);
}

static inline void put_text(const char *directory, const char *name, const char *text)
{
    put_file(directory, name, text, strlen(text));
}

static inline void put_json(const char *directory, const char *name, struct json *j)
{
    char *text = json_print(j, false);
    put_file(directory, name, text, strlen(text));
    free(text);
    json_destroy(&j);
}

/* vocab.txt from a list of words. */
static inline void put_vocabulary(const char *directory, const struct json *words)
{
    struct buffer b = {0};
    for (size_t i = 0; i < json_size(words); i++)
        buffer_printf(&b, "%s\n", json_string(json_at(words, i)));
    put_file(directory, "vocab.txt", b.data, b.size);
    buffer_free(&b);
}

static inline struct tokenizer *open_directory(const char *directory)
{
    struct tokenizer *t = NULL;
    struct error e = {0};
    if (tokenizer_open(&t, directory, &e))
        fail_msg("%s", e.message);
    return t;
}

/* The small uncased model of the golden files. */
static inline struct tokenizer *open_small(void)
{
    struct error e = {0};
    char *directory = make_directory(), *from = path_join(TEST_GOLDEN, "text_vocab.txt"), *to = path_join(directory, "vocab.txt");
    if (file_copy(from, to, &e))
        fail_msg("%s", e.message);
    struct tokenizer *t = open_directory(directory);
    free(from);
    free(to);
    remove_directory(directory);
    return t;
}

/* Bytes written as hexadecimal digits; NUL appended; caller frees. */
static inline char *from_hex(const char *digits, size_t *size)
{
    size_t count = strlen(digits) / 2;
    char *bytes = allocate(count + 1, 1);
    for (size_t i = 0; i < count; i++) {
        unsigned value;
        assert_int_equal(sscanf(digits + 2 * i, "%2x", &value), 1);
        bytes[i] = (char)value;
    }
    *size = count;
    return bytes;
}

static inline void append_ids(struct buffer *b, const int32_t *ids, size_t count, size_t from)
{
    for (size_t i = from; i < count && i < from + 12; i++)
        buffer_printf(b, " %d", ids[i]);
}

/* Fails with the place of the first difference, expected and found. */
static inline void assert_ids(const struct json *expected, const int32_t *ids, size_t count, const char *what)
{
    size_t n = json_size(expected), at = 0;
    int32_t *right = allocate(n, sizeof *right);
    for (size_t i = 0; i < n; i++)
        right[i] = (int32_t)json_number(json_at(expected, i));
    while (at < n && at < count && right[at] == ids[at])
        at++;
    if (at < n || at < count) {
        struct buffer e = {0}, f = {0};
        append_ids(&e, right, n, at);
        append_ids(&f, ids, count, at);
        fail_msg("%s: from token %zu on expected%s (%zu in all), found%s (%zu)", what, at, e.data ? e.data : " none", n,
                 f.data ? f.data : " none", count);
    }
    free(right);
}

static inline void check_text(const struct tokenizer *t, const char *text, size_t size, const struct json *expected,
                              const char *what)
{
    struct token_list l = {0};
    tokenizer_encode(t, text, size, SIZE_MAX, &l);
    assert_ids(expected, l.ids, l.count, what);
    token_list_free(&l);
}
