#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tests/golden/report_scores.json: logits of two tasks, and what scikit-learn and NumPy say of them.

usage: golden_report.py tests/golden
"""
import json
import sys

import numpy
import sklearn
from sklearn import metrics

chance = numpy.random.RandomState(11)


def binary():
    rows, temperature, threshold = 60, 1.7, 0.35
    truth = chance.rand(rows) < 0.3
    # Quarters: equal probabilities occur.
    logits = numpy.round(numpy.stack([chance.randn(rows), chance.randn(rows) + 1.5 * truth], 1) * 4) / 4
    scaled = logits / temperature
    exact = numpy.exp(scaled - scaled.max(1, keepdims=True))
    p = (exact / exact.sum(1, keepdims=True))[:, 1]
    plain = 1 / (1 + numpy.exp(logits[:, 0] - logits[:, 1]))
    predicted = p >= threshold
    surest = numpy.where(predicted, p, 1 - p)
    wrong = sorted((i for i in range(rows) if predicted[i] != truth[i]), key=lambda i: -surest[i])
    return {"logits": logits.tolist(), "truth": truth.astype(int).tolist(), "temperature": temperature, "threshold": threshold,
            "average_precision": metrics.average_precision_score(truth, p), "f1": metrics.f1_score(truth, predicted),
            "f1_at_half": metrics.f1_score(truth, p >= 0.5), "confusion": metrics.confusion_matrix(truth, predicted).tolist(),
            "before": reliability(plain, truth), "after": reliability(p, truth), "worst": surest[wrong[:8]].tolist(),
            "curve_f1": [metrics.f1_score(truth, p >= t, zero_division=0) for t in numpy.arange(101) / 100]}


def many():
    rows, labels, thresholds = 40, 3, [0.4, 0.5, 0.25]
    truth = chance.rand(rows, labels) < [0.5, 0.2, 0.0]
    logits = (chance.randn(rows, labels) + truth).astype(numpy.float32).astype(float)
    p = 1 / (1 + numpy.exp(-logits))
    predicted = p >= thresholds
    each = metrics.f1_score(truth, predicted, average=None, zero_division=0)
    return {"logits": logits.tolist(), "truth": truth.astype(int).tolist(), "thresholds": thresholds, "f1": each.tolist(),
            "micro_f1": metrics.f1_score(truth, predicted, average="micro"), "macro_f1": each.mean(),
            "average_precision": [metrics.average_precision_score(truth[:, c], p[:, c]) if truth[:, c].any() else 0.0 for c in range(labels)],
            "before": reliability(p.T.ravel(), truth.T.ravel())}


def classes():
    rows, labels, temperatures = 50, 3, [1.5, 0.8, 1.1]
    truth = chance.randint(0, labels, rows)
    logits = (chance.randn(rows, labels) + 1.2 * numpy.eye(labels)[truth]).astype(numpy.float32).astype(float)
    predicted = (logits / temperatures).argmax(1)
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(truth, predicted, zero_division=0)
    return {"logits": logits.tolist(), "truth": truth.tolist(), "temperatures": temperatures, "thresholds": [0.5] * labels, "precision": precision.tolist(),
            "recall": recall.tolist(), "f1": f1.tolist(), "micro_f1": metrics.f1_score(truth, predicted, average="micro"),
            "macro_f1": metrics.f1_score(truth, predicted, average="macro"), "confusion": metrics.confusion_matrix(truth, predicted).tolist()}


def reliability(p, truth):
    bins = numpy.minimum((p * 15).astype(int), 14)
    error = sum(abs(p[bins == b].sum() - truth[bins == b].sum()) for b in range(15)) / len(p)
    return {"ece": error, "brier": metrics.brier_score_loss(truth, p), "nll": metrics.log_loss(truth, p), "count": numpy.bincount(bins, minlength=15).tolist()}


with open(f"{sys.argv[1]}/report_scores.json", "w") as file:
    json.dump({"made_by": f"tools/golden_report.py, scikit-learn {sklearn.__version__}, NumPy {numpy.__version__}", "binary": binary(), "many": many(), "classes": classes()}, file, indent=1)
    file.write("\n")
