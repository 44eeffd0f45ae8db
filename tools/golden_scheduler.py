#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Golden file of the sweep's schedulers: what Optuna's own pruners decide about scripted trials whose epochs come in interleaved.

usage: golden_scheduler.py >tests/golden/scheduler.json        (needs optuna; made with 3.6.1)

Each case: options, then reports in order, each [trial, epoch, figure, what follows]: "stop", "go on", or "last" for the last epoch of a
trial, which prunes nothing. A trial that stops reports no more. Figures are the higher the better (Optuna is given them negated where the
direction is "minimize"); null: not a number.
"""
import json
import logging
import random
import sys

import optuna

optuna.logging.set_verbosity(optuna.logging.ERROR)
logging.captureWarnings(True)


def case(kind, trials, epochs, grace, reduction, startup, groups, seed, direction, broken=0.0):
    chance = random.Random(seed)
    if kind == "asha":
        pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=grace, reduction_factor=reduction)
    else:
        pruner = optuna.pruners.MedianPruner(n_startup_trials=startup, n_warmup_steps=grace)
    study = optuna.create_study(direction=direction, pruner=pruner)
    sign = 1 if direction == "maximize" else -1
    waiting, running, reports = list(range(trials)), {}, []
    length = {t: chance.choice(epochs) for t in waiting}
    worth = {t: chance.random() for t in waiting}
    while waiting or running:
        while waiting and len(running) < groups:
            running[waiting[0]] = [study.ask(), 0]
            waiting.pop(0)
        t = chance.choice(sorted(running))
        trial, done = running[t]
        epoch = done + 1
        running[t][1] = epoch
        figure = round(worth[t] * (1 - 0.6 ** epoch) + chance.gauss(0, 0.05), 2)  # rounded: ties occur
        if chance.random() < broken:
            figure = float("nan")
        trial.report(sign * figure, epoch)
        stop = trial.should_prune()
        if epoch == length[t]:
            study.tell(trial, sign * (0.0 if figure != figure else figure))
            reports.append([t, epoch, None if figure != figure else figure, "last"])
            del running[t]
        else:
            reports.append([t, epoch, None if figure != figure else figure, "stop" if stop else "go on"])
            if stop:
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                del running[t]
    return {"scheduler": kind, "trials": trials, "grace": grace, "reduction": reduction, "startup": startup, "direction": direction, "reports": reports}


cases = []
for seed in range(6):
    direction = ("maximize", "minimize")[seed % 2]
    broken = 0.05 if seed >= 4 else 0.0
    cases.append(case("asha", 30, [9], 1, 3, 5, 1 + seed, seed, direction, broken))
    cases.append(case("asha", 40, [4, 8, 16], 2, 2, 5, 4, 100 + seed, direction, broken))
    cases.append(case("asha", 25, [5], 1, 4, 5, 3, 200 + seed, direction, broken))
    cases.append(case("median", 30, [6], 1, 4, 5, 1 + seed, 300 + seed, direction, broken))
    cases.append(case("median", 30, [3, 5, 7], 2, 4, 3, 4, 400 + seed, direction, broken))
json.dump({"made by": f"optuna {optuna.__version__}, tools/golden_scheduler.py", "cases": cases}, sys.stdout)
print()
