#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Whole runs on a GPU, by the programs: cluster.device "cuda" takes it, learns what the CPU learns, and resumes to the same bytes. On an emulated GPU, instead:
# what can be wrong with one is told in one line.
#
# usage: test_runs.sh [MUSTER-WORKER]    with the emulated GPU (tests/emu); without: those in MUSTER_BIN, on this machine's first GPU
worker=${1:-}
. "$(dirname "$0")/../system/common.sh"
. "$MUSTER_SOURCE/tests/gpu/gpu.sh"
here=$MUSTER_SOURCE/tests/system
gpu='cuda \(.*, [0-9]+ GiB, GPU-[0-9a-f-]+\)'
take_gpus "$worker"
python3 "$here/tiny.py" "$scratch" 40
set_key job.json sweep DELETE
set_key job.json report '{"baseline": false}'
set_key job.json cluster '{"threads": 1, "device": "cuda"}'
set_key job.json train.epochs 2

say "the GPU, in doctor and check"
expect 0 'GPU +GPU 0: .*, [0-9.]+ GiB, compute capability [0-9.]+, .*GPU-' muster doctor
expect 0 "device: $gpu, [0-9.]+ GB free" muster check job.json
expect 0 "device: auto takes $gpu" muster check job.json cluster.device=auto

what_can_be_wrong() {
  say "what can be wrong with it, told alike by check, run and predict"
  wrong() { # CODE PATTERN GPUS [key=value ...]
    expect "$1" "$2" env MUSTER_EMULATED_GPUS="$3" muster check job.json out="$scratch/wrong" "${@:4}"
    expect "$1" "$2" env MUSTER_EMULATED_GPUS="$3" muster run job.json out="$scratch/wrong" "${@:4}"
  }
  wrong 1 'cluster.device cuda: host .* has no NVIDIA driver; ' driver=0
  wrong 1 'the driver of host .* knows only CUDA 12\.8, and this build needs 13\.0; install a newer driver' driver=12080
  wrong 1 'no GPU is visible on host .*ask SLURM for one' count=0
  wrong 1 'GPU 0 \(Emulated\): its compute mode is "prohibited"; set it by nvidia-smi -i GPU-' mode=2
  wrong 1 'does not start: CUDA-capable device.* it is exclusive to one process' 'mode=3 busy=1'
  wrong 1 'does not start: CUDA-capable device.* \(dmesg, Xid\)' busy=1
  wrong 2 '2 processes on host .*, which take a GPU each, and 1 GPU is visible; lower cluster.groups' count=1 cluster.groups=2
  wrong 2 'training takes .* of a GPU.s memory, and cuda .*; (lower train.micro_batch|train less of it)' memory=1
}
if [ -n "$worker" ]; then # whole runs are too slow there
  what_can_be_wrong
  exit 0
fi

say "a run on it learns what the CPU learns"
expect 0 '' muster run job.json out="$scratch/cpu" cluster.device=cpu
expect -e 0 "rank 0: .*, cores [0-9,-]+, GPU-[0-9a-f-]+, 1 thread, $gpu" muster run job.json out="$scratch/cuda"
python3 - cpu/trials/*/metrics.jsonl cuda/trials/*/metrics.jsonl <<'PY' || fail "the GPU's losses are not the CPU's"
import json, sys
cpu, cuda = ([json.loads(line) for line in open(path)] for path in sys.argv[1:])
assert len(cpu) == len(cuda) > 8, (len(cpu), len(cuda))
worst = max(abs(a[key] - b[key]) for a, b in zip(cpu, cuda) for key in ("loss", "grad_norm") if key in a)
print(f"{len(cpu)} lines, losses and norms at most {worst:.2g} apart")
assert 0 < worst < 1e-4
PY

say "stopped or killed and resumed: the same bytes"
same_as_whole() {
  same_bytes cuda/bundle/model.safetensors "$1/bundle/model.safetensors"
  same_bytes cuda/table.md "$1/table.md"
}
expect 75 'run the same command again to resume' env MUSTER_FAULT="stop rank=0 step=5 op=backward" muster run job.json out="$scratch/stopped"
expect 0 '' muster run job.json out="$scratch/stopped"
same_as_whole stopped
expect 0 '' env MUSTER_FAULT="kill rank=0 step=6 op=backward" muster run job.json out="$scratch/killed" train.checkpoint_every='"2 steps"'
grep -q '"group_died"' killed/events.jsonl || fail "nobody died"
same_as_whole killed

say "predictions: on it as on the CPU"
expect 0 '' muster predict cuda/bundle rows.jsonl --device cpu
mv out expected
expect 0 '' muster predict cuda/bundle rows.jsonl --device cuda
cut -f 1,2 out | cmp - <(cut -f 1,2 expected) || fail "other labels"
