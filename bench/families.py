#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Training of other families' base models against Hugging Face Trainer, on the same rows, one thread each, by user CPU time: a figure that
holds on a machine that is shared, too. Prints a Markdown table for bench/LOG.md.

    bench/families.py [--family distilbert|roberta ...] [--precision f32|bf16] [--rounds N] [--steps A B]

The weights are random, of the family's base shape; the rows are pairs tokenized by MODEL's tokenizer, of real lengths, and dropout is on.
Each side is run with A and with B steps; the difference is divided by B - A, so that starting and loading do not count.
Environment: BUILD, PYTHON, MODEL and DATA as in bench/compare.sh; LENGTH (256), BATCH (8).
"""
import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
BUILD, PYTHON = os.environ.get("BUILD", f"{ROOT}/build/release"), os.environ.get("PYTHON", "python3")
MODEL, DATA = os.environ.get("MODEL", f"{ROOT}/runs/minilm"), os.environ.get("DATA", f"{ROOT}/runs/pairs.jsonl")
LENGTH, BATCH = os.environ.get("LENGTH", "256"), os.environ.get("BATCH", "8")


def run(*command):
    """User seconds of the command and its children, and the last JSON line that it printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"families.py: failed: {' '.join(command)}\n{done.stderr[-2000:]}")
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before, json.loads(lines[-1]) if lines else {}


def rows(folder):
    """The rows that both sides take, as JSON Lines and as ours."""
    with open(f"{folder}/rows.jsonl", "w") as file:
        subprocess.run([PYTHON, f"{HERE}/peer.py", "rows", "--model", MODEL, "--rows", DATA, "--max-length", LENGTH], check=True, stdout=file)
    with open(f"{folder}/job.json", "w") as file:
        json.dump({"name": "rows", "out": f"{folder}/run", "model": os.path.realpath(MODEL), "seed": 1, "task": "single_label_classification",
                   "data": {"path": f"{folder}/rows.jsonl", "group": "original_paper_id", "label": "label", "text_a": ["sentence"],
                            "text_b": ["ref_paper_title", "ref_paper_authors", "ref_paper_text"], "joiner": ". ",
                            "required": ["sentence", "ref_paper_text"], "labels": ["NOT_LINKED", "LINKED"], "positive": "LINKED"},
                   "train": {"max_length": int(LENGTH)}}, file)
    run(f"{BUILD}/muster", "check", f"{folder}/job.json")
    name, = (name for name in os.listdir(f"{folder}/run/tokens") if name.endswith(".rows"))
    return f"{folder}/run/tokens/{name}", f"{folder}/rows.jsonl"


def seconds_a_step(command, steps):
    """And the mean length of the rows and the peak of memory that the longer run tells."""
    few, _ = run(*command(steps[0]))
    many, told = run(*command(steps[1]))
    return (many - few) / (steps[1] - steps[0]), told


def compare(family, precision, folder, ours, theirs, rounds, steps):
    weights = f"{folder}/{family}"
    run(PYTHON, f"{HERE}/peer.py", "make", "--model", MODEL, "--weights", weights, "--family", family)
    common = ("--precision", precision, "--threads", "1", "--batch", BATCH)
    ratios = []
    for _ in range(rounds):
        mine, told = seconds_a_step(lambda n: (f"{BUILD}/muster", "bench", "--model", weights, "--rows", ours, "--steps", str(n), "--warm", "1",
                                               *common), steps)
        peer, told_there = seconds_a_step(lambda n: (PYTHON, f"{HERE}/peer.py", "trainer", "--model", MODEL, "--weights", weights, "--rows", theirs,
                                                     "--max-length", LENGTH, "--steps", str(n + 1), "--warm", "1", *common), steps)
        ratios.append((peer / mine, mine, peer))
        print(f"{family} {precision}: ours {mine:.2f} s a step, Trainer {peer:.2f}", file=sys.stderr)
    ratios.sort()
    ratio, mine, peer = ratios[len(ratios) // 2]
    print(f"| train {precision} {family} base {LENGTH} real | {mine:.2f} s | {peer:.2f} s | {ratio:.2f} ({ratios[0][0]:.2f}-{ratios[-1][0]:.2f}, "
          f"{rounds} rounds of {steps[1] - steps[0]} steps) | {told.get('peak_MB', '?')} / {told_there['peak_MB']} | {told_there['mean_length']} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", nargs="+", choices=("distilbert", "roberta"), default=["distilbert", "roberta"])
    parser.add_argument("--precision", choices=("f32", "bf16"), default="f32")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, nargs=2, default=(1, 5))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = rows(folder)
        print("| case | ours, user CPU a step | Trainer's | ratio (spread) | peak MB | tokens a row |\n| --- | --- | --- | --- | --- | --- |", flush=True)
        for family in given.family:
            compare(family, given.precision, folder, ours, theirs, given.rounds, given.steps)


if __name__ == "__main__":
    main()
