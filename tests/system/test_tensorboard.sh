#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# TensorBoard's event files say what metrics.jsonl says, each step once: of real training, stopped and resumed, killed, and torn.
. "$(dirname "$0")/common.sh"
python3 "$here/tiny.py" "$scratch" 400
set_key job.json train.epochs 4
set_key job.json sweep '{"lr": [2e-3]}'
check() { "${PYTHON:-python3}" "$here/tensorboard_check.py" "$@" 2>said || fail "the event files are not right"; }
# start OUT STEP: in the background on the fake device, STEP seconds a step; until an epoch and a bit are done.
start() {
  MUSTER_FAKE_STEP=$2 muster run job.json out="$scratch/$1" cluster.device=fake >ran 2>&1 &
  pid=$!
  wait_until 120 steps_done "$1" 46
}

say "real training"
expect 0 'bundle' muster run job.json
check run/trials/lr-0.005_epochs-4 run/trials/lr-0.002_epochs-4

say "stopped and resumed"
start stopped 0.02
kill -TERM $pid
wait $pid || true
check stopped/trials/lr-0.005_epochs-4
cp stopped/trials/lr-0.005_epochs-4/events.out.tfevents.* stopped/trials/lr-0.005_epochs-4/events.out.tfevents.9999999999.left.over
printf 'torn' >>stopped/trials/lr-0.005_epochs-4/events.out.tfevents.9999999999.left.over
expect 0 'bundle' muster run job.json out="$scratch/stopped" cluster.device=fake
check stopped/trials/lr-*

say "its worker killed within an epoch: steps behind the checkpoint are done again"
start killed 0.02
pkill -9 -n -f "muster-worker.*$scratch/killed" || true
wait $pid || fail "the run ended with $? after its worker's death"
grep -q '"group_died"' killed/events.jsonl || fail "no worker was killed"
check killed/trials/lr-*

say "a directory that takes no event file is said by name"
start blocked 0.05
kill -TERM $pid
wait $pid || true
mkdir -p blocked/trials/lr-0.005_epochs-4/tensorboard.new/in_the_way
expect 1 'tensorboard.new' muster run job.json out="$scratch/blocked" cluster.device=fake sweep=null
