/* SPDX-License-Identifier: Apache-2.0 */
/* liblinear, which only this file includes. */
#include "coordinator/compare/linear.h"

#include "common/base/memory.h"

#include <linear.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct linear_rows {
    struct feature_node **rows; /* each ends with the intercept's node and one of index -1 */
    size_t count, capacity;
    uint32_t columns;
};

static void say_nothing(const char *text)
{
    (void)text;
}

void linear_rows_create(struct linear_rows **ret, uint32_t columns)
{
    struct linear_rows *r = allocate(1, sizeof *r);
    r->columns = columns;
    set_print_string_function(say_nothing); /* for the process; here, since fits run in threads */
    *ret = r;
}

void linear_rows_destroy(struct linear_rows **r)
{
    if (!r || !*r)
        return;
    for (size_t i = 0; i < (*r)->count; i++)
        free((*r)->rows[i]);
    free((*r)->rows);
    free(*r);
    *r = NULL;
}

void linear_rows_append(struct linear_rows *r, const uint32_t *columns, const double *values, size_t count)
{
    struct feature_node *nodes = allocate(count + 2, sizeof *nodes);
    for (size_t i = 0; i < count; i++)
        nodes[i] = (struct feature_node){(int)columns[i] + 1, values[i]};
    nodes[count] = (struct feature_node){(int)r->columns + 1, 1};
    nodes[count + 1].index = -1;
    r->rows = grow(r->rows, &r->capacity, r->count + 1, sizeof *r->rows);
    r->rows[r->count++] = nodes;
}

size_t linear_rows_count(const struct linear_rows *r)
{
    return r->count;
}

static void fit_constant(double *weights, uint32_t columns, size_t rows, size_t ones)
{
    memset(weights, 0, columns * sizeof *weights);
    weights[columns] = log(((double)ones + 0.5) / ((double)(rows - ones) + 0.5));
}

void linear_fit(double *weights, const struct linear_rows *r, const unsigned char *truth, double positive, double negative)
{
    size_t ones = 0;
    for (size_t i = 0; i < r->count; i++)
        ones += truth[i] != 0;
    if (ones == 0 || ones == r->count) {
        fit_constant(weights, r->columns, r->count, ones);
        return;
    }
    int classes[] = {1, -1};
    double class_weights[] = {positive, negative};
    struct parameter how = {
        .solver_type = L2R_LR, .C = 1, .eps = 1e-4, .nr_weight = 2, .weight_label = classes, .weight = class_weights};
    struct problem p = {.l = (int)r->count, .n = (int)r->columns + 1, .x = r->rows, .bias = 1};
    p.y = allocate(r->count, sizeof *p.y);
    for (size_t i = 0; i < r->count; i++)
        p.y[i] = truth[i] ? 1 : -1;
    struct model *m = train(&p, &how);
    double sign = m->label[0] == 1 ? 1 : -1; /* weights are for the class that liblinear puts first */
    for (uint32_t i = 0; i <= r->columns; i++)
        weights[i] = sign * m->w[i];
    free_and_destroy_model(&m);
    free(p.y);
}

double linear_decide(const struct linear_rows *r, size_t row, const double *weights)
{
    double sum = 0;
    for (const struct feature_node *n = r->rows[row]; n->index > 0; n++)
        sum += n->value * weights[n->index - 1];
    return sum;
}
