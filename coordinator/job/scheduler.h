/* SPDX-License-Identifier: Apache-2.0 */
/* Which trials a sweep gives up before their end: a pure function of what was reported before, so that the same reports in the
 * same order give the same decisions. A metric is one of the validation part after an epoch, the higher the better; one that is
 * not a number is worse than all others.
 *
 *   median  after an epoch, `grace` or later: a trial whose best metric so far is worse than the median of the metrics that the
 *           trials that ran to their end had after the same epoch, of which there must be `startup`. (Golovin and others: Google
 *           Vizier, KDD 2017; Optuna's MedianPruner.)
 *   asha    after the epochs grace * reduction^k: a trial goes on if its metric is among the best n / reduction (rounded down,
 *           at least one) of the n metrics reported at that epoch until then, its own among them. (Li and others: A System for
 *           Massively Parallel Hyperparameter Tuning, MLSys 2020; Optuna's SuccessiveHalvingPruner.) */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum scheduler_kind { SCHEDULER_NONE, SCHEDULER_MEDIAN, SCHEDULER_ASHA };
extern const char *const scheduler_names[]; /* NULL at the end */

struct scheduler_options {
    enum scheduler_kind kind;
    uint32_t grace, reduction, startup;
    const char *metric; /* its name, for words */
    bool negated;       /* the metric is shown with the other sign: a loss */
};

enum scheduler_decision { SCHEDULER_UNDECIDED /* at this epoch it decides nothing */, SCHEDULER_CONTINUE, SCHEDULER_STOP };

#define SCHEDULER_WORDS 200

struct scheduler;

void scheduler_create(struct scheduler **ret, const struct scheduler_options *o /* copied */, size_t trials);
void scheduler_destroy(struct scheduler **s);
void scheduler_report(struct scheduler *s, size_t trial, uint32_t epoch /* 1-based */, double metric); /* again: replaced */
void scheduler_complete(struct scheduler *s, size_t trial);                                            /* it ran to its end */
void scheduler_forget(struct scheduler *s, size_t trial);                                              /* it begins anew */
/* Of the metric just reported. why: "asha: f1 0.4210 has rank 5 of 9 at epoch 2, the best 2 continue". */
enum scheduler_decision scheduler_decide(char why[SCHEDULER_WORDS], const struct scheduler *s, size_t trial, uint32_t epoch);
