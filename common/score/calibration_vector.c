/* SPDX-License-Identifier: Apache-2.0 */
/* Owns a temperature for each label. Of many labels a row every one is a problem of its own; of classes they are found together,
 * by Newton's method: the NLL is convex in b = 1 / T, and its Hessian is only ever multiplied with a vector (conjugate
 * gradients), so that 1,000 classes cost no more than 1,000 times one. */
#include "common/base/memory.h"
#include "common/score/calibration.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NEWTON_STEPS 100
#define HALVINGS 40

struct problem {
    struct validation_outputs v;
    const bool *own;               /* (L): may move */
    double *p;                     /* (R,L) probabilities at b */
    double *b, *g;                 /* (L): 1 / T, gradient */
    bool *free;                    /* (L): moves in this step */
    double *d, *r, *q, *hq, *next; /* (L) each: direction, residual, search direction and the Hessian times it, the next b */
};

/* Sum of the rows' NLL at b; with `store` also p and g. */
static double loss_at(struct problem *s, const double *b, bool store)
{
    size_t labels = s->v.labels;
    double loss = 0, *p = s->p;
    if (store)
        memset(s->g, 0, labels * sizeof *s->g);
    for (size_t i = 0; i < s->v.rows; i++, p += store ? labels : 0) {
        const float *x = s->v.logits + i * labels;
        size_t class = (size_t)s->v.class[i];
        double highest = x[0] * b[0], sum = 0;
        for (size_t l = 1; l < labels; l++)
            highest = fmax(highest, x[l] * b[l]);
        for (size_t l = 0; l < labels; l++) {
            double part = exp(x[l] * b[l] - highest);
            sum += part;
            if (store)
                p[l] = part;
        }
        loss += log(sum) + highest - x[class] * b[class];
        for (size_t l = 0; store && l < labels; l++) {
            p[l] /= sum;
            s->g[l] += x[l] * (p[l] - (l == class));
        }
    }
    return loss;
}

/* hq = H q: of row i and label k, x_k p_k (x_k q_k - sum over l of p_l x_l q_l). */
static void times_hessian(struct problem *s)
{
    size_t labels = s->v.labels;
    memset(s->hq, 0, labels * sizeof *s->hq);
    for (size_t i = 0; i < s->v.rows; i++) {
        const float *x = s->v.logits + i * labels;
        const double *p = s->p + i * labels;
        double mean = 0;
        for (size_t l = 0; l < labels; l++)
            mean += p[l] * x[l] * s->q[l];
        for (size_t l = 0; l < labels; l++)
            s->hq[l] += x[l] * p[l] * (x[l] * s->q[l] - mean);
    }
}

static double product(const struct problem *s, const double *a, const double *b)
{
    double sum = 0;
    for (size_t l = 0; l < s->v.labels; l++)
        sum += s->free[l] ? a[l] * b[l] : 0;
    return sum;
}

/* d = - H^-1 g over the free labels. */
static void find_direction(struct problem *s)
{
    size_t labels = s->v.labels;
    for (size_t l = 0; l < labels; l++) {
        s->d[l] = 0;
        s->r[l] = s->q[l] = s->free[l] ? -s->g[l] : 0;
    }
    double square = product(s, s->r, s->r), enough = 1e-16 * square;
    for (size_t turn = 0; turn < 2 * labels + 10 && square > enough; turn++) {
        times_hessian(s);
        double curve = product(s, s->q, s->hq);
        if (!(curve > 1e-12 * square * 1e-6))
            break;
        double step = square / curve, before = square;
        for (size_t l = 0; l < labels; l++) {
            s->d[l] += s->free[l] ? step * s->q[l] : 0;
            s->r[l] -= s->free[l] ? step * s->hq[l] : 0;
        }
        square = product(s, s->r, s->r);
        for (size_t l = 0; l < labels; l++)
            s->q[l] = s->free[l] ? s->r[l] + square / before * s->q[l] : 0;
    }
}

/* Those at a bound that the gradient presses against stay there. False: nothing is left to move, or nothing moves it. */
static bool choose_free(struct problem *s)
{
    double most = 0;
    for (size_t l = 0; l < s->v.labels; l++) {
        bool held = (s->b[l] <= 1 / TEMPERATURE_MOST && s->g[l] > 0) || (s->b[l] >= 1 / TEMPERATURE_LEAST && s->g[l] < 0);
        s->free[l] = s->own[l] && !held;
        most = s->free[l] ? fmax(most, fabs(s->g[l])) : most;
    }
    return most > 1e-11 * (double)s->v.rows;
}

/* The longest of 1, 1/2, 1/4 .. of the step that lowers the loss. False: none does. */
static bool take_step(struct problem *s, double *loss)
{
    for (int k = 0; k < HALVINGS; k++) {
        double step = ldexp(1, -k);
        for (size_t l = 0; l < s->v.labels; l++)
            s->next[l] = s->free[l] ? fmin(fmax(s->b[l] + step * s->d[l], 1 / TEMPERATURE_MOST), 1 / TEMPERATURE_LEAST) : s->b[l];
        double found = loss_at(s, s->next, false);
        if (found < *loss) {
            memcpy(s->b, s->next, s->v.labels * sizeof *s->b);
            *loss = found;
            return true;
        }
    }
    return false;
}

static void fit_classes(double *temperatures, struct validation_outputs v, const bool *own)
{
    double *memory = allocate(v.labels, 7 * sizeof *memory);
    size_t n = v.labels;
    struct problem s = {.v = v, .own = own, .p = allocate(v.rows, n * sizeof(double)), .free = allocate(n, sizeof(bool))};
    s.b = memory, s.g = memory + n, s.d = memory + 2 * n, s.r = memory + 3 * n, s.q = memory + 4 * n, s.hq = memory + 5 * n,
    s.next = memory + 6 * n;
    for (size_t l = 0; l < n; l++)
        s.b[l] = 1 / temperatures[l];
    double loss = loss_at(&s, s.b, true);
    for (int turn = 0; turn < NEWTON_STEPS && choose_free(&s); turn++) {
        find_direction(&s);
        if (!take_step(&s, &loss))
            break;
        loss = loss_at(&s, s.b, true);
    }
    for (size_t l = 0; l < n; l++)
        temperatures[l] = own[l] ? 1 / s.b[l] : temperatures[l];
    free(s.free);
    free(s.p);
    free(memory);
}

/* One that runs to a bound has none of its own; the others are found again without it. */
static void fit_classes_within(double *temperatures, const char **why, struct validation_outputs v, bool *own, double all)
{
    bool again = true;
    while (again) {
        again = false;
        for (size_t l = 0; l < v.labels; l++)
            temperatures[l] = all;
        fit_classes(temperatures, v, own);
        for (size_t l = 0; l < v.labels; l++) {
            bool at_bound = temperatures[l] <= TEMPERATURE_LEAST * (1 + 1e-6) || temperatures[l] >= TEMPERATURE_MOST * (1 - 1e-6);
            if (!own[l] || !at_bound)
                continue;
            own[l] = false;
            why[l] = "the fit of its own ran to its bound";
            again = true;
        }
    }
    for (size_t l = 0; l < v.labels; l++)
        temperatures[l] = own[l] ? temperatures[l] : all;
}

static int fit_label(double *temperature, const char **why, struct validation_outputs v, size_t l, struct error *e)
{
    float *logits = allocate(v.rows, sizeof *logits);
    uint8_t *targets = allocate(v.rows, 1);
    struct temperature_fit f;
    for (size_t i = 0; i < v.rows; i++) {
        logits[i] = v.logits[i * v.labels + l];
        targets[i] = v.targets[i * v.labels + l];
    }
    int status =
        temperature_fit(&f, (struct validation_outputs){.logits = logits, .targets = targets, .rows = v.rows, .labels = 1}, e);
    if (status == 0) {
        *temperature = f.temperature;
        *why = f.why;
    }
    free(targets);
    free(logits);
    return status;
}

/* Labels that enough rows have, and enough lack. */
static size_t choose_own(bool *own, struct validation_outputs v, uint32_t least)
{
    size_t *with = allocate(v.labels, sizeof *with), count = 0;
    for (size_t i = 0; i < v.rows; i++) {
        if (v.class)
            with[v.class[i]]++;
        for (size_t l = 0; v.targets && l < v.labels; l++)
            with[l] += v.targets[i * v.labels + l] != 0;
    }
    for (size_t l = 0; l < v.labels; l++) {
        own[l] = with[l] > 0 && with[l] < v.rows && with[l] >= least && v.rows - with[l] >= least;
        count += own[l];
    }
    free(with);
    return count;
}

int temperature_fit_each(double *temperatures, const char **why, struct temperature_fit *ret, struct validation_outputs v,
                         uint32_t least, struct error *e)
{
    struct temperature_fit f;
    if (temperature_fit(&f, v, e) != 0)
        return -1;
    double *found = allocate(v.labels, sizeof *found);
    bool *own = allocate(v.labels, sizeof *own);
    const char **words = allocate(v.labels, sizeof *words);
    int status = 0;
    for (size_t l = 0; l < v.labels; l++)
        temperatures[l] = found[l] = f.temperature;
    bool perfect = outputs_have_no_error(v);
    size_t count = perfect ? 0 : choose_own(own, v, least);
    if (v.class && count > 0)
        fit_classes_within(found, words, v, own, f.temperature);
    for (size_t l = 0; status == 0 && count > 0 && v.targets && l < v.labels; l++) {
        status = own[l] ? fit_label(&found[l], &words[l], v, l, e) : 0;
        own[l] = own[l] && !words[l];
        found[l] = own[l] ? found[l] : f.temperature;
    }
    count = 0;
    for (size_t l = 0; l < v.labels; l++)
        count += own[l];
    double nll = status == 0 ? temperature_nll(v, found) : 0;
    if (status == 0 && count > 0 && nll < temperature_nll(v, temperatures)) {
        memcpy(temperatures, found, v.labels * sizeof *temperatures);
        f.nll_after = nll;
        f.improved = true;
        f.own = (uint32_t)count;
        f.why = NULL;
    }
    for (size_t l = 0; why && l < v.labels; l++)
        why[l] = words[l];
    free(words);
    free(own);
    free(found);
    if (status == 0)
        *ret = f;
    return status;
}
