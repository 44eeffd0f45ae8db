#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Whole runs on emulated GPUs: ranks that are killed or fall silent in a sum by NCCL, GPUs that are lost, the network that fails. Each is named with host, rank, step and
# operation, and the trial goes on elsewhere and ends in the same bytes.
#
# usage: test_ranks.sh MUSTER-WORKER    with the emulated GPU and the double of NCCL
. "$(dirname "$0")/../system/common.sh"
. "$MUSTER_SOURCE/tests/gpu/gpu.sh"
take_gpus "$1"
export MUSTER_EMULATED_GPUS="count=2" MUSTER_EMULATED_ONCE=$scratch/once
host=$(hostname)
python3 "$MUSTER_SOURCE/tests/system/tiny.py" "$scratch" 24 8
set_key job.json report '{"baseline": false}'
set_key job.json cluster '{"threads": 1, "device": "cuda", "ranks_per_group": 2, "heartbeat_timeout": 5}'
set_key job.json train.epochs 1
set_key job.json train.batch 4
set_key job.json train.checkpoint_every '"1 step"'
cp job.json sweep.json
set_key job.json sweep DELETE
set_key sweep.json sweep '{"lr": [2e-3, 5e-3]}'
set_key sweep.json cluster.ranks_per_group 1
set_key sweep.json cluster.groups 2

same() { # AS OUT
  same_bytes "$1/bundle/model.safetensors" "$2/bundle/model.safetensors"
  same_bytes "$1/table.md" "$2/table.md"
  same_bytes "$1/results.h5" "$2/results.h5"
}
# faulty OUT PATTERN NAME=VALUE...: a run with this in its environment in which one group dies, which is told so, ends well and in the same bytes.
faulty() {
  local out=$1 pattern=$2 job=${job:-job.json} as=${as:-whole}
  shift 2
  rm -f once
  expect -e 0 "$pattern" env "$@" muster run "$job" out="$scratch/$out"
  [ "$(grep -c '"group_died"' "$out/events.jsonl")" = 1 ] || fail "$out: one group was to die: $(grep '"group_died"' "$out/events.jsonl")"
  same "$as" "$out"
}

say "one GPU and two: the same bytes"
expect 0 '' muster run job.json out="$scratch/whole" cluster.ranks_per_group=1
expect -e 0 'NCCL 2.28.9: 2 ranks, ordered sums; .*NCCL_NVLS_ENABLE=0' muster run job.json out="$scratch/two"
same whole two

say "a rank is killed"
faulty killed "^muster: warning: worker group .*: host $host, rank 1, step [12], " MUSTER_FAULT="kill rank=1 step=2 op=backward"

say "a rank hangs in the all-to-all; one that does not come back from a call of NCCL; NCCL loses a peer"
waited="step [0-9]+ of epoch 1: all_reduce: rank 0 \($host\) waited for NCCL in vain"
faulty hangs "^muster: warning: worker group .*: host $host, .*($waited, and no rank is behind: look at the network|step [0-9]+ of epoch 1: .*rank 0 \($host\) received nothing from rank 1 \($host\) for 20 s)" MUSTER_EMULATED_NCCL="hang data 1 35"
grep -q 'resuming at step [1-9]' said || fail "the trial has begun again at its start"
faulty blocks "^muster: warning: worker group .*: host $host, .*$waited: rank 1 \($host\) does not answer; look at that host" MUSTER_EMULATED_NCCL="block ncclSend 1 35"
faulty network "^muster: warning: worker group .*: step [0-9]+ of epoch 1: all_reduce: rank 1 \($host\): .*remote process exited or there was a network error" MUSTER_EMULATED_NCCL="remote data 1 35"

say "a GPU is lost: that of a rank of two, and one group's of two"
lost="cuda: .*: uncorrectable ECC error encountered, on GPU-[0-9a-f-]+"
faulty lost_rank "^muster: warning: .*$lost" MUSTER_EMULATED_LOST=500
expect 0 '' muster run sweep.json out="$scratch/sweep"
job=sweep.json as=sweep faulty lost_group "^muster: warning: worker group .*: host $host, rank 0, .*step [0-9]+ of epoch 1: rank 0 \($host\): $lost; look at nvidia-smi and the kernel's log" MUSTER_EMULATED_LOST=900

say "ranks that would share a GPU, in a group and across groups; GPUs of two kinds in a group"
expect 2 "rank 1: $host, cores .*, GPU-[0-9a-f-]+: rank 0 has this GPU; each rank needs one of its own: lower cluster.ranks_per_group" \
  env MUSTER_EMULATED_GPUS="count=2 same=1" muster run job.json out="$scratch/shared"
expect 2 "rank 0: $host, cores .*: worker group [12]-[0-9a-f]+ has this GPU; each rank needs one of its own: lower cluster.groups" \
  env MUSTER_EMULATED_GPUS="count=2 same=1" muster run sweep.json out="$scratch/shared_by_groups"
expect 2 "rank 0 \($host\) is on a GPU \"emulated GPU a\" and rank 1 \($host\) on a \"emulated GPU b\"" env MUSTER_EMULATED_KINDS=ab muster run job.json out="$scratch/kinds"

say "what a GPU cannot train is refused before step 1, with the key that lowers it; without one that is free, too"
mkdir wide
python3 "$MUSTER_SOURCE/tests/system/tiny.py" "$scratch/wide" 24 260
expect 2 "training takes [0-9.]+ GB of a GPU's memory, and cuda \(.*\) has [0-9.]+ GB free: .*; (lower train.micro_batch|train less of it)" \
  env MUSTER_EMULATED_GPUS="count=1 free=1" muster run wide/job.json cluster.device=cuda
set_key wide/model/config.json num_attention_heads 1
expect 2 "the model's attention has heads of 260, and cuda takes at most 256; set cluster.device to \"cpu\"" muster check wide/job.json out="$scratch/heads" cluster.device=cuda
expect 0 'memory a rank' muster check wide/job.json out="$scratch/heads" cluster.device=cpu

say "check starts one worker, which says what computes and what training takes of it"
mv bin/muster-worker bin/worker
printf '#!/bin/sh\necho "$1" >>%q\nexec %q "$@"\n' "$scratch/starts" "$scratch/bin/worker" >bin/muster-worker
chmod +x bin/muster-worker
expect 0 'memory a rank' muster check job.json cluster.device=auto
[ "$(cat starts)" = devices ] || fail "check started: $(paste -sd ' ' starts)"
mv bin/worker bin/muster-worker

say "predictions: on it as on the CPU"
expect 0 '' muster predict whole/bundle rows.jsonl --device cpu
mv out expected
expect 0 '' muster predict whole/bundle rows.jsonl --device cuda
python3 - expected out <<'PY' || fail "the GPU's predictions are not the CPU's"
import json, sys
cpu, cuda = ([json.loads(line) for line in open(path)] for path in sys.argv[1:])
assert len(cpu) == len(cuda) == 24, (len(cpu), len(cuda))
assert [row["id"] for row in cpu] == [row["id"] for row in cuda]
worst = max(abs(a - b) for x, y in zip(cpu, cuda) for a, b in zip(x["logits"], y["logits"]))
print(f"logits at most {worst:.2g} apart")
assert 0 < worst < 1e-5
PY
