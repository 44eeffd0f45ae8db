#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A table of models that were trained and scored on one frozen split (W3): of each run directory its model, how it was trained, whether the
text has the snippet, the best threshold for all labels and the scores there on the test part; best first.

  zoo.py RUN...
"""
import json
import os
import sys


def read(run, name):
    try:
        with open(os.path.join(run, name), encoding="utf-8") as file:
            return json.load(file)
    except OSError as error:
        sys.exit(f"zoo.py: {error}; is {run} the directory of a finished run?")


def line(run):
    job, evaluation = read(run, "job.json"), read(run, "evaluation.json")
    scores = evaluation["test"]["rules"]["global"]
    return {"split": evaluation["split_sha256"], "f1": scores["micro_f1"],
            "cells": [os.path.basename(job["model"]) if os.path.isdir(os.path.join(run, job["model"])) else job["model"], job["train"]["method"],
                      "yes" if "snippet" in job["data"]["text_a"] else "no", f"{evaluation['threshold']:.2f}",
                      *(f"{scores[name]:.4f}" for name in ("micro_f1", "micro_precision", "micro_recall"))]}


def main(runs):
    if not runs:
        sys.exit(__doc__)
    lines = [line(run) for run in runs]
    for run, row in zip(runs, lines):
        if row["split"] != lines[0]["split"]:
            sys.exit(f"zoo.py: {run} has another split than {runs[0]}: their scores cannot be compared")
    header = ["model", "method", "snippet", "threshold", "F1", "precision", "recall"]
    for cells in [header, ["---"] * len(header)] + [row["cells"] for row in sorted(lines, key=lambda row: -row["f1"])]:
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main(sys.argv[1:])
