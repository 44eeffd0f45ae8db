/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a trial, as events.jsonl tells it. */
#pragma once

enum trial_state {
    TRIAL_QUEUED,
    TRIAL_RUNNING,
    TRIAL_DONE,
    TRIAL_FAILED,
    TRIAL_PRUNED, /* stopped by the scheduler before its end */
    TRIAL_STATES
};
