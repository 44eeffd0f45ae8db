#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/data_folds.json: rows with a label and a group each, and how evenly scikit-learn's StratifiedKFold (groups of one row)
and StratifiedGroupKFold deal them out: counts of each label by fold, and how far a fold is from its share of a label at most, in rows, in the
worst of 20 shuffles. What is compared is this balance, since ties are dealt by another random generator.

usage: golden_folds.py OUT.json    (made with scikit-learn 1.9.1, NumPy 2.4.6)
"""
import json
import sys

import numpy as np
import sklearn
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold


def counts(labels, test, classes):
    return [int((labels[test] == c).sum()) for c in range(classes)]


def case(name, rows, classes, folds, largest, seed):
    chance = np.random.RandomState(seed)
    labels = np.minimum(chance.geometric(0.45, rows) - 1, classes - 1)
    labels[: classes * folds] = np.tile(np.arange(classes), folds)  # each class has a row for each fold
    groups, group = np.empty(rows, int), -1
    left = 0
    for i in range(rows):
        if left == 0:
            group, left = group + 1, chance.randint(1, largest + 1)
        groups[i], left = group, left - 1
    off = 0.0
    for state in range(20):
        split = (StratifiedKFold if largest == 1 else StratifiedGroupKFold)(folds, shuffle=True, random_state=state)
        found = [counts(labels, test, classes) for _, test in split.split(np.zeros(rows), labels, None if largest == 1 else groups)]
        off = max(off, float(np.abs(np.array(found) - np.bincount(labels, minlength=classes) / folds).max()))
    return {"name": name, "classes": classes, "folds": folds, "labels": labels.tolist(), "groups": groups.tolist(), "counts": found, "farthest": off}


cases = [case("binary", 101, 2, 5, 1, 1), case("classes", 250, 6, 7, 1, 2), case("ten folds", 333, 3, 10, 1, 3),
         case("groups", 300, 3, 5, 4, 4), case("large groups", 400, 4, 4, 12, 5)]
json.dump({"made_with": f"scikit-learn {sklearn.__version__}, NumPy {np.__version__}", "cases": cases}, open(sys.argv[1], "w"), separators=(",", ":"))
