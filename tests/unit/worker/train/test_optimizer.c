/* SPDX-License-Identifier: Apache-2.0 */
/* One step of the optimizer over a whole table: norm, clip, divisor and decay, element by element against doubles. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/memory.h"
#include "worker/train/optimizer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { USED = 5 }; /* words of the step */

static struct device *device;
static struct parameters *parameters;
static float *gradient, *value, *after, *moment; /* on the host; gradient: dense + (USED,C), gaps 0 */
static device_memory on_device, slots, control, squares, bad;
static float loss_is_bad; /* of the step to come */
static int32_t *slot_of;
static size_t dense, words, width;

static float sample(size_t i)
{
    return (float)sin((double)i * 0.7 + 1) * 3;
}

static int set_up(void **state)
{
    (void)state;
    struct error e = {0};
    struct model_config c;
    if (model_config_read(&c, TEST_GOLDEN "/train_model", &e) || device_create(&device, "cpu_reference", PRECISION_F32, 1, &e) ||
        parameters_create(&parameters, device, &c, true, &e))
        return -1;
    dense = parameters_dense(parameters);
    words = c.vocabulary;
    width = c.width;
    size_t all = dense + words * width, compact = dense + USED * width;
    gradient = allocate(compact, sizeof *gradient);
    value = allocate(all, sizeof *value);
    after = allocate(all, sizeof *after);
    moment = allocate(all, sizeof *moment);
    slot_of = allocate(words, sizeof *slot_of);
    for (size_t i = 0; i < parameters_count(parameters); i++) {
        const struct parameter *p = parameters_at(parameters, i);
        for (size_t k = p->offset; k < p->offset + p->count; k++) {
            value[k] = sample(k + 100);
            if (!p->is_words)
                gradient[k] = k % 3 ? sample(k) : 0; /* zeros show the decay alone */
        }
    }
    for (size_t k = 0; k < USED * width; k++)
        gradient[dense + k] = sample(k + 7);
    for (size_t w = 0; w < words; w++)
        slot_of[w] = w % 11 == 4 && w / 11 < USED ? (int32_t)(w / 11) : -1;
    if (device->run->allocate(device, &on_device, compact * sizeof(float), &e) ||
        device->run->allocate(device, &slots, words * 4, &e) ||
        device->run->allocate(device, &control, sizeof(struct step_control), &e) ||
        device->run->allocate(device, &squares, sizeof(double), &e) || device->run->allocate(device, &bad, sizeof(float), &e))
        return -1;
    device->run->upload(device, slots, slot_of, words * 4);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    device->run->release(device, on_device);
    device->run->release(device, slots);
    device->run->release(device, control);
    device->run->release(device, squares);
    device->run->release(device, bad);
    parameters_destroy(&parameters);
    device->run->destroy(device);
    free(gradient);
    free(value);
    free(after);
    free(moment);
    free(slot_of);
    return 0;
}

/* One first step from `value`, with zero moments. */
static double one_step(double clip, double decay, double divisor)
{
    const struct device_operations *run = device->run;
    struct error e = {0};
    size_t all = (dense + words * width) * sizeof(float), compact = (dense + USED * width) * sizeof(float);
    struct step_control found;
    struct optimizer *o;
    optimizer_create(&o, parameters, device, decay, clip);
    run->upload(device, parameters_value(parameters), value, all);
    run->upload(device, on_device, gradient, compact);
    run->zero(device, parameters_first_moment(parameters), all);
    run->zero(device, parameters_second_moment(parameters), all);
    run->zero(device, parameters_seen(parameters), words);
    run->zero(device, control, sizeof found);
    run->upload(device, bad, &loss_is_bad, sizeof loss_is_bad);
    optimizer_clip(o, control, squares, bad, on_device, USED, divisor);
    optimizer_apply(o, control, on_device, slots, 1e-2, 1);
    run->download(device, after, parameters_value(parameters), all);
    run->download(device, &found, control, sizeof found);
    run->download(device, moment, parameters_first_moment(parameters), all);
    if (run->finish(device, &e))
        fail_msg("%s", e.message);
    optimizer_destroy(&o);
    return found.norm;
}

static void check_element(const struct parameter *p, size_t k, double g, double decay)
{
    double kept = (double)value[k] * (1 - 1e-2 * (p->decays ? decay : 0));
    double expected = kept - (g == 0 ? 0 : 1e-2 * g / (fabs(g) + 1e-8)); /* Adam's first step: by the sign alone */
    if (fabs((double)moment[k] - 0.1 * g) > 1e-6 * fabs(g) + 1e-12)
        fail_msg("%s at %zu: expected a first moment of %.9g, found %.9g", p->name, k - p->offset, 0.1 * g, (double)moment[k]);
    if (fabs((double)after[k] - expected) > 2e-6)
        fail_msg("%s at %zu: expected %.9g, found %.9g", p->name, k - p->offset, expected, (double)after[k]);
}

static void check_step(double clip, double decay, double divisor)
{
    double sum = 0, norm = one_step(clip, decay, divisor);
    for (size_t k = 0; k < dense + USED * width; k++)
        sum += (double)gradient[k] * (double)gradient[k];
    double expected = sqrt(sum) / divisor;
    if (fabs(norm - expected) > 1e-6 * expected)
        fail_msg("expected a norm of %.9g, found %.9g", expected, norm);
    double scale = (clip > 0 && clip / (expected + 1e-6) < 1 ? clip / (expected + 1e-6) : 1) / divisor;
    for (size_t i = 0; i < parameters_count(parameters); i++) {
        const struct parameter *p = parameters_at(parameters, i);
        for (size_t k = p->offset; k < p->offset + p->count; k++) {
            size_t word = p->is_words ? (k - dense) / width : 0, column = p->is_words ? (k - dense) % width : 0;
            double g = !p->is_words        ? (double)gradient[k]
                       : slot_of[word] < 0 ? 0
                                           : (double)gradient[dense + (size_t)slot_of[word] * width + column];
            check_element(p, k, g * scale, decay);
        }
    }
}

static void a_binding_clip_scales_all(void **state)
{
    (void)state;
    check_step(1, 0.1, 12.5);
}

static void a_loose_clip_changes_nothing(void **state)
{
    (void)state;
    check_step(1e9, 0.1, 12.5);
}

static void no_clip_and_no_decay(void **state)
{
    (void)state;
    check_step(0, 0, 1);
}

static void gaps_stay_zero(void **state)
{
    (void)state;
    one_step(1, 0.5, 2);
    char *used = allocate(dense, 1);
    for (size_t i = 0; i < parameters_count(parameters); i++) {
        const struct parameter *p = parameters_at(parameters, i);
        if (!p->is_words)
            memset(used + p->offset, 1, p->count);
    }
    for (size_t k = 0; k < dense; k++)
        assert_true(used[k] || (after[k] == 0 && moment[k] == 0));
    free(used);
}

/* A loss of another rank, say: the norm itself is finite. */
static void a_bad_loss_stops_the_update(void **state)
{
    (void)state;
    loss_is_bad = 1;
    double norm = one_step(1, 0.5, 2);
    loss_is_bad = 0;
    assert_true(isfinite(norm));
    assert_memory_equal(after, value, (dense + words * width) * sizeof(float));
    for (size_t k = 0; k < dense + words * width; k++)
        assert_true(moment[k] == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_binding_clip_scales_all),   cmocka_unit_test(a_loose_clip_changes_nothing),
        cmocka_unit_test(no_clip_and_no_decay),        cmocka_unit_test(gaps_stay_zero),
        cmocka_unit_test(a_bad_loss_stops_the_update),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
