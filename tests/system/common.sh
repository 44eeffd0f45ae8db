# SPDX-License-Identifier: Apache-2.0
# Sourced by the system tests: a scratch directory that goes away, the programs under test, and words for what is expected.
set -euo pipefail
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMP_WAIT_POLICY=passive
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export MUSTER_SOURCE=${MUSTER_SOURCE:-$(cd "$here/../.." && pwd)}
export PATH=${MUSTER_BIN:-$MUSTER_SOURCE/build/dev}:$PATH
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"

say() { echo "--- $*"; }
fail() { echo "FAILED: $*" >&2; [ -f "$scratch/said" ] && tail -40 "$scratch/said" >&2; exit 1; }

# expect CODE WORDS COMMAND...: the exit code, and an extended regular expression that one line of the output must match. An error is one line.
expect() {
  local code=$1 words=$2 found=0
  shift 2
  "$@" >"$scratch/out" 2>"$scratch/said" || found=$?
  cat "$scratch/out" >>"$scratch/said"
  [[ $found =~ ^$code$ ]] || fail "'$*' ended with $found, expected $code"
  grep -qE "$words" "$scratch/said" || fail "'$*' did not say '$words'"
}

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
