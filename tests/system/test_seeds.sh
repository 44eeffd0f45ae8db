#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# train.seeds: each configuration with each seed, figures as NumPy's, the choice by the mean, the same bytes after a kill; and that a trial of
# a seed is the trial that a job with that seed trains.
. "$(dirname "$0")/common.sh"
python=${PYTHON:-python3}
python3 "$here/tiny.py" "$scratch"
set_key job.json sweep '{"lr": [0.001, 0.002]}'
set_key job.json train.epochs 2
set_key job.json train.lr 0.002

say "check tells the trials"
expect 0 'seeds +1, 2, 3: 6 trials, 3 of each configuration; the split is of seed 42' muster check job.json 'train.seeds=[1,2,3]' out=check
grep -qE 'sweep +1 configuration besides the baseline lr-0.002_epochs-2$' out || fail "check does not tell the configurations"

say "run: mean, deviation, least and most are NumPy's; the configuration of the highest mean and its best seed are published"
expect 0 'mean \+/- standard deviation over 3 seeds; a configuration is chosen by its mean F1' muster run job.json 'train.seeds=[1,2,3]'
[ "$(find run/trials -mindepth 1 -maxdepth 1 -name 'lr-*' | wc -l)" = 6 ] || fail "not six trials"
grep -q '^## Configurations: validation metrics over 3 seeds$' run/table.md || fail "table.md lacks the configurations"
grep -q '^## Configurations: validation metrics over 3 seeds$' run/bundle/README.md || fail "the model card lacks the configurations"
grep -q 'Configurations on validation, mean ± standard deviation' run/report.html || fail "the report lacks the configurations"
"$python" - run <<'PY' || fail "the figures"
import json, sys
import numpy as np
run = sys.argv[1]
table = json.load(open(f"{run}/table.json"))
trials = {t["trial"]: t for t in table["trials"]}
means, best = [], []
for c in table["configurations"]:
    assert c["seeds"] == [1, 2, 3] and c["done"] == 3, c
    of = [trials[f"{c['configuration']}_seed-{s}"] for s in c["seeds"]]
    found = {"f1": [t["at_own_threshold"]["metrics"]["f1"] for t in of], "validation_loss": [t["validation_loss"] for t in of],
             "precision": [t["at_own_threshold"]["metrics"]["precision"] for t in of], "score": [t["at_own_threshold"]["score"] for t in of]}
    for name, values in found.items():
        m = c["metrics"][name]
        assert m["values"] == values, (name, m, values)
        for key, expected in (("mean", np.mean(values)), ("sd", np.std(values, ddof=1)), ("min", np.min(values)), ("max", np.max(values))):
            assert abs(m[key] - expected) < 1e-12, (c["configuration"], name, key, m[key], expected)
    means.append(np.mean(found["score"]))
    best.append(f"{c['configuration']}_seed-{c['seeds'][int(np.argmax(found['score']))]}")
    assert c["best_trial"] == best[-1], (c["best_trial"], best[-1])
assert means == sorted(means, reverse=True), means
assert json.load(open(f"{run}/bundle/inference_config.json"))["trial"] == best[0], best
assert table["trials"][0]["trial"] == best[0]
PY

say "killed within the second seed and resumed: the same bytes"
MUSTER_FAULT="kill rank=0 step=25 op=backward" muster run job.json 'train.seeds=[1,2,3]' out=killed cluster.restarts=0 train.checkpoint_every='5 steps' >"$scratch/out" 2>"$scratch/said" || true
expect 0 'bundle' muster run job.json 'train.seeds=[1,2,3]' out=killed train.checkpoint_every='5 steps'
"$python" - run killed <<'PY' || fail "a resumed run has other figures"
import json, sys
def figures(run):
    table = json.load(open(f"{run}/table.json"))
    for t in table["trials"]:
        for key in ("seconds", "tokens_per_second"):
            t.pop(key, None)
    return table
assert figures(sys.argv[1]) == figures(sys.argv[2])
PY
same_bytes run/table.md killed/table.md
same_bytes run/results.h5 killed/results.h5
same_bytes run/bundle/model.safetensors killed/bundle/model.safetensors

say "the coordinator killed and started again: the same bytes"
muster run job.json 'train.seeds=[1,2,3]' out=gone >"$scratch/ran" 2>&1 &
pid=$!
wait_until 120 steps_done gone 60
kill -KILL $pid
wait $pid 2>/dev/null || true
expect 0 'bundle' muster run job.json 'train.seeds=[1,2,3]' out=gone
same_bytes run/table.md gone/table.md
same_bytes run/bundle/model.safetensors gone/bundle/model.safetensors

say "a seed more trains that seed alone"
before=$(grep -c '"event": *"trial_finished"' run/events.jsonl)
expect 0 'over 4 seeds' muster run job.json 'train.seeds=[1,2,3,4]'
[ "$(grep -c '"event": *"trial_finished"' run/events.jsonl)" = $((before + 2)) ] || fail "finished trials were trained again"
grep -q 'over 4 seeds' run/bundle/README.md || fail "the model card keeps the old figures"

say "a trial of seed 2 is the trial of that seed in a sweep of seeds"
expect 0 'bundle' muster run job.json 'sweep={"seed": [2]}' out=swept
same_bytes run/trials/lr-0.002_epochs-2_seed-2/best.safetensors swept/trials/lr-0.002_epochs-2_seed-2/best.safetensors

say "several groups: the same"
expect 0 'bundle' muster run job.json 'train.seeds=[1,2,3]' out=groups cluster.groups=2
same_bytes killed/table.md groups/table.md

say "what cannot be"
expect 2 'train.seeds: expected a list of seeds such as \[1, 2, 3\] or null, found \[\]' muster check job.json out=bad 'train.seeds=[]'
expect 2 'train.seeds: the seed 1 is in the list twice' muster check job.json out=bad 'train.seeds=[1,1]'
expect 2 'train.seeds: expected whole numbers from 0 .* found -1' muster check job.json out=bad 'train.seeds=[-1]'
expect 2 'train.seeds: expected whole numbers from 0 .* found 1.5' muster check job.json out=bad 'train.seeds=[1.5]'
expect 2 'train.seeds and sweep.seed are mutually exclusive' muster check job.json out=bad 'train.seeds=[1,2]' 'sweep={"seed": [1]}'
expect 2 'train.seeds and sweep.scheduler "asha" are mutually exclusive' muster check job.json out=bad 'train.seeds=[1,2]' sweep.scheduler=asha
expect 2 'unknown key "train.seed"; did you mean "seed"\?' muster check job.json out=bad 'train.seeds=[1,2]' train.seed=3
