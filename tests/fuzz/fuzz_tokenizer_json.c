/* SPDX-License-Identifier: Apache-2.0 */
/* Arbitrary bytes as tokenizer.json: refused with a message, or opened; then its ids are its own, and its export is read again as
 * the same. */
#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/text/pair.h"
#include "tests/fuzz/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put(const char *directory, const char *name, const void *bytes, size_t size)
{
    struct error e = {0};
    char *path = path_join(directory, name);
    CHECK(!file_write(path, bytes, size, &e));
    free(path);
}

static void check_texts(const struct tokenizer *t)
{
    static const char *const texts[] = {"Hello the <mask> a'll 123  x\n", "\xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80\xff[SEP]</s>",
                                        "ab ab"};
    for (size_t i = 0; i < 3; i++) {
        struct pair p = {0};
        pair_encode(&p, t, texts[i], strlen(texts[i]), texts[2], strlen(texts[2]), 64, TRUNCATE_LONGEST_FIRST);
        CHECK(p.tokens.count <= 64 && p.first <= p.tokens.count);
        token_list_free(&p.tokens);
        struct token_list l = {0};
        tokenizer_encode(t, texts[i], strlen(texts[i]), SIZE_MAX, &l);
        for (size_t k = 0; k < l.count; k++)
            CHECK(l.ids[k] >= 0 && (uint32_t)l.ids[k] < tokenizer_size(t));
        token_list_free(&l);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char config[] = "{\"tokenizer_class\":\"PreTrainedTokenizerFast\"}";
    struct error e = {0};
    struct tokenizer *t = NULL, *again = NULL;
    char directory[] = "/tmp/fuzz_tokenizer.XXXXXX";
    CHECK(mkdtemp(directory));
    put(directory, "tokenizer.json", data, size);
    put(directory, "tokenizer_config.json", config, strlen(config));
    if (tokenizer_open(&t, directory, &e)) {
        CHECK(e.kind == ERROR_USAGE || e.kind == ERROR_DATA);
        CHECK(*e.message);
    } else {
        check_texts(t);
        if (tokenizer_export(t, directory, 64, &e) || tokenizer_open(&again, directory, &e))
            fprintf(stderr, "%s\n", e.message);
        CHECK(again && !strcmp(tokenizer_sha256(t), tokenizer_sha256(again)));
    }
    tokenizer_close(&t);
    tokenizer_close(&again);
    CHECK(!directory_remove(directory, &e));
    return 0;
}
