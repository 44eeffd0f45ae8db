#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# muster serve and a FastAPI + transformers server that batches (serve_peer.py), in turn on the same bundle and the same texts: throughput at 1, 8 and
# 64 clients (closed loop, wrk), p95 at half of the peer's highest throughput (fixed rate), time to ready, CPU and memory. Prints a Markdown table.
#
#     bench/serve.sh BUNDLE TEXTS.jsonl      a bundle of single texts; rows with the field "text", short and long ones mixed
#
# Environment: BUILD (default build/release), PYTHON (has torch, transformers, fastapi, uvicorn), SECONDS_EACH (10), THREADS (all cores), ROUNDS (1).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
BUILD=${BUILD:-$here/../build/release} PYTHON=${PYTHON:-python3} SECONDS_EACH=${SECONDS_EACH:-10} THREADS=${THREADS:-$(nproc)} ROUNDS=${ROUNDS:-1}
[ $# = 2 ] || { sed -n '6s/^# *//p' "$0" >&2; exit 2; }
bundle=$(realpath "$1") texts=$(realpath "$2")
scratch=$(mktemp -d)
server=''
end() { [ -z "$server" ] || { kill "$server" 2>/dev/null; wait "$server" 2>/dev/null || true; }; server=''; }
trap 'end; rm -rf "$scratch"' EXIT
export SECONDS_EACH BODIES=$scratch/bodies
"$PYTHON" - "$texts" >"$BODIES" <<'PY'
import json, sys
for line in open(sys.argv[1]):
    print(json.dumps({"text": json.loads(line)["text"]}))
PY

start() { # SIDE: `url`, `ready` in seconds
  local began port
  began=$(date +%s.%N)
  port=$((20000 + RANDOM % 20000))
  url=http://127.0.0.1:$port
  case $1 in
    muster) "$BUILD/muster" serve "$bundle" --port $port --threads "$THREADS" 2>"$scratch/said" & ;;
    peer) "$PYTHON" "$here/serve_peer.py" "$bundle" $port "$THREADS" >"$scratch/said" 2>&1 & ;;
  esac
  server=$!
  until curl -sf -o /dev/null "$url/ready"; do
    kill -0 "$server" 2>/dev/null || { tail -5 "$scratch/said" >&2; exit 1; }
    sleep 0.05
  done
  ready=$("$PYTHON" -c "print(round($(date +%s.%N) - $began, 2))")
}
note() { echo "{\"side\": \"$1\", \"what\": \"$2\", ${3#\{}" | tee -a "$scratch/results" >&2; }

half=''
for round in $(seq "$ROUNDS"); do
  for side in peer muster; do
    start $side
    note $side ready "{\"seconds\": $ready}"
    wrk -t 1 -c 8 -d 2 -s "$here/serve.lua" "$url/classify" >/dev/null # warm
    for clients in 1 8 64; do
      before=$("$PYTHON" "$here/serve_load.py" cost $server)
      result=$(wrk -t 1 -c $clients -d "$SECONDS_EACH" --timeout 30 -s "$here/serve.lua" "$url/classify" | grep '^{')
      after=$("$PYTHON" "$here/serve_load.py" cost $server)
      note $side "$clients clients" "${result%\}}, \"before\": $before, \"after\": $after}"
      if [ $side = peer ]; then
        half=$("$PYTHON" -c 'import json, sys; print(max(json.loads(sys.argv[1])["requests_per_second"] / 2, float(sys.argv[2] or 0)))' "$result" "$half")
      fi
    done
    note $side "fixed rate" "$("$PYTHON" "$here/serve_load.py" rate "$url" "$half" "$SECONDS_EACH" "$BODIES")"
    note $side memory "$("$PYTHON" "$here/serve_load.py" cost $server)"
    end
  done
  half=''
done
"$PYTHON" - "$scratch/results" <<'PY'
import json, os, statistics, sys
SECONDS = float(os.environ.get("SECONDS_EACH", 10))
rows = [json.loads(line) for line in open(sys.argv[1])]
def middle(side, what, of):
    return statistics.median(of(r) for r in rows if (r["side"], r["what"]) == (side, what))
def line(name, what, of, digits, higher):
    ours, theirs = middle("muster", what, of), middle("peer", what, of)
    ratio = ours / theirs if theirs else float("nan")
    print(f"| {name} | {ours:.{digits}f} | {theirs:.{digits}f} | {ratio:.2f} |")
print("| | muster | FastAPI + transformers | ratio |\n|---|---|---|---|")
for n in (1, 8, 64):
    w = f"{n} clients"
    line(f"{w}, requests/s", w, lambda r: r["requests_per_second"], 1, True)
    line(f"{w}, requests a CPU second of the server", w, lambda r: r["requests_per_second"] * SECONDS / max(0.01, r["after"]["cpu_seconds"] - r["before"]["cpu_seconds"]), 2, True)
    line(f"{w}, p95 ms", w, lambda r: r["p95_ms"], 1, False)
rate = "fixed rate"
line("p95 ms at half of the peer's highest rate", rate, lambda r: r["p95_ms"], 1, False)
line("time to ready, s", "ready", lambda r: r["seconds"], 2, False)
line("peak memory, MB", "memory", lambda r: r["peak_mb"], 0, False)
print("failed requests:", {s: sum(r.get("failed", 0) for r in rows if r["side"] == s) for s in ("muster", "peer")})
PY
