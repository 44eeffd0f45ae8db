#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What muster serve bears: connections that do nothing, clients that send a byte a second, and hours of load. Prints answers' times and memory (of the
# server and its scoring worker) before, with them, and after; then memory once a minute under load: eight clients, and a ninth with requests that are
# refused, too large or given up.
#
#     bench/serve_hold.sh BUNDLE TEXTS.jsonl      a bundle of single texts; rows with the field "text"
#
# Environment: IDLE (10000) and SLOW (1000) clients, for HOLD (60) seconds; MINUTES (60) of load; BUILD (default build/release), PYTHON.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
BUILD=${BUILD:-$here/../build/release} PYTHON=${PYTHON:-python3} IDLE=${IDLE:-10000} SLOW=${SLOW:-1000} HOLD=${HOLD:-60} MINUTES=${MINUTES:-60}
[ $# = 2 ] || { grep -E '^# {5}' "$0" | sed 's/^# *//' >&2; exit 2; }
scratch=$(mktemp -d)
server='' clients=''
end() { for pid in $server $clients; do kill "$pid" 2>/dev/null || true; done; wait; rm -rf "$scratch"; }
trap end EXIT
load() { "$PYTHON" "$here/serve_load.py" "$@"; }
load bodies "$2" muster 1 >"$scratch/bodies"
ulimit -n "$(ulimit -Hn)"
"$BUILD/muster" serve "$1" --port 0 --timeout 600 --max-connections $((IDLE + SLOW + 100)) 2>"$scratch/said" &
server=$!
until grep -q '^muster: ready' "$scratch/said"; do
  kill -0 $server || { cat "$scratch/said" >&2; exit 1; }
  sleep 0.1
done
url=$(grep -oE 'http://[0-9.:]+' "$scratch/said")
load hold "$url" $server 0 0 10 "$scratch/bodies"
load hold "$url" $server "$IDLE" 0 "$HOLD" "$scratch/bodies"
load hold "$url" $server 0 "$SLOW" "$HOLD" "$scratch/bodies"
[ "$MINUTES" -gt 0 ] || exit 0
BODIES=$scratch/bodies wrk -t 1 -c 8 -d $((MINUTES * 60 + 30)) --timeout 60 -s "$here/serve.lua" "$url/classify" >"$scratch/wrk" &
clients=$!
load unruly "$url" "$scratch/bodies" >"$scratch/unruly" &
clients="$clients $!"
for minute in $(seq 0 "$MINUTES"); do
  echo "minute $minute: $(load cost $server)"
  [ "$minute" = "$MINUTES" ] || sleep 60
done
wait "${clients% *}" && grep '^{' "$scratch/wrk"
curl -s "$url/metrics" | grep -E '^muster_serve_(requests|clients_left|worker_restarts)_total'
