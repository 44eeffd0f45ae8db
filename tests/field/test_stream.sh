#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `muster predict BUNDLE -`: rows come out while rows go in, in order, with the lines' numbers, at bounded memory; what is no JSON Lines is read to its end;
# formats of the output; the words of predict, evaluate and calibrate name their own options.
. "$(dirname "$0")/../system/common.sh"
python3 "$here/../system/tiny.py" tiny 60 >/dev/null
set_key tiny/job.json sweep DELETE
set_key tiny/job.json train.epochs 1
muster run tiny/job.json out=run report.baseline=false >ran 2>&1 || fail "no bundle"
bundle=run/bundle
export MUSTER_BUNDLE=$bundle

say "a pipe that stays open: each row is answered before the next is written"
python3 - <<'PY' || fail "rows do not come out while rows go in"
import json, os, select, subprocess
rows = [json.loads(line) for line in open("tiny/rows.jsonl")][:40]
for row in rows:
    row.pop("id")
whole = [json.loads(line) for line in subprocess.run(["muster", "predict", "--threads", "1", os.environ["MUSTER_BUNDLE"], "-"], check=True, stdout=subprocess.PIPE,
         input="".join(json.dumps(row) + "\n" for row in rows).encode()).stdout.decode().splitlines()]
assert [row["id"] for row in whole] == [str(i) for i in range(1, 41)], [row["id"] for row in whole]
program = subprocess.Popen(["muster", "predict", "--threads", "1", os.environ["MUSTER_BUNDLE"], "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
def answer():
    line = b""
    while not line.endswith(b"\n"):
        assert select.select([program.stdout], [], [], 120)[0], "no answer, though the row was written"
        piece = program.stdout.read(1)
        assert piece, "it ended"
        line += piece
    return json.loads(line)
def near(a, b):  # what else is in a batch shows in the last bits
    return a["id"] == b["id"] and a["label"] == b["label"] and all(abs(x - y) < 1e-6 for x, y in zip(a["logits"], b["logits"]))
at = 0
for size in (1, 1, 3, 1):
    program.stdin.write("\n".join(json.dumps(row) for row in rows[at:at + size]).encode() + b"\n")
    for row in whole[at:at + size]:
        found = answer()
        assert near(found, row), (found, row)
    at += size
program.stdin.write(json.dumps(rows[at]).encode())  # no line feed at the end
program.stdin.close()
assert near(answer(), whole[at])
assert program.wait(60) == 0 and not program.stdout.read()
PY

say "bad rows of a stream"
python3 - <<'PY'
import json
rows = [json.dumps({k: v for k, v in json.loads(line).items() if k != "id"}) for line in open("tiny/rows.jsonl")]
open("noid.jsonl", "w").writelines(row + "\n" for row in rows)
open("bad.jsonl", "w").write("\n".join(rows[:1200 // 20] * 20 + ["", "{broken", rows[0]]) + "\n")
PY
expect 3 '^muster: -:1202:' muster predict $bundle - <bad.jsonl
[ "$(wc -l <"$scratch/out")" = 1024 ] || fail "the rows before the chunk with the bad one were not printed: $(wc -l <"$scratch/out")"
expect -e 0 '^muster: warning: -: 1 bad row was skipped \(line 1202\)' muster predict $bundle - --skip-bad <bad.jsonl
[ "$(wc -l <"$scratch/out")" = 1201 ] || fail "expected 1201 rows, found $(wc -l <"$scratch/out")"
expect 3 '^muster: -: is empty' muster predict $bundle - </dev/null

say "the same rows as from the file, in every output format; a table from standard input"
muster predict $bundle tiny/rows.jsonl -o file.jsonl 2>/dev/null
for format in csv tsv jsonl; do
  muster predict $bundle tiny/rows.jsonl -o file.$format 2>/dev/null
  expect -e 0 "streamed.$format: 60 rows" muster predict $bundle - -o streamed.$format <tiny/rows.jsonl
  cmp file.$format streamed.$format || fail "$format differs"
done
python3 -c '
import csv, json
rows = [json.loads(line) for line in open("tiny/rows.jsonl")]
w = csv.DictWriter(open("rows.csv", "w", newline=""), list(rows[0])); w.writeheader(); w.writerows(rows)
json.dump(rows, open("list.json", "w")); json.dump(rows[:3], open("pretty.json", "w"), indent=1)'
for file in rows.csv list.json; do
  muster predict $bundle - <$file >table.jsonl 2>/dev/null
  cmp file.jsonl table.jsonl || fail "$file from standard input differs"
done
[ "$(muster predict $bundle - <pretty.json 2>/dev/null | wc -l)" = 3 ] || fail "a document of several lines"
gzip -k tiny/rows.jsonl
muster predict $bundle - <tiny/rows.jsonl.gz 2>/dev/null | cmp - file.jsonl || fail "gzip from standard input"
expect 2 'out.txt: .txt is no format that predict writes; use .jsonl, .csv, .tsv or .h5' muster predict $bundle tiny/rows.jsonl -o out.txt
muster predict $bundle - -o streamed.h5 <tiny/rows.jsonl 2>/dev/null && [ -s streamed.h5 ] || fail "HDF5 from standard input"

say "memory does not grow with the input"
python3 - <<'PY' || fail "memory grows with the input"
import os, resource, subprocess
lines = open("noid.jsonl").read()
def peak(times):
    # of the coordinator alone: its worker is not its waited-for child's peak, so it is asked while it runs
    program = subprocess.Popen(["muster", "predict", "--threads", "1", os.environ["MUSTER_BUNDLE"], "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    import threading
    count = [0]
    def drain():
        for _ in program.stdout:
            count[0] += 1
    reader = threading.Thread(target=drain)
    reader.start()
    most = 0
    for _ in range(times):
        program.stdin.write(lines.encode())
        program.stdin.flush()
        most = max([most] + [int(line.split()[1]) for line in open(f"/proc/{program.pid}/status") if line.startswith("VmRSS")])
    program.stdin.close()
    assert program.wait(600) == 0
    reader.join()
    assert count[0] == 60 * times, count[0]
    return most
os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=1"  # what is freed is to go
small, large = peak(60), peak(400)
print(f"{small} kB for 3,600 rows, {large} kB for 24,000")
assert large < 1.5 * small + 8192, f"{small} kB for 3,600 rows, {large} kB for 24,000"
PY

say "words name the options of the verb"
printf 'id,a,b\nr1,word1,word2\nr2,"word1,word3\nr3,word3,word4\n' >open.csv
printf 'id,a,b\nr\xe9,word1,word2\n' >latin.csv
for verb in predict evaluate calibrate; do
  expect 3 'give --quotes none' muster $verb $bundle open.csv
  expect 3 'give --encoding with' muster $verb $bundle latin.csv
done
expect 2 "encoding: \"cp99999\" is not known" muster predict $bundle latin.csv --encoding cp99999
grep -q data. "$scratch/said" && fail "predict names a job's key: $(cat "$scratch/said")"
python3 - <<'PY'
import json
rows = [json.loads(line) for line in open("tiny/rows.jsonl")]
for i, row in enumerate(rows):
    if i % 4 == 0:
        row.pop("label")
    row["body"] = row.pop("a")
open("gold.jsonl", "w").writelines(json.dumps(row) + "\n" for row in rows)
PY
expect -e 0 'gold.jsonl: 15 of 60 rows are left out: they lack a label or a required field' muster evaluate $bundle gold.jsonl --field a=body --allow-train
expect 0 'temperature|NLL' muster calibrate $bundle gold.jsonl --field a=body --allow-train --dry-run
