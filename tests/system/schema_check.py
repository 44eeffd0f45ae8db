#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The schema of `muster schema` by PyPI's jsonschema: valid by its metaschema, takes what muster takes, refuses what muster refuses.

usage: schema_check.py SCHEMA JOB.json (a job that muster takes) DIRECTORY (for wrong jobs) [OTHER.json ...] (jobs the schema must take)
"""
import copy
import json
import subprocess
import sys

import jsonschema

schema_path, job_path, directory, others = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]
schema = json.load(open(schema_path))
jsonschema.Draft202012Validator.check_schema(schema)
validator = jsonschema.Draft202012Validator(schema)
failures = []


def changed(job, changes):
    job = copy.deepcopy(job)
    for key, value in changes.items():
        *parents, last = key.split("/")
        at = job
        for parent in parents:
            at = at.setdefault(parent, {})
        if value is ...:
            del at[last]
        else:
            at[last] = value
    return job


def muster(verb, job, name):
    path = f"{directory}/{name}.json"
    job = dict(job, out=f"{directory}/{name}")
    with open(path, "w") as file:
        json.dump(job, file)
    done = subprocess.run(["muster", verb, path], capture_output=True, text=True)
    return done.returncode, done.stderr.strip()


base = json.load(open(job_path))
for path in [job_path] + others:
    for error in validator.iter_errors(json.load(open(path))):
        failures.append(f"{path}: {'.'.join(map(str, error.absolute_path))}: {error.message}")

RIGHT = [
    {"$schema": "./job.schema.json"},
    {"data/positive": None, "data/group": None, "data/joiner": ""},
    {"train/class_weights": [1, 2.5]},
    {"train/checkpoint_every": "500 steps"},
    {"train/checkpoint_every": "0.5 minutes"},
    {"train/checkpoint_every": "1 step"},
    {"train/patience": None, "train/clip": None, "train/dropout": None},
    {"tune/per_class": True},
    {"tune/per_class": "auto"},
    {"sweep": {"sample": "random", "count": 2, "lr": {"from": 1e-5, "to": 1e-3, "log": True}, "seed": [1, 2]}},
    {"sweep": {"class_weights": ["balanced", "none"], "scheduler": "none"}},
    {"train/schedule": "cosine", "train/label_smoothing": 0.1},
    {"train/loss": "focal", "train/focal_gamma": 0.5},
    {"sweep": {"schedule": ["linear", "constant"], "label_smoothing": [0, 0.1]}},
    {"train/freeze": ["embeddings", "layers.0-1"], "train/layer_decay": 0.8},
    {"train/checkpointing": True},
    {"train/method": "lora", "train/lora_r": 4, "train/lora_targets": ["query", "value"], "publish/adapter": "both"},
    {"train/method": "lora", "train/lora": {"r": 4, "alpha": 8, "targets": ["query"]}},
    {"sweep": None},
    {"sweep": {"model": [], "fields": []}},
    {"sweep": {"model": [base["model"]]}, "model": ...},
    {"cluster/metrics_port": 0},
    {"data/word_limits": {"a": 300}},
    {"seed": 9007199254740991},
]
WRONG = [
    {"model": ...},
    {"sweep": {"model": []}, "model": ...},
    {"sweep": None, "model": ...},
    {"sweep": {"model": "a"}, "model": ...},
    {"sweep": {"fields": ["a"]}},
    {"sweep": {"fields": [[]]}},
    {"data": ...},
    {"data/text_a": ...},
    {"data/text_a": []},
    {"data/text_a": ["a", "a"]},
    {"data/text_a": "a"},
    {"data/text_b": [""]},
    {"data/labels": ["NO", 1]},
    {"data/label": 3},
    {"data/accept": ["leak"]},
    {"data/word_limits": {"a": 0}},
    {"data/min_words": -1},
    {"data": []},
    {"nmae": "x"},
    {"name": ""},
    {"name": 5},
    {"task": "classification"},
    {"$schema": 7},
    {"seed": -1},
    {"seed": 1.5},
    {"split/train": 0},
    {"split/train": 1},
    {"split/method": "random"},
    {"split/file": False},
    {"train/lr": 0},
    {"train/lr": "1e-5"},
    {"train/learning_rate": 1e-5},
    {"train/epochs": 0},
    {"train/epochs": 2.5},
    {"train/epochs": None},
    {"train/max_length": 4},
    {"train/warmup": 1},
    {"train/dropout": 1},
    {"train/precision": "fp16"},
    {"train/schedule": "polynomial"},
    {"train/lora_r": 0},
    {"train/method": "dora"},
    {"train/lora": {"rank": 8}},
    {"train/lora": {"r": 0}},
    {"publish/adapter": "none"},
    {"train/layer_decay": 0},
    {"train/freeze": "embeddings"},
    {"train/checkpointing": 1},
    {"train/label_smoothing": 1},
    {"train/loss": "focal", "train/focal_gamma": 0},
    {"train/class_weights": [0, 1]},
    {"train/class_weights": "equal"},
    {"train/pos_weight": [1]},
    {"train/pos_weight": [0, 5]},
    {"train/checkpoint_every": "5 hours"},
    {"train/checkpoint_every": "0 steps"},
    {"train/checkpoint_every": 5},
    {"sweep": [1e-5]},
    {"sweep": {"lr": []}},
    {"sweep": {"lr": 1e-5}},
    {"sweep": {"lr": [1e-5, 1e-5]}},
    {"sweep": {"max_length": [32, 64]}},
    {"sweep": {"lr": {"from": 1e-5}}},
    {"sweep": {"precision": {"from": 1, "to": 2}}},
    {"sweep": {"class_weights": [[1, 2]]}},
    {"sweep": {"sample": "bayes"}},
    {"tune/points": 1},
    {"tune/beta": 0},
    {"tune/per_class": 1},
    {"report/baseline": "yes"},
    {"cluster/ranks_per_group": 0},
    {"cluster/metrics_port": 65536},
    {"cluster/device": "cuda:0"},
    {"cluster/heartbeat_timeout": 0.5},
]
for i, changes in enumerate(RIGHT):
    job = changed(base, changes)
    code, message = muster("check", job, f"right{i}")
    errors = [error.message for error in validator.iter_errors(job)]
    if errors:
        failures.append(f"right {changes}: the schema refuses it: {errors}")
    if code != 0:
        failures.append(f"right {changes}: muster check ends with {code}: {message}")
for i, changes in enumerate(WRONG):
    job = changed(base, changes)
    code, message = muster("check", job, f"wrong{i}")
    if validator.is_valid(job):
        failures.append(f"wrong {changes}: the schema takes it")
    if code != 2 or not message:
        failures.append(f"wrong {changes}: muster check ends with {code}: {message}")
for failure in failures:
    print(failure)
print(f"{1 + len(others)} jobs as they are, {len(RIGHT)} right and {len(WRONG)} wrong ones")
sys.exit(bool(failures))
