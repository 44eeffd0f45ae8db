#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Everything that must hold: builds with sanitizers, runs all tests; then the threaded parts under ThreadSanitizer, and a bounded
# minute of fuzzing. `bash test.sh quick` stops after the first part.
set -euo pipefail
cd "$(dirname "$0")"
. tools/install.sh
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1

need_packages "${BUILD_PACKAGES[@]}" libcmocka-dev python3 python3-venv python3-pip python3-numpy python3-h5py python3-torch \
  clang libclang-rt-14-dev libomp-dev unzip ca-certificates mandoc lintian dpkg-dev file binutils gnuplot-nox chromium iproute2 slurm-wlm munge

# Real weights and the Python that checks our files from outside; a test that cannot have them says so and is skipped.
mkdir -p runs
fetch_model runs/minilm
export MUSTER_MINILM=$PWD/runs/minilm
if ! runs/python/bin/python -c "import transformers, tensorboard, jsonschema" 2>/dev/null; then
  rm -rf runs/python.new
  /usr/bin/python3 -m venv --system-site-packages runs/python.new
  runs/python.new/bin/pip install -q --disable-pip-version-check transformers==4.30.2 tensorboard==2.21.0 jsonschema==4.23.0
  rm -rf runs/python && mv runs/python.new runs/python
fi
export PYTHON=$PWD/runs/python/bin/python

echo "== build with sanitizers, all tests"
cmake --preset dev >/dev/null
cmake --build --preset dev -- --quiet
ctest --test-dir build/dev --output-on-failure -j 2
[ "${1:-}" = quick ] && exit 0

echo "== threaded parts under ThreadSanitizer"
cmake --preset tsan >/dev/null
cmake --build --preset tsan --target threads -- --quiet
ctest --test-dir build/tsan --output-on-failure -L threads

echo "== fuzzing, a bounded minute"
cmake --preset fuzz >/dev/null
cmake --build --preset fuzz --target fuzzers -- --quiet
fuzzers=(build/fuzz/tests/fuzz/fuzz_*)
for fuzzer in "${fuzzers[@]}"; do
  [ -x "$fuzzer" ] && [ -f "$fuzzer" ] || continue
  name=$(basename "$fuzzer") && mkdir -p "runs/fuzz/$name"
  # whoever finds the door may knock: a million messages, whatever time that takes; the others share a minute
  [ "$name" = fuzz_message ] && bound=-runs=1000000 || bound=-max_total_time=$((60 / ${#fuzzers[@]} + 1))
  "$fuzzer" "$bound" -artifact_prefix=runs/fuzz/ "runs/fuzz/$name" >"runs/fuzz/$name.log" 2>&1 ||
    { tail -60 "runs/fuzz/$name.log" >&2; echo "$name found a failure: runs/fuzz/$name.log" >&2; exit 1; }
  echo "$name: $(grep -oE 'Done [0-9]+ runs' "runs/fuzz/$name.log")"
done
