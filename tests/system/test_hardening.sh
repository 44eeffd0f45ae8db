#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Programs of a release build are hardened: what `readelf` says of them. Sanitizer builds have other means.
. "$(dirname "$0")/common.sh"
bin=${MUSTER_BIN:-$MUSTER_SOURCE/build/dev}
readelf --dyn-syms -W "$bin/muster" >symbols
if grep -q '__asan_init\|__tsan_init' symbols; then
  say "a build with sanitizers: the programs are built once more, without, as they are packed (test_package uses them too)"
  bin=$MUSTER_SOURCE/build/package
  cmake -S "$MUSTER_SOURCE" -B "$bin" -G Ninja -DCMAKE_BUILD_TYPE=Release -DMUSTER_TESTS=OFF -DMUSTER_WERROR=ON >/dev/null
  cmake --build "$bin" -- --quiet
fi
for program in muster muster-worker; do
  readelf -hldW "$bin/$program" >elf
  readelf --dyn-syms -W "$bin/$program" >symbols
  grep -qE 'Type: +DYN' elf || fail "$program is not position-independent"
  grep -qE '\(FLAGS_1\).*PIE' elf || fail "$program is no PIE"
  grep -qE '\(FLAGS(_1)?\).*NOW' elf || fail "$program is not bound at start (-z now)"
  grep -q 'GNU_RELRO' elf || fail "$program has no read-only relocations (-z relro)"
  grep -qE 'GNU_STACK.* RW ' elf || fail "$program has an executable stack"
  ! grep -q 'TEXTREL' elf || fail "$program has text relocations"
  grep -q '__stack_chk_fail' symbols || fail "$program has no stack protector"
  grep -qE '__(v?snprintf|v?fprintf|memcpy|printf)_chk' symbols || fail "$program has no FORTIFY_SOURCE"
done
