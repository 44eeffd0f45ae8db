/* SPDX-License-Identifier: Apache-2.0 */
/* safetensors: what the safetensors library wrote is read; what is written is read back, by us and (bytes) deterministically;
 * every lie of a header is refused in words that name it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/format/tensor_file_builder.h"
#include "tests/unit/common/format/tensor_check.h"

#include <math.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#define GOLDEN(name) TEST_GOLDEN "/tensors_" name

static void reads_what_the_library_wrote(void **state)
{
    (void)state;
    struct tensor_file *f;
    struct error e = {0};
    if (tensor_file_open(&f, GOLDEN("all.safetensors"), &e))
        fail_msg("%s", e.message);
    check_tensors(f, GOLDEN("expected.txt"));
    assert_string_equal(tensor_file_metadata(f, "format"), "pt");
    assert_string_equal(tensor_file_metadata(f, "note"), "ä");
    assert_null(tensor_file_metadata(f, "absent"));
    assert_null(tensor_file_find(f, "absent"));
    tensor_file_close(&f);
    assert_null(f);
    tensor_file_close(&f);
    tensor_file_close(NULL);
}

/* Header text and data bytes as a file in memory, in a heap block of exactly its size so that sanitizers see overreads. */
static char *make_file(const char *header, uint64_t header_size, size_t data_size, size_t *size)
{
    *size = 8 + strlen(header) + data_size;
    char *bytes = allocate(*size, 1);
    memcpy(bytes, &header_size, 8);
    memcpy(bytes + 8, header, strlen(header));
    return bytes;
}

static void expect_refusal(const char *header, uint64_t header_size, size_t data_size, const char *words)
{
    size_t size;
    struct error e = {0};
    struct tensor_file *f = NULL;
    char *bytes = make_file(header, header_size, data_size, &size);
    if (!tensor_file_parse(&f, bytes, size, "lie.safetensors", &e))
        fail_msg("expected a refusal (%s), found acceptance of %s", words, header);
    if (e.kind != ERROR_DATA || !strstr(e.message, words) || strncmp(e.message, "lie.safetensors", 15))
        fail_msg("for %s\nexpected kind 3 and the words '%s'\n   found kind %d, '%s'", header, words, e.kind, e.message);
    assert_null(f);
    free(bytes);
}

static void refuses_lies(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t data;
        const char *words;
    } lies[] = {
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 7, "tensor a: should lie at bytes 0 to 8"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 9, "1 bytes at its end belong to no tensor"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}", 8, "tensor a: 3 elements of type F32"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1000000000],\"data_offsets\":[0,8]}}", 8, "tensor a: 1000000000 elements"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,1000000000]}}", 8, "tensor a: should lie"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", 8, "tensor a: should lie"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":["
         "2,6]}}",
         6, "tensor b: overlaps tensor a"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":["
         "0,4]}}",
         4, "overlaps"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":["
         "6,8]}}",
         8, "tensor b: 2 bytes before it"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":["
         "4,8]}}",
         8, "header"},
        {"{\"a\":{\"dtype\":\"F64\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", 0,
         "tensor a: its shape says more"},
        {"{\"a\":{\"dtype\":\"F64\",\"shape\":[4294967296,1073741824],\"data_offsets\":[0,0]}}", 0,
         "tensor a: 4611686018427387904"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1e400],\"data_offsets\":[0,0]}}", 0, ""},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,0]}}", 0, "tensor a: dimension 0"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,6]}}", 6, "tensor a: dimension 0"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[\"2\"],\"data_offsets\":[0,8]}}", 8, "tensor a: dimension 0"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,2],\"data_offsets\":[0,8]}}", 8, "tensor a: has 9 dimensions"},
        {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}}", 8, "tensor a: has no shape"},
        {"{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "tensor a: has no dtype"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0]}}", 8, "tensor a: data_offsets"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8,16]}}", 8, "tensor a: data_offsets"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, "tensor a: data_offsets"},
        {"{\"a\":{\"dtype\":\"F99\",\"shape\":[2],\"data_offsets\":[0,80]}}", 8, "tensor a: should lie"},
        {"{\"a\":[1]}", 0, "tensor a: is"},
        {"{\"__metadata__\":{\"a\":1}}", 0, "__metadata__: a is not a string"},
        {"{\"__metadata__\":[]}", 0, "__metadata__"},
        {"{\"\xff\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0, "header"},
        {"{\"a\":", 0, "header"},
        {"{}}", 0, "header"},
    };
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++)
        expect_refusal(lies[i].header, strlen(lies[i].header), lies[i].data, lies[i].words);
    expect_refusal("{}", 3, 0, "is cut");
    expect_refusal("{}", 1000000000, 0, "at most 100000000");
    expect_refusal("{}", UINT64_MAX, 0, "at most 100000000");
    expect_refusal("[]", 2, 0, "is neither");
}

static void accepts_odd_but_legal_headers(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t data, tensors;
    } legal[] = {
        {"{}", 0, 0},
        {"{}      ", 0, 0},
        {"{\"a\":{\"dtype\":\"F99\",\"shape\":[3],\"data_offsets\":[0,5]}}", 5, 1},
        {"{\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]},\"a\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":["
         "0,1]}}",
         3, 2},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[0,1000000000],\"data_offsets\":[0,0]},\"b\":{\"dtype\":\"U8\",\"shape\":[0],"
         "\"data_offsets\":[0,0]}}",
         0, 2},
    };
    for (size_t i = 0; i < sizeof legal / sizeof *legal; i++) {
        size_t size;
        struct error e = {0};
        struct tensor_file *f;
        char *bytes = make_file(legal[i].header, strlen(legal[i].header), legal[i].data, &size);
        if (tensor_file_parse(&f, bytes, size, "x", &e))
            fail_msg("expected %s to be read, found: %s", legal[i].header, e.message);
        assert_int_equal(tensor_file_count(f), legal[i].tensors);
        if (i == 3)
            assert_string_equal(tensor_file_at(f, 0)->name, "a");
        tensor_file_close(&f);
        free(bytes);
    }
}

static void refuses_every_prefix(void **state)
{
    (void)state;
    char *bytes;
    size_t size;
    struct error e = {0};
    assert_int_equal(file_read(&bytes, &size, GOLDEN("all.safetensors"), &e), 0);
    for (size_t n = 0; n < size; n++) {
        struct tensor_file *f;
        char *part = malloc(n ? n : 1);
        memcpy(part, bytes, n);
        e = (struct error){0};
        if (!tensor_file_parse(&f, part, n, "cut", &e))
            fail_msg("expected the first %zu of %zu bytes to be refused, found acceptance", n, size);
        assert_int_equal(e.kind, ERROR_DATA);
        free(part);
    }
    free(bytes);
}

static void writes_what_it_reads(void **state)
{
    (void)state;
    static const float a[6] = {1, -2, 0.1f, 3e38f, 1e-45f, 0};
    static const uint16_t b[2] = {0x3c00, 0x7bff};
    static const uint8_t c[3] = {1, 2, 3};
    static const char *const metadata[] = {"format", "pt", "quo\"te", "line\nend", NULL};
    const struct tensor tensors[] = {
        {"z.weight", TENSOR_F32, 2, {2, 3}, 6, a, sizeof a},
        {"half \"quoted\" ж", TENSOR_F16, 1, {2}, 2, b, sizeof b},
        {"empty", TENSOR_F32, 2, {0, 3}, 0, NULL, 0},
        {"bytes", TENSOR_U8, 1, {3}, 3, c, sizeof c},
    };
    struct error e = {0};
    struct tensor_file *f;
    char *first, *second;
    size_t first_size, second_size;
    const char *path = "written.safetensors";
    if (safetensors_write(path, tensors, 4, metadata, &e))
        fail_msg("%s", e.message);
    assert_int_equal(file_read(&first, &first_size, path, &e), 0);
    assert_int_equal(safetensors_write(path, tensors, 4, metadata, &e), 0);
    assert_int_equal(file_read(&second, &second_size, path, &e), 0);
    assert_int_equal(first_size, second_size);
    assert_memory_equal(first, second, first_size);
    uint64_t header;
    memcpy(&header, first, 8);
    assert_int_equal(header % 8, 0);
    if (tensor_file_open(&f, path, &e))
        fail_msg("%s", e.message);
    assert_int_equal(tensor_file_count(f), 4);
    for (size_t i = 0; i < 4; i++) {
        const struct tensor *t = tensor_file_find(f, tensors[i].name);
        assert_non_null(t);
        assert_int_equal(t->type, tensors[i].type);
        assert_int_equal(t->dimensions, tensors[i].dimensions);
        for (int d = 0; d < t->dimensions; d++)
            assert_int_equal(t->shape[d], tensors[i].shape[d]);
        assert_int_equal(t->size, tensors[i].size);
        if (t->size)
            assert_memory_equal(t->data, tensors[i].data, t->size);
    }
    assert_string_equal(tensor_file_metadata(f, "quo\"te"), "line\nend");
    tensor_file_close(&f);
    free(first);
    free(second);
    unlink(path);
}

static void a_failed_write_leaves_nothing(void **state)
{
    (void)state;
    struct error e = {0};
    static const float a[4];
    struct tensor t = {"a", TENSOR_F32, 1, {4}, 4, a, sizeof a};
    assert_int_equal(safetensors_write("no/such/folder/x.safetensors", &t, 1, NULL, &e), -1);
    assert_non_null(strstr(e.message, "no/such/folder/x.safetensors"));
    t.count = 5;
    assert_int_equal(safetensors_write("wrong.safetensors", &t, 1, NULL, &e), -1);
    assert_non_null(strstr(e.message, "tensor a"));
    assert_false(file_exists("wrong.safetensors"));
}

/* A limit on the file's size fails a write in the middle as a full disk does. */
static void a_write_that_fails_in_the_middle_leaves_the_old_file(void **state)
{
    (void)state;
    enum { SIZE = 1 << 20 };
    const char *path = "kept.safetensors";
    struct error e = {0};
    struct rlimit kept, small;
    float *a = allocate(SIZE, sizeof *a);
    struct tensor t = {"a", TENSOR_F32, 1, {SIZE}, SIZE, a, SIZE * sizeof *a};
    assert_int_equal(file_write(path, "old", 3, &e), 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &kept), 0);
    small = kept;
    small.rlim_cur = 1 << 20;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    int result = safetensors_write(path, &t, 1, NULL, &e);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &kept), 0);
    assert_int_equal(result, -1);
    assert_int_equal(e.kind, ERROR_FAILED);
    if (!strstr(e.message, "kept.safetensors: cannot be written: File too large"))
        fail_msg("expected the path and the cause, found '%s'", e.message);
    char *bytes, *temporary = format_string("%s.%d.tmp", path, (int)getpid());
    size_t size;
    assert_int_equal(file_read(&bytes, &size, path, &e), 0);
    assert_int_equal(size, 3);
    assert_false(file_exists(temporary));
    free(bytes);
    free(temporary);
    free(a);
    unlink(path);
}

static void finds_what_is_not_finite(void **state)
{
    (void)state;
    enum { COUNT = 3000 };
    static const size_t places[] = {0, 1, 1023, 1024, 2999};
    float *values = allocate(COUNT, sizeof *values);
    for (size_t i = 0; i < COUNT; i++)
        values[i] = i % 2 ? -3e38f : 1e-40f;
    struct tensor t = {"a", TENSOR_F32, 1, {COUNT}, COUNT, values, COUNT * sizeof *values};
    assert_int_equal(tensor_first_not_finite(&t), -1);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        float kept = values[places[i]];
        values[places[i]] = i % 2 ? -INFINITY : NAN;
        assert_int_equal(tensor_first_not_finite(&t), places[i]);
        values[places[i]] = kept;
    }
    static const double huge[2] = {1, 1e300}; /* infinite as f32 */
    struct tensor d = {"d", TENSOR_F64, 1, {2}, 2, huge, sizeof huge};
    assert_int_equal(tensor_first_not_finite(&d), 1);
    free(values);
}

/* Against the definition: sign, 5 bits of exponent with bias 15, 10 of fraction. */
static void converts_every_half(void **state)
{
    (void)state;
    for (uint32_t bits = 0; bits < 65536; bits++) {
        uint16_t half = (uint16_t)bits;
        struct tensor t = {"h", TENSOR_F16, 1, {1}, 1, &half, sizeof half};
        struct error e;
        float found;
        int exponent = (int)(bits >> 10 & 31), fraction = (int)(bits & 1023);
        double size = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
        double expected = exponent == 31 ? (fraction ? NAN : INFINITY) : size;
        expected = bits & 0x8000 ? -expected : expected;
        assert_int_equal(tensor_to_f32(&t, &found, &e), 0);
        if (isnan(expected) ? !isnan(found) : found != (float)expected || signbit(found) != signbit((float)expected))
            fail_msg("half 0x%04x: expected %a, found %a", bits, expected, (double)found);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_the_library_wrote),
        cmocka_unit_test(refuses_lies),
        cmocka_unit_test(accepts_odd_but_legal_headers),
        cmocka_unit_test(refuses_every_prefix),
        cmocka_unit_test(writes_what_it_reads),
        cmocka_unit_test(a_failed_write_leaves_nothing),
        cmocka_unit_test(a_write_that_fails_in_the_middle_leaves_the_old_file),
        cmocka_unit_test(finds_what_is_not_finite),
        cmocka_unit_test(converts_every_half),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
