/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of the table of positions: of RoBERTa from behind the padding's, which a padding token within a text gets itself, as
 * transformers' create_position_ids_from_input_ids has it. */
#include "tests/unit/worker/nn/golden.h"
#include "worker/nn/packed.h"

static void test_places(void **state)
{
    (void)state;
    static const int32_t ids[] = {0, 9, 1, 1, 7, 2};
    static const int32_t after_pad[] = {2, 3, 1, 1, 4, 5}, after_three[] = {4, 5, 6, 7, 8, 9}, plain[] = {0, 1, 2, 3, 4, 5};
    struct model_config c = {.family = family_named("roberta"), .pad = 1};
    int32_t found[6];
    packed_places(found, ids, 6, &c);
    assert_memory_equal(found, after_pad, sizeof found);
    c.pad = 3;
    packed_places(found, ids, 6, &c);
    assert_memory_equal(found, after_three, sizeof found);
    c.family = family_named("electra");
    packed_places(found, ids, 6, &c);
    assert_memory_equal(found, plain, sizeof found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_places)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
