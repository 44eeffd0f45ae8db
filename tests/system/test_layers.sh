#!/usr/bin/env bash
# Who may include whom (docs: common/base < common/{text,format,score} < proto < {coordinator, worker}; device < nn < train < agent; only train
# and the agent see comm), and that every third-party header has one owner a program.
set -euo pipefail
cd "${MUSTER_SOURCE:-$(dirname "$0")/../..}"
bad=0
# forbid FOLDER (its own .c and .h files, not subdirectories) PATTERN (of an included path)
forbid() {
  local found
  found=$(grep -nE "^#include \"($2)" "$1"/*.[ch] 2>/dev/null || true)
  [ -z "$found" ] || { echo "$1 may not include $2:"; echo "$found"; bad=1; }
}
forbid common/base 'common/(text|format|score)|proto|coordinator|worker|cluster'
for room in json text format score; do forbid common/$room 'proto|coordinator|worker|cluster'; done
forbid common/score 'common/(text|format)'
forbid proto 'coordinator|worker|cluster'
forbid cluster 'coordinator|worker'
forbid coordinator 'worker'
forbid worker/device 'proto|coordinator|cluster|worker/(nn|comm|train|[a-z_]+\.h)'
forbid worker/nn 'proto|coordinator|cluster|worker/(comm|train|[a-z_]+\.h)'
forbid worker/comm 'proto|coordinator|cluster|worker/(device|nn|train|[a-z_]+\.h)|common/(text|format|score)'
forbid worker/train 'coordinator|cluster|worker/[a-z_]+\.h'
forbid worker 'coordinator|cluster'
# owner HEADER REGEX-of-allowed-files
owner() {
  local found
  found=$(grep -rlE "^#include <$1>" common proto coordinator worker cluster | grep -vE "$2" || true)
  [ -z "$found" ] || { echo "<$1> belongs to $2, but is included by: $found"; bad=1; }
}
owner 'cjson/cJSON.h' '^common/json/json\.c$'
owner 'hdf5(_hl)?.h' '^common/format/results[a-z_]*\.[ch]$'
owner 'mpi.h' '^worker/comm/mpi\.c$'
owner 'openssl/[a-z]+.h' '^common/base/sha256\.c$'
owner 'utf8proc.h' '^common/(text/[a-z_0-9]+|json/json)\.c$'
owner '(oneapi/dnnl/)?dnnl[a-z_]*.h' '^worker/device/[a-z_]+\.[ch]$'
owner 'zip.h' '^common/format/[a-z_]+\.c$'
owner 'linear.h' '^coordinator/compare/linear\.c$'
owner 'microhttpd.h' '^coordinator/dispatch/metrics_server\.c$'
owner 'zmq.h' '^(coordinator|worker|proto|common)/[a-z_/]+\.c$'
for header in 'cjson/cJSON.h' 'mpi.h' 'openssl/[a-z]+.h' '(oneapi/dnnl/)?dnnl[a-z_]*.h'; do
  for program in coordinator worker; do
    count=$({ grep -rlE "^#include <$header>" common proto cluster $program || true; } | wc -l)
    [ "$count" -le 1 ] || { echo "<$header> has $count owners in $program"; bad=1; }
  done
done
exit $bad
