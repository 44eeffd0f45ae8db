/* SPDX-License-Identifier: Apache-2.0 */
/* Label smoothing and the focal loss on every device: losses and gradients as PyTorch has them (train_losses.json, f64), and the
 * gradients against finite differences where a label is impossible or certain. */
#include "tests/unit/worker/device/harness.h"

#include "common/json/json.h"

static float *numbers(const struct json *list)
{
    float *values = allocate(json_size(list), sizeof *values);
    for (size_t i = 0; i < json_size(list); i++)
        values[i] = (float)json_number(json_at(list, i));
    return values;
}

static device_memory put_list(struct bench *b, const struct json *list)
{
    float *values = numbers(list);
    device_memory m = put_values(b, F32, values, json_size(list));
    free(values);
    return m;
}

static void check(struct bench *b, const char *what, device_memory m, const struct json *expected)
{
    float *found = take_values(b, m, F32, json_size(expected));
    for (size_t i = 0; i < json_size(expected); i++) {
        double wanted = json_number(json_at(expected, i));
        if (!(fabs((double)found[i] - wanted) <= 1e-6 * fmax(fabs(wanted), 1e-3)))
            fail_msg("%s[%zu]: PyTorch's %.9g, found %.9g", what, i, wanted, (double)found[i]);
    }
    free(found);
}

static void check_case(struct bench *b, const struct json *of)
{
    size_t B = json_size(json_get(of, "classes")), L = (size_t)json_number(json_get(of, "labels"));
    const struct loss_shape shape = {json_number(json_get(of, "smoothing")), json_number(json_get(of, "gamma"))};
    int32_t classes[16];
    assert_true(B <= 16);
    for (size_t i = 0; i < B; i++)
        classes[i] = (int32_t)json_number(json_at(json_get(of, "classes"), i));
    device_memory logits = put_list(b, json_get(of, "logits")), weights = put_list(b, json_get(of, "weights"));
    device_memory targets = put_list(b, json_get(of, "targets")), of_class = put_integers(b, classes, B);
    device_memory loss = space(b, F32, B), dlogits = space(b, F32, B * L);
    b->d->run->cross_entropy(b->d, loss, dlogits, logits, of_class, weights, &shape, B, L);
    check(b, "class loss", loss, json_get(of, "class_loss"));
    check(b, "class gradient", dlogits, json_get(of, "class_gradient"));
    b->d->run->cross_entropy(b->d, loss, DEVICE_NOTHING, logits, of_class, weights, &shape, B, L);
    check(b, "class loss alone", loss, json_get(of, "class_loss"));
    b->d->run->binary_cross_entropy(b->d, loss, dlogits, logits, targets, weights, &shape, B, L);
    check(b, "label loss", loss, json_get(of, "label_loss"));
    check(b, "label gradient", dlogits, json_get(of, "label_gradient"));
    b->d->run->binary_cross_entropy(b->d, loss, DEVICE_NOTHING, logits, targets, weights, &shape, B, L);
    check(b, "label loss alone", loss, json_get(of, "label_loss"));
}

static void losses_are_those_of_pytorch(void **state)
{
    (void)state;
#ifdef TEST_GPU
    static const char *const devices[] = {"cpu_reference", "cpu", TEST_GPU};
#else
    static const char *const devices[] = {"cpu_reference", "cpu", "guarded"};
#endif
    static const enum precision precisions[] = {PRECISION_F32, PRECISION_BF16};
    struct error e = {0};
    struct json *golden;
    assert_int_equal(json_read(&golden, TEST_GOLDEN "/train_losses.json", &e), 0);
    const struct json *cases = json_get(golden, "values");
    assert_int_equal(json_size(cases), 15);
    for (size_t d = 0; d < 3; d++)
        for (size_t p = 0; p < 2; p++) {
            struct bench b;
            bench_open(&b, devices[d], precisions[p], 1);
            for (size_t i = 0; i < json_size(cases); i++) {
                check_case(&b, json_at(cases, i));
                bench_clear(&b);
            }
            bench_close(&b);
        }
    json_destroy(&golden);
}

enum { L = 4 };

static double loss_at(const float *logits, bool multi, const float *weights, const struct loss_shape *s, float *slopes)
{
    static const float targets[L] = {0, 1, 0, 1};
    return multi ? loss_of_labels(slopes, logits, L, targets, weights, s) : loss_of_class(slopes, logits, L, 1, weights, s);
}

static void gradients_are_finite_differences(void **state)
{
    (void)state;
    static const float rows[][L] = {{0.3f, -1, 2, 0.5f}, {-4, 5, -3, 1}, {6, -7, 0, 0}}, weights[L] = {0.5f, 2, 1, 1.5f};
    static const struct loss_shape shapes[] = {{0.1, 0}, {0, 1}, {0, 2}, {0.3, 0.5}, {0, 5}};
    for (size_t r = 0; r < 3; r++)
        for (size_t s = 0; s < 5; s++)
            for (int multi = 0; multi < 2; multi++) {
                float slopes[L], moved[L];
                loss_at(rows[r], multi, weights, &shapes[s], slopes);
                for (size_t l = 0; l < L; l++) {
                    const float h = 0x1p-10f;
                    memcpy(moved, rows[r], sizeof moved);
                    moved[l] = rows[r][l] + h;
                    double up = loss_at(moved, multi, weights, &shapes[s], NULL);
                    moved[l] = rows[r][l] - h;
                    double slope = (up - loss_at(moved, multi, weights, &shapes[s], NULL)) / (2.0 * (double)h);
                    if (!(fabs(slope - (double)slopes[l]) < 1e-5))
                        fail_msg("row %zu, smoothing %g, gamma %g, %s, logit %zu: difference %.9g, gradient %.9g", r,
                                 shapes[s].smoothing, shapes[s].gamma, multi ? "labels" : "class", l, slope, (double)slopes[l]);
                }
            }
}

/* Logits so far apart that probabilities are 0 or 1 in f64: losses are what they tend to, gradients finite. */
static void extremes_stay_finite(void **state)
{
    (void)state;
    static const float weights[L] = {1, 1, 1, 1}, right[L] = {-2000, 2000, -2000, 2000}, wrong[L] = {2000, -2000, 2000, -2000};
    static const struct loss_shape shapes[] = {{0.1, 0}, {0, 0.5}, {0, 2}, {0.1, 2}};
    for (size_t s = 0; s < 4; s++)
        for (int multi = 0; multi < 2; multi++)
            for (int which = 0; which < 2; which++) {
                float slopes[L];
                double loss = loss_at(which ? wrong : right, multi, weights, &shapes[s], slopes);
                if (!isfinite(loss) || loss < 0)
                    fail_msg("smoothing %g, gamma %g: loss %g", shapes[s].smoothing, shapes[s].gamma, loss);
                if (which)
                    assert_true(loss > 1000);
                for (size_t l = 0; l < L; l++)
                    if (!isfinite(slopes[l]))
                        fail_msg("smoothing %g, gamma %g, logit %zu: gradient %g", shapes[s].smoothing, shapes[s].gamma, l,
                                 (double)slopes[l]);
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(losses_are_those_of_pytorch),
        cmocka_unit_test(gradients_are_finite_differences),
        cmocka_unit_test(extremes_stay_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
