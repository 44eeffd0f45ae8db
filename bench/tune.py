#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The sweep of bench/tune.c by scikit-learn, a label at a time as the notebook of W2 has it. usage: tune.py [rows [labels]]"""
import sys
import time

import numpy as np
from sklearn.metrics import f1_score

rows, labels = (int(sys.argv[i]) if len(sys.argv) > i else n for i, n in ((1, 100_000), (2, 2)))
rng = np.random.default_rng(7)
truth = rng.uniform(size=(rows, labels)) < 1 / 32
p = 1 / (1 + np.exp(-rng.normal(truth * 2.5 - 2, 1.5)))
start = time.perf_counter()
for label in range(labels):
    for k in range(5, 96):
        f1_score(truth[:, label], p[:, label] >= k / 100, zero_division=0)
seconds = time.perf_counter() - start
print(f"{rows} rows, {labels} labels: {seconds:.2f} s, {seconds / labels:.3f} s a label, {seconds / labels * 141:.0f} s for 141")
