#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Stopped by signal, killed, bereaved of a worker: the same command goes on, and the end is byte for byte that of a run left alone.
. "$(dirname "$0")/common.sh"
python3 "$here/tiny.py" "$scratch" 400
set_key job.json train.epochs 20
set_key job.json sweep '{"lr": [2e-3]}'
set_key job.json cluster.ranks_per_group 2
expect 0 'bundle' muster run job.json out="$scratch/calm"

# start OUT: in the background; waits until it has done some steps.
start() {
  muster run job.json out="$scratch/$1" >"$scratch/ran" 2>&1 &
  pid=$!
  wait_until 60 steps_done "$1" 41
}
finished() { wait $pid && found=0 || found=$?; }

say "SIGTERM: exit 75, then on"
start stopped
kill -TERM $pid; finished
[ $found = 75 ] || fail "SIGTERM gave exit $found, expected 75"
expect 0 'bundle' muster run job.json out="$scratch/stopped"

say "kill -9 of a worker: its trial goes on from its checkpoint in the same run"
start bereaved
pkill -9 -n -f "muster-worker.*$scratch/bereaved" || true
finished
[ $found = 0 ] || fail "the run ended with $found after a worker's death"
grep -q '"group_died"' bereaved/events.jsonl || fail "the worker's death is not in events.jsonl"

say "kill -9 of the coordinator: no worker is left behind, then on"
start killed
kill -9 $pid; finished
wait_until 30 no_process "muster-worker.*$scratch/killed"
expect 0 'bundle' muster run job.json out="$scratch/killed"

for run in stopped bereaved killed; do
  same_bytes calm/bundle/model.safetensors $run/bundle/model.safetensors
  same_bytes calm/table.md $run/table.md
done
