#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# split.method "time": the oldest rows train, the newest test; equal times and groups stay together, what cannot be is named.
. "$(dirname "$0")/common.sh"
python3 "$here/tiny.py" "$scratch"

# times KEY: rows.jsonl, shuffled, with a field "when" of row i by the Python expression; written as KEY.jsonl
times() {
  python3 - "$@" <<'PY'
import datetime, json, random, sys
name, expression = sys.argv[1:3]
rows = [json.loads(line) for line in open("rows.jsonl")]
day = lambda i: (datetime.date(2019, 12, 30) + datetime.timedelta(days=i)).isoformat()
rows = [dict(row, when=eval(expression, {"i": i, "day": day, "row": row})) for i, row in enumerate(rows)]
random.Random(1).shuffle(rows)
open(name + ".jsonl", "w").writelines(json.dumps(row) + "\n" for row in rows)
PY
}
split() { muster split job.json split.method=time data.time=when data.group=null data.path="$1.jsonl" out="$1" 'data.accept=["leaks"]' "${@:2}"; }
# check NAME: no row of a part is as new as one of the next; prints the parts' sizes
check() {
  python3 - "$@" <<'PY'
import json, sys
name, sizes = sys.argv[1], [int(x) for x in sys.argv[2:]]
when = {str(row["id"]): row["when"] for row in map(json.loads, open(name + ".jsonl"))}
split, report = json.load(open(name + "/split.json")), json.load(open(name + "/split_check.json"))
assert split["method"] == "time"
parts = [split["parts"][p] for p in ("train", "validation", "test")]
assert sorted(sum(parts, [])) == sorted(when), "each row is in one part"
times = [sorted(when[id] for id in part) for part in parts]
assert times[0][-1] < times[1][0] and times[1][-1] < times[2][0], [(t[0], t[-1]) for t in times]
assert [len(t) for t in times] == sizes, ([len(t) for t in times], sizes)
assert [report["parts"][p]["times"] for p in split["parts"]] == [[t[0], t[-1]] for t in times], report["parts"]
PY
}

say "a day a row; the same as numbers; the seed does not matter"
times days 'day(i)'
expect 0 'train: from "2019-12-30" to "2020-06-14"' split days
check days 168 36 36
expect 0 'method time' split days seed=7 out=other
python3 -c 'import json; a, b = (json.load(open(f"{d}/split.json")) for d in ("days", "other")); assert a["parts"] == b["parts"]'
times epochs '1577664000 + 86400 * i'
expect 0 'train: from 1577664000 to 1592092800' split epochs
check epochs 168 36 36
python3 - <<'PY'
import csv, json
rows = [json.loads(line) for line in open("days.jsonl")]
with open("table.csv", "w", newline="") as file:
    writer = csv.DictWriter(file, rows[0].keys())
    writer.writeheader()
    writer.writerows(dict(row, when=row["when"] + "T00:30:00+00:30") for row in rows)
PY
expect 0 'method time' split days data.path=table.csv out=csv
python3 -c 'import json; a, b = (json.load(open(f"{d}/split.json")) for d in ("days", "csv")); assert a["parts"] == b["parts"]'

say "equal times do not cross a boundary"
times weeks 'day(i // 50 * 7)'
expect 0 'note: the train part has 62.5 % of the rows, not 70.0 %' split weeks
check weeks 150 50 40
times two 'day(i // 120)'
expect 3 'two.jsonl|fewer than 3 different times \(2019-12-30 to 2019-12-31\)' split two

say "groups stay together, or the first that cannot is named"
times grouped 'day(i // 3)'
python3 - <<'PY'
import json
rows = [json.loads(line) for line in open("grouped.jsonl")]
first = min(row["when"] for row in rows)
for name, group in (("grouped", lambda row: row["when"][:7]), ("across", lambda row: "g" + row["when"][-1])):
    open(name + ".jsonl", "w").writelines(json.dumps(dict(row, owner=group(row))) + "\n" for row in rows)
PY
expect 0 'method time, seed 42, by owner' split grouped data.group=owner
python3 - <<'PY'
import json
owner = {str(r["id"]): r["owner"] for r in map(json.loads, open("grouped.jsonl"))}
parts = json.load(open("grouped/split.json"))["parts"]
of = [{owner[id] for id in parts[p]} for p in parts]
assert all(of) and not (of[0] & of[1] or of[1] & of[2] or of[0] & of[2]), of
PY
expect 3 "group 'g4' \(data.group: owner\) has rows from .* to .*, on both sides of the boundary at .*, and so have 10 groups" split across data.group=owner

say "what is no time is named by its line"
times bad 'day(i) if row["id"] != "r77" and i != 5 else "yesterday"'
line=$(grep -n yesterday bad.jsonl | head -1 | cut -d: -f1)
expect 3 "bad.jsonl:$line: field 'when' \(data.time\) is \"yesterday\"; a date of ISO 8601 .* is expected" split bad
times mixed 'day(i) if i != 5 else 1592092800'
expect 3 "mixed.jsonl:[0-9]+: field 'when' \(data.time\) is a (number|date) .*, in the rows before a (number|date); write all in one form" split mixed
times gaps 'day(i) if i % 60 else None'
expect 3 "gaps.jsonl:[0-9]+: field 'when' \(data.time\) is missing or blank; data.required" split gaps
expect 0 'field when: missing in 4 rows, 4 dropped for it' split gaps 'data.required=["when"]'
expect 2 'split.method "time" needs data.time' muster split job.json split.method=time out=none
expect 3 "days.jsonl:1: field 'wen' \(data.time\) is missing or blank" split days data.time=wen out=none

say "a file of such a split is used as it is"
expect 0 'method time' muster split job.json data.path=days.jsonl split.file=days/split.json data.group=null out=frozen 'data.accept=["leaks"]'
cmp <(python3 -c 'import json; print(json.load(open("days/split.json"))["sha256"])') <(python3 -c 'import json; print(json.load(open("frozen/split.json"))["sha256"])') || fail "the frozen split is another"
