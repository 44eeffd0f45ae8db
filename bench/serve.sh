#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# One round of muster serve beside what people serve a bundle with instead, on the same texts: a FastAPI + transformers server that batches
# (serve_peer.py) and, where it is given, infinity-emb. Throughput at 1, 8 and 64 clients with one text a request, and at 8 clients with 8 texts (closed
# loop, one side after the other); p50 and p95 at half of each peer's highest rate (open loop, three times in turn); time to ready; CPU and memory.
# The clients have the last core for themselves, a server the others, with a thread each. Prints a Markdown table of the medians over the rounds in
# RESULTS, to which each call adds one.
#
#     RESULTS=rounds.jsonl bench/serve.sh BUNDLE TEXTS.jsonl      a bundle of single texts; rows with the field "text", short and long ones mixed
#
# Environment: RESULTS (none: this round alone), BUILD (default build/release), PYTHON (has torch, transformers, fastapi, uvicorn), INFINITY (the program
# infinity_emb; none: it is left out), TEXTS (128: of a closed loop with 64 clients; 8 clients send 3/4 and one 1/4 of that), SECONDS_EACH (10: of an open loop).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
BUILD=${BUILD:-$here/../build/release} PYTHON=${PYTHON:-python3} INFINITY=${INFINITY:-}
[ $# = 2 ] || { grep -E '^# {5}' "$0" | sed 's/^# *//' >&2; exit 2; }
bundle=$(realpath "$1") texts=$(realpath "$2")
scratch=$(mktemp -d)
texts_each=${TEXTS:-128} seconds=${SECONDS_EACH:-10}
results=${RESULTS:-$scratch/results}
declare -A server url half
trap 'kill "${server[@]}" 2>/dev/null; wait; rm -rf "$scratch"' EXIT
last=$(($(nproc) - 1))
threads=$((last > 0 ? last : 1))
load() { taskset -c $last "$PYTHON" "$here/serve_load.py" "$@"; }

start() { # SIDE: `server` and `url` of it, `ready` in seconds
  local began port program
  port=$((20000 + RANDOM % 20000))
  url[$1]=http://127.0.0.1:$port
  case $1 in
    muster) program=("$BUILD/muster" serve "$bundle" --port $port --threads $threads) ;;
    fastapi) program=("$PYTHON" "$here/serve_peer.py" "$bundle" $port $threads) ;;
    infinity) program=(env OMP_NUM_THREADS=$threads HF_HUB_OFFLINE=1 DO_NOT_TRACK=1 "$INFINITY" v2 --model-id "$bundle" --served-model-name bundle
      --engine torch --device cpu --dtype float32 --no-bettertransformer --port $port) ;;
  esac
  began=$(date +%s.%N)
  taskset -c 0-$((threads - 1)) "${program[@]}" >"$scratch/said" 2>&1 &
  server[$1]=$!
  until curl -sf -o /dev/null "${url[$1]}/health"; do
    kill -0 "${server[$1]}" 2>/dev/null || { tail -5 "$scratch/said" >&2; exit 1; }
    sleep 0.05
  done
  until curl -sf -o /dev/null "${url[$1]}/classify" -H 'Content-Type: application/json' -d "$(head -1 "$scratch/$1.1")"; do sleep 0.05; done
  ready=$("$PYTHON" -c "print(round($(date +%s.%N) - $began, 2))")
}
note() { echo "{\"side\": \"$1\", \"what\": \"$2\", ${3#\{}" | tee -a "$results" >&2; }
closed() { # SIDE WHAT CLIENTS REQUESTS ROWS ROUTE
  local before result
  before=$(load cost "${server[$1]}")
  result=$(load closed "${url[$1]}$6" "$3" "$4" "$scratch/$1.$5")
  note "$1" "$2" "${result%\}}, \"rows\": $5, \"before\": $before, \"after\": $(load cost "${server[$1]}")}"
}
# highest SIDE: the requests a second of its best closed loop with one text a request in this round
highest() { "$PYTHON" -c 'import json, sys; print(max(r["requests_per_second"] for r in map(json.loads, open(sys.argv[1]).readlines()[-18:]) if r["side"] == sys.argv[2] and r.get("rows") == 1))' "$results" "$1"; }

peers=(fastapi ${INFINITY:+infinity})
for side in "${peers[@]}" muster; do
  for rows in 1 8; do load bodies "$texts" "$side" $rows >"$scratch/$side.$rows"; done
  start "$side"
  note "$side" ready "{\"seconds\": $ready}"
  note "$side" scores "$(load scores "${url[$side]}" "$scratch/$side.1")"
done
for side in "${peers[@]}" muster; do
  load closed "${url[$side]}/classify" 8 32 "$scratch/$side.1" >/dev/null # warm
  closed "$side" "1 client" 1 $((texts_each / 4)) 1 /classify
  closed "$side" "8 clients" 8 $((texts_each * 3 / 4)) 1 /classify
  closed "$side" "64 clients" 64 "$texts_each" 1 /classify
  closed "$side" "8 clients, 8 texts a request" 8 $((texts_each / 8)) 8 "$([ "$side" = infinity ] && echo /classify || echo /classify/batch)"
done
for peer in "${peers[@]}"; do half[$peer]=$("$PYTHON" -c "print($(highest "$peer") / 2)"); done
for _ in 1 2 3; do
  for peer in "${peers[@]}"; do
    for side in "$peer" muster; do
      note $side "half of $peer" "$(load rate "${url[$side]}" "${half[$peer]}" "$seconds" "$scratch/$side.1")"
    done
  done
done
for side in "${peers[@]}" muster; do note "$side" memory "$(load cost "${server[$side]}")"; done
load table "$results"
