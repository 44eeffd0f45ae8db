#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# One trial on two GPUs of this machine against the same on one: the same bytes, stopped on two and resumed on one too; and sums in any order,
# which end near them.
#
# usage: test_ranks.sh [MUSTER-WORKER]    with emulated GPUs (tests/emu); without: the programs in MUSTER_BIN, on this machine's GPUs
worker=${1:-}
. "$(dirname "$0")/../system/common.sh"
. "$MUSTER_SOURCE/tests/gpu/gpu.sh"
here=$MUSTER_SOURCE/tests/system
[ -z "$worker" ] || export MUSTER_EMULATED_GPUS=count=2
take_gpus "$worker"
muster doctor >out 2>&1 || :
grep -q 'GPU 1: ' out || skip "one GPU is visible, and two are needed"
python3 "$here/tiny.py" "$scratch" 40
set_key job.json sweep DELETE
set_key job.json report '{"baseline": false}'
set_key job.json cluster '{"threads": 1, "device": "cuda"}'
set_key job.json train.epochs 1
set_key job.json train.batch 8
set_key job.json train.micro_batch 4 # as two ranks deal them: the same sums

say "two GPUs train to the bytes of one"
two=cluster.ranks_per_group=2
expect 0 '' muster run job.json out="$scratch/one"
expect -e 0 "rank 1: .*GPU-" muster run job.json out="$scratch/two" $two
same_bytes one/bundle/model.safetensors two/bundle/model.safetensors

say "stopped on two, resumed on one"
expect 75 'run the same command again to resume' env MUSTER_FAULT="stop rank=1 step=2 op=backward" muster run job.json out="$scratch/stopped" $two
expect 0 '' muster run job.json out="$scratch/stopped"
same_bytes one/bundle/model.safetensors stopped/bundle/model.safetensors

say "a rank that dies: the trial goes on from its checkpoint"
expect 0 '' env MUSTER_FAULT="kill rank=1 step=3 op=all_reduce" muster run job.json out="$scratch/killed" train.checkpoint_every='"1 step"' $two
grep -q '"group_died"' killed/events.jsonl || fail "nobody died"
same_bytes one/bundle/model.safetensors killed/bundle/model.safetensors

say "sums in any order"
expect 0 '' muster run job.json out="$scratch/fast" cluster.reduction=fast $two
python3 - one/trials/*/metrics.jsonl fast/trials/*/metrics.jsonl <<'PY' || fail "losses are far from those of ordered sums"
import json, sys
one, fast = ([json.loads(line) for line in open(path)] for path in sys.argv[1:])
assert len(one) == len(fast) > 3, (len(one), len(fast))
worst = max(abs(a[key] - b[key]) for a, b in zip(one, fast) for key in ("loss", "grad_norm") if key in a)
print(f"losses and norms at most {worst:.2g} apart")
assert worst < 1e-4
PY
