#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every file of a run directory, and every key of its JSON files, is described in docs/formats.md.

usage: docs_formats.py docs/formats.md RUN ...
"""
import json
import pathlib
import re
import sys

page = pathlib.Path(sys.argv[1]).read_text()
known = set(re.findall(r"[A-Za-z_0-9.]+", page))
DATA = {"fields", "label_bands", "fits", "terms", "thresholds", "temperatures", "options", "id2label", "label2id", "word_limits"}  # keys are data's
missing = set()


def look(value, file):
    if isinstance(value, list):
        for each in value:
            look(each, file)
    elif isinstance(value, dict):
        for key, inner in value.items():
            if key not in known:
                missing.add(f"{file}: {key}")
            if key in DATA and isinstance(inner, dict) and not {"global", "labels"} <= inner.keys():
                continue
            look(inner, file)


files = 0
for run in map(pathlib.Path, sys.argv[2:]):
    for path in sorted(run.rglob("*")):
        if not path.is_file():
            continue
        files += 1
        name = path.name
        if "pictures" not in path.parts and not re.search(r"tfevents|\.(rows|facts|zip)$", name) and name not in known:
            missing.add(f"{name} is not described")
        if path.parent.name == "bundle" and name not in ("inference_config.json",) or name == "job.json":
            continue  # transformers' own, and the job's
        if path.suffix == ".json":
            look(json.loads(path.read_text()), name)
        elif path.suffix == ".jsonl":
            for line in path.read_text().splitlines():
                look(json.loads(line), name)
if files < 20 * len(sys.argv[2:]):
    missing.add(f"only {files} files were there")
print("\n".join(sorted(missing)) or f"formats.md describes the {files} files of {len(sys.argv[2:])} runs")
sys.exit(bool(missing))
