#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Golden file of random sweeps: the draws that coordinator/sample.h promises, by another implementation of Philox4x32-10 and of the rules.

usage: golden_sample.py >tests/golden/sample.json        (Python's standard library only)
"""
import json
import math
import sys

PURPOSE = 8  # RANDOM_SWEEP of common/base/philox.h
WHOLE = {"epochs", "batch", "patience", "seed"}


def philox(key, counter):
    k, c = list(key), list(counter)
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k[0], b & 0xFFFFFFFF, (a >> 32) ^ c[3] ^ k[1], a & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


# the known answer of the paper's own test (Random123, kat_vectors)
assert philox((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF,) * 4) == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]


def name_hash(name):
    h = 2166136261
    for byte in name.encode():
        h = (h ^ byte) * 16777619 & 0xFFFFFFFF
    return h


def draw(sweep, seed, n):
    values = {}
    for key, given in sweep.items():
        word = philox((seed & 0xFFFFFFFF, seed >> 32 ^ PURPOSE), (n, 0, name_hash(key), 0))
        u = (word[0] << 21 | word[1] >> 11) / 2 ** 53
        if isinstance(given, list):
            values[key] = given[int(u * len(given))]
            continue
        low, high = given["from"], given["to"]
        end = high + 1 if key in WHOLE else high
        x = math.exp(math.log(low) + u * (math.log(end) - math.log(low))) if given.get("log", key == "lr") else low + u * (end - low)
        values[key] = min(max(math.floor(x) if key in WHOLE else float(f"{x:.3e}"), low), high)
    return values


sweep = {"lr": {"from": 1e-6, "to": 1e-4}, "weight_decay": {"from": 0, "to": 0.1}, "epochs": {"from": 2, "to": 5}, "batch": [8, 16, 32],
         "warmup": {"from": 0.01, "to": 0.2, "log": True}, "seed": {"from": 1, "to": 1000000, "log": False}, "precision": ["f32", "bf16"]}
json.dump({"made by": "tools/golden_sample.py", "sweep": sweep,
           "draws": [{"seed": seed, "n": n, "values": draw(sweep, seed, n)} for seed in (42, 2 ** 40 + 7) for n in range(50)]}, sys.stdout)
print()
