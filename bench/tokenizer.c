/* SPDX-License-Identifier: Apache-2.0 */
/* Tokenising speed: MB/s of one thread and of all cores, or with --ids the ids themselves, for tools/golden_text.py to compare.
 *
 *     bench_tokenizer MODEL RECORDS [--ids]
 *
 * RECORDS: texts, each a 32-bit little-endian size and that many bytes. */
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/base/parallel.h"
#include "common/text/pair.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 7

struct texts {
    char *memory;
    char **text;
    size_t *size;
    size_t count, bytes;
};

static int read_texts(struct texts *ret, const char *path, struct error *e)
{
    struct texts t = {0};
    size_t total;
    if (file_read(&t.memory, &total, path, e))
        return -1;
    t.text = allocate(total / 4 + 1, sizeof *t.text);
    t.size = allocate(total / 4 + 1, sizeof *t.size);
    for (size_t at = 0; at + 4 <= total;) {
        uint32_t size;
        memcpy(&size, t.memory + at, 4);
        at += 4;
        size = size > total - at ? (uint32_t)(total - at) : size;
        t.text[t.count] = allocate(size + 1, 1);
        memcpy(t.text[t.count], t.memory + at, size);
        t.size[t.count++] = size;
        t.bytes += size;
        at += size;
    }
    *ret = t;
    return 0;
}

static void free_texts(struct texts *t)
{
    for (size_t i = 0; i < t->count; i++)
        free(t->text[i]);
    free(t->text);
    free(t->size);
    free(t->memory);
}

static void print_ids(const struct tokenizer *t, const struct texts *texts)
{
    struct token_list l = {0};
    for (size_t i = 0; i < texts->count; i++) {
        l.count = 0;
        tokenizer_encode(t, texts->text[i], texts->size[i], SIZE_MAX, &l);
        for (size_t k = 0; k < l.count; k++)
            printf("%s%d", k ? " " : "", l.ids[k]);
        printf("\n");
    }
    token_list_free(&l);
}

static void measure_one(const struct tokenizer *t, const struct texts *texts)
{
    struct token_list l = {0};
    double best = 1e30, best_cpu = 1e30;
    for (int round = 0; round < ROUNDS; round++) {
        double start = clock_seconds(), start_cpu = clock_cpu();
        l.count = 0;
        for (size_t i = 0; i < texts->count; i++)
            tokenizer_encode(t, texts->text[i], texts->size[i], SIZE_MAX, &l);
        double seconds = clock_seconds() - start, cpu = clock_cpu() - start_cpu;
        best = seconds < best ? seconds : best;
        best_cpu = cpu < best_cpu ? cpu : best_cpu;
    }
    printf("encode, 1 thread: %.1f MB/s, of CPU time %.1f MB/s (%zu texts, %.1f MB, %zu tokens)\n",
           1e-6 * (double)texts->bytes / best, 1e-6 * (double)texts->bytes / best_cpu, texts->count, 1e-6 * (double)texts->bytes,
           l.count);
    token_list_free(&l);
}

struct encoding {
    const struct tokenizer *tokenizer;
    const struct texts *texts;
};

static void encode_rows(void *context, size_t begin, size_t end)
{
    const struct encoding *c = context;
    struct pair p = {0};
    for (size_t i = begin; i < end; i++)
        pair_encode(&p, c->tokenizer, c->texts->text[i], c->texts->size[i], NULL, 0, 1000000, TRUNCATE_LONGEST_FIRST);
    token_list_free(&p.tokens);
}

static int measure_rows(const struct tokenizer *t, const struct texts *texts, struct error *e)
{
    struct encoding c = {t, texts};
    double best = 1e30;
    for (int round = 0; round < ROUNDS; round++) {
        double start = clock_seconds();
        if (parallel_blocks(texts->count, 64, encode_rows, &c, e))
            return -1;
        double seconds = clock_seconds() - start;
        best = seconds < best ? seconds : best;
    }
    printf("rows, %d threads: %.1f MB/s\n", parallel_threads(), 1e-6 * (double)texts->bytes / best);
    return 0;
}

int main(int argc, char **argv)
{
    struct error e = {0};
    struct tokenizer *t = NULL;
    struct texts texts = {0};
    bool ids = argc == 4 && !strcmp(argv[3], "--ids");
    if (argc != 3 && !ids) {
        fprintf(stderr, "usage: bench_tokenizer MODEL RECORDS [--ids]\n");
        return ERROR_USAGE;
    }
    double start = clock_seconds();
    if (tokenizer_open(&t, argv[1], &e) || read_texts(&texts, argv[2], &e))
        goto fail;
    if (ids) {
        print_ids(t, &texts);
    } else {
        printf("open: %.1f ms\n", 1e3 * (clock_seconds() - start));
        measure_one(t, &texts);
        if (measure_rows(t, &texts, &e))
            goto fail;
    }
    free_texts(&texts);
    tokenizer_close(&t);
    return 0;
fail:
    fprintf(stderr, "bench_tokenizer: %s\n", e.message);
    free_texts(&texts);
    tokenizer_close(&t);
    return (int)e.kind;
}
