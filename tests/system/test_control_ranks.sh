#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Groups of two ranks: one is killed, one falls silent, mpirun starts muster itself and passes on a stop; clients without the key.
. "$(dirname "$0")/common.sh"
python3 "$here/tiny.py" "$scratch" 400
set_key job.json train.epochs 20
set_key job.json sweep '{"lr": [2e-3]}'
set_key job.json cluster.ranks_per_group 2
set_key job.json cluster.heartbeat_timeout 2
expect 0 'bundle' muster run job.json out="$scratch/calm" cluster.ranks_per_group=1

start() { # OUT COMMAND...: in the background, until some steps are done
  local out=$1
  shift
  "$@" out="$scratch/$out" >"$scratch/ran" 2>&1 &
  pid=$!
  wait_until 120 steps_done "$out" 41
}
finished() { wait $pid && found=0 || found=$?; }
# worker_of OUT RANK: the process of that rank.
worker_of() {
  local p
  for p in $(pgrep -x muster-worker); do
    if tr '\0' ' ' <"/proc/$p/cmdline" 2>/dev/null | has "$scratch/$1/" &&
      tr '\0' '\n' <"/proc/$p/environ" 2>/dev/null | has "^OMPI_COMM_WORLD_RANK=$2\$"; then
      echo "$p"
      return
    fi
  done
}
no_worker() { [ -z "$(worker_of "$1" 0)$(worker_of "$1" 1)" ]; }
none_left() { wait_until 30 no_worker "$1"; }

say "kill -9 of rank 1: named, and the trial goes on"
start killed muster run job.json
kill -9 "$(worker_of killed 1)"
finished
[ $found = 0 ] || fail "the run ended with $found"
grep '"group_died"' killed/events.jsonl | has '"rank": *1' || fail "rank 1 is not named: $(grep group_died killed/events.jsonl)"
none_left killed

say "rank 1 falls silent: the group is given up, the trial goes on, the silent one is ended"
start silent muster run job.json
kill -STOP "$(worker_of silent 1)"
finished
[ $found = 0 ] || fail "the run ended with $found"
grep '"group_died"' silent/events.jsonl | has '"rank": *1' || fail "rank 1 is not named: $(grep group_died silent/events.jsonl)"
none_left silent

say "muster under mpirun"
expect 0 'bundle' mpirun -np 2 --oversubscribe muster run job.json out="$scratch/attached"
expect 0 '' mpirun -np 2 --oversubscribe muster run job.json out="$scratch/attached" # nothing left to do: no rank waits for ever
expect 2 'cannot be divided into 3 groups' mpirun -np 2 --oversubscribe muster run job.json out="$scratch/refused" cluster.groups=3
expect 2 'cannot be divided into groups of 2' mpirun -np 3 --oversubscribe muster run job.json out="$scratch/refused"
expect 2 'not on 3; start 2, or set cluster.groups=3' mpirun -np 3 --oversubscribe muster run job.json out="$scratch/refused" cluster.ranks_per_group=1
expect 0 'bundle' mpirun -np 4 --oversubscribe muster run job.json out="$scratch/divided"
[ "$(grep -c '"group_started"' divided/events.jsonl)" = 2 ] || fail "two groups of two ranks expected: $(grep group_ divided/events.jsonl)"
expect 0 'lr-0.005_epochs-1' mpirun -np 3 --oversubscribe muster train job.json out="$scratch/three" cluster.groups=3 train.epochs=1

say "SIGUSR1 to mpirun: all save, exit 75, then on"
start stopped mpirun -np 2 --oversubscribe muster run job.json
kill -USR1 $pid
finished
[ $found = 75 ] || fail "SIGUSR1 gave exit $found, expected 75"
grep -q '"group_died"' stopped/events.jsonl && fail "a stop is no death: $(grep group_died stopped/events.jsonl)"
none_left stopped
expect 0 'bundle' muster run job.json out="$scratch/stopped"

for run in killed silent attached divided stopped; do
  same_bytes calm/bundle/model.safetensors $run/bundle/model.safetensors
done

say "clients that are not of this run"
start door muster run -v job.json train.epochs=2000 # lasts until it is stopped
cp ran door-said
[ "$(stat -c %a door/connection.json)" = 600 ] || fail "connection.json can be read by others"
endpoint=$(grep -o 'tcp://[0-9.:]*' door/connection.json)
[[ $endpoint == tcp://127.0.0.1:* ]] || fail "listens at $endpoint"
cp door/connection.json good.json
sed 's/"protocol": *[0-9]*/"protocol": 99/' good.json >other_protocol.json
expect 1 'muster .* uses protocol 99, but this program' muster-worker --connection other_protocol.json
expect 1 'this run starts its worker groups itself and did not start this one' muster-worker --connection good.json
kill -TERM $pid
finished
python3 - good.json >keys <<'PY'
import json, sys
keys = [value for key, value in json.load(open(sys.argv[1])).items() if key.endswith("_key")]
assert len(keys) == 3 and all(len(key) == 40 for key in keys), "a CURVE key has 40 signs"
print("\n".join(keys))
PY
[ ! -e door/connection.json ] || fail "connection.json outlived its run"
logged=$(grep -rlF -f keys door-said said door || true)
[ -z "$logged" ] || fail "a key is in $logged"
start other muster run job.json train.epochs=2000
python3 - good.json other/connection.json >other_key.json <<'PY' # a key may hold any sign that sed has a use for
import json, sys
mine, other = (json.load(open(path)) for path in sys.argv[1:])
print(json.dumps(mine | {key: other[key] for key in ("endpoint", "server_key")}))
PY
expect 1 'does not accept the key' muster-worker --connection other_key.json
kill -TERM $pid
finished
[ $found = 75 ] || fail "SIGTERM gave exit $found, expected 75"
expect 1 'no coordinator .* answers' muster-worker --connection good.json
expect 1 'missing.json: cannot be read' muster-worker --connection missing.json
expect 2 'work: --connection is missing' muster-worker
expect 2 'threads: expected a whole number from 1' muster-worker --connection good.json --threads 0
