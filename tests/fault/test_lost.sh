#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A coordinator that is gone or asleep, an mpirun that is gone, a run directory that is taken, patience across a stop and a death: what
# comes out in the end is what a clean run leaves.
. "$(dirname "$0")/../system/common.sh"
python3 "$here/tiny.py" "$scratch" 60
set_key job.json sweep DELETE
set_key job.json report '{"baseline": false}'
set_key job.json cluster '{"ranks_per_group": 2, "heartbeat_timeout": 2, "threads": 1, "restarts": 10}'
key=lr-0.02_epochs-30
long="train.lr=0.02 train.epochs=30 train.patience=2" # best at epoch 5, over after epoch 7, of 6 steps each
expect 0 'patience is over' muster run job.json out="$scratch/clean" $long

state() { python3 -c 'import json,sys; print(int(json.load(open(sys.argv[1]))[sys.argv[2]]))' "$1/trials/$key/checkpoint/state.json" "$2"; }
step_logged() { cat "$1"/trials/*/metrics.jsonl 2>/dev/null | has "\"step\":$2,"; }
start() { # OUT [key=value ...]: in the background, until some steps are done
  local out=$1
  shift
  muster run job.json out="$scratch/$out" $long "$@" >"$scratch/ran" 2>&1 &
  pid=$!
  wait_until 120 step_logged "$out" 9
}
finished() { wait $pid && found=0 || found=$?; }
workers() { pgrep -f "muster-worker.*$scratch/$1/" || true; }
none_left() { wait_until 60 no_process "muster-worker.*$scratch/$1/"; }
same_as_clean() {
  same_bytes clean/bundle/model.safetensors "$1/bundle/model.safetensors"
  same_bytes clean/table.md "$1/table.md"
}

say "patience: stopped while it counts, then killed while it counts"
expect 75 'run the same command again to resume' env MUSTER_FAULT="stop rank=1 step=33 op=forward" muster run job.json out="$scratch/patience" $long
[ "$(state patience steps)" = 33 ] || fail "saved at step $(state patience steps), expected 33"
expect -e 0 'resuming at step 3 of epoch 6' env MUSTER_FAULT="kill rank=1 step=39 op=backward attempt=2" muster run job.json out="$scratch/patience" $long
grep -q '"group_died"' patience/events.jsonl || fail "nobody died"
same_as_clean patience

say "a second signal ends at once"
start twice
kill -STOP $(workers twice) 2>/dev/null || true # they will not save
kill -TERM $pid; sleep 1; kill -TERM $pid
finished
[ $found = 75 ] || fail "two signals gave exit $found, expected 75"
kill -KILL $(workers twice) 2>/dev/null || true
none_left twice

say "the run directory of a living coordinator"
start taken train.epochs=2000 train.patience=null
expect 2 "is in use by another muster \(host $(hostname), process $pid, since 20" muster run job.json out="$scratch/taken" $long train.epochs=2000 train.patience=null
say "kill -9 of the coordinator: its workers save within the epoch and end; the lock is free"
kill -9 $pid; finished
none_left taken
key=lr-0.02_epochs-2000
last=$(tail -1 "taken/trials/$key/metrics.jsonl" | grep -o '"step":[0-9]*' | grep -o '[0-9]*$')
[ "$(state taken steps)" = "$last" ] || fail "saved at step $(state taken steps), the last one done is $last"
key=lr-0.02_epochs-30

say "SIGSTOP of the coordinator for a while, kill -9 of mpirun"
start asleep
kill -STOP $pid; sleep 5; kill -CONT $pid
mpirun=$(pgrep -f "mpirun.*$scratch/asleep/" | head -1 || true)
[ -z "$mpirun" ] || kill -9 "$mpirun"
finished
[ $found = 0 ] || fail "the run ended with $found"
none_left asleep
same_as_clean asleep

say "a disk that is full when results.h5, and when the bundle is written: one line, exit 1; with room again the same bytes"
mkdir small
full() { # KILOBYTES FILE: so many are left, and the file, a regular expression, has no room; in a mount namespace of its own
  export -f expect fail same_bytes same_as_clean
  export scratch long left=$1 file=$2
  unshare --mount --propagation private bash -euo pipefail -c '
    mount -t tmpfs -o size=8m none small
    expect 0 "" muster train job.json out="$scratch/small/run" $long
    head -c $((($(stat -f -c "%a * %S" small)) - left * 1024)) /dev/zero >small/ballast
    expect 1 "^muster: .*$file: cannot be written: (Write error: )?No space left on device$" muster run job.json out="$scratch/small/run" $long
    rm small/ballast
    expect 0 bundle muster run job.json out="$scratch/small/run" $long
    same_bytes clean/results.h5 small/run/results.h5
    same_as_clean small/run'
}
if unshare --mount --propagation private mount -t tmpfs none small 2>/dev/null; then
  full 40 results.h5
  full 200 "[^ ]*"
else
  skipped "a tmpfs cannot be mounted here"
fi
