#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Many labels a row, the whole way: run, predict, evaluate, rule, calibrate; and that the labels of the test part choose nothing.
. "$(dirname "$0")/common.sh"
python3 "$here/tiny.py" "$scratch"
python3 - <<'PY'
import json, random
chance, names = random.Random(3), ["red", "green", "blue", "rare"]
with open("tags.jsonl", "w") as file:
    for i, line in enumerate(open("rows.jsonl")):
        row = json.loads(line)
        there = [n for n in names[:3] if chance.random() < 0.4] + (["rare"] if i in (5, 77) else [])
        words = [w for w in row["b"].split() if w not in ("linked", "apart", "word1", "word2", "word3")]
        for n in there:
            words.insert(chance.randrange(len(words) + 1), f"word{names.index(n) + 1}")
        tags = there if i % 2 else {n: 1 if n in there else None for n in names}
        file.write(json.dumps({"id": row["id"], "group": row["group"], "b": f"{' '.join(words)} word{i % 60}", "tags": tags}) + "\n")
job = json.load(open("job.json"))
job.update(name="tags", out="run", task="multi_label_classification",
           data={"path": "tags.jsonl", "id": "id", "group": "group", "label": "tags", "text_a": ["b"], "accept": ["conflicting_duplicates", "leaks"]},
           tune={"calibrate": "temperature", "min_positives": 5}, sweep={"lr": [2e-3]})
job["train"].update(select="micro_f1", pos_weight=[1, 50], truncation="only_first", epochs=4, patience=2)
json.dump(job, open("tags.json", "w"))
PY

say "run"
expect 0 '^  difference to 0.5 ' muster run tags.json
python3 - <<'PY' || fail "weights, thresholds or figures are not as promised"
import json, math
rows = {json.loads(l)["id"]: json.loads(l)["tags"] for l in open("tags.jsonl")}
split, tune, rule = json.load(open("run/split.json")), json.load(open("run/tune.json")), json.load(open("run/bundle/inference_config.json"))
texts = "".join(open(f"run/{name}").read() for name in ("tune.json", "evaluation.json", "table.json", "bundle/inference_config.json"))
assert "NaN" not in texts and "Infinity" not in texts
names = [rule["id2label"][str(i)] for i in range(4)]
has = lambda i, n: n in rows[i] and (not isinstance(rows[i], dict) or rows[i][n] == 1)
parts = split["parts"]
for label in tune["thresholds"]["labels"]:
    positives = sum(has(i, label["label"]) for i in parts["validation"])
    assert label["positives"] == positives, label
    assert label["source"] != "own" or (positives >= 5 and tune["thresholds"]["cross_validation"]["better"]), label
    assert (label["why"] == "fewer positive rows than tune.min_positives") == (0 < positives < 5), label
    assert rule["thresholds"][label["label"]] == label["threshold"]
    assert label["source"] == "own" or label["why"]
    assert len(label["curve"]["f1"]) == 91
assert tune["thresholds"]["grid"] == [k / 100 for k in range(5, 96)]
assert tune["calibration"]["after"]["nll"] <= tune["calibration"]["before"]["nll"] and len(tune["calibration"]["grid"]["points"]) == 135
e = json.load(open("run/evaluation.json"))["test"]
for r in e["rules"].values():
    low, high = r["intervals"]["micro_f1"]
    assert low <= r["micro_f1"] <= high
half, tuned = e["rules"]["half"], e["rules"]["tuned"]
assert all(abs(tuned["difference"][k] - (tuned[k] - half[k])) < 1e-12 for k in ("micro_f1", "macro_f1", "micro_precision", "micro_recall"))
shown = [line for line in open("out") if line.startswith("  difference to 0.5")][0].split()
assert float(shown[3]) == round(tuned["difference"]["micro_precision"], 4) and float(shown[-1]) == round(tuned["difference"]["macro_f1"], 4), shown
PY

say "train.head_bias shares: the biases of a new classifier are the log odds of the labels' shares in train, as weighted"
expect -o 0 "a new head's bias begins at the labels' shares" muster train tags.json out=shares sweep=null train.head_bias=shares train.lr=1e-12 train.epochs=1
python3 - <<'PY' || fail "the biases"
import glob, json, math, struct
def bias(run):
    path, = glob.glob(f"{run}/trials/*/best.safetensors")
    data = open(path, "rb").read()
    size = struct.unpack("<Q", data[:8])[0]
    begin, end = json.loads(data[8:8 + size])["classifier.bias"]["data_offsets"]
    return struct.unpack(f"<{(end - begin) // 4}f", data[8 + size + begin:8 + size + end])
rows = {json.loads(l)["id"]: json.loads(l)["tags"] for l in open("tags.jsonl")}
train = json.load(open("shares/split.json"))["parts"]["train"]
names = [label["name"] for label in json.load(open("shares/check.json"))["labels"]]
for name, found in zip(names, bias("shares")):
    share = max(sum(bool(rows[i].get(name)) if isinstance(rows[i], dict) else name in rows[i] for i in train), 0.5) / len(train)
    weight = min(max((1 - share) / share, 1), 50)
    expected = math.log(weight * share / (1 - share))
    assert abs(found - expected) < 1e-5, (name, expected, found)
PY
expect -o 0 'tags' muster train tags.json out=zero sweep=null train.lr=1e-12 train.epochs=1
if grep -q "labels' shares" out; then fail "a job that does not ask for it tells of shares"; fi

say "predict, evaluate, rule, calibrate"
head -3 tags.jsonl >three.jsonl
expect 0 '"labels"' muster predict run/bundle three.jsonl
expect 3 'tags.jsonl: [0-9]+ of its 240 rows are among those that the bundle was trained on' muster evaluate run/bundle tags.jsonl
expect 0 'micro F1' muster evaluate run/bundle tags.jsonl --unseen
expect 4 'micro F1 .* is below the gate' muster evaluate run/bundle tags.jsonl --unseen --min-f1 1.01
expect 4 'macro F1 .* is below the gate' muster evaluate run/bundle tags.jsonl --unseen --min-f1 1.01 --metric macro_f1
expect 2 'f1 is for two classes' muster evaluate run/bundle tags.jsonl --unseen --metric f1
expect 4 'weighted F1 .* is below the gate' muster evaluate run/bundle tags.jsonl --unseen --min-f1 1.01 --metric weighted_f1
expect 2 'expected f1, micro_f1, macro_f1 or weighted_f1' muster evaluate run/bundle tags.jsonl --unseen --metric weighted
if grep -q '^muster: group' "$scratch/said"; then fail "a misspelt --metric is refused only after the work"; fi
expect 4 '.' muster evaluate run/bundle tags.jsonl --unseen --min-f1 1.01 --junit gate.xml
python3 -c 'import xml.dom.minidom as x; d = x.parse("gate.xml").documentElement; assert d.getAttribute("failures") == "1"' || fail "gate.xml"
cp -r run/bundle changed
expect 0 'temperature 1.5' muster rule changed threshold.red=0.4 temperature=1.5
expect 2 "did you mean 'red'" muster rule changed threshold.re=0.4
expect 2 'must be above 0' muster rule changed temperature=0
expect 2 'must be above 0, from 1e-6' muster rule changed temperature=1e-320
expect 2 'within 0 to 1' muster rule changed threshold=1.5
python3 - <<'PY' || fail "the bundle's history"
import json
old, new = (json.load(open(f"{b}/inference_config.json")) for b in ("run/bundle", "changed"))
assert new["thresholds"]["red"] == 0.4 and new["temperature"] == 1.5 and len(new["history"]) == len(old["history"]) + 1
assert new["history"][-1]["before"]["temperature"] == old["temperature"]
PY
before=$(muster predict changed tags.jsonl 2>/dev/null | grep -o '"labels": \[[^]]*\]' | sha256sum)
expect 0 'decisions are unchanged' muster calibrate changed tags.jsonl --allow-train
[ "$before" = "$(muster predict changed tags.jsonl 2>/dev/null | grep -o '"labels": \[[^]]*\]' | sha256sum)" ] || fail "calibrating changed decisions"

say "one temperature per label; a run calibrated from its logits; by hand"
# Some labels wrong and more epochs: validation supports temperatures within their bounds.
python3 - <<'PY'
import json, random
chance, names = random.Random(5), ("red", "green", "blue", "rare")
with open("noisy.jsonl", "w") as file:
    for row in map(json.loads, open("tags.jsonl")):
        there = [n for n in names if (row["tags"].get(n) if isinstance(row["tags"], dict) else n in row["tags"])]
        row["tags"] = [n for n in names if (n in there) != (n != "rare" and chance.random() < 0.12)]
        file.write(json.dumps(row) + "\n")
PY
expect 0 '2 of 4 temperatures of their own' muster run tags.json out=noisy data.path=noisy.jsonl tune.calibrate=vector train.epochs=12 train.patience=12 sweep=null
expect 0 'one temperature per label' muster evaluate noisy/bundle noisy.jsonl --unseen
muster predict noisy/bundle noisy.jsonl -o vector.jsonl 2>/dev/null
leases=$(grep -c '"event": *"lease"' noisy/events.jsonl)
python3 - <<'PY' || fail "temperatures of labels are not used as promised"
import json, math
rule, tune = json.load(open("noisy/bundle/inference_config.json")), json.load(open("noisy/tune.json"))
own = rule["temperatures"]
assert list(own) == list(rule["label2id"]) and own == tune["calibration"]["temperatures"] and len(set(own.values())) > 2, own
assert own["rare"] == rule["temperature"], "a label of two rows has a temperature of its own"
assert tune["calibration"]["after"]["nll"] < tune["calibration"]["before"]["nll"]
for row in map(json.loads, open("vector.jsonl")):
    for (name, p), x in zip(row["probabilities"].items(), row["logits"]):
        assert abs(p - 1 / (1 + math.exp(-x / own[name]))) < 1e-9
        assert (name in row["labels"]) == (p >= rule["thresholds"][name])
PY
expect 0 'the bundle is calibrated; set "calibrate": "temperature"' muster calibrate noisy
[ "$leases" = "$(grep -c '"event": *"lease"' noisy/events.jsonl)" ] || fail "calibrating a run has run a model"
python3 - <<'PY' || fail "the run is not calibrated by one temperature"
import json, zipfile
rule = json.load(open("noisy/bundle/inference_config.json"))
assert "temperatures" not in rule and rule["temperature"] == json.load(open("noisy/tune.json"))["calibration"]["temperature"] != 1
assert json.loads(zipfile.ZipFile("noisy/tags.zip").read("tags/inference_config.json")) == rule
PY
expect 2 'expected temperature or vector, found "platt"' muster calibrate run --method platt
expect 2 'calibrated on labeled rows' muster calibrate run/bundle
expect 2 'neither a run directory nor a bundle' muster calibrate model
expect 0 'per-label temperatures' muster calibrate changed tags.jsonl --allow-train --method vector
expect 0 'temperature .*  red' muster rule changed
expect 0 'temperature 2.5  red' muster rule changed temperature.red=2.5
expect 2 "temperature.gren: the bundle has no such label.*green" muster rule changed temperature.gren=2
expect 2 'must be above 0' muster rule changed temperature.red=-1
expect 0 '^temperature 1.25$' muster rule changed temperature=1.25
python3 - <<'PY' || fail "the history of temperatures"
import json
rule = json.load(open("changed/inference_config.json"))
assert rule["temperatures"] is None and rule["history"][-1]["before"]["temperatures"]["red"] == 2.5
PY
sed -i 's/"temperatures": null/"temperatures": {"red": 1, "green": 0, "blue": 1, "rare": 1}/' changed/inference_config.json
expect 3 'temperatures: green must be a number above 0' muster predict changed three.jsonl

say "other labels in the test part choose nothing"
expect 0 'macro F1' muster run tags.json
python3 - <<'PY'
import json
test = set(json.load(open("run/split.json"))["parts"]["test"])
rows = [json.loads(line) for line in open("tags.jsonl")]
with open("tags.jsonl", "w") as file:
    for row in rows:
        if row["id"] in test:
            row["tags"] = ["red", "rare"]
        file.write(json.dumps(row) + "\n")
PY
expect 0 'macro F1' muster run tags.json out=other
python3 - <<'PY' || fail "test labels changed a threshold, a temperature, an epoch or a weight"
import json
a, b = (json.load(open(f"{run}/tune.json")) for run in ("run", "other"))
for tune in (a, b):
    del tune["split_sha256"]
assert a == b
x, y = (json.load(open(f"{run}/bundle/inference_config.json")) for run in ("run", "other"))
assert all(x[k] == y[k] for k in ("threshold", "thresholds", "temperature", "best_epoch")) and x["metrics"]["test"] != y["metrics"]["test"]
PY
same_bytes run/bundle/model.safetensors other/bundle/model.safetensors
