#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# NVIDIA's compute-sanitizer over every kernel of the operations' suite, on shapes that take tensor cores and on tails: memory out of bounds or
# not aligned, threads that race in shared memory, barriers that not all threads come to. Run by test.sh gpu, after test_gpu.
. "$(dirname "$0")/../system/common.sh"
. "$MUSTER_SOURCE/tests/gpu/gpu.sh"
cd "$MUSTER_SOURCE"
command -v test_gpu >/dev/null || skip "this build has no CUDA"
take_gpus
sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null) ||
  skip "compute-sanitizer is not in PATH nor in /usr/local/cuda/bin"
for tool in memcheck racecheck synccheck; do
  say "$tool"
  MUSTER_TEST_SHORT=1 "$sanitizer" --tool $tool --error-exitcode 9 test_gpu operations >"$scratch/out" 2>&1 ||
    fail "$tool: $(grep -m 1 -E '=========.*(Invalid|Race|Barrier|ERROR SUMMARY)' "$scratch/out" || tail -1 "$scratch/out")"
  grep -E '^=+ (ERROR|RACECHECK) SUMMARY' "$scratch/out" || fail "$tool: it has not said what it found"
done
