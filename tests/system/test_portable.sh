#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tools/portable.sh: a folder that takes nothing of this machine but glibc; two ranks of it train to the bits of the build it was made of.
. "$(dirname "$0")/common.sh"
command -v patchelf >/dev/null || skip "patchelf is not installed"
build=${MUSTER_BIN:-$MUSTER_SOURCE/build/dev}
python3 "$here/tiny.py" "$scratch" 60
bash "$MUSTER_SOURCE/tools/portable.sh" -b "$build" "$scratch/portable.tar.gz" >made 2>&1 || fail "portable.sh: $(tail -1 made)"
tar -C "$scratch" -xzf portable.tar.gz && mv muster elsewhere
portable=$scratch/elsewhere

# Every library of every program and plugin lies in the folder.
outside=$(find "$portable" -type f \( -name '*.so*' -o -path '*/bin/*' \) -exec ldd {} \; 2>/dev/null | awk '$2 == "=>" { print $1, $3 }' | sort -u |
  grep -Ev "^[^ ]+ $portable/|^(libc|libm|libdl|libpthread|librt|libresolv)\.so|libcuda|libcublas|libnccl" || true)
[ -z "$outside" ] || fail "libraries of this machine: $outside"

muster train job.json train.epochs=1 sweep=null cluster.ranks_per_group=2 out=here >here.log 2>&1 || fail "the build: $(tail -1 here.log)"
env -i HOME="$HOME" PATH=/usr/bin:/bin OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 ASAN_OPTIONS="${ASAN_OPTIONS:-}" \
  "$portable/muster" train job.json train.epochs=1 sweep=null cluster.ranks_per_group=2 out=there >there.log 2>&1 || fail "the folder: $(tail -1 there.log)"
for file in here/trials/*/*.safetensors; do
  cmp "$file" "there${file#here}" || fail "other bits: $file"
done
ls here/trials/*/*.safetensors >/dev/null || fail "no weights to compare"

# Tests lie in it, and say what they miss here.
MUSTER_BIN='' bash "$portable/test.sh" gpu >tested 2>&1 || : # nothing passed: no success
grep -qE '^skipped gpu/test_runs: no GPU to be had: cluster.device|^1 passed, 0 failed' tested || fail "test.sh gpu in the folder: $(tail -3 tested)"

# refused CODE PATTERN ARGUMENTS...: in one line.
refused() {
  local code=$1 pattern=$2 found=0
  shift 2
  bash "$MUSTER_SOURCE/tools/portable.sh" "$@" >said 2>&1 || found=$?
  [ "$found" = "$code" ] && [ "$(wc -l <said)" = 1 ] && grep -q "$pattern" said || fail "portable.sh $*: $found"
}
refused 3 'portable.sh: .*is there; remove it' -b "$build" "$portable"
refused 3 'portable.sh: .*has no muster-worker; build it first' -b "$scratch" "$scratch/new"
refused 2 '^usage: '
