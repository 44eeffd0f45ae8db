#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints the tables of docs/scaling.md: time of a training step of BERT-base on 1 to 512 ranks, from measured constants.

A simulation of what a rank does (worker/train/step.c, worker/comm/mpi.c), not a closed formula: buckets become ready while backward
goes on, are cut into pieces, up to ACTIVE pieces are exchanged at a time, and nothing moves but when it is looked at. All ranks are
alike. Redo it with other constants:

    tools/scaling.py [--tokens-per-second X] [--update SECONDS] [--latency SECONDS] [--rows N]
"""
import argparse
import math

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--tokens-per-second", type=float, default=1420, help="forward and backward of one rank (2 cores, bf16)")
parser.add_argument("--update", type=float, default=0.043, help="seconds of the optimiser, which every rank does in whole")
parser.add_argument("--add", type=float, default=5.0, help="GB/s at which a received piece is added")
parser.add_argument("--latency", type=float, default=15e-6, help="seconds of a message without its bytes")
parser.add_argument("--rows", type=int, default=8, help="rows of a rank and step")
parser.add_argument("--looks", type=int, default=3, help="looks that a long message takes: announced, answered, sent")
given = parser.parse_args()

LAYERS, WIDTH, INNER, POSITIONS, LABELS, VOCABULARY = 12, 768, 3072, 512, 2, 30522
PIECE, ACTIVE = 4 << 20, 16      # worker/comm/mpi.c
TOKENS = 206                     # of a row: pairs of the demo, cut at 512
FORWARD = 1 / 3                  # of forward and backward
LOOKS = (1 / 3, 2 / 3, 3 / 4, 1)  # of a layer's backward: behind each linear map, by its products
LAYER = 4 * WIDTH * WIDTH + 2 * WIDTH * INNER + 9 * WIDTH + INNER
HEAD, EMBEDDINGS = WIDTH * WIDTH + WIDTH + LABELS * (WIDTH + 1), (POSITIONS + 2 + 2) * WIDTH
# distinct words of a step by its tokens, counted in the demo's pairs; beyond them the last slope goes on
WORDS = [(1765, 652), (3239, 994), (6332, 1554), (13023, 2437), (26718, 3586), (52813, 4955), (104867, 6449), (211060, 7925), (411607, 9376)]


def words(tokens):
    at = max(1, min(len(WORDS) - 1, sum(t < tokens for t, _ in WORDS)))
    (t0, w0), (t1, w1) = WORDS[at - 1], WORDS[at]
    slope = math.log(w1 / w0) / math.log(t1 / t0)
    return min(VOCABULARY, round(w0 * (tokens / t0) ** slope))


def buckets(ranks, compute, rows):
    """(time at which it is ready, bytes), in the order of backward: head, layers from the last, embeddings, words."""
    start, each = compute * FORWARD, compute * (1 - FORWARD) / (LAYERS + 0.1)
    ready = [(start + 0.05 * each, 4 * HEAD)] + [(start + (i + 1.05) * each, 4 * LAYER) for i in range(LAYERS)]
    return ready + [(compute, 4 * EMBEDDINGS), (compute, 4 * WIDTH * words(ranks * rows * TOKENS))]


def step(ranks, gigabits, speed, rows, polled):
    """Seconds of a step until the sums are there, and of forward and backward alone."""
    compute = rows * TOKENS / speed
    if ranks == 1:
        return compute, compute
    bandwidth, levels, every = gigabits * 1e9 / 8, int(math.log2(ranks)), buckets(ranks, compute, rows)
    each = compute * (1 - FORWARD) / (LAYERS + 0.1)
    looks = sorted({t for t, _ in every} | {compute * FORWARD + (i + 0.05 + part) * each for i in range(LAYERS) for part in LOOKS})

    def seen(time, count):
        """When the count-th look at or after `time` happens; after backward rank looks all the time."""
        if not polled:
            return time
        later = [t for t in looks if t >= time]
        return later[count - 1] if len(later) >= count else max(time, looks[-1])

    pieces = []
    for ready, size in every:
        for done in range(0, size, PIECE):
            pieces.append((ready, min(PIECE, size - done)))
    free, places, end = 0.0, [0.0] * ACTIVE, 0.0  # of the link; of the places
    events = []                                   # (time, number, stage, size): a piece that can begin a stage
    waiting = list(enumerate(pieces))[::-1]
    while waiting or events:
        while waiting and places:
            number, (ready, size) = waiting.pop()
            events.append((seen(max(ready, places.pop(0)), 1), number, 0, size))
        events.sort()
        time, number, stage, size = events.pop(0)
        share = size / 2 ** ((stage if stage < levels else 2 * levels - 1 - stage) + 1)
        free = max(free, time) + share / bandwidth
        arrived = free + given.latency + (share / (given.add * 1e9) if stage < levels else 0)
        after = seen(arrived, given.looks if share > 64e3 else 1)
        if stage + 1 < 2 * levels:
            events.append((after, number, stage + 1, size))
        else:
            places.append(after)
            end = max(end, after)
    return max(end, compute), compute


def table(speed, rows, title):
    update = given.update * given.tokens_per_second / speed  # the optimiser's memory gets faster with the rank
    print(f"\n{title}: {speed:.0f} tokens/s, {rows} rows a rank, {rows * TOKENS / speed + update:.3g} s a step alone\n")
    print("| ranks | sparse words | sums, MB | " + " | ".join(f"{g} Gb/s" for g in GIGABITS) + " |\n" + "| --- " * (3 + len(GIGABITS)) + "|")
    for ranks in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512):
        cells = []
        for g in GIGABITS:
            shares = []
            for polled in (True, False):
                total, compute = step(ranks, g, speed, rows, polled)
                shares.append((compute + update) / (total + update))
            cells.append(f"{shares[0]:.0%} ({shares[1]:.0%})")
        size = sum(s for _, s in buckets(ranks, 1, rows)) / 1e6 if ranks > 1 else 0
        print(f"| {ranks} | {words(ranks * rows * TOKENS)} | {size:.0f} | " + " | ".join(cells) + " |")


GIGABITS = (10, 25, 100, 200)
table(given.tokens_per_second, given.rows, "A rank of 2 cores, as measured")
table(32 * given.tokens_per_second, given.rows, "A rank 32 times as fast (a node of 64 such cores)")
table(512 * given.tokens_per_second, 16 * given.rows, "A rank 512 times as fast, with 16 times the rows (a large GPU)")
