# SPDX-License-Identifier: Apache-2.0
# Sourced by the tests of runs on GPUs, behind tests/system/common.sh. take_gpus [MUSTER-WORKER]: with it the programs are those under test and this worker,
# with emulated GPUs (tests/emu) that are all seen; without it they are those in MUSTER_BIN, on this machine's GPUs; none to be had: the test is skipped.
take_gpus() {
  if [ -n "${1:-}" ]; then
    mkdir bin
    cp "$(command -v muster)" bin/muster
    cp "$1" bin/muster-worker
    PATH=$scratch/bin:$PATH
    unset CUDA_VISIBLE_DEVICES SLURM_LOCALID OMPI_COMM_WORLD_LOCAL_RANK
  elif ! muster-worker devices --device cuda >"$scratch/out" 2>&1; then
    skip "no GPU to be had: $(sed -n 's/^muster-worker: //p' "$scratch/out" | tail -1)"
  fi
}
