#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A sweep on 1, 2 and 3 worker groups: the same bits; longest trials first; a trial that kills every group is given up and named, the others go on.
. "$(dirname "$0")/common.sh"
python3 "$here/tiny.py" "$scratch"
set_key job.json sweep '{"lr": [2e-3, 5e-3], "epochs": [2, 3, 4]}'

say "1, 2 and 3 groups"
for groups in 1 2 3; do
  expect 0 'bundle' muster run job.json out="$scratch/run$groups" cluster.groups=$groups
done
trials=$(cd run1/trials && ls)
[ "$(wc -w <<<"$trials")" = 7 ] || fail "expected 6 trials and a score, found: $trials"
for groups in 2 3; do
  for file in bundle/model.safetensors tune.json table.md results.h5; do
    same_bytes run1/$file run$groups/$file
  done
  for trial in $trials; do
    [ -d "run$groups/trials/$trial" ] || fail "run$groups has no trial $trial"
    [[ $trial == score-* ]] || same_bytes "run1/trials/$trial/best.safetensors" "run$groups/trials/$trial/best.safetensors"
  done
  python3 - $groups <<'PY' || fail "table.json or the events of $groups groups are not as promised"
import json, sys
groups = int(sys.argv[1])
def table(n):
    t = json.load(open(f"run{n}/table.json"))
    for row in t["trials"]:
        for times in ("seconds", "tokens_per_second"):
            row.pop(times)
    return t
assert table(1) == table(groups)
events = [json.loads(line) for line in open(f"run{groups}/events.jsonl")]
leases = [e for e in events if e["event"] == "lease" and not e["trial"].startswith("score-")]
order = [e["trial"] for e in leases]
epochs = [int(t[-1]) for t in order]
assert order[0] == "lr-0.005_epochs-3" and epochs[1:] == sorted(epochs[1:], reverse=True), order
assert len({e["group"] for e in leases}) == groups, [e["group"] for e in leases]
at_once = most = 0
for e in events:
    at_once += {"lease": 1, "trial_done": -1}.get(e["event"], 0)
    most = max(most, at_once)
assert most == groups, f"{most} leases at the same time, expected {groups}"
PY
done

say "a trial that kills its group every time: given up after cluster.restarts, named at the end; the others are done"
cat >killer.py <<'PY'
import json, os, sys, time
bad, path, pids, seen = sys.argv[1], sys.argv[2], {}, 0
while os.path.exists("go"):
    lines = open(path).read().split("\n")[:-1] if os.path.exists(path) else []
    for line in lines[seen:]:
        e = json.loads(line)
        if e["event"] == "group_started":
            pids[e["group"]] = e["pid"]
        if e["event"] == "lease" and e["trial"] == bad:
            os.kill(pids[e["group"]], 9)
    seen = len(lines)
    time.sleep(0.01)
PY
set_key job.json train.epochs 40
set_key job.json sweep '{"lr": [2e-3, 5e-3], "epochs": [30, 40]}'
touch go
python3 killer.py lr-0.002_epochs-30 bad/events.jsonl &
expect -e 0 '1 of 4 trials failed \(lr-0.002_epochs-30\); the same command tries them again' \
  muster run job.json out="$scratch/bad" cluster.groups=2 cluster.restarts=2
rm go; wait
[ "$(grep -c '"event": *"group_died"' bad/events.jsonl)" = 3 ] || fail "3 deaths expected: $(grep group_died bad/events.jsonl)"
grep -q 'lr-0.002_epochs-30.*failed: given up after its worker group died 3 times' bad/table.md || fail "table.md does not say what failed: $(cat bad/table.md)"

say "the same command tries it again, and nothing else"
before=$(grep -c '"event": *"lease"' bad/events.jsonl)
expect 0 'bundle' muster run job.json out="$scratch/bad" cluster.groups=2
grep '"event": *"lease"' bad/events.jsonl | tail -n +$((before + 1)) | grep -v '"trial": *"\(score-.*\|lr-0.002_epochs-30\)"' && fail "another trial was leased again"
grep -q 'failed' bad/table.md && fail "table.md still names a failure"

say "tune keeps what the table says of the baseline as long as the decision stays, and publish says it anew"
cp run1/table.md before.md
expect 0 'chosen' muster tune job.json out="$scratch/run1" train.epochs=3 sweep='{"lr": [2e-3, 5e-3], "epochs": [2, 3, 4]}'
same_bytes before.md run1/table.md
expect 0 'chosen' muster tune job.json out="$scratch/run1" train.epochs=3 sweep='{"lr": [2e-3, 5e-3], "epochs": [2, 3, 4]}' tune.rule=f_beta tune.beta=2
grep -q '^## Comparison with a linear baseline' run1/table.md && fail "the table says how another decision did on test"
expect 0 'bundle' muster run job.json out="$scratch/run1" train.epochs=3 sweep='{"lr": [2e-3, 5e-3], "epochs": [2, 3, 4]}'
same_bytes before.md run1/table.md

say "the seed can be swept: other weights from the same split, and the card names the winner's"
expect 0 'bundle' muster run job.json out="$scratch/seeds" train.epochs=2 train.lr=1e-6 sweep='{"seed": [7], "lr": [5e-3], "epochs": [4]}'
seed=lr-0.005_epochs-4_seed-7
cmp -s "seeds/trials/$seed/best.safetensors" run1/trials/lr-0.005_epochs-4/best.safetensors && fail "seed 7 trained what seed 42 did"
same_bytes seeds/split.json run1/split.json
grep -q "Trial \`$seed\`.* seed 7" <(tr '\n' ' ' <seeds/bundle/README.md) || fail "the card does not name the winner's seed: $(grep -A3 '^## Training' seeds/bundle/README.md)"
