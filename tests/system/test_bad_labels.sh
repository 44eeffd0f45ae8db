#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What goes wrong with labels and rules: absent, single and very many labels, rows without any, broken logits, broken bundles. One clear line, nothing lost.
. "$(dirname "$0")/common.sh"
python3 "$here/tiny.py" "$scratch"
python3 - <<'PY'
import json, random
chance = random.Random(4)
rows = [json.loads(line) for line in open("rows.jsonl")]
def write(path, tags):
    with open(path, "w") as file:
        file.writelines(json.dumps({"id": r["id"], "text": f"{r['a']} {r['b']} word{i % 60}", "tags": tags(i)}) + "\n" for i, r in enumerate(rows))
write("tags.jsonl", lambda i: [] if i % 2 else ["a"] * (i % 4 == 0) + ["b"] * (i % 6 == 0) + ["once"] * (i == 8))
write("one.jsonl", lambda i: ["a"] if i % 3 == 0 else [])
write("many.jsonl", lambda i: [f"l{(i * 42 + k) % 10000:05d}" for k in range(42)])
write("none.jsonl", lambda i: [])
job = json.load(open("job.json"))
job.update(name="tags", out="run", task="multi_label_classification",
           data={"path": "tags.jsonl", "id": "id", "label": "tags", "text_a": ["text"], "accept": ["conflicting_duplicates", "leaks"]})
job["train"].update(epochs=1, truncation="only_first")
del job["sweep"]
json.dump(job, open("job.json", "w"))
PY
one_line() { grep -q "^muster: .* .*" "$scratch/said" && [ "$(grep -c "^muster: " <(grep -v "^muster: warning" "$scratch/said"))" = 1 ] || fail "expected one line of error"; }
sound() { # RUN: no file of it holds a NaN, and the report speaks of no nan
  python3 - "$1" <<'PY' || fail "$1 holds NaN"
import json, re, sys
for name in ("tune.json", "evaluation.json", "table.json", "check.json", "bundle/inference_config.json", "baseline.json"):
    text = open(f"{sys.argv[1]}/{name}").read()
    assert not re.search(r"\bNaN\b|Infinity", text), name
    json.loads(text)
assert not re.search(r">-?(nan|inf)<", open(f"{sys.argv[1]}/report.html").read())
PY
}

say "half the rows without a label; a label that two parts lack"
expect 0 'no row of [12] of them, the first is once' muster run job.json
sound run
python3 - <<'PY' || fail "a label without a positive row, or rows without a label, are not told"
import json
check, tune, e = (json.load(open(f"run/{name}.json")) for name in ("check", "tune", "evaluation"))
rows = [json.loads(line)["tags"] for line in open("tags.jsonl")]
assert check["labels_per_row"]["rows"][0] == sum(not r for r in rows) and check["kept"] == 240
once = [l for l in tune["thresholds"]["labels"] if l["label"] == "once"][0]
assert once["positives"] in (0, 1) and once["source"] == "global" and once["why"], once
for part in ("validation", "test"):
    labels = {l["label"]: l for l in e[part]["labels"]}
    if labels["once"]["support"] == 0:
        assert labels["once"]["tuned"]["f1"] == 0 and "once" in e[part]["labels_without_rows"], e[part]["labels_without_rows"]
PY

say "one label; 10,000 labels; none"
expect 0 'bundle' muster run job.json data.path=one.jsonl out=one
sound one
expect -o 0 '1 label[^s]' muster evaluate one/bundle one.jsonl --unseen
! grep -q '1 labels' out || fail "1 labels: $(grep '1 labels' out)"
expect 0 'bundle' muster run job.json data.path=many.jsonl out=many report.baseline=false tune.calibrate=vector
python3 -c 'import json; assert len(json.load(open("many/bundle/inference_config.json"))["thresholds"]) == 10000' || fail "10,000 thresholds"
expect 3 'none.jsonl: .*no row has a label' muster check job.json data.path=none.jsonl out=none
one_line

say "parts and bounds"
: >empty.jsonl
expect 3 'empty.jsonl' muster split job.json data.path=null data.train_path=tags.jsonl data.validation_path=empty.jsonl data.test_path=one.jsonl out=parts
expect 2 'tune.from' muster tune job.json tune.from=1.5
expect 2 'tune.to' muster tune job.json tune.to=-0.5
expect 2 'split.validation' muster split job.json split.validation=0 out=parts
expect 2 'did you mean.*temperature' muster tune job.json tune.calibrate=temprature

say "bundles"
edit() { rm -rf broken && cp -r run/bundle broken && python3 - "$@" <<'PY'
import json, sys
file, change = sys.argv[1:]
j = json.load(open(f"broken/{file}"))
exec(change)
json.dump(j, open(f"broken/{file}", "w"))
PY
}
refused() { expect 3 "$1" muster evaluate broken tags.jsonl --unseen; one_line; }
edit inference_config.json 'j["thresholds"]["a"] = 1.5'; refused 'thresholds: a must be a number within 0 to 1'
edit inference_config.json 'del j["thresholds"]["b"]'; refused 'thresholds must have one number for each of 3 labels'
edit inference_config.json 'j["temperature"] = 0'; refused 'temperature must be a number above 0'
edit inference_config.json 'j["temperatures"] = {"a": 1}'; refused 'temperatures must have one number for each of 3 labels'
edit inference_config.json 'j["id2label"]["1"] = "other"'; refused 'label 1 is other here and b in config.json'
edit config.json 'j["id2label"] = {"0": "x", "1": "y"}; j["label2id"] = {"x": 0, "y": 1}'; refused 'labels of config.json|id2label'
edit inference_config.json 'j.clear()'; refused 'inference_config.json'
edit config.json ''; rm broken/inference_config.json; refused 'is not a bundle'
printf '{"id": "n1", "text": "word1", "tags": ["a", "foreign"]}\n' >foreign.jsonl
expect 3 "foreign.jsonl:1: field 'tags': label 'foreign' is not one of data.labels" muster evaluate run/bundle foreign.jsonl
one_line

say "logits that are not finite name the row; truncated HDF5"
edit config.json ''
python3 - <<'PY'
import json, struct
data = bytearray(open("broken/model.safetensors", "rb").read())
size = struct.unpack("<Q", data[:8])[0]
at = json.loads(data[8:8 + size])["classifier.weight"]["data_offsets"][0] + 8 + size
data[at:at + 80] = struct.pack("<20f", *[3e38, -3e38] * 10)  # each finite, as the worker demands; their sums are not
open("broken/model.safetensors", "wb").write(data)
PY
head -2 tags.jsonl >two.jsonl
expect '[13]' 'not finite|not a number' muster predict broken two.jsonl -o lost.jsonl
grep -q 'row0' "$scratch/said" || fail "the row is not named: $(cat "$scratch/said")"
[ ! -e lost.jsonl ] || fail "predictions of a broken model were written"
logits=$(ls run/trials/lr*/logits.h5)
cp "$logits" whole.h5
head -c $(($(stat -c %s whole.h5) / 2)) whole.h5 >"$logits"
expect 3 'logits.h5: is damaged or cut' muster report run -o page.html
expect 0 'bundle' muster run job.json
sound run
