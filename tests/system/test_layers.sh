#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The rules that no compiler knows. Who may include whom is checked by the build itself (cmake/check_includes.cmake); here, that this
# check finds a breach. Then: every third-party header has one owner a program, no function is too long, no name
# is defined twice, and no two object files need each other.
set -euo pipefail
cd "${MUSTER_SOURCE:-$(dirname "$0")/../..}"
build=${MUSTER_BIN:-build/dev}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bad=0
complain() { echo "$*"; bad=1; }

# ---- includes: the check that the build runs ----
mkdir -p "$work/cluster"
cat > "$work/room.cmake" <<EOF
set(NAME cluster)
set(ROOT $work)
set(STAMP $work/stamp)
set(ROOMS common/base;proto;cluster)
set(ALLOWED common/base;cluster)
set(DIRECT common/base)
set(SOURCES cluster/a.c)
EOF
check_includes() { cmake -D ROOM="$work/room.cmake" -P cmake/check_includes.cmake > "$work/output" 2>&1; }
printf '#include "common/base/error.h"\n#include <stdio.h>\n' > "$work/cluster/a.c"
check_includes || complain "the check of includes refuses what is allowed: $(cat "$work/output")"
printf '  # include "proto/message.h" /* a breach */\n' >> "$work/cluster/a.c"
! check_includes || complain "the check of includes does not find a header of a room that is not linked"
grep -q 'cluster/a.c includes "proto/message.h", but cluster does not link the room proto' "$work/output" ||
  complain "the check of includes does not name the breach: $(cat "$work/output")"
printf '#include "cluster/a.h"\n' > "$work/cluster/a.c"
! check_includes || complain "the check of includes does not find a room that is linked and not used"

# ---- owner HEADER REGEX-of-allowed-files ----
owner() {
  local found
  found=$(grep -rlE "^#include <$1>" common proto coordinator worker cluster | grep -vE "$2" || true)
  [ -z "$found" ] || complain "<$1> belongs to $2, but is included by: $found"
}
owner 'cjson/cJSON.h' '^common/json/json\.c$'
owner 'hdf5(_hl)?.h' '^common/format/results[a-z_]*\.[ch]$'
owner 'mpi.h' '^worker/comm/mpi\.c$'
owner 'openssl/[a-z]+.h' '^common/base/sha256\.c$'
owner 'utf8proc.h' '^common/(text/[a-z_0-9]+|json/json)\.c$'
owner '(oneapi/dnnl/)?dnnl[a-z_]*.h' '^worker/device/[a-z_]+\.[ch]$'
owner 'zip.h' '^common/format/[a-z_]+\.c$'
owner 'linear.h' '^coordinator/compare/linear\.c$'
owner 'microhttpd.h' '^coordinator/(dispatch/metrics_server|serve/http)\.c$'
owner 'curl/curl.h' '^coordinator/cli/http_client\.c$'
owner 'zmq.h' '^proto/(listener|dialer)\.c$'
for header in 'cjson/cJSON.h' 'mpi.h' 'openssl/[a-z]+.h' '(oneapi/dnnl/)?dnnl[a-z_]*.h'; do
  for program in coordinator worker; do
    count=$({ grep -rlE "^#include <$header>" common proto cluster $program || true; } | wc -l)
    [ "$count" -le 1 ] || complain "<$header> has $count owners in $program"
  done
done

# ---- long functions; kernels in worker/device may be ----
find common proto cluster coordinator worker tools -name '*.c' ! -path 'worker/device/*' | sort > "$work/sources"
long=$(xargs "${PYTHON:-python3}" tests/system/long_functions.py < "$work/sources") || complain "$long"

# ---- one name, one function: of two the linker takes either, without a word ----
# names_of_two: reads what nm tells of object files, prints the names that two of them define.
names_of_two() {
  awk 'NF > 2 { split($1, place, ":"); object = place[1] ":" place[2]; name = $NF }
    NF > 2 && name !~ /^_/ { if (name in first && first[name] != object) print name; else first[name] = object }' | sort -u
}
printf 'liba.a:x.o:0000 T f\nlibb.a:y.o:0000 T f\nlibb.a:y.o:0010 T g\n' > "$work/example"
[ "$(names_of_two < "$work/example")" = f ] || complain "a name that two object files define is not found"
found=$(find "$build" -maxdepth 1 -name 'lib*.a' -exec nm -A --extern-only --defined-only {} + | names_of_two)
[ -z "$found" ] || complain "names that two object files define: $found"

# ---- cycles: object A needs a symbol of B, and B, directly or through others, one of A ----
# arrows LIBRARY...: "A B" a line, each as library/object: A needs a symbol that B defines.
arrows() {
  nm -A --extern-only "$@" | awk '
    NF < 2 { next }
    { split($1, place, ":"); library = place[1]; sub(/.*\/lib/, "", library); sub(/\.a$/, "", library)
      object = library "/" place[2]; sub(/\.o$/, "", object); type = $(NF - 1) }
    type == "U" { needs[object, $NF]; next }
    type != "w" && type != "v" { defines[$NF] = object }
    END { for (need in needs) { split(need, part, SUBSEP); if (part[2] in defines && defines[part[2]] != part[1]) print part[1], defines[part[2]] } }' |
    sort -u
}
# cycles_of NAME: reads arrows, prints the cycles.
cycles_of() {
  tsort > /dev/null 2> "$work/loops" || true
  [ ! -s "$work/loops" ] || echo "$1: object files that need each other: $(sed -E 's/^tsort: //; s/^-: input contains a loop:/;/' "$work/loops" | tr '\n' ' ')"
}
printf 'a/x b/y\nb/y c/z\nc/z a/x\nc/z d/w\n' > "$work/example"
[ -n "$(cycles_of example < "$work/example")" ] || complain "a cycle of three is not found"
[ -z "$(sed '3d' "$work/example" | cycles_of example)" ] || complain "a cycle is found where there is none"
[ -f "$build/rooms.txt" ] || { echo "$build/rooms.txt: missing; build first, or set MUSTER_BIN"; exit 1; }
programs=0
while read -r room rest; do
  case $room in agent | cli) ;; *) continue ;; esac # the rooms of the two programs
  libraries=()
  for name in $room $rest; do libraries+=($(find "$build" -maxdepth 1 -name "lib$name.a")); done
  [ ${#libraries[@]} = "$(wc -w <<< "$room $rest")" ] || { complain "$room: not all of its libraries are in $build"; continue; }
  arrows "${libraries[@]}" > "$work/arrows"
  [ "$(wc -l < "$work/arrows")" -gt 100 ] || complain "$room: nm finds only $(wc -l < "$work/arrows") arrows"
  found=$(cycles_of "$room" < "$work/arrows")
  [ -z "$found" ] || complain "$found"
  programs=$((programs + 1))
done < "$build/rooms.txt"
[ $programs = 2 ] || complain "looked for cycles in $programs programs, expected 2"
exit $bad
