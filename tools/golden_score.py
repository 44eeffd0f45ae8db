#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tests/golden/score_*.json and tests/golden/numpy_shuffle.json: what scikit-learn, PyTorch and NumPy say.

Needs numpy, scikit-learn, torch. Run from the repository root: python3 tools/golden_score.py
"""
import hashlib
import json
import math
import platform

import numpy as np
import sklearn
import torch
from sklearn import metrics

VERSIONS = {
    "made_by": "tools/golden_score.py",
    "python": platform.python_version(),
    "numpy": np.__version__,
    "scikit-learn": sklearn.__version__,
    "torch": torch.__version__,
}


def write(name, content):
    with open(f"tests/golden/{name}.json", "w") as f:
        json.dump({**VERSIONS, **content}, f)
        f.write("\n")


def numpy_shuffle():
    cases = []
    for seed in (0, 42, 4294967295):
        for count in (1, 2, 10, 747, 10000):
            as_list, as_objects = list(range(count)), np.array([f"id{i}" for i in range(count)], dtype=object)
            np.random.RandomState(seed).shuffle(as_list)
            np.random.RandomState(seed).shuffle(as_objects)
            assert [f"id{i}" for i in as_list] == list(as_objects)
            digest = hashlib.sha256(np.array(as_list, dtype="<u4").tobytes()).hexdigest()
            cases.append({"seed": seed, "count": count, "first": as_list[:16], "sha256": digest})
    whole = list(range(747))
    np.random.RandomState(42).shuffle(whole)
    write("numpy_shuffle", {"cases": cases, "order_747_seed_42": whole})


def binary(truth, predicted):
    tn, fp, fn, tp = (int(x) for x in metrics.confusion_matrix(truth, predicted, labels=[0, 1]).ravel())
    p, r, f, _ = metrics.precision_recall_fscore_support(truth, predicted, average="binary", zero_division=0)
    return {
        "tp": tp, "fp": fp, "tn": tn, "fn": fn,
        "accuracy": float(metrics.accuracy_score(truth, predicted)), "precision": float(p), "recall": float(r), "f1": float(f),
        "f_0.5": float(metrics.fbeta_score(truth, predicted, beta=0.5, zero_division=0)),
        "f_2": float(metrics.fbeta_score(truth, predicted, beta=2, zero_division=0)),
    }


def scores(kind, rng):
    if kind == "separable":
        truth = rng.integers(0, 2, 400)
        p = np.clip(rng.normal(0.35 + 0.3 * truth, 0.18), 0, 1)
    elif kind == "on the grid":  # probabilities that equal thresholds, and many ties
        truth = rng.integers(0, 2, 300)
        p = rng.choice(np.linspace(0.1, 0.9, 33), 300)
    elif kind == "no positives":
        truth = np.zeros(50, dtype=int)
        p = rng.random(50)
    elif kind == "never reaches":
        truth = np.ones(20, dtype=int)
        p = rng.random(20) * 0.05
    elif kind == "tied":  # one score for everything: all thresholds below it are equal, the first wins
        truth = np.array([1, 0, 1, 1, 0])
        p = np.full(5, 0.5)
    else:
        truth = (rng.random(747) < 0.3).astype(int)
        p = rng.random(747)
    return truth.astype(int), p


def threshold():
    rng = np.random.default_rng(20261122)
    cases = []
    for kind in ("separable", "on the grid", "no positives", "never reaches", "tied", "random"):
        truth, p = scores(kind, rng)
        grid = np.linspace(0.1, 0.9, 33)
        points = [binary(truth, (p >= t).astype(int)) for t in grid]
        best = {}
        for rule, key in (("f1", "f1"), ("f_0.5", "f_0.5"), ("f_2", "f_2")):
            best[rule] = int(np.argmax([q[key] for q in points]))  # argmax: first one wins
        reached = [q["recall"] if q["precision"] >= 0.6 else -1 for q in points]
        best["recall_at_0.6"] = int(np.argmax(reached)) if max(reached) >= 0 else -1
        cases.append({
            "kind": kind, "truth": truth.tolist(), "probability": p.tolist(), "grid": grid.tolist(), "best": best,
            "highest_precision": max(q["precision"] for q in points),
            "points": [[q["tp"], q["fp"], q["tn"], q["fn"], q["accuracy"], q["precision"], q["recall"], q["f1"], q["f_0.5"], q["f_2"]]
                       for q in points],
        })
    grids = [[a, b, n, np.linspace(a, b, n).tolist()] for a, b, n in ((0.1, 0.9, 33), (0.05, 0.95, 91), (0.5, 0.5, 3), (0.0, 1.0, 7))]
    write("score_threshold", {"cases": cases, "linspace": grids})


def classes():
    rng = np.random.default_rng(7)
    cases = []
    for labels, rows in ((2, 40), (5, 200), (41, 500), (6, 30)):
        truth = rng.integers(0, labels, rows)
        if labels == 6:  # class 0 is never predicted, 5 never true, 4 neither
            truth = rng.choice([0, 1, 2, 3], rows)
        predicted = np.where(rng.random(rows) < 0.5, truth, rng.integers(0, labels, rows))
        if labels == 6:
            predicted = np.where((predicted == 0) | (predicted == 4), 5, predicted)
        case = {"labels": labels, "truth": truth.tolist(), "predicted": predicted.tolist(),
                "accuracy": float(metrics.accuracy_score(truth, predicted))}
        for average in ("micro", "macro", "weighted"):
            p, r, f, _ = metrics.precision_recall_fscore_support(truth, predicted, average=average, zero_division=0)
            case[average] = [float(p), float(r), float(f)]
        p, r, f, s = metrics.precision_recall_fscore_support(truth, predicted, labels=list(range(labels)), zero_division=0)
        case["per_class"] = [[float(a), float(b), float(c), int(d)] for a, b, c, d in zip(p, r, f, s)]
        cases.append(case)
    write("score_classes", {"cases": cases})


def losses():
    rng = np.random.default_rng(11)
    cases = []
    for rows, labels, scale, weighted in ((64, 2, 1, True), (50, 5, 3, False), (33, 7, 60, True), (1, 2, 1, True)):
        logits = (rng.normal(size=(rows, labels)) * scale).astype(np.float32)
        truth = rng.integers(0, labels, rows)
        weights = rng.uniform(0.3, 3.0, labels) if weighted else None
        loss = torch.nn.CrossEntropyLoss(weight=torch.tensor(weights) if weighted else None)(
            torch.tensor(logits, dtype=torch.float64), torch.tensor(truth))
        temperature = 1.7
        p = torch.softmax(torch.tensor(logits, dtype=torch.float64), 1)
        hot = torch.softmax(torch.tensor(logits, dtype=torch.float64) / temperature, 1)
        cases.append({
            "rows": rows, "labels": labels, "logits": [float(x) for x in logits.ravel()], "truth": truth.tolist(),
            "weights": None if weights is None else weights.tolist(), "loss": float(loss),
            "sklearn_log_loss": float(metrics.log_loss(truth, p.numpy(), labels=list(range(labels)))) if scale < 10 else None,
            "softmax_row_0": p[0].tolist(), "temperature": temperature, "class_1_hot": hot[:, 1].tolist(),
        })
        assert math.isfinite(cases[-1]["loss"])
    write("score_loss", {"cases": cases})


if __name__ == "__main__":
    numpy_shuffle()
    threshold()
    classes()
    losses()
