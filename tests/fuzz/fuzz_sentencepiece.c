/* SPDX-License-Identifier: Apache-2.0 */
/* Arbitrary bytes as a sentencepiece model: refused, or a tokenizer whose ids are of its vocabulary for a text of several
 * scripts. */
#include "common/base/memory.h"
#include "common/text/pipeline.h"
#include "common/text/sentencepiece_model.h"
#include "tests/fuzz/check.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char text[] =
    "Hello,  w\xC3\xB6rld \xEF\xBC\xA1\xCC\x81 \xEF\xAC\x81 \xE4\xBD\xA0\xE5\xA5\xBD \xE2\x96\x81x \xF0\x9F\x91\x8D"
    "\xF0\x9F\x8F\xBD e\xCC\x81\xCC\xA3 \r\n\xE2\x80\x8B \xEA\xB0\x81";

static int compare_entries(const void *a, const void *b)
{
    const struct vocabulary_entry *x = a, *y = b;
    int order = strcmp(x->word, y->word);
    return order ? order : (x->id > y->id) - (x->id < y->id);
}

static struct vocabulary build(const struct json *words)
{
    size_t count = json_size(words), kept = 0;
    struct vocabulary_entry *entries = allocate(count, sizeof *entries);
    for (size_t i = 0; i < count; i++)
        entries[i] = (struct vocabulary_entry){json_string(json_at(json_at(words, i), 0)), (int32_t)i};
    qsort(entries, count, sizeof *entries, compare_entries);
    for (size_t i = 0; i < count; i++)
        if (i + 1 == count || strcmp(entries[i].word, entries[i + 1].word) != 0)
            entries[kept++] = entries[i];
    struct vocabulary v;
    vocabulary_build(&v, entries, kept, NULL);
    free(entries);
    return v;
}

static void check_tokenizer(const struct json *root)
{
    struct error e = {0};
    const struct json *words = json_get(json_get(root, "model"), "vocab");
    struct vocabulary v = build(words);
    struct pipeline_source source = {root, "tokenizer.json", &v};
    struct pipeline *p = NULL;
    if (!pipeline_read(&p, &source, &e)) { /* its precompiled_charsmap may be refused */
        struct token_list l = {0};
        struct workspace *w = pipeline_acquire(p);
        struct piece normal = pipeline_normalize(p, w, text, sizeof text - 1, true);
        pipeline_encode(p, w, normal, SIZE_MAX, &l);
        for (size_t i = 0; i < l.count; i++)
            CHECK(l.ids[i] >= 0 && (size_t)l.ids[i] < json_size(words));
        pipeline_release(p, w);
        token_list_free(&l);
    }
    pipeline_destroy(&p);
    vocabulary_free(&v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (int family = SENTENCEPIECE_XLM; family <= SENTENCEPIECE_DEBERTA; family++) {
        struct error e = {0};
        struct json *root = NULL;
        struct sentencepiece_options options = {
            .family = (enum sentencepiece_family)family, .lower = size % 2, .split_punctuation = size % 3};
        if (sentencepiece_parse(&root, data, size, "model", options, &e)) {
            CHECK(!root && e.message[0]);
            continue;
        }
        check_tokenizer(root);
        json_destroy(&root);
    }
    return 0;
}
