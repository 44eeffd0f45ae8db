#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# This machine's first GPU: time and rate of each operation of a layer, then whole steps and inference against PyTorch on the same GPU and rows:
# Hugging Face Trainer (bf16, sdpa), a bare loop with fused AdamW on padded rows, and one on rows back to back with flash attention. BERT-base and
# MiniLM, 128, 256 and 512 tokens, real lengths and full ones, 16,384 tokens a step. Markdown for bench/LOG.md.
#
#     bench/gpu.sh [WORD ...]          words as compare.sh's, such as: train base 256 full packed
#
# Environment: as compare.sh's; BUILD is build/cuda unless said, with the target bench_kernels, or the folder bin/ that tools/portable.sh made.
# Where there is no GPU, or its Python has no PyTorch with CUDA, it says so in one line (exit code 77, or our side alone).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
if [ -f "$root/env.sh" ]; then . "$root/env.sh"; fi
if [ -d "$root/bin" ]; then default=$root/bin; else default=$root/build/cuda; fi
export BUILD=${BUILD:-$default} PYTHON=${PYTHON:-python3} DEVICE=${DEVICE:-cuda} CASES=cuda STEPS=${STEPS:-50} WARM=${WARM:-10}
[ -x "$BUILD/muster-worker" ] || { echo "gpu.sh: $BUILD/muster-worker is not there; build first: cmake --preset cuda && cmake --build --preset cuda" >&2; exit 2; }
if [ "$DEVICE" = cuda ] && ! said=$("$BUILD/muster-worker" devices --device cuda 2>&1); then
  echo "skipped: no GPU to be had: ${said##*muster-worker: }"
  exit 77
fi
"$BUILD/muster" doctor 2>/dev/null | grep -E '^ *GPU' || true

kernels=$BUILD/bench_kernels
[ -x "$kernels" ] || kernels=$BUILD/bench/bench_kernels
if [ -x "$kernels" ]; then "$kernels" --device "$DEVICE" bf16; else echo "skipped: the operations alone: $kernels is not built"; fi
if [ "$DEVICE" = cuda ] && ! "$PYTHON" -c 'import sys, torch, transformers; sys.exit(not torch.cuda.is_available())' 2>/dev/null; then
  echo "skipped: PyTorch beside it: $PYTHON has none with CUDA, or no transformers"
  export ALONE=1
fi
exec "$here/compare.sh" "$@"
