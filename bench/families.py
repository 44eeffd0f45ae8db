#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Training of other families' base models against Hugging Face Trainer, one thread each, in turn, by CPU seconds in user and in system mode:
figures that hold on a machine that is shared, too. Prints a Markdown table for bench/LOG.md; peaks are each process's resident memory.

    bench/families.py [--family distilbert|roberta|longformer|modernbert ...] [--length N] [--checkpointing] [--alone] [other options]

The weights are random, of the family's base shape; dropout is on. Rows are pairs tokenized by MODEL's tokenizer, of real lengths, or, with --length,
random tokens. The warm-up step counts for memory, not for time.
Environment: BUILD, PYTHON, MODEL and DATA as in bench/compare.sh.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
BUILD, PYTHON = os.environ.get("BUILD", f"{ROOT}/build/release"), os.environ.get("PYTHON", "python3")
MODEL, DATA = os.environ.get("MODEL", f"{ROOT}/runs/minilm"), os.environ.get("DATA", f"{ROOT}/runs/pairs.jsonl")

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--family", nargs="+", choices=("distilbert", "roberta", "longformer", "modernbert"), default=["distilbert", "roberta"])
parser.add_argument("--precision", choices=("f32", "bf16"), default="f32")
parser.add_argument("--length", type=int, nargs="+", default=[0], help="tokens of every row; 0: pairs of real lengths, at most 256")
parser.add_argument("--batch", type=int, default=8)
parser.add_argument("--checkpointing", action="store_true", help="activations are computed again in the backward pass, on both sides")
parser.add_argument("--alone", action="store_true", help="only our side")
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--steps", type=int, default=4, help="steps that are timed, behind one that warms up")
given = parser.parse_args()


def run(*command):
    """The last JSON line that it printed."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"families.py: failed: {' '.join(command)}\n{done.stderr[-2000:]}")
    return json.loads(([line for line in done.stdout.splitlines() if line.startswith("{")] or ["{}"])[-1])


def real_rows(folder):
    """The rows that both sides take, as ours and as JSON Lines."""
    with open(f"{folder}/rows.jsonl", "w") as file:
        subprocess.run([PYTHON, f"{HERE}/peer.py", "rows", "--model", MODEL, "--rows", DATA], check=True, stdout=file)
    with open(f"{folder}/job.json", "w") as file:
        json.dump({"name": "rows", "out": f"{folder}/run", "model": os.path.realpath(MODEL), "seed": 1, "task": "single_label_classification",
                   "data": {"path": f"{folder}/rows.jsonl", "group": "original_paper_id", "label": "label", "text_a": ["sentence"],
                            "text_b": ["ref_paper_title", "ref_paper_authors", "ref_paper_text"], "joiner": ". ",
                            "required": ["sentence", "ref_paper_text"], "labels": ["NOT_LINKED", "LINKED"], "positive": "LINKED"},
                   "train": {"max_length": 256}}, file)
    run(f"{BUILD}/muster", "check", f"{folder}/job.json")
    name, = (name for name in os.listdir(f"{folder}/run/tokens") if name.endswith(".rows"))
    return ("--rows", f"{folder}/run/tokens/{name}"), ("--rows", f"{folder}/rows.jsonl")


def compare(family, length, weights, ours, theirs):
    common = ["--precision", given.precision, "--threads", "1", "--batch", str(given.batch), "--warm", "1"] + ["--checkpointing"] * given.checkpointing
    rounds = []
    for _ in range(given.rounds):
        mine = run(f"{BUILD}/muster", "bench", "--model", weights, "--steps", str(given.steps), *ours, *common)
        peer = None if given.alone else run(PYTHON, f"{HERE}/peer.py", "trainer", "--model", MODEL, "--weights", weights, "--steps", str(given.steps + 1),
                                            *theirs, *common)
        rounds.append((mine, peer))
        print(f"{family} {length}: {mine} {peer}", file=sys.stderr, flush=True)

    def median(side, what):
        return statistics.median(what(both[side]) for both in rounds)

    def seconds(side):
        return f"{median(side, lambda r: r['user_seconds']) / given.steps:.2f} + {median(side, lambda r: r['system_seconds']) / given.steps:.2f}"

    def all_cpu(r):
        return r["user_seconds"] + r["system_seconds"]

    case = f"{family} {length or '256 real'} x {given.batch} {given.precision}{' checkpointing' * given.checkpointing}"
    cells = [case, seconds(0), "", "", f"{median(0, lambda r: r['peak_MB']):.0f}", f"{rounds[0][0]['mean_length']:.0f}"]
    if not given.alone:
        ratios = sorted(all_cpu(peer) / all_cpu(mine) for mine, peer in rounds)
        cells[2:5] = [seconds(1), f"{statistics.median(ratios):.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})",
                      f"{cells[4]} / {median(1, lambda r: r['peak_MB']):.0f}"]
    print(f"| {' | '.join(cells)} |", flush=True)


with tempfile.TemporaryDirectory() as scratch:
    print("| case | ours, s a step: user + system | Trainer's | ratio (spread) | peak MB | tokens a row |\n| --- | --- | --- | --- | --- | --- |", flush=True)
    real = real_rows(scratch) if 0 in given.length else None
    for of in given.family:
        run(PYTHON, f"{HERE}/peer.py", "make", "--model", MODEL, "--weights", f"{scratch}/{of}", "--family", of)
        for tokens in given.length:
            compare(of, tokens, f"{scratch}/{of}", *((("--length", str(tokens)), ("--fixed", str(tokens))) if tokens else real))
