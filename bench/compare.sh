#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Ours and what a user would pick instead, in turn on the same rows; prints ratios as a Markdown table for bench/LOG.md.
#
#     bench/compare.sh [WORD ...]      only the cases that have all these words, such as: train bf16 256 trainer
#
# Words: train infer tokenizer ranks, f32 bf16, minilm base, 128 256 512, real full sorted, trainer loop packed transformers openvino onnxruntime.
# Inference of rows sorted by length, where no batch has padding to speak of, also meets OpenVINO and ONNX Runtime (f32 only); bf16 is measured
# where the processor has instructions for it.
# Environment: BUILD (the build directory, with the target bench_tokenizer built; default build/release), PYTHON (has PyTorch, transformers,
# accelerate, openvino, onnxruntime, onnx), MODEL (directory of a MiniLM-L6), DATA (pairs in JSON Lines, as demo.sh makes them), ROUNDS (3), STEPS
# (12), WARM (2), BASE_STEPS (2, of BERT-base, behind one that warms up), THREADS (all cores), DEVICE (cpu), CASES (cpu, cuda:
# as DEVICE; gpu.sh has a GPU's), TOKENS (16384: of a step of these, were all rows as long as they may be), ALONE (1: our side only), LOCK (a file that each single run holds while it runs, where a machine is shared).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
BUILD=${BUILD:-$root/build/release} PYTHON=${PYTHON:-python3} MODEL=${MODEL:-$root/runs/minilm} DATA=${DATA:-$root/runs/pairs.jsonl}
ROUNDS=${ROUNDS:-3} STEPS=${STEPS:-12} WARM=${WARM:-2} BASE_STEPS=${BASE_STEPS:-2} THREADS=${THREADS:-$(nproc)} LOCK=${LOCK:-}
DEVICE=${DEVICE:-cpu} CASES=${CASES:-$DEVICE} TOKENS=${TOKENS:-16384}
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
words=" $* "
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
kinds=(full real) needed_files=("$BUILD/muster" "$BUILD/muster-worker") on_gpu=
if [ "$CASES" = cuda ]; then
  on_gpu=cuda # a word of each case
  [ -e "$MODEL/config.json" ] && [ -e "$DATA" ] || { echo "skipped: real lengths: $MODEL or $DATA is not there; demo.sh makes both" >&2; kinds=(full); }
  [ -e "$MODEL/config.json" ] || ALONE=1
else
  needed_files+=("$BUILD/bench/bench_tokenizer" "$MODEL/config.json" "$DATA")
fi
for needed in "${needed_files[@]}"; do
  [ -e "$needed" ] || { echo "compare.sh: $needed is not there; build first, or run demo.sh, which fetches model and data" >&2; exit 2; }
done
: >"$scratch/results"

locked() { if [ -n "$LOCK" ]; then flock "$LOCK" "$@"; else "$@"; fi; }

# wanted TAG...: do the tags of a case hold every word asked for?
wanted() {
  local word
  for word in $words; do [[ " $* " == *" $word "* ]] || return 1; done
}

# Like wanted, but words that choose the peer do not keep our own side from running.
any_peer() { wanted "$@" trainer || wanted "$@" loop || wanted "$@" packed; }
any_runtime() { wanted "$@" transformers || wanted "$@" openvino || wanted "$@" onnxruntime; }

has_bf16() { grep -qE 'avx512_bf16|amx_bf16' /proc/cpuinfo; }

# run CASE SIDE ROUND COMMAND...: the last JSON line that it prints is kept.
run() {
  local case=$1 side=$2 round=$3 line
  shift 3
  if ! line=$(locked "$@" 2>"$scratch/said" | grep '^{' | tail -1) || [ -z "$line" ]; then
    tail -5 "$scratch/said" >&2
    echo "compare.sh: failed: $*" >&2
    exit 1
  fi
  line="{\"case\": \"$case\", \"side\": \"$side\", \"round\": $round, ${line#\{}"
  echo "$line" | tee -a "$scratch/results" >&2
}

# rows LENGTH [COUNT]: $scratch/LENGTH.jsonl and .rows, what both sides can take, once; with COUNT the first so many, sorted, and "LENGTH-sorted".
rows() {
  local length=$1
  if [ $# = 2 ]; then set -- "$1-sorted" "$2"; fi
  [ -e "$scratch/$1.rows" ] && return
  if [ -n "${ALONE:-}" ]; then
    cp "$DATA" "$scratch/$1.jsonl"
  else
    "$PYTHON" "$here/peer.py" rows --model "$MODEL" --rows "$DATA" --max-length "$length" ${2:+--sort "$2"} >"$scratch/$1.jsonl"
  fi
  cat >"$scratch/$1.json" <<JOB
{"name": "compare", "out": "$scratch/$1", "model": "$(realpath "$MODEL")", "seed": 1, "task": "single_label_classification",
 "data": {"path": "$scratch/$1.jsonl", "group": "original_paper_id", "label": "label", "text_a": ["sentence"],
          "text_b": ["ref_paper_title", "ref_paper_authors", "ref_paper_text"], "joiner": ". ",
          "required": ["sentence", "ref_paper_text"], "labels": ["NOT_LINKED", "LINKED"], "positive": "LINKED"},
 "train": {"max_length": $length}}
JOB
  "$BUILD/muster" check "$scratch/$1.json" >"$scratch/said" 2>&1 || { tail -3 "$scratch/said" >&2; exit 1; }
  mv "$scratch/$1"/tokens/*.rows "$scratch/$1.rows"
}

ours() { local case=$1 side=$2 round=$3; shift 3; run "$case" "$side" "$round" "$BUILD/muster" bench --device "$DEVICE" --threads "$THREADS" "$@"; }
peer() { [ -z "${ALONE:-}" ] || return 0; local case=$1 side=$2 round=$3; shift 3; run "$case" "$side" "$round" "$PYTHON" "$here/peer.py" "$@" --device "$DEVICE" --model "$MODEL" --threads "$THREADS"; }

# train NAME PRECISION LENGTH real|full BATCH STEPS WARM
train() {
  local shape=$1 precision=$2 length=$3 kind=$4 batch=$5 steps=$6 warm=$7 round tags our_model=(--shape minilm) their_model=() our_rows their_rows
  tags="train $precision $shape $length $kind $on_gpu"
  any_peer $tags || return 0
  if [ "$shape" = base ]; then our_model=(--shape base) their_model=(--base); elif [ -e "$MODEL/config.json" ]; then our_model=(--model "$MODEL"); fi
  our_rows=(--length "$length") their_rows=(--fixed "$length")
  if [ "$kind" = real ]; then
    rows "$length"
    our_rows=(--rows "$scratch/$length.rows") their_rows=(--rows "$scratch/$length.jsonl" --max-length "$length")
  fi
  for round in $(seq "$ROUNDS"); do
    ours "$tags" muster "$round" --mode train --precision "$precision" "${our_model[@]}" "${our_rows[@]}" --batch "$batch" --steps "$steps" --warm "$warm"
    for side in "${sides[@]}"; do
      wanted $tags $side || continue
      peer "$tags" $side "$round" $side --precision "$precision" "${their_model[@]}" "${their_rows[@]}" --batch "$batch" --steps $((steps + warm)) --warm "$warm"
    done
  done
}

# infer PRECISION LENGTH
infer() {
  local tags="infer $1 minilm $2 real $on_gpu" round
  wanted $tags || return 0
  rows "$2"
  for round in $(seq "$ROUNDS"); do
    ours "$tags" muster "$round" --mode infer --precision "$1" --model "$MODEL" --rows "$scratch/$2.rows" --steps "$STEPS" --warm "$WARM"
    peer "$tags" transformers "$round" infer --precision "$1" --rows "$scratch/$2.jsonl" --max-length "$2" --steps $((STEPS + WARM)) --warm "$WARM"
  done
}

# sorted PRECISION LENGTH
sorted() {
  local tags="infer $1 minilm $2 sorted" round side
  any_runtime $tags || return 0
  [ "$1" = f32 ] || has_bf16 || return 0
  rows "$2" $((32 * (STEPS + WARM)))
  for round in $(seq "$ROUNDS"); do
    ours "$tags" muster "$round" --mode infer --precision "$1" --model "$MODEL" --rows "$scratch/$2-sorted.rows" --steps "$STEPS" --warm "$WARM"
    for side in transformers openvino onnxruntime; do
      [ "$1 $side" != "bf16 onnxruntime" ] && wanted $tags $side || continue
      peer "$tags" $side "$round" "${side/transformers/infer}" --precision "$1" --rows "$scratch/$2-sorted.jsonl" --max-length "$2" \
        --steps $((STEPS + WARM)) --warm "$WARM"
    done
  done
}

# tokenizer THREADS: texts one by one, not cut
tokenizer() {
  local tags="tokenizer $1 thread(s)" round speed
  wanted tokenizer || return 0
  [ -e "$scratch/records" ] || "$PYTHON" "$here/peer.py" records --model "$MODEL" --rows "$DATA" >"$scratch/records"
  for round in $(seq "$ROUNDS"); do
    speed=$(locked "$BUILD/bench/bench_tokenizer" "$MODEL" "$scratch/records" | sed -n "s/^rows, $1 thread.*: \([0-9.]*\) MB.*/\1/p")
    run "$tags" muster "$round" echo "{\"MB_per_second\": $speed}"
    run "$tags" tokenizers "$round" "$PYTHON" "$here/peer.py" tokenize --model "$MODEL" --rows "$DATA" --threads "$1"
  done
}

# ranks PRECISION: a rank a core against one rank with all cores
ranks() {
  local tags="ranks $1 minilm 256 real" round cores=$THREADS common
  wanted $tags || return 0
  rows 256
  common=(--mode train --precision "$1" --model "$MODEL" --rows "$scratch/256.rows" --steps "$STEPS" --warm "$WARM")
  for round in $(seq "$ROUNDS"); do
    run "$tags" muster "$round" mpirun -np "$cores" --bind-to none --oversubscribe "$BUILD/muster-worker" bench --comm mpi --threads 1 "${common[@]}"
    ours "$tags" "1 rank" "$round" "${common[@]}"
  done
}

if [ "$CASES" = cuda ]; then
  sides=(trainer loop packed)
  for shape in base minilm; do
    for length in 128 256 512; do
      for kind in "${kinds[@]}"; do train $shape bf16 $length $kind $((TOKENS / length)) "$STEPS" "$WARM"; done
    done
  done
  for length in 128 256 512; do [ ${#kinds[@]} = 1 ] || infer bf16 $length; done
  python3 "$here/table.py" "$scratch/results"
  exit
fi
sides=(trainer loop)
for precision in f32 bf16; do
  for length in 128 256; do
    for kind in real full; do train minilm $precision $length $kind 8 "$STEPS" "$WARM"; done
  done
  train base $precision 512 full 8 "$BASE_STEPS" 1
  train base $precision 512 real 8 "$BASE_STEPS" 1
  infer $precision 128
  infer $precision 256
  sorted $precision 256
  ranks $precision
done
tokenizer 1
tokenizer 2
python3 "$here/table.py" "$scratch/results"
