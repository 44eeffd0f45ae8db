#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `cpack -G DEB`: a package without errors by lintian, which works once it is unpacked. (Its dependencies are those that
# dpkg-shlibdeps finds.)
. "$(dirname "$0")/common.sh"
for tool in cpack dpkg-shlibdeps dpkg-deb lintian; do
  command -v $tool >/dev/null || skip "$tool is missing"
done
bin=${MUSTER_BIN:-$MUSTER_SOURCE/build/dev}
readelf --dyn-syms -W "$bin/muster" >symbols
if grep -q '__asan_init\|__tsan_init' symbols; then bin=$MUSTER_SOURCE/build/package; fi
[ -x "$bin/muster-worker" ] && [ -f "$bin/reference/muster.1" ] || fail "no release build in $bin: test_hardening makes it"
version=$(sed -nE 's/^project\(muster VERSION ([0-9.]+) .*/\1/p' "$MUSTER_SOURCE/CMakeLists.txt")

say "the package"
cpack -G DEB --config "$bin/CPackConfig.cmake" -B "$scratch/packed" >cpack.log 2>&1 || { tail -20 cpack.log; fail "cpack"; }
package=$(echo packed/muster_"$version"-1_*.deb)
[ -f "$package" ] || fail "no package of version $version: $(ls packed)"
dpkg-deb -f "$package" Depends >depends
for library in libc6 libhdf5-103-1 libzmq5 libdnnl2 libopenmpi3 openmpi-bin; do
  grep -qE "(^|, )$library( |,|$)" depends || fail "the package does not depend on $library: $(cat depends)"
done
lintian --fail-on error "$package" >lint 2>&1 || { cat lint; fail "lintian finds errors"; }
cat lint

say "unpacked, it trains"
dpkg-deb -x "$package" root
PATH=$(tr : '\n' <<<"$PATH" | while read -r directory; do [ -e "$directory/muster" ] || printf '%s:' "$directory"; done)
python3 "$here/tiny.py" "$scratch" 60
expect 0 "^muster $version" root/usr/bin/muster --version
expect 0 'lr-0.005_epochs-1|F1|f1' root/usr/bin/muster train job.json train.epochs=1
[ -f root/usr/share/man/man1/muster-run.1.gz ] || fail "no manual page in the package"
[ -f root/usr/share/bash-completion/completions/muster ] || fail "no completion in the package"
