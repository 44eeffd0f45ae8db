/* SPDX-License-Identifier: Apache-2.0 */
/* Whole trials on emulated GPUs whose gradients are summed by the double of NCCL. */
#include "tests/unit/worker/train/trial.h"

/* Two steps, of 4 micro-batches each: as many as there are ranks at most. */
#define GPUS "device=cuda_emulated comm=nccl batch=24 micro=6 dropout=0.1 epochs=1 parts=0 "

static void ranks_do_not_change_a_bit(void **state)
{
    (void)state;
    run_well(1, "one", GPUS);
    run_well(2, "two", GPUS "threads=3");
    run_well(4, "four", GPUS);
    assert_same_result("one", "two");
    assert_same_result("one", "four");
}

static void a_stopped_trial_resumes_to_the_same_bytes(void **state)
{
    (void)state;
    if (run(2, "stopped", GPUS "stop=1") != ERROR_STOPPED)
        fail_msg("expected exit code 75: %s", said);
    run_well(4, "stopped", GPUS);
    assert_same_result("one", "stopped");
}

int main(int count, char **arguments)
{
    int code;
    if (trial_is_child(&code, count, arguments))
        return code;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranks_do_not_change_a_bit),
        cmocka_unit_test(a_stopped_trial_resumes_to_the_same_bytes),
    };
    return cmocka_run_group_tests(tests, trial_set_up, trial_tear_down);
}
