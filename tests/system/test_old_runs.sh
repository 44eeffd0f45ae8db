#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What earlier versions left (tests/fixtures/COMMIT, made by tests/fixtures/make.sh): the bundle is read and scores as it did, the finished run is
# reported and redone in nothing, the stopped one resumes from its checkpoint to the weights that its own version came to.
. "$(dirname "$0")/common.sh"
export MUSTER_ISA=baseline DNNL_MAX_CPU_ISA=SSE41 # the bits of make.sh
seen=0
for fixture in "$MUSTER_SOURCE"/tests/fixtures/*/; do
  commit=$(basename "$fixture")
  cp -r "$fixture" "$scratch/$commit"
  cd "$scratch/$commit"
  seen=$((seen + 1))

  say "$commit: the bundle"
  expect 0 '' muster predict run/bundle rows.jsonl -o now.jsonl
  python3 - predicted.jsonl now.jsonl <<'PY' || fail "$commit: predictions differ from those of its own version"
import json, sys
then, now = ([json.loads(line) for line in open(path)] for path in sys.argv[1:])
assert len(then) == len(now) == 60
for a, b in zip(then, now):
    assert set(a) <= set(b), f"fields that went: {set(a) - set(b)}"
    assert a["id"] == b["id"] and a["label"] == b["label"], (a, b)
    assert all(abs(x - y) <= 1e-6 for x, y in zip(a["logits"], b["logits"])), (a["logits"], b["logits"])
PY
  expect 0 '^\{' muster evaluate run/bundle rows.jsonl --unseen --json
  cp "$scratch/out" now.json
  python3 - evaluated.json now.json <<'PY' || fail "$commit: the evaluation differs from that of its own version"
import json, sys
then, now = (json.load(open(path)) for path in sys.argv[1:])
def check(a, b, at):
    if isinstance(a, dict):
        for key in a:
            assert key in b, f"{at}.{key} went"
            check(a[key], b[key], f"{at}.{key}")
    elif isinstance(a, list):
        assert len(a) == len(b), at
        for i, (x, y) in enumerate(zip(a, b)):
            check(x, y, f"{at}[{i}]")
    elif isinstance(a, float):
        assert abs(a - b) <= 1e-6, (at, a, b)
    else:
        assert a == b, (at, a, b)
check(then, now, "")
PY
  expect 0 'threshold' muster rule run/bundle
  cp -r run/bundle changed
  expect 0 'threshold 0.3' muster rule changed threshold=0.3

  say "$commit: the finished run"
  expect 0 'run: done' muster status run
  expect 0 '"state": *"done"' muster status run --json
  expect 0 'page.html' muster report run -o page.html
  sha256sum run/tune.json run/results.h5 run/baseline.h5 run/split.json run/bundle/model.safetensors run/trials/*/best.safetensors >before
  leases=$(grep -c '"event": *"lease"' run/events.jsonl)
  stages=$(grep -c '"event": *"stage_done"' run/events.jsonl)
  for verb in tune publish run; do
    expect 0 'lr-0.005_epochs-2' muster $verb job.json
    sha256sum --quiet -c before || fail "$commit: muster $verb changed a file of a run that was finished"
    [ "$(grep -c '"event": *"lease"' run/events.jsonl)" = "$leases" ] || fail "$commit: muster $verb ran a trial again"
  done
  [ "$(grep -c '"event": *"stage_done"' run/events.jsonl)" = "$stages" ] || fail "$commit: a stage was done again: $(tail -3 run/events.jsonl)"

  say "$commit: the stopped run"
  expect 0 'run: stopped' muster status stopped
  cp stopped/trials/lr-0.005_epochs-2/metrics.jsonl until_stopped
  steps=$(grep -c '"grad_norm"' until_stopped)
  [ "$steps" -ge 7 ] && [ "$steps" -lt 12 ] || fail "$commit: the fixture was not stopped within its second epoch"
  expect 0 'bundle' muster run job.json out=./stopped sweep=null report.baseline=false
  python3 - stopped/trials/lr-0.005_epochs-2/metrics.jsonl <<'PY' || fail "$commit: the trial was not resumed at its checkpoint"
import json, sys
then, now = (open(path).readlines() for path in ("until_stopped", sys.argv[1]))
assert now[:len(then)] == then, "the steps before the stop, their times among them, are to stay as they are"
steps = [r["step"] for r in map(json.loads, now) if "grad_norm" in r]
assert steps == list(range(1, 13)), steps
PY
  [ "$(uname -m)" = x86_64 ] || { say "not x86-64: the weights' bits are not compared"; continue; }
  same_bytes resumed.safetensors stopped/bundle/model.safetensors
done
[ $seen -gt 0 ] || fail "no fixture"
