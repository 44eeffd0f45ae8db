#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The fake device: a sweep of 200 trials in seconds on four groups, the same table from one group, stopped and resumed; and that
# nobody can take its work for real.
. "$(dirname "$0")/common.sh"
python3 "$here/tiny.py" "$scratch"
set_key job.json cluster '{"device": "fake", "threads": 1, "groups": 4}'
set_key job.json sweep "$(python3 -c 'import json; print(json.dumps({"lr": [2**i * 1e-6 for i in range(10)], "epochs": [1, 2], "batch": list(range(8, 28, 2))}))')"

say "200 trials on four groups"
expect -e 0 'cluster.device is fake' muster run job.json
[ "$(grep -c '"event": *"trial_finished"' run/events.jsonl)" -ge 200 ] || fail "$(grep -c trial_finished run/events.jsonl) trials finished, 200 expected"
[ "$(grep -o '"group": *"[0-9]-' run/events.jsonl | sort -u | wc -l)" = 4 ] || fail "not all four groups worked"
[ "$(grep -l '"loss"' run/trials/*/metrics.jsonl | wc -l)" = 201 ] || fail "not every trial has losses"

say "one group gives the same table"
set_key job.json sweep '{"lr": [1e-5, 3e-5], "epochs": [2, 3]}'
expect 0 'bundle' muster run job.json out="$scratch/calm"
expect 0 'bundle' muster run job.json out="$scratch/one" cluster.groups=1
same_bytes calm/table.md one/table.md
same_bytes calm/trials/lr-3e-05_epochs-3/best.safetensors one/trials/lr-3e-05_epochs-3/best.safetensors

say "stopped within a trial, resumed: the same table"
MUSTER_FAKE_STEP=0.05 muster run job.json out="$scratch/stopped" >"$scratch/ran" 2>&1 &
pid=$!
wait_until 60 test -s stopped/trials/lr-0.005_epochs-3/metrics.jsonl
kill -TERM $pid
wait $pid && found=0 || found=$?
[ $found = 75 ] || fail "SIGTERM gave exit $found, expected 75"
expect 0 'bundle' muster run job.json out="$scratch/stopped"
same_bytes calm/table.md stopped/table.md
python3 - stopped/trials/*/metrics.jsonl <<'PY' || fail "a step is there twice, or missing"
import json, sys
for path in sys.argv[1:]:
    steps = [r["step"] for r in map(json.loads, open(path)) if "train_loss" not in r]
    assert steps == list(range(1, len(steps) + 1)), (path, steps)
PY

say "a pause that is no number is refused"
expect 2 'MUSTER_FAKE_STEP: expected seconds from 0 to 3600, found "1s"' env MUSTER_FAKE_STEP=1s muster run job.json out="$scratch/pause"

say "ranks wait for the first"
expect 0 'bundle' muster run job.json out="$scratch/ranks" cluster.ranks_per_group=2 cluster.groups=1
same_bytes calm/table.md ranks/table.md

say "its bundle is scored by itself alone; a real run takes up nothing of it"
expect -e 0 'p.jsonl: 240 rows' muster predict calm/bundle rows.jsonl --device fake -o p.jsonl
expect '[13]' 'calm/bundle' muster predict calm/bundle rows.jsonl -o p.jsonl
expect 2 'calm/trials/lr-0.005_epochs-3: was made from another .*kind of device' muster train job.json out="$scratch/calm" cluster.device=cpu

say "too few open files for so many groups"
(ulimit -n 200 && expect 2 '64 groups of 1 ranks need 320 open files, the limit is 200' muster run job.json out="$scratch/few" cluster.groups=64)
