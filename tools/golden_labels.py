#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tests/golden/score_labels.json: multi-label figures, thresholds and bootstrap intervals by scikit-learn and NumPy.

Needs numpy, scikit-learn. Run from the repository root: python3 tools/golden_labels.py
"""
import json
import platform

import numpy as np
import sklearn
from sklearn import metrics

FIGURES = ("accuracy", "micro_precision", "micro_recall", "micro_f1", "macro_f1", "weighted_f1")


def figures(truth, predicted):
    found = {"accuracy": float(metrics.accuracy_score(truth, predicted))}
    for average in ("micro", "macro", "weighted"):
        p, r, f, _ = metrics.precision_recall_fscore_support(truth, predicted, average=average, zero_division=0)
        found.update({f"{average}_precision": float(p), f"{average}_recall": float(r), f"{average}_f1": float(f)})
    p, r, f, s = metrics.precision_recall_fscore_support(truth, predicted, average=None, zero_division=0)
    found["each"] = [[float(a), float(b), float(c), int(d)] for a, b, c, d in zip(p, r, f, s)]
    return found


def w2(truth, p):
    """The sweep of W2 as its text has it, a label at a time."""
    best = []
    for label in range(truth.shape[1]):
        t, highest = 0.5, 0.0
        for k in range(5, 96):
            f1 = metrics.f1_score(truth[:, label], p[:, label] >= k / 100, zero_division=0)
            if f1 > highest:
                t, highest = k / 100, f1
        best.append(round(t, 2))
    return best


def together(truth, p):
    t, highest = 0.5, 0.0
    for k in range(5, 96):
        f1 = metrics.f1_score(truth, p >= k / 100, average="micro", zero_division=0)
        if f1 > highest:
            t, highest = k / 100, f1
    return t


def score(rule, truth, predicted):
    if rule == "f1":
        return metrics.f1_score(truth, predicted, zero_division=0)
    if rule == "f_2":
        return metrics.fbeta_score(truth, predicted, beta=2, zero_division=0)
    precision = metrics.precision_score(truth, predicted, zero_division=0)
    recall = metrics.recall_score(truth, predicted, zero_division=0)
    if rule == "recall_at_precision_0.6":
        return recall if precision >= 0.6 else -1
    if rule == "precision_at_recall_0.7":
        return precision if recall >= 0.7 else -1
    _, fp, fn, _ = metrics.confusion_matrix(truth, predicted, labels=[0, 1]).ravel()
    return -(3.0 * fp + 2.0 * fn)  # cost_3_2


def exact(truth, p):
    best = {}
    for rule in ("f1", "f_2", "recall_at_precision_0.6", "precision_at_recall_0.7", "cost_3_2"):
        scores = [(score(rule, truth, p >= t), t) for t in sorted(set(p))]
        highest = max(s for s, _ in scores)
        best[rule] = None if highest < 0 and rule != "cost_3_2" else min(t for s, t in scores if s == highest)
    return best


def philox(seed, purpose, c0, c1, c2, c3):
    k0, k1 = seed & 0xFFFFFFFF, (seed >> 32) ^ purpose
    for _ in range(10):
        a, b = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (b >> 32) ^ c1 ^ k0, b & 0xFFFFFFFF, (a >> 32) ^ c3 ^ k1, a & 0xFFFFFFFF
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return c0, c1, c2, c3


def bootstrap(truth, predicted, seed, draws):
    values = []
    for d in range(draws):
        rows = [philox(seed, 6, i // 4, 0, 0, d)[i % 4] * len(truth) >> 32 for i in range(len(truth))]
        f = figures(truth[rows], predicted[rows])
        values.append([f[name] for name in FIGURES])
    return [[float(np.percentile([v[k] for v in values], q)) for q in (2.5, 97.5)] for k in range(len(FIGURES))]


def numpy_bootstrap(truth, predicted, draws):
    """The same interval from rows that NumPy draws: it may differ by chance alone."""
    chance, values = np.random.default_rng(3), []
    for _ in range(draws):
        rows = chance.integers(0, len(truth), len(truth))
        f = figures(truth[rows], predicted[rows])
        values.append([f[name] for name in FIGURES])
    return [[float(np.percentile([v[k] for v in values], q)) for q in (2.5, 97.5)] for k in range(len(FIGURES))]


def case(name, rng, rows, labels, empty):
    rate = rng.uniform(0.05, 0.5, labels)
    truth = (rng.uniform(size=(rows, labels)) < rate).astype(int)
    if empty:
        truth[:, 0] = 0
        truth[: rows // 3] = 0
    p = np.clip(rng.normal(0.3 + 0.25 * truth, 0.2), 0, 1)
    p = np.round(p, 2 if name == "ties" else 6)
    thresholds = rng.choice([0.3, 0.5, 0.62], labels)
    predicted = (p >= thresholds).astype(int)
    return {
        "name": name, "rows": rows, "labels": labels, "probability": p.ravel().tolist(), "truth": truth.ravel().tolist(),
        "thresholds": thresholds.tolist(), "figures": figures(truth, predicted), "w2": w2(truth, p), "w2_together": together(truth, p),
        "exact": [exact(truth[:, l], p[:, l]) for l in range(labels)],
        "bootstrap": {"seed": 42 + (7 << 32), "draws": 50, "intervals": bootstrap(truth, predicted, 42 + (7 << 32), 50),
                      "numpy_draws": 2000, "numpy": numpy_bootstrap(truth, predicted, 2000)},
    }


rng = np.random.default_rng(11)
cases = [case("plain", rng, 160, 5, False), case("ties", rng, 150, 4, False), case("empty label and rows", rng, 120, 3, True), case("one label", rng, 90, 1, False)]
with open("tests/golden/score_labels.json", "w") as f:
    json.dump({"made_by": "tools/golden_labels.py", "python": platform.python_version(), "numpy": np.__version__, "scikit-learn": sklearn.__version__,
               "figures": FIGURES, "cases": cases}, f)
    f.write("\n")
