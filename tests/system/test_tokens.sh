#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Token ids equal those of Hugging Face `tokenizers` on every description of the Debian package index (over 60,000 texts).
. "$(dirname "$0")/common.sh"
python=${PYTHON:-python3}
"$python" -c 'import tokenizers' 2>/dev/null || skip "$python has no tokenizers"
[ -f "${MUSTER_MINILM:-}/vocab.txt" ] || skip "MUSTER_MINILM does not name the demo's model directory"
build=${MUSTER_BIN:-$MUSTER_SOURCE/build/dev}
cmake --build "$build" --target bench_tokenizer >"$scratch/said" 2>&1 || fail "bench_tokenizer does not build"

index=$MUSTER_SOURCE/runs/debian-index
python3 "$MUSTER_SOURCE/examples/debian.py" tags tags.jsonl --packages 1 --index "$index" >"$scratch/said" 2>&1 ||
  skip "no Debian package index: $(tail -1 "$scratch/said")"
for kind in Packages Translation-en; do
  for file in "$index"/lists/*_main_*"$kind"*; do /usr/lib/apt/apt-helper cat-file "$file"; done >"$kind"
done
"$python" "$MUSTER_SOURCE/tools/golden_text.py" --all Packages Translation-en --model "$MUSTER_MINILM" --ids "$build/bench/bench_tokenizer" |
  tee "$scratch/said"
texts=$(grep -oE '^[0-9]+ texts' "$scratch/said" | head -1 | cut -d' ' -f1)
[ "${texts:-0}" -gt 60000 ] || fail "only ${texts:-0} texts were compared"
grep -qE '\b0 (differ|differences)' "$scratch/said" || fail "token ids differ"
