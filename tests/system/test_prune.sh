#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Pruning and random trials: a real sweep with asha; 200 fake trials on four groups, every decision checked against the rule by another program; a stopped
# run goes on and runs no pruned trial again.
. "$(dirname "$0")/common.sh"
python3 "$here/tiny.py" "$scratch"

# Every decision in RUN/events.jsonl again, from the figures that the log had before it; then the table against the log.
cat >check.py <<'PY'
import json, sys
run, least = sys.argv[1], int(sys.argv[2])
job = json.load(open(f"{run}/job.json"))["sweep"]
figures, decided, pruned, finished, leases = {}, {}, {}, set(), []
for e in (json.loads(line) for line in open(f"{run}/events.jsonl")):
    trial = e.get("trial")
    if e["event"] == "lease":
        leases.append(trial)
        assert trial not in pruned, f"{trial} was leased after it was pruned"
    if e["event"] == "epoch":
        place = trial, e["epoch"]
        again = place in decided
        figures[place] = e["metrics"]["validation_loss"]
        d = e.get("decision")
        if again:
            assert decided[place] == d, f"{place} was judged twice: {decided[place]} and {d}"
        decided[place] = d
        if d and not again:
            at = sorted(v for (t, k), v in figures.items() if k == e["epoch"])
            keep = max(len(at) // job["reduction"], 1)
            stop = sum(v < figures[place] for v in at) >= keep
            assert d["stop"] == stop and e["stop"] == stop, (e, keep, at)
            assert e["epoch"] in [job["grace_epochs"] * job["reduction"] ** k for k in range(10)], e
    if e["event"] == "trial_pruned":
        pruned[trial] = e["why"]
        assert decided[trial, e["epochs_done"]]["stop"]
    if e["event"] == "trial_finished":
        finished.add(trial)
        assert not any(d and d["stop"] for (t, k), d in decided.items() if t == trial), trial
table = json.load(open(f"{run}/table.json"))["trials"]
assert {r["trial"]: r["pruned"] for r in table if "pruned" in r} == pruned
assert {r["trial"] for r in table if "pruned" not in r} == finished
assert "pruned" not in table[0] and not any("pruned" in r for r in table if r["baseline"])
assert len(pruned) >= least, f"{len(pruned)} pruned, at least {least} expected"
print(len(table), "trials,", len(pruned), "pruned,", len(leases), "leases")
PY

say "a real sweep with asha: what is pruned never wins, and is not run again"
set_key job.json sweep '{"lr": [1e-6, 1e-5, 1e-4, 2e-3, 5e-3], "epochs": [4], "scheduler": "asha", "reduction": 2}'
expect 0 'pruned by asha on loss \(grace_epochs 1, reduction 2\)' muster run job.json cluster.groups=2
grep -qE 'lr-.*pruned at epoch [12]: asha: loss' out || fail "the output does not say what was pruned"
expect 0 'pruned' python3 check.py run 2
grep -q 'pruned at epoch' run/table.md && grep -q 'pruned at epoch' run/report.html || fail "table.md or report.html does not name the pruned trials"
expect 0 'pruned' muster status run
leases() { { grep "\"event\": *\"lease\"" "$1/events.jsonl" 2>/dev/null || true; } | wc -l; }
before=$(leases run)
cp run/table.json first.json
expect 0 'pruned at epoch [12]: .*done before' muster run job.json cluster.groups=2
[ "$(leases run)" = "$before" ] || fail "a pruned trial was run again"
same_bytes first.json run/table.json

say "200 random trials on four fake groups with asha, stopped on the way; the same trials after it"
set_key job.json cluster '{"device": "fake", "threads": 1, "groups": 4}'
set_key job.json train.epochs 6
set_key job.json sweep '{"lr": {"from": 1e-6, "to": 1e-3}, "weight_decay": {"from": 0, "to": 0.3}, "epochs": {"from": 3, "to": 6}, "sample": "random", "count": 200,
  "scheduler": "asha", "reduction": 3}'
expect 0 '200 trials besides the baseline .*drawn at random by seed 42' muster check job.json out="$scratch/many"
grep -E '^    lr-' out | sort >planned
[ "$(wc -l <planned)" = 50 ] || fail "50 keys and a count expected, found: $(cat out)"
muster run job.json out="$scratch/many" report.baseline=false >"$scratch/ran" 2>&1 &
pid=$!
leased() { [ "$(leases "$1")" -gt "$2" ]; }
wait_until 60 leased many 60
kill -TERM $pid
wait $pid && found=0 || found=$?
[ $found = 75 ] || fail "SIGTERM gave exit $found, expected 75"
expect 0 'bundle' muster run job.json out="$scratch/many" report.baseline=false
expect 0 '^201 trials' python3 check.py many 100
cat out
for key in $(cat planned); do [ -d "many/trials/$key" ] || fail "trial $key was planned and did not run"; done
