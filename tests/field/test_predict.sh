#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Files to predict as people have them: without optional columns or ids, with bad rows, other names, through a pipe; as tables.
. "$(dirname "$0")/../system/common.sh"
python3 "$here/../system/tiny.py" tiny 60 >/dev/null
set_key tiny/job.json sweep DELETE
set_key tiny/job.json train.epochs 1
muster run tiny/job.json out=run report.baseline=false >ran 2>&1 || fail "no bundle"
bundle=run/bundle
python3 - <<'PY'
import csv, json
rows = [json.loads(line) for line in open("tiny/rows.jsonl")][:6]
def write(name, rows):
    with open(name, "w") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
without = lambda row, *names: {k: v for k, v in row.items() if k not in names}
write("null.jsonl", [row | {"title": None} for row in rows])
write("absent.jsonl", [without(row, "title") for row in rows])
write("noid.jsonl", [without(row, "id", "title") for row in rows])
write("mixed.jsonl", [without(row, "id") if i % 2 else row for i, row in enumerate(rows)])
write("renamed.jsonl", [{"key": row["id"], "body": row["a"], "title": None, "b": row["b"], "gold": row["label"]} for row in rows])
for name, end, quoting in (("absent.csv", ",", csv.QUOTE_MINIMAL), ("absent.tsv", "\t", csv.QUOTE_MINIMAL)):
    writer = csv.DictWriter(open(name, "w", newline=""), ["id", "a", "b", "label"], delimiter=end, quoting=quoting)
    writer.writeheader()
    writer.writerows({k: row[k] for k in ("id", "a", "b", "label")} for row in rows)
text = open("null.jsonl").read().splitlines()
open("bad.jsonl", "w").write("\n".join([text[0], '{"id": "x", "a": ', text[1], '{"id": "y", "a": "", "b": "word1"}', '["no object"]', text[2]]) + "\n")
open("bad.csv", "w").write("id,a,b\nr1,word1,word2\nr2,word1\nr3,word3,word4\n")
open("open.csv", "w").write("id,a,b\nr1,word1,word2\nr2,\"word1,word3\nr3,word3,word4\n")
open("quotes.csv", "w").write("id,a,b\nr1,\"word1 word5,word2\nr2,word3,word4\"\n")
open("latin.csv", "wb").write("id,a,b\nr\u00e9,word1,word2\n".encode("latin1"))
open("allbad.jsonl", "w").write('{"a": 1\n{"b"\n')
PY

# same A B: the same predictions, ids apart
same() {
  python3 - "$@" <<'PY' || fail "$1 and $2 differ"
import json, sys
a, b = ([json.loads(line) for line in open(name)] for name in sys.argv[1:3])
assert len(a) == len(b) > 0, f"{len(a)} and {len(b)} rows"
for x, y in zip(a, b):
    for key in ("label", "probabilities", "logits"):
        assert x[key] == y[key], f"{key}: expected {x[key]}, found {y[key]}"
PY
}
ids() { python3 -c 'import json, sys; print(*(json.loads(line)["id"] for line in open(sys.argv[1])))' "$1"; }
predict() { muster predict $bundle "$@" 2>said || fail "predict $*: $(cat said)"; }

say "an optional column may be absent"
predict null.jsonl >null.out
predict absent.jsonl >absent.out
same_bytes null.out absent.out
grep -q "no row has the optional field 'title'" said || fail "the absent field is not told"
for form in csv tsv; do
  predict absent.$form >$form.out
  same_bytes null.out $form.out
done
expect 3 "field 'a' is missing or blank; every row to predict needs it \(--field" muster predict $bundle renamed.jsonl

say "ids default to lines"
predict noid.jsonl >noid.out
same null.out noid.out
[ "$(ids noid.out)" = "1 2 3 4 5 6" ] || fail "expected ids 1 to 6, found $(ids noid.out)"
predict mixed.jsonl >mixed.out
[ "$(ids mixed.out)" = "row0 2 row2 4 row4 6" ] || fail "expected a line where there is no id, found $(ids mixed.out)"
expect 0 '6 rows' muster evaluate $bundle noid.jsonl --allow-train

say "fields of other names"
predict renamed.jsonl --field a=body --field id=key >renamed.out
same_bytes null.out renamed.out
expect 0 '6 rows' muster evaluate $bundle renamed.jsonl --allow-train --field=a=body --field id=key --field label=gold
expect 2 "the bundle reads no field 'text'; it reads: a, title, b, id, label" muster predict $bundle renamed.jsonl --field text=body
expect 2 'expected FIELD=COLUMN' muster predict $bundle renamed.jsonl --field body

say "bad rows"
expect 3 'bad.jsonl:2' muster predict $bundle bad.jsonl
expect -e 0 'bad.jsonl: 3 bad rows were skipped \(lines 2, 4, 5\); the first: bad.jsonl:2' muster predict $bundle bad.jsonl --skip-bad
cp out skipped.out
head -3 null.jsonl >three.jsonl && predict three.jsonl >three.out
same_bytes three.out skipped.out
expect -e 0 'bad.jsonl: 2 bad rows were skipped \(lines 2, 5\)' muster evaluate $bundle bad.jsonl --skip-bad --allow-train
expect 3 'bad.csv:3: the row has 2 cells' muster predict $bundle bad.csv
expect -e 0 'bad.csv: 1 bad row was skipped \(line 3\); the first: bad.csv:3' muster predict $bundle bad.csv --skip-bad
[ "$(ids out)" = "r1 r3" ] || fail "expected r1 r3, found $(ids out)"
expect 3 'no row is left: 2 are bad' muster predict $bundle allbad.jsonl --skip-bad
expect 3 "a cell's quote is never closed" muster predict $bundle open.csv --skip-bad
gzip -c null.jsonl | head -c 120 >cut.jsonl.gz
expect 3 'it is cut off' muster predict $bundle cut.jsonl.gz --skip-bad

say "quotes that are text, another encoding"
expect 0 '"id": "r2"' muster predict $bundle quotes.csv --quotes none
expect 3 'is not valid UTF-8' muster predict $bundle latin.csv
expect 0 '"id": "ré"' muster predict $bundle latin.csv --encoding latin1
expect 2 'expected auto or none' muster predict $bundle quotes.csv --quotes some

say "standard input and pipes"
muster predict $bundle - <absent.csv >piped.out 2>said || fail "-: $(cat said)"
same_bytes null.out piped.out
gzip -c null.jsonl | muster predict $bundle - >piped.out || fail "gzip through a pipe"
same_bytes null.out piped.out
mkfifo pipe.jsonl
cat null.jsonl >pipe.jsonl & writer=$!
muster predict $bundle pipe.jsonl >piped.out || fail "a named pipe"
wait $writer
same_bytes null.out piped.out
muster predict $bundle <(cat absent.tsv) >piped.out || fail "a pipe of the shell"
same_bytes null.out piped.out
expect 3 '^muster: -: is empty' muster predict $bundle - </dev/null
expect 3 '^muster: -:2' muster predict $bundle - <bad.jsonl
muster evaluate $bundle - --allow-train --json <noid.jsonl >metrics.json || fail "evaluate -"
python3 -c 'import json; assert json.load(open("metrics.json"))["rows"] == 6' || fail "evaluate - has other rows"

say "one row"
head -1 null.jsonl >one.jsonl
expect 0 '^1 row, ' muster evaluate $bundle one.jsonl --allow-train

say "names that are file names"
expect 2 'name: has 240 characters; it is used as a file name' muster check tiny/job.json name="$(printf 'n%.0s' {1..240})"
expect 2 'name: "a/b" is used as a file name' muster check tiny/job.json name=a/b
long=$(printf 'n%.0s' {1..200})
muster run tiny/job.json out=long name="$long" >ran 2>&1 || fail "a name of 200 characters: $(tail -1 ran)"
[ -f "long/$long.zip" ] || fail "no zip of a name of 200 characters"

say "tables"
python3 - <<'PY'
import json
row = json.loads(open("null.jsonl").readline())
with open("odd.jsonl", "w") as file:
    for key in ("plain", 'a "quote"', "a,comma", "a\ttab", "a\nline"):
        file.write(json.dumps(row | {"id": key}) + "\n")
PY
# tables FILE: predictions as .csv and .tsv against the JSON Lines
tables() {
  predict "$1" >lines.out
  predict "$1" -o table.csv
  predict "$1" -o table.tsv
  python3 - "$bundle" <<'PY' || fail "the tables of $1 differ"
import csv, json, sys
rows = [json.loads(line) for line in open("lines.out")]
spec = json.load(open(f"{sys.argv[1]}/inference_config.json"))
names = list(rows[0]["probabilities"])
multi = "labels" in rows[0]
separable = not any(";" in name or name.startswith("[") for name in names)
for name, delimiter in (("table.csv", ","), ("table.tsv", "\t")):
    found = list(csv.reader(open(name, newline=""), delimiter=delimiter, strict=True))
    expected = [["id", "labels" if multi else "label"] + ["probability_" + n for n in names]]
    for row in rows:
        label = row["label"] if not multi else ";".join(row["labels"]) if separable else row["labels"]
        expected.append([row["id"], label] + [row["probabilities"][n] for n in names])
    assert len(found) == len(expected), f"{name}: {len(found)} rows"
    assert found[0] == expected[0], f"{name}: {found[0]}"
    for f, x in zip(found[1:], expected[1:]):
        f[1] = json.loads(f[1]) if multi and not separable else f[1]
        assert f[:2] == x[:2] and [float(v) for v in f[2:]] == x[2:], f"{name}: expected {x}, found {f}"
PY
}
tables odd.jsonl
python3 - <<'PY'
import json
names = ["a;b", 'q"x', "c`|,d"]
with open("many.jsonl", "w") as file:
    for i, line in enumerate(open("tiny/rows.jsonl")):
        row = json.loads(line)
        file.write(json.dumps(row | {"label": [names[i % 3], names[(i + 1) % 3]][: 1 + i % 2]}) + "\n")
with open("sets.jsonl", "w") as file:
    for i, line in enumerate(open("tiny/rows.jsonl")):
        file.write(json.dumps(json.loads(line) | {"label": ["abc"[i % 3], "abc"[(i + 1) % 3]][: 1 + i % 2]}) + "\n")
PY
for file in many sets; do
  muster run tiny/job.json out=$file report.baseline=false task=multi_label_classification data.path="$file.jsonl" data.labels=[] \
    data.positive=null >ran 2>&1 || fail "no bundle of $file: $(tail -1 ran)"
  bundle=$file/bundle
  tables $file.jsonl
done
grep -qF 'Labels: `a;b`, ``c`|,d``, `q"x`.' many/bundle/README.md || fail "a backtick breaks the model card: $(grep Labels: many/bundle/README.md)"
