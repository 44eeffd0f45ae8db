#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# --trace: one file a run, one track a rank, spans that nest, every phase of a step by name; and the share of the processor's peak beside tokens/s.
. "$(dirname "$0")/common.sh"
python3 "$here/tiny.py" "$scratch" 60
cat >look.py <<'PY'
import json, sys
path, ranks, layers, *steps = sys.argv[1:]
whole = json.load(open(path))
events = whole["traceEvents"]
assert set(whole) == {"displayTimeUnit", "traceEvents"} and whole["displayTimeUnit"] == "ms", f"not the JSON object format: {sorted(whole)}"
for e in events: # what the format asks of complete and metadata events, and nothing that it does not know
    kinds = {key: type(value) for key, value in e.items()}
    keys = {"X": {"name", "ph", "ts", "dur", "pid", "tid"}, "M": {"name", "ph", "pid", "tid", "args"}}[e["ph"]]
    assert set(e) == keys and kinds["name"] is str and kinds["pid"] is kinds["tid"] is int, f"not an event of the format: {e}"
    assert e["ph"] == "M" or all(kinds[key] in (int, float) and e[key] >= 0 for key in ("ts", "dur")), f"not a time: {e}"
    assert e["ph"] == "X" or (e["name"], *e["args"]) in {("process_name", "name"), ("process_labels", "labels")}, f"not metadata: {e}"
    assert e["tid"] == 0, f"a rank has one track: {e}"
tracks = {e["pid"]: e["args"]["name"] for e in events if e["ph"] == "M" and e["name"] == "process_name"}
assert sorted(tracks) == list(range(int(ranks))), f"expected {ranks} tracks, found {tracks}"
assert {e["pid"] for e in events} == set(tracks), "a span without a track"
for rank in tracks:
    # in whole nanoseconds; an outer span comes first where two begin together
    spans = sorted(((round(e["ts"] * 1000), round((e["ts"] + e["dur"]) * 1000), e["name"]) for e in events if e["ph"] == "X" and e["pid"] == rank),
                   key=lambda s: (s[0], -s[1]))
    open_, within = [], set()
    for begin, end, name in spans:
        assert 0 <= begin <= end, (name, begin, end)
        while open_ and open_[-1][1] <= begin and not (begin == end == open_[-1][1]):
            open_.pop()
        assert not open_ or end <= open_[-1][1], f"rank {rank}: {name} {begin}..{end} laps over the end of {open_[-1]}"
        within.add((open_[-1][2].split(" ")[0] if open_ else None, name))
        open_.append((begin, end, name))
    names = {name for _, _, name in spans}
    expected = {"input", "forward", "forward embeddings", "forward head", "backward", "backward head", "backward embeddings", "optimiser"}
    expected |= {f"{way} layer {i}" for way in ("forward", "backward") for i in range(int(layers))}
    expected |= {"all-reduce wait"} | ({f"all-reduce bucket {i}" for i in range(int(layers) + 3)} if int(ranks) > 1 else set())
    expected |= {f"step {s}" for s in steps}
    assert expected <= names, f"rank {rank}: missing {sorted(expected - names)}"
    assert ("backward", "backward layer 0") in within and ("step", "optimiser") in within and ("step", "input") in within, sorted(map(str, within))
    if int(ranks) > 1: # the sums go on their way while backward goes on
        assert ("backward", "all-reduce bucket 2") in within and ("backward", "all-reduce progress") in within, sorted(map(str, within))
PY

say "a run on 2 ranks"
expect 0 'bundle' muster run job.json --trace out.json cluster.ranks_per_group=2
python3 look.py out.json 2 2 1 2 3 || fail "out.json is not the trace that it should be"
python3 - <<'PY' || fail "metrics.jsonl or its share of peak is not as promised"
import json
lines = [json.loads(line) for line in open("run/trials/lr-0.005_epochs-3/metrics.jsonl")]
shares = [line["peak_share"] for line in lines if "grad_norm" in line]
assert shares and all(0 <= s <= 1 for s in shares) and max(shares) > 0, shares
PY
[ -z "$(find . -name '*.tmp')" ] || fail "temporary files are left"

say "bench on 1 and 2 ranks"
expect -e 0 '% of peak\)' muster bench --model model --length 8 --steps 3 --warm 1 --trace bench.json
python3 look.py bench.json 1 2 1 4 || fail "bench.json is not the trace that it should be"
expect -e 0 'on 2 rank' mpirun --oversubscribe --bind-to none -np 2 muster bench --model model --length 8 --steps 2 --warm 0 --comm mpi --trace two.json
python3 look.py two.json 2 2 1 2 || fail "two.json is not the trace that it should be"

say "a file that cannot be written, a name that is missing"
expect 1 'no/where.json' muster bench --model model --length 8 --steps 1 --warm 0 --trace no/where.json
expect 2 'trace' muster run job.json --trace
expect 2 'trace' muster run job.json --trace=
