#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The whole way on a tiny model: run, predict, evaluate, status; nothing twice; the same bits on 1, 2 and 4 ranks.
. "$(dirname "$0")/common.sh"
python3 "$here/tiny.py" "$scratch"

say "run"
expect 0 'bundle' muster run job.json
for file in job.json events.jsonl split.json check.json results.h5 tune.json table.json table.md bundle/config.json bundle/model.safetensors \
  bundle/tokenizer.json bundle/vocab.txt bundle/tokenizer_config.json bundle/special_tokens_map.json bundle/inference_config.json bundle/known_rows.bin bundle/evaluation.json bundle/README.md \
  tiny.zip trials/lr-0.005_epochs-3/metrics.jsonl trials/lr-0.005_epochs-3/logits.h5 trials/lr-0.002_epochs-2/logits.h5; do
  [ -s "run/$file" ] || fail "run/$file is missing or empty"
done
python3 -m zipfile -t run/tiny.zip >/dev/null || fail "tiny.zip is damaged"
python3 - <<'PY' || fail "the bundle's evaluation.json does not have the validation part's outputs"
import json
of_run, of_bundle, parts = (json.load(open(f"run/{f}")) for f in ("evaluation.json", "bundle/evaluation.json", "split.json"))
outputs = of_bundle.pop("validation_outputs")
assert of_bundle == of_run
label = {r["id"]: r["label"] for r in map(json.loads, open("rows.jsonl"))}
assert outputs["truth"] == [label[i] for i in parts["parts"]["validation"]]
rule = json.load(open("run/bundle/inference_config.json"))
import math
margin = math.log(rule["threshold"] / (1 - rule["threshold"]))
hits = sum((b - a >= margin) == (t == 1) for (a, b), t in zip(outputs["logits"], outputs["truth"]))
assert abs(hits / len(outputs["truth"]) - of_run["validation"]["rules"]["tuned"]["accuracy"]) < 1e-9
PY
[ -z "$(find run -name '*.tmp')" ] || fail "temporary files are left: $(find run -name '*.tmp')"
python3 - <<'PY' || fail "the bundle's decision rule or metrics are not as promised"
import json
c = json.load(open("run/bundle/inference_config.json"))
for key in ("threshold", "temperature", "rule", "model_name", "max_length", "id2label", "label2id", "learning_rate", "num_epochs", "batch_size"):
    assert key in c, key
assert 0.1 <= c["threshold"] <= 0.9 and c["id2label"] == {"0": "NO", "1": "YES"}
table = json.load(open("run/table.json"))
PY

say "memory is told before training, as the worker tells it then"
expect 0 'memory a rank: at most [0-9]+ MB' muster check job.json out=asked train.batch=64 train.micro_batch=64 train.epochs=1 sweep=null
asked=$(grep -oE 'at most [0-9]+ MB; weights.*' "$scratch/out" | sed 's/at most //; s/;/:/')
expect -e 0 '^muster: .*: training in f32 on cpu' muster train job.json out=asked train.batch=64 train.micro_batch=64 train.epochs=1 sweep=null
python3 - "$asked" "$(grep -oE 'memory per rank .*' "$scratch/said" | sed 's/memory per rank //')" <<'PY' || fail "what is asked and what is taken differ"
import re, sys
asked, taken = ([int(n) for n in re.findall(r"(\d+) MB", words)] for words in sys.argv[1:])
assert len(asked) == 3 and all(0 <= a - t <= 0.3 * t + 1 for a, t in zip(asked, taken)) and asked[0] >= 2, (asked, taken)
PY

grep -q '^muster-worker' "$scratch/said" && fail "a line of muster-worker has another form than muster's own"

say "again: nothing is trained or scored twice"
leases() { grep -c '"event": *"lease"' run/events.jsonl; }
before=$(leases)
cp run/bundle/model.safetensors first.safetensors
expect 0 'bundle' muster run job.json
[ "$(leases)" = "$before" ] || fail "a finished trial was leased again"
same_bytes first.safetensors run/bundle/model.safetensors

say "predict"
head -3 rows.jsonl >three.jsonl
expect -e 0 'predicted.jsonl: 3 rows' muster predict run/bundle three.jsonl -o predicted.jsonl
[ "$(grep -c '"id": *"row[012]"' predicted.jsonl)" = 3 ] || fail "predicted.jsonl does not name the three rows"
muster predict run/bundle three.jsonl 2>/dev/null | cmp - predicted.jsonl || fail "standard output and -o differ"
expect -e 0 '3 rows' muster predict run/bundle three.jsonl -o predicted.h5
"${PYTHON:-python3}" - <<'PY' || fail "predicted.h5 and predicted.jsonl differ"
import json, sys
try:
    import h5py
except ImportError:
    print("skipped: no h5py: predicted.h5 is not read")
    sys.exit()
rows, f = [json.loads(line) for line in open("predicted.jsonl")], h5py.File("predicted.h5")
assert [i.decode() for i in f["id"]] == [row["id"] for row in rows] and [l.decode() for l in f["label"]] == ["NO", "YES"]
for i, row in enumerate(rows):
    assert f["probabilities"][i].tolist() == list(row["probabilities"].values()) and list(f["decided"][i]) == [row["label"] == "NO", row["label"] == "YES"]
    assert all(abs(a - b) < 1e-6 for a, b in zip(f["logits"][i], row["logits"]))
assert f["logits"].dims[0][0] == f["id"] and f["logits"].dims[1][0] == f["label"]
PY

say "transformers loads the bundle and gives the same logits"
checked=0
"${PYTHON:-python3}" "$here/bundle_check.py" run/bundle three.jsonl predicted.jsonl >"$scratch/said" 2>&1 || checked=$?
case $checked in
  0) ;;
  77) skipped "$(tail -1 "$scratch/said" | sed 's/^skipped: //')" ;;
  *) fail "transformers and muster predict disagree on the bundle" ;;
esac

say "evaluate, status"
expect 3 'rows.jsonl: [0-9]+ of its 240 rows are among those that the bundle was trained on' muster evaluate run/bundle rows.jsonl
expect -e 0 'rows.jsonl: the bundle was trained on [0-9]+ of the 240 rows' muster evaluate run/bundle rows.jsonl --allow-train
expect 2 'give only one of them' muster evaluate run/bundle rows.jsonl --allow-train --unseen
python3 - <<'PY'
import json
parts = json.load(open("run/split.json"))["parts"]
rows = {row["id"]: row for row in map(json.loads, open("rows.jsonl"))}
def write(path, ids, **change):
    with open(path, "w") as file:
        file.writelines(json.dumps(dict(rows[i], id=f"x{k}", **change)) + "\n" for k, i in enumerate(ids))
for part in parts:
    write(part + ".jsonl", parts[part])
write("mixed.jsonl", parts["test"] + parts["train"][:5])
write("new.jsonl", parts["train"][:40], a="word1 word2 word3 word4 word5 word6 word7 word8 word9")
json.dump({part: len(ids) for part, ids in parts.items()}, open("counts.json", "w"))
PY
expect 3 "train.jsonl: ([0-9]+) of its \1 rows" muster evaluate run/bundle train.jsonl
expect 3 'mixed.jsonl: 5 of its [0-9]+ rows' muster evaluate run/bundle mixed.jsonl
expect 3 'mixed.jsonl: 5 of its [0-9]+ rows' muster calibrate run/bundle mixed.jsonl
expect 3 'all [0-9]+ rows are among those' muster evaluate run/bundle train.jsonl --unseen
expect -e 0 'validation.jsonl: the bundle was trained on 0' muster evaluate run/bundle validation.jsonl
expect 0 '^40 rows' muster evaluate run/bundle new.jsonl
muster evaluate run/bundle test.jsonl --json >test.figures || fail "the test part is refused"
muster evaluate run/bundle rows.jsonl --unseen --json >unseen.figures || fail "--unseen refuses"
python3 - <<'PY' || fail "rows that the bundle knows are not told apart"
import json
count, test, unseen = (json.load(open(path)) for path in ("counts.json", "test.figures", "unseen.figures"))
published = json.load(open("run/bundle/inference_config.json"))
assert test["known_rows"] == {"train": 0, "validation": 0, "test": count["test"], "new": 0}, test["known_rows"]
assert unseen["known_rows"] == dict(count, new=0), unseen["known_rows"]
assert unseen["rows"] == test["rows"] == count["test"] and unseen["f1"] == test["f1"] == published["metrics"]["test"]["f1"]
assert published["fingerprints"] == json.load(open("run/split.json"))["fingerprints"]
PY
cp -r run/bundle old && rm old/known_rows.bin
expect -e 0 'known_rows.bin: is missing' muster evaluate old rows.jsonl
expect 3 'nothing can be left out of it' muster evaluate old rows.jsonl --unseen
head -c 50 run/bundle/known_rows.bin >old/known_rows.bin
expect 3 'known_rows.bin: is damaged' muster evaluate old rows.jsonl
expect 4 'gate|below|min-f1' muster evaluate run/bundle rows.jsonl --min-f1 1.01 --unseen
expect 0 'lr-0.005_epochs-3' muster status run
expect 0 '"trials"|"trial"' muster status run --json

say "the same bits on 1, 2 and 4 ranks, however they are started"
expect 0 'bundle' muster run job.json out="$scratch/run2" cluster.ranks_per_group=2
expect 0 'bundle' mpirun --oversubscribe --bind-to none -np 4 muster run job.json out="$scratch/run4"
for trial in lr-0.005_epochs-3 lr-0.002_epochs-2; do
  for ranks in 2 4; do
    same_bytes "run/trials/$trial/best.safetensors" "run$ranks/trials/$trial/best.safetensors"
    python3 - "run/trials/$trial/metrics.jsonl" "run$ranks/trials/$trial/metrics.jsonl" <<'PY' || fail "losses differ between 1 and $ranks ranks"
import json, sys
a, b = ([json.loads(line) for line in open(path)] for path in sys.argv[1:])
keys = ("step", "epoch", "loss", "lr", "grad_norm")
assert [[r.get(k) for k in keys] for r in a] == [[r.get(k) for k in keys] for r in b]
PY
  done
done
same_bytes run/bundle/model.safetensors run4/bundle/model.safetensors
