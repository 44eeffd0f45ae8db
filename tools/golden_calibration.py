#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tests/golden/score_calibration.json: temperature, NLL, ECE, Brier and the grid of W4, by NumPy and SciPy.

Needs numpy, scipy. Run from the repository root: python3 tools/golden_calibration.py
"""
import json
import platform

import numpy as np
import scipy
from scipy import optimize, special


def probabilities(kind, x, t):
    return special.expit(x / t) if kind == "labels" else special.softmax(x / t, axis=1)


def nll(kind, x, y, t):
    if kind == "labels":
        return float(np.mean(np.logaddexp(0, np.where(y == 1, -x, x) / t)))
    return float(-np.mean(special.log_softmax(x / t, axis=1)[np.arange(len(y)), y]))


def measure(kind, x, y, t):
    p = probabilities(kind, x, t)
    if kind == "labels":
        confidence, right = p.ravel(), y.ravel()
        brier = np.mean((confidence - right) ** 2)
    elif x.shape[1] == 2:
        confidence, right = p[:, 1], (y == 1).astype(int)
        brier = np.mean((confidence - right) ** 2)
    else:
        confidence, right = p.max(axis=1), (p.argmax(axis=1) == y).astype(int)
        brier = np.mean(((p - np.eye(x.shape[1])[y]) ** 2).sum(axis=1))
    bins = np.minimum((confidence * 15).astype(int), 14)
    ece, counts = 0.0, []
    for b in range(15):
        inside = bins == b
        counts.append(int(inside.sum()))
        if inside.any():
            ece += inside.mean() * abs(confidence[inside].mean() - right[inside].mean())
    return {"nll": nll(kind, x, y, t), "ece": float(ece), "brier": float(brier), "counts": counts}


def grid(kind, x, y):
    truth = y.ravel() if kind == "labels" else (y == 1).astype(int)
    points = []
    for t in range(1, 16):
        p = probabilities(kind, x, t)
        p = p.ravel() if kind == "labels" else p[:, 1]
        for k in range(2, 11):
            on = p >= k / 10
            tp, fp, fn = (on & (truth == 1)).sum(), (on & (truth == 0)).sum(), (~on & (truth == 1)).sum()
            points.append(float(2 * tp / (2 * tp + fp + fn)) if tp else 0.0)
    return points


def each(kind, x, y):
    """A temperature for each label, by SciPy's L-BFGS-B."""
    labels = x.shape[1]

    def loss(b):
        if kind == "labels":
            return nll(kind, x, y, 1 / b), np.mean(x * (special.expit(x * b) - y), axis=0) / labels
        p = special.softmax(x * b, axis=1)
        return nll(kind, x, y, 1 / b), np.mean(x * (p - np.eye(labels)[y]), axis=0)

    found = optimize.minimize(loss, np.full(labels, 0.5), jac=True, method="L-BFGS-B", bounds=[(0.05, 20)] * labels,
                              options={"ftol": 1e-16, "gtol": 1e-12, "maxiter": 10000, "maxfun": 100000})
    return {"temperatures": (1 / found.x).tolist(), "measure": measure(kind, x, y, 1 / found.x)}


def case(name, kind, rng, rows, labels, scale):
    if kind == "labels":
        y = (rng.uniform(size=(rows, labels)) < 0.3).astype(int)
        x = rng.normal(2.0 * y - 1.0, 1.5, (rows, labels)) * scale
    else:
        y = rng.integers(0, labels, rows)
        x = rng.normal(0, 1.2, (rows, labels))
        x[np.arange(rows), y] += 1.0
        x *= scale
    x = x.astype(np.float32).astype(float)
    found = optimize.minimize_scalar(lambda b: nll(kind, x, y, 1 / b), bounds=(0.05, 20), method="bounded", options={"xatol": 1e-12})
    c = {"name": name, "kind": kind, "rows": rows, "labels": labels, "logits": x.ravel().tolist(), "truth": y.ravel().tolist(),
         "temperature": 1 / float(found.x), "before": measure(kind, x, y, 1.0), "after": measure(kind, x, y, 2.5), "each": each(kind, x, y)}
    if kind == "labels" or labels == 2:
        c["grid"] = grid(kind, x, y)
    return c


rng = np.random.default_rng(5)
cases = [case("too sure", "labels", rng, 150, 4, 3.0), case("too shy", "labels", rng, 150, 3, 0.4), case("two classes", "class", rng, 300, 2, 2.5),
         case("five classes", "class", rng, 200, 5, 2.0)]
with open("tests/golden/score_calibration.json", "w") as f:
    json.dump({"made_by": "tools/golden_calibration.py", "python": platform.python_version(), "numpy": np.__version__, "scipy": scipy.__version__,
               "cases": cases}, f)
    f.write("\n")
