# SPDX-License-Identifier: Apache-2.0
# Sourced by the system tests: a scratch directory that goes away, the programs under test, and words for what is expected.
set -euo pipefail
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMP_WAIT_POLICY=passive
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export MUSTER_SOURCE=${MUSTER_SOURCE:-$(cd "$here/../.." && pwd)}
export PATH=${MUSTER_BIN:-$MUSTER_SOURCE/build/dev}:$PATH
scratch=$(mktemp -d)
# What a sanitizer finds in any process goes into files: the test fails in the end, whoever the process was a child of.
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}log_path=$scratch/sanitizer:print_cmdline=1 TSAN_OPTIONS=${TSAN_OPTIONS:+$TSAN_OPTIONS:}log_path=$scratch/sanitizer
cd "$scratch"

say() { echo "--- $*"; }
fail() {
  echo "FAILED: $*" >&2
  for file in out said ran; do [ ! -s "$scratch/$file" ] || { echo "-- the end of $file:"; tail -30 "$scratch/$file"; } >&2; done
  exit 1
}
# What cannot be tried here is said; test.sh counts these lines. `skip` ends the test.
skipped() { echo "skipped: $*"; }
skip() { skipped "$@"; exit 77; }

# At the end of a test, whatever its end: clean_up (of the test, if it has one), sanitizers' reports, the scratch directory.
end_test() {
  local code=$?
  trap - EXIT
  set +e
  if declare -F clean_up >/dev/null; then clean_up; fi
  if compgen -G "$scratch/sanitizer.*" >/dev/null; then
    head -60 "$scratch"/sanitizer.* >&2
    echo "FAILED: a sanitizer found something" >&2
    code=1
  fi
  cd /
  rm -rf "$scratch"
  exit $code
}
trap end_test EXIT

# expect [-o|-e] CODE PATTERN COMMAND...: the exit code (a regular expression), and an extended regular expression that one line must match.
# Results go to standard output: where the command succeeds, or with -o, a line of it must match. An error is one line on standard error, the last
# one, beginning with the program's name (launchers say more behind it): where the command fails that line must match. -e: any line of standard error,
# for progress and warnings. `out` and `said` are what came on the two.
expect() {
  local where='' code found=0 pattern line
  case $1 in -o | -e) where=$1; shift ;; esac
  code=$1 pattern=$2
  shift 2
  "$@" >"$scratch/out" 2>"$scratch/said" || found=$?
  [[ $found =~ ^$code$ ]] || fail "'$*' ended with $found, expected $code"
  [ -n "$pattern" ] || return 0
  [ -n "$where" ] || [ "$found" != 0 ] || where=-o
  case $where in
    -o) grep -qE -- "$pattern" "$scratch/out" || fail "'$*' did not print '$pattern' on standard output" ;;
    -e) grep -qE -- "$pattern" "$scratch/said" || fail "'$*' did not print '$pattern' on standard error" ;;
    *)
      line=$(grep -E '^muster(-worker)?: ' "$scratch/said" | tail -n 1 || true)
      grep -qE -- "$pattern" <<<"$line" || fail "the error of '$*' does not say '$pattern': $line"
      case " $* " in
        *' mpirun '* | *' srun '* | *' salloc '*) ;;
        *) [ "$(tail -n 1 "$scratch/said")" = "$line" ] || fail "the error of '$*' is not the last line of standard error" ;;
      esac
      ;;
  esac
}

# wait_until SECONDS CONDITION...: a command that succeeds once what is waited for is there; the test fails if that never comes.
wait_until() {
  local seconds=$1 end=$((SECONDS + $1))
  shift
  until "$@"; do
    [ $SECONDS -lt $end ] || fail "waited for $seconds s: '$*' never came true"
    sleep 0.05
  done
}
# Conditions. steps_done RUN COUNT: so many lines of metrics, of all trials together. no_process PATTERN (of pgrep -f).
steps() { { cat "$1"/trials/*/metrics.jsonl 2>/dev/null || true; } | wc -l; }
steps_done() { [ "$(steps "$1")" -ge "$2" ]; }
no_process() { ! pgrep -f "$1" >/dev/null; }

# ... | has REGEX: grep -q that reads all of its input: under pipefail, one that stops at the first match can fail the writer before it.
has() { [ "$(grep -cE -- "$1")" -gt 0 ]; }

same_bytes() { cmp "$1" "$2" || fail "$1 and $2 differ"; }

# set_key FILE key.path JSON: edits a job file.
set_key() {
  python3 - "$@" <<'PY'
import json, sys
path, key, value = sys.argv[1:]
job = at = json.load(open(path))
*parents, last = key.split(".")
for parent in parents:
    at = at.setdefault(parent, {})
if value == "DELETE":
    at.pop(last, None)
else:
    at[last] = json.loads(value)
json.dump(job, open(path, "w"), indent=2)
PY
}
