/* SPDX-License-Identifier: Apache-2.0 */
/* torch.save's files, both forms: what torch wrote is read (views copied row-major, shared storages shared); whatever a
 * pickle names besides tensors is refused by its name; every prefix and a flip of every byte is survived. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/buffer.h"
#include "common/format/pickle.h"
#include "common/format/tensor_file_builder.h"
#include "tests/unit/common/format/tensor_check.h"

#define GOLDEN(name) TEST_GOLDEN "/tensors_" name

static void check_file(const char *path)
{
    struct tensor_file *f;
    struct error e = {0};
    if (tensor_file_open(&f, path, &e))
        fail_msg("%s", e.message);
    check_tensors(f, GOLDEN("expected.txt"));
    assert_ptr_equal(tensor_file_find(f, "tied.a")->data, tensor_file_find(f, "tied.b")->data);
    tensor_file_close(&f);
}

static void reads_the_zip_form(void **state)
{
    (void)state;
    check_file(GOLDEN("zip.bin"));
}

static void reads_the_zip_form_deflated(void **state)
{
    (void)state;
    check_file(GOLDEN("deflated.bin"));
}

static void reads_the_form_of_before_1_6(void **state)
{
    (void)state;
    check_file(GOLDEN("legacy.bin"));
}

static void expect_refusal_of_file(const char *path, const char *words)
{
    struct tensor_file *f;
    struct error e = {0};
    if (!tensor_file_open(&f, path, &e))
        fail_msg("expected %s to be refused (%s), found acceptance", path, words);
    if (e.kind != ERROR_DATA || !strstr(e.message, words))
        fail_msg("%s: expected kind 3 and '%s', found kind %d, '%s'", path, words, e.kind, e.message);
}

static void refuses_calls_by_their_name(void **state)
{
    (void)state;
    expect_refusal_of_file(GOLDEN("evil_zip.bin"), "it names posix.system");
    expect_refusal_of_file(GOLDEN("evil_legacy.bin"), "it names posix.system");
    expect_refusal_of_file(GOLDEN("nested.bin"), "its tensors are inside \"state_dict\"");
}

/* --- pickles made by hand, in the frame of the form of before 1.6 --- */

static const char head[] = "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.";
static const char little[] = "\x80\x02}X\x0d\0\0\0little_endian\x88s.";

/* ("storage", FloatStorage, key "0", "cpu", count) as a persistent id. */
#define STORAGE(count)                                                                                                           \
    "(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0"                                                                       \
    "0X\x03\0\0\0cpu" count "tQ"
#define TENSOR(count, offset, shape, stride) "ctorch._utils\n_rebuild_tensor_v2\n(" STORAGE(count) offset shape stride "\x89}tR"
#define STATE(tensor) "\x80\x02}X\x01\0\0\0w" tensor "s."
#define KEYS                                                                                                                     \
    "\x80\x02]X\x01\0\0\0"                                                                                                       \
    "0a."
#define ELEMENTS(count) count "\0\0\0\0\0\0\0"

static int parse_hand_made(const char *state, size_t state_size, const char *rest, size_t rest_size, struct error *e)
{
    struct buffer b = {0};
    struct tensor_file *f;
    buffer_append(&b, head, sizeof head - 1);
    buffer_append(&b, little, sizeof little - 1);
    buffer_append(&b, state, state_size);
    buffer_append(&b, rest, rest_size);
    char *exact = malloc(b.size); /* so that a sanitizer sees any read behind the end */
    memcpy(exact, b.data, b.size);
    int result = tensor_file_parse(&f, exact, b.size, "hand.bin", e);
    if (!result)
        tensor_file_close(&f);
    free(exact);
    buffer_free(&b);
    return result;
}

static void refuses_lies(void **state)
{
    (void)state;
    static const char rest[] = KEYS ELEMENTS("\2") "ABCDEFGH";
    static const char short_rest[] = KEYS ELEMENTS("\2") "ABCDEFG";
    static const char other_count[] = KEYS ELEMENTS("\3") "ABCDEFGHIJKL";
    static const char no_keys[] = "\x80\x02].";
    static const char twice[] = "\x80\x02]X\x01\0\0\0"
                                "0aX\x01\0\0\0"
                                "0a." ELEMENTS("\2") "ABCDEFGH" ELEMENTS("\2") "ABCDEFGH";
#define CASE(pickle, tail, words)                                                                                                \
    {                                                                                                                            \
        pickle, sizeof pickle - 1, tail, sizeof tail - 1, words                                                                  \
    }
#define TWO "K\2"
    static const struct {
        const char *pickle;
        size_t size;
        const char *rest;
        size_t rest_size;
        const char *words; /* NULL: legal */
    } cases[] = {
        CASE(STATE(TENSOR(TWO, "K\0", "K\2\x85", "K\1\x85")), rest, NULL),
        CASE(STATE(TENSOR(TWO, "K\0", "K\2K\3\x86", "K\0K\0\x86")), rest, NULL),
        CASE(STATE(TENSOR(TWO, "K\0", "K\1\x85", "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x85")), rest, NULL),
        CASE(STATE(TENSOR(TWO, "K\0", "K\2\x85", "K\1\x85")), short_rest, "cut"),
        CASE(STATE(TENSOR(TWO, "K\0", "K\2\x85", "K\1\x85")), other_count, "another size"),
        CASE(STATE(TENSOR(TWO, "K\0", "K\2\x85", "K\1\x85")), no_keys, "missing"),
        CASE(STATE(TENSOR(TWO, "K\0", "K\2\x85", "K\1\x85")), twice, "twice"),
        CASE(STATE(TENSOR(TWO, "K\1", "K\2\x85", "K\1\x85")), rest, "tensor w: reaches beyond its storage of 2"),
        CASE(STATE(TENSOR(TWO, "K\0", "K\2\x85", "K\2\x85")), rest, "tensor w: reaches beyond"),
        CASE(STATE(TENSOR(TWO, "J\xff\xff\xff\xff", "K\2\x85", "K\1\x85")), rest, "tensor w: reaches beyond"),
        CASE(STATE(TENSOR(TWO, "K\0", "J\xff\xff\xff\xff\x85", "K\1\x85")), rest, "tensor w: its shape or strides"),
        CASE(STATE(TENSOR(TWO, "K\0", "K\2\x85", "J\xff\xff\xff\xff\x85")), rest, "tensor w: its shape or strides"),
        CASE(STATE(TENSOR(TWO, "K\0", "J\0\xca\x9a\x3b\x85", "K\0\x85")), rest, "far more than its size"),
        CASE(STATE(TENSOR(TWO, "K\0", "J\0\xca\x9a\x3bJ\0\xca\x9a\x3bJ\0\xca\x9a\x3b\x87", "K\0K\0K\0\x87")), rest,
             "more elements"),
        CASE(STATE(TENSOR(TWO, "K\0", "K\2\x85", "K\1K\1\x86")), rest, "tensor w: its description"),
        CASE(STATE(TENSOR("\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f", "K\0", "K\2\x85", "K\1\x85")), rest, "impossible"),
        CASE(STATE(TENSOR("J\xff\xff\xff\xff", "K\0", "K\2\x85", "K\1\x85")), rest, "impossible"),
        CASE(STATE("cos\nsystem\nX\x02\0\0\0ls\x85R"), rest, "it names os.system"),
        CASE(STATE("(ios\nsystem\n"), rest, "it names os.system"),
        CASE(STATE("cbuiltins\neval\n"), rest, "it names builtins.eval"),
        CASE(STATE("ctorch\nFloatStorage.x\n"), rest, "it names torch.FloatStorage.x"),
        CASE(STATE("ccollections\nOrderedDict\nN\x81"), rest, "opcode 0x81"),
        CASE(STATE("Nr\xff\xff\xff\x7f"), rest, "memo index"),
        CASE(STATE("h\x05"), rest, "memo index"),
        CASE(STATE("X\xff\xff\xff\xff"), rest, "ends in the middle"),
        CASE("\x80\x02(.", rest, "takes a value that is not there"),
        CASE("\x80\x02NN.", rest, "more than one value"),
        CASE("\x80\x02t.", rest, "no mark"),
        CASE("\x80\x02](N\x86.", rest, "takes a value that is not there"),
        CASE("\x80\x04N.", rest, "protocol 4"),
        CASE("\x80\x02N.", no_keys, "no dictionary of tensors"),
        CASE("\x80\x02}(K\1u.", rest, "a key has no value"),
        CASE("\x80\x02}.", no_keys, "holds no tensors"),
        CASE("\x80\x02]q\0h\0ah\0a.", no_keys, "no dictionary"), /* a list that holds itself */
        CASE("\x80\x02NQ.", rest, "no storage"),
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error e = {0};
        int result = parse_hand_made(cases[i].pickle, cases[i].size, cases[i].rest, cases[i].rest_size, &e);
        if (!cases[i].words && result)
            fail_msg("case %zu: expected acceptance, found '%s'", i, e.message);
        if (cases[i].words && (!result || e.kind != ERROR_DATA || !strstr(e.message, cases[i].words)))
            fail_msg("case %zu: expected kind 3 and '%s', found %d, '%s'", i, cases[i].words, e.kind,
                     result ? e.message : "accepted");
    }
}

static void refuses_big_endian(void **state)
{
    (void)state;
    struct buffer b = {0};
    struct tensor_file *f;
    struct error e = {0};
    static const char big[] = "\x80\x02}X\x0d\0\0\0little_endian\x89s.";
    buffer_append(&b, head, sizeof head - 1);
    buffer_append(&b, big, sizeof big - 1);
    assert_int_equal(tensor_file_parse(&f, b.data, b.size, "x", &e), -1);
    assert_non_null(strstr(e.message, "big-endian"));
    buffer_free(&b);
}

/* Two million levels: no recursion, so no stack to run over. */
static void deep_nesting_costs_nothing(void **state)
{
    (void)state;
    enum { DEPTH = 2000000 };
    struct buffer b = {0};
    struct pickle *p;
    struct error e = {0};
    static const char *const none[] = {NULL};
    buffer_append(&b, "\x80\x02)", 3);
    for (int i = 0; i < DEPTH; i++)
        buffer_append(&b, "\x85", 1);
    buffer_append(&b, ".", 1);
    if (pickle_read(&p, b.data, b.size, none, "deep", NULL, &e))
        fail_msg("%s", e.message);
    const struct pickle_value *v = pickle_root(p);
    int depth = 0;
    for (; v->count; v = v->items[0])
        depth++;
    assert_int_equal(depth, DEPTH);
    pickle_destroy(&p);
    buffer_free(&b);
}

static void survive(const char *bytes, size_t size, const char *what, size_t at)
{
    struct tensor_file *f;
    struct error e = {0};
    char *exact = malloc(size ? size : 1);
    memcpy(exact, bytes, size);
    if (!tensor_file_parse(&f, exact, size, "cut", &e))
        tensor_file_close(&f);
    else if (e.kind != ERROR_DATA || !e.message[0])
        fail_msg("%s %zu: expected kind 3 and words, found kind %d, '%s'", what, at, e.kind, e.message);
    free(exact);
}

static void survives_cuts_and_flips(void **state)
{
    (void)state;
    static const char *const paths[] = {GOLDEN("zip.bin"), GOLDEN("deflated.bin"), GOLDEN("legacy.bin")};
    for (size_t p = 0; p < sizeof paths / sizeof *paths; p++) {
        char *bytes;
        size_t size;
        struct error e = {0};
        assert_int_equal(file_read(&bytes, &size, paths[p], &e), 0);
        for (size_t i = 0; i < size; i++) {
            survive(bytes, i, "cut at", i);
            bytes[i] ^= (char)0xff;
            survive(bytes, size, "flip at", i);
            bytes[i] ^= (char)0xff;
        }
        free(bytes);
    }
}

static void every_cut_of_the_old_form_is_refused(void **state)
{
    (void)state;
    char *bytes;
    size_t size;
    struct error e = {0};
    struct tensor_file *f;
    assert_int_equal(file_read(&bytes, &size, GOLDEN("legacy.bin"), &e), 0);
    for (size_t i = 0; i < size; i++)
        if (!tensor_file_parse(&f, bytes, i, "cut", &e))
            fail_msg("expected the first %zu of %zu bytes to be refused", i, size);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_the_zip_form),
        cmocka_unit_test(reads_the_zip_form_deflated),
        cmocka_unit_test(reads_the_form_of_before_1_6),
        cmocka_unit_test(refuses_calls_by_their_name),
        cmocka_unit_test(refuses_lies),
        cmocka_unit_test(refuses_big_endian),
        cmocka_unit_test(deep_nesting_costs_nothing),
        cmocka_unit_test(survives_cuts_and_flips),
        cmocka_unit_test(every_cut_of_the_old_form_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
