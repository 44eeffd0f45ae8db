#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Decisions that validation does not support are not made: the neutral value (threshold 0.5, temperature 1) is taken, and the output, tune.json, the model
# card and the report say so.
. "$(dirname "$0")/../system/common.sh"
cases=$here/../field/cases
python3 "$here/../system/tiny.py" tiny 240 >/dev/null

# job DATA KIND TEXTS
job() {
  cat >job.json <<JOB
{"name": "t", "out": "run", "model": "$scratch/tiny/model", "seed": 42, "task": "$2", "data": {"path": "$1", "text_a": ["text"], "accept": ["leaks"], $3},
 "train": {"lr": 0.005, "epochs": 3, "batch": 8, "micro_batch": 2, "max_length": 32}, "cluster": {"threads": 1}, "report": {"baseline": false}}
JOB
  rm -rf run
}

# told WORDS: in the output, the model card, the report
told() {
  grep -qF -- "$1" out || fail "the output does not say '$1'"
  grep -qF -- "$1" run/bundle/README.md || fail "the model card does not say '$1'"
  grep -qF -- "$1" run/report.html || fail "the report does not say '$1'"
}

single=single_label_classification multi=multi_label_classification
say "two labels: no positive row in validation"
job "$cases/no_positive.jsonl" $single '"label": "label", "positive": "hit", "labels": ["hit", "miss"]'
expect -o 0 'chosen: .*threshold 0.5 \(not tuned: no positive row in validation\)' muster run job.json
told 'no positive row in validation'
python3 - <<'PY' || fail "wrong threshold"
import json
tune, rule = json.load(open("run/tune.json")), json.load(open("run/bundle/inference_config.json"))
assert tune["threshold"] == rule["threshold"] == 0.5, (tune["threshold"], rule["threshold"])
assert tune["why"] == "no positive row in validation", tune.get("why")
PY

say "two labels: validation without an error keeps temperature 1"
job "$scratch/tiny/rows.jsonl" $single '"label": "label", "text_a": ["a"], "text_b": ["b"], "id": "id", "group": "group", "positive": "YES", "labels": ["NO", "YES"]'
sed -i 's/"text_a": \["text"\], //' job.json
expect -o 0 'temperature 1: validation has no error to fit it to' muster run job.json tune.calibrate=temperature train.epochs=6
told 'validation has no error to fit it to'
python3 - <<'PY' || fail "wrong temperature"
import json
tune, rule = json.load(open("run/tune.json")), json.load(open("run/bundle/inference_config.json"))
assert tune["calibration"]["temperature"] == 1 and not tune["calibration"]["improved"], tune["calibration"]
assert rule.get("temperature", 1) == 1, rule["temperature"]
PY

say "many labels: one that no row of validation has"
python3 - <<'PY'
import json, random
chance = random.Random(3)
with open("many.jsonl", "w") as rows:
    for i in range(240):
        part = "validation" if i % 6 == 0 else "test" if i % 6 == 1 else "train"
        labels = [l for l in ("a", "b") if chance.random() < 0.5] + (["rare"] if part == "train" and i % 5 == 0 else [])
        text = " ".join(f"word{chance.randrange(60)}" for _ in range(6)) + "".join(f" {w}" for l, w in (("a", "linked"), ("b", "apart")) if l in labels)
        rows.write(json.dumps({"id": i, "text": text, "labels": labels, "part": part}) + "\n")
PY
job "$scratch/many.jsonl" $multi '"label": "labels", "labels": ["a", "b", "rare"]'
python3 - <<'PY'
import json
rows = [json.loads(line) for line in open("many.jsonl")]
json.dump({"parts": {p: [str(r["id"]) for r in rows if r["part"] == p] for p in ("train", "validation", "test")}}, open("frozen.json", "w"))
PY
job "$scratch/many.jsonl" $multi '"id": "id", "label": "labels", "labels": ["a", "b", "rare"]'
expect -o 0 'rare .* 0.5000 .*neutral: no positive row in validation' muster run job.json split.file="$scratch/frozen.json" tune.per_class=true train.select=best_f1
grep -q "epoch 3/3 .*best F1 0\.[0-9]* .*macro F1" out || fail "the epoch line does not show the best F1"
told 'no positive row in validation'
python3 - <<'PY' || fail "wrong threshold of the label, or epoch"
import glob, json
tune, rule = json.load(open("run/tune.json")), json.load(open("run/bundle/inference_config.json"))
rare = [l for l in tune["thresholds"]["labels"] if l["label"] == "rare"][0]
assert (rare["positives"], rare["threshold"], rare["source"]) == (0, 0.5, "neutral"), rare
assert rule["thresholds"]["rare"] == 0.5, rule["thresholds"]
assert "why" not in tune, tune["why"]
epochs = [l["validation"] for f in glob.glob("run/trials/*/metrics.jsonl") for l in map(json.loads, open(f)) if "validation" in l]
page = open("run/report.html").read()
figures = [page.find(f"validation_{what}_by_epoch") for what in ("ranking", "loss", "f1")]
assert "<th" in page and "Average precision" in page and "Best F1" in page
assert -1 in figures or figures == sorted(figures), figures
assert (figures[0] == -1) == (figures[1] == -1), figures
assert len(epochs) == 3 and all(e["best_f1"] >= e["micro_f1"] and 0 <= e["average_precision"] <= 1 and 0 <= e["roc_auc"] <= 1 for e in epochs), epochs
logged = [e["metrics"] for e in map(json.loads, open("run/events.jsonl")) if e["event"] == "epoch"]
assert logged == epochs, (logged, epochs)
first = max(range(3), key=lambda i: (epochs[i]["best_f1"], -i)) + 1
assert tune["trials"][0]["best_epoch"] == first, (tune["trials"][0]["best_epoch"], first)
PY

say "many labels: thresholds by label only where cross-validation within validation shows a gain"
job "$scratch/many.jsonl" $multi '"id": "id", "label": "labels", "labels": ["a", "b", "rare"]'
expect -o 0 '(thresholds by label|one threshold for all): cross-validated micro F1 0\.[0-9]+ with thresholds by label, 0\.[0-9]+ with one for all' \
  muster run job.json split.file="$scratch/frozen.json"
told "$(python3 -c 'import json; print(json.load(open("run/tune.json"))["thresholds"]["cross_validation"]["why"])')"
python3 - <<'PY' || fail "labels have their own threshold where one for all is better"
import json
thresholds = json.load(open("run/tune.json"))["thresholds"]
cross, own = thresholds["cross_validation"], [l["label"] for l in thresholds["labels"] if l["source"] == "own"]
assert (cross["folds"], cross["repeats"], cross["average"]) == (5, 5, "micro"), cross
assert cross["better"] == (cross["by_label"] > cross["global"] and own != []), (cross, own)
assert cross["better"] or not own, own
assert all(l["source"] == "own" or l["why"] for l in thresholds["labels"]), thresholds["labels"]
PY
rm -rf run
expect -o 0 'one threshold for all was asked for' muster run job.json split.file="$scratch/frozen.json" tune.per_class=false
grep -q cross-validated out && fail "cross-validation where it was not asked for"

say "classes: the macro F1 leaves out what neither occurs nor is predicted, and says so"
python3 - <<'PY'
import json
words = {"x": "linked", "y": "apart", "z": "word7"}
with open("classes.jsonl", "w") as rows, open("few.jsonl", "w") as few:
    for i in range(240):
        label = "xyz"[i % 3]
        row = json.dumps({"id": i, "text": f"word{8 + i % 50} {words[label]} word{9 + i // 50} {words[label]}", "label": label}) + "\n"
        rows.write(row)
        if label == "x" and i < 30:
            few.write(row)
PY
job "$scratch/classes.jsonl" $single '"id": "id", "label": "label", "labels": ["x", "y", "z"]'
expect -o 0 'temperature 1: validation has no error to fit it to' muster run job.json tune.calibrate=vector train.epochs=8
told 'validation has no error to fit it to'
expect -o 0 '2 of 3 labels have no rows here: the macro F1 leaves out 2 that no row is predicted as and counts 0 as 0' \
  muster evaluate run/bundle few.jsonl --allow-train
grep -q 'macro F1 1.0000' out || fail "the macro F1 is not 1"
