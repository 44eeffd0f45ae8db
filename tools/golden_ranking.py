#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tests/golden/score_ranking.json: the highest F1, average precision and ROC AUC, by scikit-learn.

Needs numpy, scikit-learn. Run from the repository root: python3 tools/golden_ranking.py
"""
import json
import platform
import warnings

import numpy as np
import sklearn
from sklearn import metrics

warnings.simplefilter("ignore")  # of labels without a positive row


def best_f1(y, p):
    return max(float(metrics.f1_score(y, p >= t, zero_division=0)) for t in np.unique(p))


def case(name, y, p):
    defined = [l for l in range(y.shape[1]) if 0 < y[:, l].sum() < len(y)]
    return {"name": name, "rows": y.shape[0], "labels": y.shape[1], "truth": y.ravel().tolist(), "probability": p.ravel().tolist(),
            "best_f1": best_f1(y.ravel(), p.ravel()),
            "average_precision": float(metrics.average_precision_score(y, p, average="micro")) if y.shape[1] > 1 else
            float(metrics.average_precision_score(y[:, 0], p[:, 0])),
            "macro_average_precision": float(np.mean([metrics.average_precision_score(y[:, l], p[:, l]) for l in range(y.shape[1])])),
            "roc_auc": float(np.mean([metrics.roc_auc_score(y[:, l], p[:, l]) for l in defined])) if defined else None}


rng = np.random.default_rng(20261128)
y = (rng.random((200, 1)) < 0.3).astype(int)
many = (rng.random((120, 5)) < [0.5, 0.1, 0.02, 0.3, 0.7]).astype(int)
lacking = many.copy()
lacking[:, 1], lacking[:, 3] = 0, 1
classes = np.eye(4, dtype=int)[rng.integers(0, 4, 150)]
soft = np.exp(rng.normal(size=(150, 4)) + 2 * classes)
cases = [
    case("two classes", y, np.clip(0.3 + 0.3 * y + rng.normal(scale=0.2, size=y.shape), 0, 1)),
    case("ties", y, np.round(np.clip(0.3 + 0.3 * y + rng.normal(scale=0.2, size=y.shape), 0, 1), 1)),
    case("all equal", y, np.full(y.shape, 0.5)),
    case("no positives", np.zeros((30, 1), dtype=int), rng.random((30, 1))),
    case("all positive", np.ones((30, 1), dtype=int), rng.random((30, 1))),
    case("separable", y, 0.1 + 0.8 * y),
    case("many labels", many, rng.random(many.shape) * 0.3 + 0.1 * many),
    case("many labels, one without and one with all rows", lacking, np.round(rng.random(many.shape) * 0.3 + 0.1 * lacking, 2)),
    case("classes", classes, soft / soft.sum(axis=1, keepdims=True)),
]
with open("tests/golden/score_ranking.json", "w") as f:
    json.dump({"made_by": "tools/golden_ranking.py", "python": platform.python_version(), "numpy": np.__version__,
               "scikit-learn": sklearn.__version__, "cases": cases}, f)
    f.write("\n")
