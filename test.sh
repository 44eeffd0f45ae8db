#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Everything that must hold: builds with sanitizers and runs all tests; lint; the threaded parts under ThreadSanitizer; a bounded minute of fuzzing.
# All parts run, whatever fails. It ends with the counts of what passed, failed and was skipped; CI=true: a skip that tests/skips.txt does not
# allow is a failure.
#
# usage: bash test.sh [quick | coverage | gpu]    quick: the first part alone; coverage: the tests with gcov, and the lines they reach by directory; gpu: on this machine's GPU
set -uo pipefail
cd "$(dirname "$0")"
. tools/install.sh
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
mode=${1:-all}
case $mode in all | quick | coverage | gpu) ;; *) sed -n '7s/^# //p' "$0" >&2; exit 2 ;; esac

mkdir -p runs
results=runs/test-results
rm -rf $results && mkdir $results
# record passed|failed|skipped NAME SECONDS [REASON]
record() { printf '%s\t%s\t%s\t%s\n' "$@" >>$results/parts.tsv; }
: >$results/parts.tsv
# step NAME COMMAND...: one result; exit 77: skipped, the last line says why.
step() {
  local name=$1 code=0 start=$SECONDS
  shift
  "$@" 2>&1 | tee $results/step.log || code=$?
  case $code in
    0) record passed "$name" $((SECONDS - start)) ;;
    77) record skipped "$name" $((SECONDS - start)) "$(tail -1 $results/step.log | sed 's/^skipped: //')" ;;
    *) record failed "$name" $((SECONDS - start)) ;;
  esac
  return $code
}
# build PRESET TARGET...: a failure is a result, a success is not.
build() {
  local preset=$1 start=$SECONDS
  shift
  if cmake --preset "$preset" >/dev/null && cmake --build --preset "$preset" ${1:+--target "$@"} -- --quiet; then return; fi
  record failed "build $preset" $((SECONDS - start))
  return 1
}
# run_ctest PRESET ARGUMENTS...: each test is a result.
run_ctest() {
  local preset=$1
  shift
  ctest --test-dir "build/$preset" --output-on-failure --test-output-size-passed 1000000 --output-junit "$PWD/$results/$preset.xml" "$@" ||
    [ -s "$results/$preset.xml" ] || record failed "ctest $preset" 0
}
summarize() {
  python3 tests/summary.py $results/parts.tsv $(ls $results/*.xml 2>/dev/null)
  exit
}

# A run on the first GPU; where there is none, it says so in one line.
run_cuda() {
  local folder code=0 pattern='^muster: cluster\.device cuda: (host .* has no NVIDIA driver|the driver of host|no GPU is visible)'
  folder=$(mktemp -d)
  python3 tests/system/tiny.py "$folder" 60 || return
  build/cuda/muster run "$folder/job.json" cluster.device=cuda sweep=null >"$folder/log" 2>&1 || code=$?
  if build/cuda/muster doctor | grep -q 'GPU 0: '; then [ $code = 0 ]; else [ $code = 1 ] && tail -1 "$folder/log" | grep -E "$pattern"; fi || { tail -5 "$folder/log"; return 1; }
  rm -rf "$folder"
}
build_cuda() {
  local root=()
  need_packages "${BUILD_PACKAGES[@]}" g++ libcmocka-dev python3
  command -v nvcc >/dev/null || [ -x /usr/local/cuda/bin/nvcc ] || { bash tools/cuda.sh runs/cuda && root=(-D MUSTER_CUDA_ROOT=runs/cuda); } || return
  cmake --preset cuda -D MUSTER_WERROR=ON "${root[@]}" >/dev/null && cmake --build --preset cuda --target muster muster-worker muster-listen test_gpu bench_kernels -- --quiet &&
    build/cuda/muster doctor | grep -E '^  GPU +(CUDA|NCCL) [0-9]' && run_cuda
}
# A suite of test_gpu, from the root: golden files lie below it.
on_gpu() {
  [ -x "$MUSTER_BIN/test_gpu" ] || { echo "skipped: this build has no CUDA"; return 77; }
  "$MUSTER_BIN/test_gpu" "$1"
}
# The build with CUDA on this machine's GPU; where there is none, the tests that need it say so and are skipped.
if [ "$mode" = gpu ]; then
  echo "== on the GPU"
  if [ -f env.sh ]; then # a folder that tools/portable.sh made: nothing is built
    . ./env.sh
    export MUSTER_BIN=$PWD/bin
  else
    export MUSTER_BIN=$PWD/build/cuda
    step build/cuda build_cuda || summarize
  fi
  export MUSTER_SOURCE=$PWD
  for suite in operations dropout loss golden differences steps; do step "gpu/$suite" on_gpu $suite; done
  for script in runs ranks sanitizer; do step gpu/test_$script bash tests/gpu/test_$script.sh; done
  summarize
fi

# Real weights and the Python that checks our files from outside. Offline, the tests that need them say so and are skipped.
prepare() {
  need_packages "${BUILD_PACKAGES[@]}" ccache g++ libcmocka-dev python3 python3-venv python3-pip python3-numpy python3-h5py python3-torch \
    clang clang-tidy cppcheck libclang-rt-14-dev libomp-dev unzip zstd ca-certificates mandoc lintian dpkg-dev file binutils gnuplot-nox chromium iproute2 slurm-wlm munge systemd curl procps patchelf
  fetch_model runs/minilm
  fetch_e5 runs/e5
  if ! runs/api/bin/python -c "import schemathesis, openapi_spec_validator, prometheus_client, kubernetes_validate" 2>/dev/null; then
    rm -rf runs/api && /usr/bin/python3 -m venv runs/api
    runs/api/bin/pip install -q --disable-pip-version-check schemathesis==4.32.5 openapi-spec-validator==0.9.0 prometheus_client==0.26.0 kubernetes-validate==1.37.0
  fi
  if runs/python/bin/python -c "import transformers, tensorboard, jsonschema, peft" 2>/dev/null; then return; fi
  rm -rf runs/python.new
  /usr/bin/python3 -m venv --system-site-packages runs/python.new
  runs/python.new/bin/pip install -q --disable-pip-version-check transformers==4.30.2 tensorboard==2.21.0 jsonschema==4.23.0 psutil==6.1.1
  # peft wants torch >= 1.13, which Debian's 1.13.0a0 is not to pip: with dependencies, it would bring another torch.
  runs/python.new/bin/pip install -q --disable-pip-version-check --no-deps peft==0.4.0 accelerate==0.21.0
  rm -rf runs/python && mv runs/python.new runs/python
}
(set -e; prepare)
[ $? = 0 ] || record failed install 0 # what needs nothing of it is tested all the same
use_ccache
export MUSTER_MINILM=$PWD/runs/minilm MUSTER_E5=$PWD/runs/e5 PYTHON=$PWD/runs/python/bin/python

if [ "$mode" = coverage ]; then
  echo "== coverage"
  find build/coverage -name '*.gcda' -delete 2>/dev/null
  export GCOV_ERROR_FILE=$PWD/$results/gcov.log # not the programs' standard error, which tests compare
  build coverage && run_ctest coverage -j 2 && python3 tools/coverage.py build/coverage
  summarize
fi

echo "== build with sanitizers, all tests"
build dev && run_ctest dev -j 2
[ "$mode" = quick ] && summarize

if [ -f tools/lint.sh ]; then
  echo "== lint"
  step lint bash tools/lint.sh
fi

echo "== threaded parts under ThreadSanitizer"
build tsan threads && run_ctest tsan -L threads

echo "== the build with CUDA"
step build/cuda build_cuda

echo "== everything by a second compiler, clang; fuzzing, a bounded minute"
if build fuzz; then
  fuzzers=(tests/fuzz/fuzz_*.c)
  for fuzzer in "${fuzzers[@]}"; do
    name=$(basename "$fuzzer" .c)
    step "fuzz/$name" bash tests/fuzz/run.sh "$name" $((60 / ${#fuzzers[@]} + 1))
  done
fi
summarize
