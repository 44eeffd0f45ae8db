#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# split.folds: what check tells, a run with the bundle of the whole and of the best fold, out-of-fold predictions and figures as NumPy's, the
# same bytes after a kill, other kinds of labels, and jobs that ask for what cannot be.
. "$(dirname "$0")/common.sh"
python=${PYTHON:-python3}
python3 "$here/tiny.py" "$scratch"
set_key job.json sweep '{"lr": [0.001, 0.002]}'
set_key job.json train.epochs 2
set_key job.json train.lr 0.002
set_key job.json split.folds 3

say "check tells rows and labels of each fold"
expect 0 '3 folds of the 204 rows of train and validation; 36 rows of test' muster check job.json out=check
[ "$(grep -cE '^  fold [123] +[0-9]+ rows +NO [0-9]+, YES [0-9]+$' out)" = 3 ] || fail "check does not tell the folds"

say "run: each configuration once a fold, then the chosen one on all rows"
expect 0 'mean \+/- standard deviation over 3 folds' muster run job.json
grep -q "the bundle's weights are those trained on all 204 rows of train and validation" out || fail "the run does not tell what the bundle is of"
ls -d run/trials/*_fold-[123] | wc -l | grep -qx 6 || fail "not six trials"
"$python" - run rows.jsonl <<'PY' || fail "folds, out-of-fold predictions or figures"
import json, sys
import numpy as np
run, rows = sys.argv[1:]
rows = {r["id"]: r for r in map(json.loads, open(rows))}
split, whole = (json.load(open(f"{run}/{name}.json"))["parts"] for name in ("split", "folds/whole"))
folds = [json.load(open(f"{run}/folds/fold-{f}.json"))["parts"] for f in (1, 2, 3)]
dev = set(split["train"]) | set(split["validation"])
assert set(whole["train"]) == dev and not whole["validation"] and whole["test"] == split["test"]
assert sorted(i for f in folds for i in f["validation"]) == sorted(dev)
groups = {}
for n, f in enumerate(folds):
    assert set(f["train"]) == dev - set(f["validation"]) and f["test"] == split["test"]
    for i in f["validation"]:
        assert groups.setdefault(rows[i]["group"], n) == n, "a group is in two folds"
table = json.load(open(f"{run}/table.json"))
for c in table["configurations"]:
    assert c["done"] == 3 and len(c["fold_trials"]) == 3, c
    for name, m in c["metrics"].items():
        for key, expected in (("mean", np.mean(m["values"])), ("sd", np.std(m["values"], ddof=1)), ("min", np.min(m["values"])), ("max", np.max(m["values"]))):
            assert abs(m[key] - expected) < 1e-12, (name, key)
    loss = [json.loads(open(f"{run}/trials/{t}/metrics.jsonl").readlines()[-1])["validation_loss"] for t in c["fold_trials"]]
    assert np.allclose(c["metrics"]["validation_loss"]["values"], loss), (c["metrics"]["validation_loss"], loss)
best = table["configurations"][0]
inference = json.load(open(f"{run}/bundle/inference_config.json"))
assert inference["trial"] == best["configuration"] and inference["cross_validation"]["folds"] == 3
try:
    import h5py
except ImportError:
    print("skipped: the folds' logits are not compared: no h5py for this Python")
    sys.exit()
h = h5py.File(f"{run}/results.h5")
ids = list(h["rows/validation/id"].asstr()[:])
logits = h[f"trials/{best['best_trial']}/validation/epoch-{best['best_epoch']}/logits"][:]
assert sorted(ids) == sorted(dev)
of = dict(zip(ids, logits))
f1 = []
for fold, key in zip(folds, best["fold_trials"]):
    own = h5py.File(f"{run}/trials/{key}/logits.h5")[f"validation/epoch-{best['best_epoch']}/logits"][:]
    order = sorted(fold["validation"], key=ids.index)
    assert all((of[i] == l).all() for i, l in zip(order, own)), "not the logits of the fold"
    p = 1 / (1 + np.exp(np.float64(own[:, 0]) - own[:, 1]))
    truth = np.array([rows[i]["label"] in (1, "YES") for i in order])
    predicted = p >= inference["threshold"]
    tp = (truth & predicted).sum()
    f1.append(2 * tp / (truth.sum() + predicted.sum()))
assert np.allclose(f1, best["metrics"]["f1"]["values"]), (f1, best["metrics"]["f1"]["values"])
PY
grep -q '^## Cross-validation$' run/bundle/README.md || fail "the model card does not tell the cross-validation"
grep -q 'mean ± standard deviation over the folds' run/report.html || fail "the report lacks the folds"
grep -q '"validation": ' run/evaluation.json || fail "no evaluation"
expect 3 '204 of its 240 rows are among those that the bundle was trained on' muster evaluate run/bundle rows.jsonl

say "again: nothing is trained"
before=$(grep -c '"event": *"trial_finished"' run/events.jsonl)
cp -r run/bundle kept
expect 0 'done before' muster run job.json
[ "$(grep -c '"event": *"trial_finished"' run/events.jsonl)" = "$before" ] || fail "trials were trained again"
diff -r kept run/bundle || fail "another bundle"

say "killed in a fold, and in the training on the whole: the same bytes"
for key in fold-2 whole-; do
  muster run job.json out="at-$key" train.checkpoint_every='5 steps' >"$scratch/ran" 2>&1 &
  pid=$!
  wait_until 200 compgen -G "at-$key/trials/*_$key*/checkpoint/state.json" >/dev/null
  kill -KILL $pid
  wait $pid 2>/dev/null || true
  expect 0 'bundle' muster run job.json out="at-$key" train.checkpoint_every='5 steps'
  same_bytes run/table.md "at-$key/table.md"
  same_bytes run/results.h5 "at-$key/results.h5"
  same_bytes run/bundle/model.safetensors "at-$key/bundle/model.safetensors"
done

say "two groups: the same"
expect 0 'bundle' muster run job.json out=groups cluster.groups=2
same_bytes run/table.md groups/table.md
same_bytes run/bundle/model.safetensors groups/bundle/model.safetensors

say "the best fold's model instead: the folds are not trained again"
expect 0 "the bundle's weights are those trained on fold [123] of 3, epoch [12]" muster run job.json out=groups publish.of=best
fold=$(grep -oE 'fold [123] of 3' out | cut -d ' ' -f 2)
best=$(python3 -c 'import json; print(json.load(open("groups/table.json"))["configurations"][0]["best_trial"])')
same_bytes "groups/trials/${best}_fold-$fold/best.safetensors" groups/bundle/model.safetensors 2>/dev/null ||
  "$python" - "groups/trials/${best}_fold-$fold/best.safetensors" groups/bundle/model.safetensors <<'PY' || fail "not the weights of that fold"
import json, struct, sys
def tensors(path):
    data = open(path, "rb").read()
    size, = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + size])
    return {n: data[8 + size + t["data_offsets"][0]:8 + size + t["data_offsets"][1]] for n, t in header.items() if n != "__metadata__"}
assert tensors(sys.argv[1]) == tensors(sys.argv[2])
PY

say "with seeds: each fold with each of them; the mean of their out-of-fold scores decides"
expect -o 0 'mean \+/- standard deviation over 3 folds with 2 seeds each' muster run job.json out=seeds sweep=null 'train.seeds=[1,2]'
ls -d seeds/trials/*_seed-[12]_fold-[123] | wc -l | grep -qx 6 || fail "not six trials"
"$python" - seeds <<'PY' || fail "folds of seeds"
import json, sys
run = sys.argv[1]
table = json.load(open(f"{run}/table.json"))
c, = table["configurations"]
keys = [f"{c['configuration']}_seed-{s}_fold-{f}" for s in (1, 2) for f in (1, 2, 3)]
assert c["seeds"] == [1, 2] and c["done"] == 6 and c["fold_trials"] == keys, c
loss = [json.loads(open(f"{run}/trials/{t}/metrics.jsonl").readlines()[-1])["validation_loss"] for t in keys]
found = c["metrics"]["validation_loss"]
assert len(found["values"]) == 6 and abs(found["mean"] - sum(found["values"]) / 6) < 1e-12, found
epochs = {t["trial"]: t["best_epoch"] for t in table["trials"]}
assert set(epochs) == {f"{c['configuration']}_seed-{s}" for s in (1, 2)} and table["trials"][0]["trial"] == c["best_trial"], epochs
for value, key, last in zip(found["values"], keys, loss):
    if epochs[key.rpartition("_fold")[0]] == 2:
        assert abs(value - last) < 1e-6, (key, value, last)
scores = [t["at_own_threshold"]["score"] for t in table["trials"]]
assert scores == sorted(scores, reverse=True), scores
PY
grep -q '_seed-[12]_whole-' seeds/events.jsonl || fail "the best seed was not trained on the whole"

say "LoRA, one configuration: the adapter of the training on the whole"
expect 0 'bundle' muster run job.json out=lora sweep=null train.method=lora publish.adapter=both
[ -s lora/bundle/adapter/adapter_model.safetensors ] || fail "no adapter"

say "many labels a row, on the fake device; labels that are rarer than folds are told"
python3 - <<'PY'
import json, random
chance = random.Random(3)
with open("many.jsonl", "w") as f:
    for i in range(200):
        labels = [c for c in "abc" if chance.random() < 0.4] + (["rare"] if i in (0, 1) else [])
        f.write(json.dumps({"id": f"r{i}", "text": f"word{i % 60} word{i % 7}", "labels": labels}) + "\n")
job = json.load(open("job.json"))
job.update(task="multi_label_classification", sweep=None, out="many", data={"path": "many.jsonl", "id": "id", "label": "labels", "text_a": ["text"], "accept": ["leaks", "conflicting_duplicates"]})
job["cluster"]["device"] = "fake"
job["split"]["folds"] = 5
json.dump(job, open("many.json", "w"))
PY
expect 0 'bundle' muster run many.json tune.calibrate=temperature
grep -qE 'label "rare" has [12] rows? in train and validation, fewer than the 5 folds' said || fail "the rare label is not told"

say "what cannot be"
expect 2 'split.folds: expected a whole number from 2 to 1000 or null, found 1' muster check job.json out=bad split.folds=1
expect 2 'split.folds: expected a whole number from 2 to 1000 or null, found 2.5' muster check job.json out=bad split.folds=2.5
expect 3 'split.folds 900: the train and validation parts have only [0-9]+ groups \(data.group: group\)' muster check job.json out=bad split.folds=900
expect 2 'split.folds and split.file are mutually exclusive' muster check job.json out=bad split.file=run/split.json
expect 2 'split.folds and sweep.scheduler "asha" are mutually exclusive' muster check job.json out=bad sweep.scheduler=asha
expect 2 'publish.of "best" has no effect without split.folds' muster check job.json out=bad split.folds=null publish.of=best
expect 2 'run holds the run of another job: split.folds is 3 there and 4 here' muster check job.json split.folds=4
