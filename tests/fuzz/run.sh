#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# One fuzzer from its committed corpus, for so many seconds (an input that takes 30 s is a failure); what it finds anew is kept in runs/fuzz/NAME and used again.
#
# usage: run.sh NAME SECONDS    from the root of the repository; build/fuzz holds the fuzzers
set -uo pipefail
name=$1 seconds=$2
mkdir -p "runs/fuzz/$name"
# Whoever finds the coordinator's port can send to it: a million messages, whatever time that takes.
[ "$name" = fuzz_message ] && bound=-runs=1000000 || bound=-max_total_time=$seconds
corpus=tests/fuzz/corpus/$name
[ -d "$corpus" ] || { echo "$corpus: no committed corpus; make it: python3 tools/fuzz_corpus.py" >&2; exit 1; }
"build/fuzz/tests/fuzz/$name" "$bound" -timeout=30 -artifact_prefix=runs/fuzz/ "runs/fuzz/$name" "$corpus" >"runs/fuzz/$name.log" 2>&1 ||
  { tail -60 "runs/fuzz/$name.log" >&2; echo "$name found a failure: runs/fuzz/$name.log" >&2; exit 1; }
echo "$name: $(grep -oE 'Done [0-9]+ runs' "runs/fuzz/$name.log")"
