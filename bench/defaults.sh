#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# How good is the model that nobody tuned? For each data set: `muster init FILE --model MODEL && muster run job.json`, with no edit; the test F1 of that run
# next to its TF-IDF baseline, next to Hugging Face's run_classification defaults (lr 5e-5, 3 epochs, batch 8, linear decay) on the same rows and
# split, and, with SWEEP, next to a small sweep. Prints a table in Markdown; WORK keeps jobs, logs and runs.
#
# usage: bench/defaults.sh DATA MODEL [SET...]     SET: banking77 clinc150 nlupp-banking nlupp-hotels tags pairs; default: all
#   Columns: set, rows, labels; Muster, TF-IDF, Trainer, sweep: test F1, micro / macro (two labels: of the positive one; micro, which is the accuracy / macro);
#   user CPU seconds: of the whole run / of the Trainer's training / of the sweep's whole run; the job
#   DATA holds banking77-{train,test}.csv, clinc150-small-{train,val,test}.jsonl, nlupp-{banking,hotels}.jsonl; tags and pairs are made by examples/debian.py
#   WORK=DIR (default: a new one in TMPDIR)  ROWS=N: at most so many rows of a set, drawn at random   THREADS=N
#   SWEEP='sweep.lr=[1e-4,3e-4,1e-3] sweep.scheduler=asha sweep.reduction=2': settings of the sweep; without it there is none.
#   PYTHON: with PyTorch, transformers, scikit-learn; without it there is no peer.
set -euo pipefail
[ $# -ge 2 ] || { sed -n '7,13s/^# \{0,1\}//p' "$0" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
data=$(cd "$1" && pwd) model=$(cd "$2" && pwd)
shift 2
[ $# -gt 0 ] || set -- banking77 clinc150 nlupp-banking nlupp-hotels tags pairs
work=${WORK:-$(mktemp -d)}
mkdir -p "$work"
cd "$work"
TIMEFORMAT='%R %U'
muster=${MUSTER:-$here/../build/release/muster}
echo "# $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1), $(nproc) cores; work: $work" >&2
for set in "$@"; do
  case $set in
    tags) [ -f tags.raw.jsonl ] || python3 "$here/../examples/debian.py" tags tags.raw.jsonl --packages 20000 >&2 ;;
    pairs) [ -f pairs.raw.jsonl ] || python3 "$here/../examples/debian.py" pairs pairs.raw.jsonl --links 500 >&2 ;;
  esac
  python3 "$here/defaults.py" rows "$set" --data "$data" ${ROWS:+--rows "$ROWS"} >&2
  file=$set.jsonl
  [ -f "$set.csv" ] && file=$set.csv
  if [ ! -f "$set/evaluation.json" ]; then
    "$muster" init "$file" --model "$model" -o "$set.job.json" --force >"$set.init.txt"
    { time "$muster" run "$set.job.json" out="$set" ${THREADS:+cluster.threads="$THREADS"} >"$set.run.txt" 2>"$set.run.err"; } 2>"$set.time" ||
      { tail -3 "$set.run.err" >&2; continue; }
  fi
  if [ -n "${SWEEP:-}" ] && [ ! -f "$set.sweep/evaluation.json" ]; then
    read -ra sweep <<<"$SWEEP"
    { time "$muster" run "$set.job.json" out="$set.sweep" ${THREADS:+cluster.threads="$THREADS"} "${sweep[@]}" >"$set.sweep.txt" 2>&1; } 2>"$set.sweep.time" ||
      tail -3 "$set.sweep.txt" >&2
  fi
  if [ -n "${PYTHON:-}" ] && [ ! -f "$set.peer.json" ]; then
    "$PYTHON" "$here/defaults.py" peer "$set" --model "$model" --threads "${THREADS:-$(nproc)}" >"$set.peer.txt" 2>&1 || tail -3 "$set.peer.txt" >&2
  fi
  python3 "$here/defaults.py" line "$set"
done
