#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# All threads of a run at once, for ThreadSanitizer: two groups of two ranks, whose links beat beside the work and say lost messages again,
# and metrics that are read meanwhile. What comes out is that of one group, byte for byte.
. "$(dirname "$0")/common.sh"
python3 "$here/tiny.py" "$scratch" 120
set_key job.json report '{"baseline": false}'
expect 0 'bundle' muster run job.json out="$scratch/calm"
MUSTER_FAULT="drop message=epoch; drop message=epoch_decision; drop message=result" muster run job.json out="$scratch/run" \
  cluster.groups=2 cluster.ranks_per_group=2 cluster.metrics_port=0 >"$scratch/ran" 2>&1 &
pid=$!
read=$(python3 - "$pid" run/events.jsonl <<'PY'
import json, sys, time, urllib.request
process, log = sys.argv[1:]
read = 0

def alive():
    try:
        return open(f"/proc/{process}/stat").read().rsplit(") ", 1)[1][0] != "Z"
    except OSError:
        return False

while alive():
    try:
        events = [json.loads(line) for line in open(log) if line.endswith("\n")]
        port = next(e["port"] for e in events if e["event"] == "metrics_served")
        read += b"muster_leases_total" in urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20).read()
    except (OSError, StopIteration):
        pass
    time.sleep(0.1)
print(read)
PY
)
wait $pid || fail "ended with $?"
[ "$read" -gt 0 ] || fail "the metrics could not be read"
[ "$(grep -c 'planned fault' ran)" -ge 3 ] || fail "three messages should have been lost: $(grep 'planned fault' ran)"
grep -q 'ThreadSanitizer' ran && fail "a race"
grep -q '"group_died"' run/events.jsonl && fail "somebody died: $(grep group_died run/events.jsonl)"
same_bytes calm/bundle/model.safetensors run/bundle/model.safetensors
same_bytes calm/results.h5 run/results.h5
same_bytes calm/table.md run/table.md
