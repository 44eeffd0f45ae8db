/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/near.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define LONGEST 64

static size_t distance(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b), row[LONGEST + 1];
    if (n > LONGEST || m > LONGEST)
        return LONGEST;
    for (size_t j = 0; j <= m; j++)
        row[j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t best = diagonal + (tolower((unsigned char)a[i - 1]) != tolower((unsigned char)b[j - 1]));
            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[m];
}

const char *near_word(const char *word, const char *const *candidates, size_t count)
{
    size_t limit = strlen(word) / 3, best = (limit ? limit : 1) + 1;
    const char *found = NULL;
    for (size_t i = 0; i < count; i++) {
        size_t d = distance(word, candidates[i]);
        if (d < best) {
            best = d;
            found = candidates[i];
        }
    }
    return found;
}

const char *near_hint(char *text, size_t size, const char *word, const char *const *candidates, size_t count)
{
    const char *found = near_word(word, candidates, count);
    text[0] = 0;
    if (found)
        snprintf(text, size, "; did you mean '%s'?", found);
    return text;
}
