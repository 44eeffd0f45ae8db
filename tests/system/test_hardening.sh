#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Programs of a release build are hardened: what `readelf` says of them. Sanitizer builds have other means.
. "$(dirname "$0")/common.sh"
bin=${MUSTER_BIN:-$MUSTER_SOURCE/build/dev}
if readelf --dyn-syms -W "$bin/muster" | grep -q '__asan_init\|__tsan_init\|__ubsan_handle'; then
  say "a build with sanitizers: the two programs are built once more, without"
  release=$MUSTER_SOURCE/build/release
  CMAKE_BUILD_PARALLEL_LEVEL=2 cmake -S "$MUSTER_SOURCE" -B "$release" -G Ninja -DCMAKE_BUILD_TYPE=Release >/dev/null
  cmake --build "$release" -t muster muster-worker -- --quiet
  bin=$release
fi
for program in muster muster-worker; do
  readelf -hW "$bin/$program" | grep -qE 'Type: +DYN' || fail "$program is not position-independent"
  readelf -dW "$bin/$program" | grep -qE '\(FLAGS_1\).*PIE' || fail "$program is no PIE"
  readelf -dW "$bin/$program" | grep -qE '\(FLAGS(_1)?\).*NOW' || fail "$program is not bound at start (-z now)"
  readelf -lW "$bin/$program" | grep -q 'GNU_RELRO' || fail "$program has no read-only relocations (-z relro)"
  readelf -lW "$bin/$program" | grep 'GNU_STACK' | grep -q ' RW ' || fail "$program has an executable stack"
  symbols=$(readelf --dyn-syms -W "$bin/$program")
  grep -q '__stack_chk_fail' <<<"$symbols" || fail "$program has no stack protector"
  grep -qE '__(v?snprintf|v?fprintf|memcpy|printf)_chk' <<<"$symbols" || fail "$program has no FORTIFY_SOURCE"
  ! readelf -dW "$bin/$program" | grep -q 'TEXTREL' || fail "$program has text relocations"
done
