/* Owns the resampling of rows. */
#include "common/score/bootstrap.h"

#include "common/base/memory.h"
#include "common/base/philox.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const bootstrap_figure_names[BOOTSTRAP_FIGURES] = {"accuracy", "micro_precision", "micro_recall",
                                                               "micro_f1", "macro_f1",        "weighted_f1"};

enum { PREDICTED = 1, THERE = 2 };

/* Few of a row's labels are predicted or there: only those are kept, so that a draw costs rows, not rows times labels. */
struct sparse {
    size_t *first; /* (rows + 1) */
    uint32_t *label;
    uint8_t *what;
    uint8_t *right; /* (rows): all labels are */
};

struct counts {
    uint32_t predicted, there, both;
};

static void sparse_create(struct sparse *ret, const uint8_t *decided, const uint8_t *truth, size_t rows, size_t labels)
{
    size_t entries = 0;
    for (size_t i = 0; i < rows * labels; i++)
        entries += decided[i] || truth[i];
    struct sparse s = {allocate(rows + 1, sizeof(size_t)), allocate(entries, sizeof(uint32_t)), allocate(entries, 1),
                       allocate(rows, 1)};
    size_t at = 0;
    for (size_t i = 0; i < rows; i++) {
        s.right[i] = 1;
        for (size_t l = 0; l < labels; l++) {
            uint8_t what = (uint8_t)((decided[i * labels + l] ? PREDICTED : 0) | (truth[i * labels + l] ? THERE : 0));
            s.right[i] = s.right[i] && (what == 0 || what == (PREDICTED | THERE));
            if (what) {
                s.label[at] = (uint32_t)l;
                s.what[at++] = what;
            }
        }
        s.first[i + 1] = at;
    }
    *ret = s;
}

static void sparse_free(struct sparse *s)
{
    free(s->first);
    free(s->label);
    free(s->what);
    free(s->right);
}

static uint64_t draw_rows(struct counts *counts, const struct sparse *s, size_t rows, uint64_t seed, uint32_t draw)
{
    uint64_t right = 0;
    for (size_t i = 0; i < rows; i += 4) {
        struct philox_block b = philox(seed, RANDOM_BOOTSTRAP, (uint32_t)(i / 4), 0, 0, draw);
        for (size_t k = 0; k < 4 && i + k < rows; k++) {
            size_t row = (size_t)((uint64_t)b.word[k] * rows >> 32);
            right += s->right[row];
            for (size_t at = s->first[row]; at < s->first[row + 1]; at++) {
                struct counts *c = &counts[s->label[at]];
                c->predicted += s->what[at] & PREDICTED;
                c->there += s->what[at] >> 1;
                c->both += s->what[at] == (PREDICTED | THERE);
            }
        }
    }
    return right;
}

static double ratio(double part, double whole)
{
    return whole > 0 ? part / whole : 0;
}

static void figures_of(double *values, const struct counts *counts, size_t labels, bool present_only)
{
    double predicted = 0, there = 0, both = 0, macro = 0, weighted = 0;
    size_t present = 0;
    for (size_t l = 0; l < labels; l++) {
        const struct counts *c = &counts[l];
        double f1 = ratio(2.0 * c->both, (double)c->predicted + c->there);
        present += c->predicted || c->there;
        predicted += c->predicted;
        there += c->there;
        both += c->both;
        macro += f1;
        weighted += f1 * c->there;
    }
    values[BOOTSTRAP_MICRO_PRECISION] = ratio(both, predicted);
    values[BOOTSTRAP_MICRO_RECALL] = ratio(both, there);
    values[BOOTSTRAP_MICRO_F1] = ratio(2 * both, predicted + there);
    values[BOOTSTRAP_MACRO_F1] = ratio(macro, (double)(present_only ? present : labels));
    values[BOOTSTRAP_WEIGHTED_F1] = ratio(weighted, there);
}

void bootstrap_draw(double *values, uint32_t draws, const uint8_t *decided, const uint8_t *truth, size_t rows, size_t labels,
                    bool present_only, uint64_t seed)
{
    struct sparse s;
    struct counts *counts = allocate(labels, sizeof *counts);
    sparse_create(&s, decided, truth, rows, labels);
    for (uint32_t d = 0; d < draws; d++) {
        double *of_draw = values + (size_t)d * BOOTSTRAP_FIGURES;
        memset(counts, 0, labels * sizeof *counts);
        of_draw[BOOTSTRAP_ACCURACY] = ratio((double)draw_rows(counts, &s, rows, seed, d), (double)rows);
        figures_of(of_draw, counts, labels, present_only);
    }
    free(counts);
    sparse_free(&s);
}

static int by_value(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static double percentile(const double *sorted, uint32_t count, double share)
{
    double at = share * (count - 1);
    uint32_t below = (uint32_t)floor(at), above = below + 1 < count ? below + 1 : below;
    return sorted[below] + (at - below) * (sorted[above] - sorted[below]);
}

struct interval bootstrap_interval(const double *values, const double *minus, uint32_t draws, enum bootstrap_figure figure)
{
    if (draws == 0)
        return (struct interval){0, 0};
    double *sorted = allocate(draws, sizeof *sorted);
    for (uint32_t d = 0; d < draws; d++) {
        size_t at = (size_t)d * BOOTSTRAP_FIGURES + figure;
        sorted[d] = values[at] - (minus ? minus[at] : 0);
    }
    qsort(sorted, draws, sizeof *sorted, by_value);
    struct interval i = {percentile(sorted, draws, 0.025), percentile(sorted, draws, 0.975)};
    free(sorted);
    return i;
}
