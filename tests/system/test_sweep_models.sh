#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# sweep.model and sweep.fields: one job, a run a combination on one frozen protocol, a table, and the best on validation published. Killed at any
# time and run again it ends in the same bytes; on two MPI ranks too; what cannot be is refused before anything is trained.
. "$(dirname "$0")/common.sh"
for family in bert distilbert; do python3 "$here/tiny.py" $family 10 20 $family; done
python3 - <<'PY'
import json, random
chance = random.Random(3)
with open("many.jsonl", "w") as file:
    for i in range(240):
        marks = [mark for mark in ("linked", "apart") if chance.random() < 0.5]
        words = [f"word{chance.randint(0, 59)}" for _ in range(chance.randint(3, 12))]
        row = {"id": f"r{i}", "title": " ".join(words[:3]), "snippet": " ".join(words + marks), "tags": ["any"] * (i % 3 == 0) + marks}
        file.write(json.dumps(row) + "\n")
job = {"name": "several", "out": "zoo", "task": "multi_label_classification",
       "data": {"path": "many.jsonl", "id": "id", "label": "tags", "text_a": ["title", "snippet"], "accept": ["conflicting_duplicates", "leaks"],
                "word_limits": {"snippet": 20}},
       "split": {"method": "stratified", "train": 0.6, "validation": 0.2},
       "train": {"method": "lora", "lora": {"targets": ["attention"]}, "lr": 1e-2, "epochs": 3, "batch": 8, "micro_batch": 4, "max_length": 24},
       "sweep": {"model": ["bert/model", "distilbert/model"], "fields": [["snippet", "title"], ["title"]], "lr": [2e-2]},
       "tune": {"per_class": "false"}, "cluster": {"threads": 1}}
json.dump(job, open("job.json", "w"))
PY
names='bert_model_title-snippet bert_model_title distilbert_model_title-snippet distilbert_model_title'

say "what cannot be, before anything is written"
expect 2 'model and sweep.model are mutually exclusive' muster run job.json model=bert/model
expect 2 'sweep.model: .*nowhere' muster run job.json 'sweep.model=["bert/model", "nowhere"]' out=refused
[ ! -e refused/models ] || fail "a run has begun although a model is missing"
expect 2 'sweep.fields: "body" is in neither data.text_a nor data.text_b' muster run job.json 'sweep.fields=[["body"]]'
expect 2 'sweep.fields: expected a list of strings' muster run job.json 'sweep.fields=["title"]'
expect 2 'would both be called "bert_model_title"' muster run job.json 'sweep.fields=[["title"], ["title"]]'
expect 2 'would both be called "bert_model_title-snippet"' muster run job.json 'sweep.fields=[["title", "snippet"], ["snippet", "title"]]'
expect 2 'split.folds and sweep.model are mutually exclusive' muster run job.json split.folds=3
expect 2 'adapter and sweep.model are mutually exclusive' muster run job.json adapter=bert

say "check: all combinations, their steps and tokens, and nothing is trained"
expect -o 0 '^== sweep: 4 combinations on the same [0-9]+ rows of train' muster check job.json
rows=$(python3 -c 'import json; print(len(json.load(open("zoo/protocol.json"))["parts"]["train"]))')
[ "$(sed -n 's/^  \([^ ]*_[^ ]*\) .* steps .*/\1/p' out | tr '\n' ' ')" = "$names " ] || fail "not the four combinations"
grep -qE "^  all +8 trials +$((4 * 2 * 3 * ((rows + 7) / 8))) steps" out || fail "four combinations with 2 trials of 3 epochs each of $rows rows are other steps"
[ ! -e zoo/models/bert_model_title/trials ] || fail "check has trained"

say "run"
expect -o 0 '^  chosen  .*_title-snippet$' muster run job.json
cp out first.out
for name in $names; do [ -s zoo/models/$name/bundle/model.safetensors ] || fail "no bundle of $name"; done
python3 - <<'PY' || fail "the table, or what is published"
import json, os
(table,) = json.load(open("zoo/zoo.json"))["tables"]
models = [m for m in table["models"] if not m.get("baseline")]
assert sorted(m["name"] for m in models) == "bert_model_title bert_model_title-snippet distilbert_model_title distilbert_model_title-snippet".split()
scores = [m["validation"]["micro_f1"] for m in models]
assert scores == sorted(scores, reverse=True) and scores[0] > scores[-1], scores
assert os.readlink("zoo/bundle") == f"models/{models[0]['name']}/bundle" and os.path.getsize("zoo/several.zip") > 0, os.readlink("zoo/bundle")
inference = json.load(open("zoo/bundle/inference_config.json"))
assert inference["name"] == models[0]["name"] and inference["input"]["text_a"] == ["title", "snippet"], inference
for m in models:
    own = json.load(open(m["directory"] + "/job.json"))
    text_a = ["title", "snippet"] if "snippet" in m["name"] else ["title"]
    assert own["data"]["text_a"] == text_a and m["fields"] == " + ".join(text_a), m["fields"]
    assert own["data"]["word_limits"] == ({"snippet": 20} if len(text_a) > 1 else None)
    assert own["model"] == f"../../../{m['name'].split('_')[0]}/model" and own["split"]["file"] == "../../protocol.json", own
    assert own["sweep"]["model"] == own["sweep"]["fields"] == [] and own["sweep"]["lr"] == [2e-2]
    assert m["device"].startswith("1 x "), m.get("device")
    split = [json.load(open(d + "/split.json"))["parts"] for d in (m["directory"], "zoo/models/bert_model_title")]
    assert split[0] == split[1], "another split"
    assert len(json.load(open(m["directory"] + "/table.json"))["trials"]) == 2, "its own grid"
PY
[ -s zoo/zoo.md ] && [ -s zoo/zoo.html ] || fail "no table for people"
expect 0 '' muster zoo zoo -o again.json
cmp again.json zoo/zoo.json || fail "muster zoo on the job's directory tells another table"
expect 2 'holds a run for each model and choice of fields; name one of zoo/models' muster report zoo

expect -o 0 '^  distilbert_model_title +.*done' muster status zoo

say "run again: nothing is trained twice; another job in its place is refused"
state() { (cd "$1" && find . -name best.safetensors -o -name 'adapter*.safetensors' -o -name logits.h5 -o -name tune.json -o -name protocol.json | sort | xargs sha256sum && sha256sum models/*/bundle/model.safetensors && readlink bundle); }
state zoo >first
starts() { cat "$1"/models/*/events.jsonl | grep -cE '"event": *"lease"' || true; }
before=$(starts zoo)
[ "$before" -ge 12 ] || fail "eight trials and four scores have had $before leases"
expect 0 'bundle' muster run job.json
[ "$(starts zoo)" = "$before" ] && state zoo | cmp - first || fail "it was done again"
expect 2 'holds the run of another job: seed is 42 there and 7 here' muster run job.json seed=7
expect 0 'chosen  .*_model_title$' muster run job.json 'sweep.fields=[["title"]]'
[ "$(starts zoo)" = "$before" ] && grep -q '_model_title/bundle$' <(readlink zoo/bundle) || fail "fewer combinations are not those of before"

say "killed at several times and run again: the same bytes"
for wait in 5 20; do
  rm -rf "killed"
  setsid muster run job.json out=killed >killed.out 2>&1 &
  process=$!
  lines() { cat killed/models/*/trials/*/metrics.jsonl 2>/dev/null | wc -l; }
  enough() { [ "$(lines)" -ge "$wait" ] || ! kill -0 $process 2>/dev/null; }
  wait_until 120 enough
  kill -KILL -- -$process 2>/dev/null || true
  wait $process 2>/dev/null || true
  wait_until 60 no_process "killed/connection.json"
  expect 0 'bundle' muster run job.json out=killed
  state killed | cmp - first || fail "killed after $wait lines of metrics, it ends in other bytes"
done

say "under mpirun, on one rank and on two, the workers go from run to run"
for ranks in 1 2; do
  expect 0 'chosen' mpirun -np $ranks --oversubscribe muster run job.json out="$scratch/ranks-$ranks"
  state ranks-$ranks | cmp - first || fail "on $ranks ranks it ends in other bytes"
done
expect 0 'chosen' mpirun -np 2 --oversubscribe muster run job.json out="$scratch/ranks-2"

say "a damaged model is named before anything is trained"
mkdir broken && cp -r distilbert/model broken/model && truncate -s -8 broken/model/model.safetensors
expect '[123]' 'broken_model_title: ' muster run job.json out=some 'sweep.model=["bert/model", "broken/model"]' 'sweep.fields=[["title"]]'
[ ! -e some/models/bert_model_title/trials ] && [ ! -e some/bundle ] || fail "something was trained, or published"
