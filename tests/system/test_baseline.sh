#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The TF-IDF baseline beside the transformer: its figures, done once, off by a key, and data that carries no baseline.
. "$(dirname "$0")/common.sh"
python3 "$here/tiny.py" "$scratch"
set_key job.json sweep null
set_key job.json train.epochs 1

say "the baseline finds the word that decides; the run says that the transformer loses"
expect 0 'The transformer LOSES to the TF-IDF baseline on test: F1' muster run job.json
python3 - <<'PY' || fail "baseline.json or ensemble.json is not as promised"
import json
b, e = json.load(open("run/baseline.json")), json.load(open("run/ensemble.json"))
assert b["model"]["terms"][0]["label"] == "YES" and list(b["model"]["terms"][0]["terms"])[0] == "linked", b["model"]["terms"]
m = b["baseline"]["test"]["at_threshold"]
assert m["f1"] > 0.9 > b["transformer"]["test"]["at_threshold"]["f1"] and b["transformer_wins"] is False, m
tp, fp, fn = m["true_positive"], m["false_positive"], m["false_negative"]
assert abs(m["f1"] - 2 * tp / (2 * tp + fp + fn)) < 1e-12
final = json.load(open("run/bundle/inference_config.json"))["metrics"]["test"]
assert final["f1"] == b["transformer"]["test"]["at_threshold"]["f1"], "the transformer's figures are not the bundle's"
scores = [w["score"] for w in e["weights"]]
assert len(scores) == 21 and e["weight"] == scores.index(max(scores)) / 20, e["weights"]
PY
grep -q 'LOSES' run/table.md && grep -q 'LOSES' run/bundle/README.md || fail "table.md and the model card do not say it"

say "again: not fitted twice"
cp run/baseline.h5 first.h5
cp run/baseline.json first.json
expect 0 'words and pairs of words of 168 rows, done before' muster run job.json
same_bytes first.h5 run/baseline.h5
same_bytes first.json run/baseline.json
[ "$(grep -c '^## Comparison with a linear baseline' run/table.md)" = 1 ] || fail "table.md says it twice"

say "a damaged baseline.h5 is made again"
truncate -s 700 run/baseline.h5
expect 0 'words and pairs of words of 168 rows, [0-9.]+ s' muster run job.json
same_bytes first.h5 run/baseline.h5

say "off by a key; the key takes true or false"
expect 0 'bundle' muster run job.json report.baseline=false out=off
[ ! -e off/baseline.json ] || fail "a baseline was made though report.baseline is false"
expect 2 'report.baseline: expected true or false' muster run job.json report.baseline=maybe

say "data without a word: the run is done all the same, and says so in one line"
python3 - <<'PY'
import json
rows = [json.loads(line) for line in open("rows.jsonl")]
with open("rows.jsonl", "w") as file:
    for i, row in enumerate(rows):
        file.write(json.dumps({**row, "id": f"r{i}", "group": f"g{i // 3}", "a": "?", "title": "", "b": "+" if row["label"] else "- ?"}) + "\n")
PY
expect 0 'no baseline: no word of two or more letters is in 2 or more of the 168 texts' muster run job.json out=wordless 'data.accept=["leaks"]'
[ -s wordless/bundle/model.safetensors ] || fail "there is no bundle"
