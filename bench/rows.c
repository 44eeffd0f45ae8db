/* SPDX-License-Identifier: Apache-2.0 */
/* Rows for measuring check, split and tokenizing: JSON Lines of some 285 bytes, the same for the same arguments. A text of 38
 * words of a model's vocabulary by Zipf's law, one of four labels, groups of three rows; of a hundred rows one repeats an earlier
 * one and two change its last word.
 *
 * usage: bench_rows vocab.txt [rows] > rows.jsonl */
#include "common/base/memory.h"

#include <ctype.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_A_ROW 38
#define VOCABULARY 30000

static char *words[VOCABULARY];
static size_t word_count;

static bool is_word(const char *line)
{
    size_t n = strlen(line);
    for (size_t i = 0; i < n; i++)
        if (!islower((unsigned char)line[i]))
            return false;
    return n > 1;
}

static int read_words(const char *path)
{
    char line[256];
    FILE *f = fopen(path, "r");
    while (f && word_count < VOCABULARY && fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        if (is_word(line))
            words[word_count++] = duplicate(line);
    }
    if (f)
        fclose(f);
    return word_count > 1000 ? 0 : -1;
}

static uint64_t mix(uint64_t x) /* splitmix64 */
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* The word at a place of a row: rank by Zipf's law with exponent 1. */
static const char *word_at(uint64_t row, unsigned place)
{
    double u = (double)(mix(row * 64 + place) >> 11) * 0x1p-53;
    return words[(size_t)(exp(u * log((double)word_count + 1)) - 1)];
}

int main(int argc, char **argv)
{
    uint64_t rows = argc > 2 ? strtoull(argv[2], NULL, 10) : 1000000;
    if (argc < 2 || read_words(argv[1])) {
        fprintf(stderr, "usage: bench_rows vocab.txt [rows] > rows.jsonl: the first is a file of words, one a line\n");
        return 2;
    }
    for (uint64_t row = 0; row < rows; row++) {
        uint64_t kind = mix(~row) % 100, of = row > 0 && kind < 3 ? mix(row ^ 0x5bd1e995) % row : row;
        printf("{\"id\": \"r%llu\", \"group\": \"g%llu\", \"label\": \"label_%llu\", \"text\": \"", (unsigned long long)row,
               (unsigned long long)(row / 3), (unsigned long long)(mix(of ^ 0xabcdef) % 4));
        for (unsigned i = 0; i < WORDS_A_ROW; i++)
            printf("%s%s", i ? " " : "", kind > 0 && of != row && i + 1 == WORDS_A_ROW ? "changed" : word_at(of, i));
        printf("\"}\n");
    }
    return ferror(stdout) ? 1 : 0;
}
