#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Data as users have it: CSV, TSV and compressed files mean the same as JSON Lines; problems of the data stop; init writes jobs that run.
. "$(dirname "$0")/common.sh"
python3 "$here/tiny.py" "$scratch"

say "the same rows in every format"
python3 - <<'PY'
import csv, gzip, json
rows = [json.loads(line) for line in open("rows.jsonl")]
for path, separator, end in (("rows.csv", ",", "\r\n"), ("rows.tsv", "\t", "\n")):
    with open(path, "w", newline="", encoding="utf-8-sig" if path == "rows.csv" else "utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys(), delimiter=separator, lineterminator=end, quoting=csv.QUOTE_ALL if path == "rows.csv" else 0)
        writer.writeheader()
        writer.writerows(rows)
for path in ("rows.jsonl", "rows.csv"):
    with open(path, "rb") as plain, gzip.open(path + ".gz", "wb") as packed:
        packed.write(plain.read())
PY
files="rows.csv rows.tsv rows.jsonl.gz rows.csv.gz"
if command -v zstd >/dev/null; then zstd -q rows.csv; files="$files rows.csv.zst"; else skipped "zstd is not installed: .zst files are not tested here"; fi
expect 0 '240 kept' muster split job.json
for file in $files; do
  expect 0 '240 kept' muster split job.json data.path=$file out=other
  same_bytes run/split.json other/split.json
  rm -rf other
done

say "predict and evaluate read them too"
expect 0 'bundle' muster publish job.json train.epochs=1 sweep=null out=small
expect 0 '' muster predict small/bundle rows.jsonl -o a.jsonl
expect 0 '' muster predict small/bundle rows.csv.gz -o b.jsonl
same_bytes a.jsonl b.jsonl
expect 0 '240 rows' muster evaluate small/bundle rows.tsv --allow-train
mv "$scratch/out" one
expect 0 '240 rows' muster evaluate small/bundle rows.jsonl --allow-train
same_bytes one "$scratch/out"

say "broken tables"
refused() { expect 3 "$1" muster check job.json data.path=$2 out=bad; rm -rf bad; }
sed '5s/,"[^"]*"\r$/\r/' rows.csv >ragged.csv; refused 'ragged.csv:5: the row has 5 cells, the header 6' ragged.csv
sed '1s/"b"/"a"/' rows.csv >twice.csv; refused 'twice.csv:1: the header has the column "a" twice' twice.csv
head -c 3000 rows.csv.gz >cut.csv.gz; refused 'cut.csv.gz: its gzip data is damaged' cut.csv.gz
cp rows.csv named.csv.gz; refused 'named.csv.gz: is named .gz but holds no gzip data' named.csv.gz
printf 'a;b;label\n"open;1;0\n' >quote.csv; refused 'quote.csv:3: a cell.s quote is never closed' quote.csv

say "conflicting duplicates, leaks, shared groups"
python3 - <<'PY'
import json
rows = [json.loads(line) for line in open("rows.jsonl")]
def write(path, rows):
    with open(path, "w") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
again = [dict(row, id=f"again{i}", group=f"other{i}") for i, row in enumerate(rows[:60])]
write("leaks.jsonl", rows + again)
write("conflicts.jsonl", rows + [dict(row, label=1 - row["label"]) for row in again[:10]])
write("train.jsonl", rows[:160]), write("validation.jsonl", rows[160:200]), write("test.jsonl", rows[200:])
PY
expect 3 '10 rows have the same text as another row but a different label.*data.accept=\["conflicting_duplicates"\]' muster check job.json data.path=conflicts.jsonl out=conflicts
expect 0 'accepted by data.accept' muster check job.json data.path=conflicts.jsonl out=conflicts 'data.accept=["conflicting_duplicates"]'
expect 3 'rows of the .* part have the same text as a training row.*split_check.json.*data.accept=\["leaks"\]' muster split job.json data.path=leaks.jsonl out=leaks
python3 - <<'PY'
import json
check = json.load(open("leaks/check.json"))
assert check["duplicates"]["rows"] == 60 and check["duplicates"]["with_other_label"] == 0, check["duplicates"]
split = json.load(open("leaks/split_check.json"))
assert split["leaks"] and all(leak["exact"] for leak in split["leaks"]), split["leaks"][:3]
PY
expect 0 'accepted' muster split job.json data.path=leaks.jsonl out=leaks 'data.accept=["leaks"]'
expect 2 'data.accept.*did you mean "leaks"' muster check job.json 'data.accept=["leak"]' out=other
parts="data.path=null data.train_path=train.jsonl data.validation_path=validation.jsonl data.test_path=test.jsonl"
expect 3 '[0-9]+ groups have rows in more than one part.*shared_groups' muster split job.json $parts out=parts
expect 0 'accepted' muster split job.json $parts out=parts 'data.accept=["shared_groups"]'

say "many labels: rare ones, rows without, shares in each part"
python3 - <<'PY'
import json, random
chance = random.Random(3)
with open("many.jsonl", "w") as file:
    for i in range(400):
        labels = [f"l{k:02d}" for k in range(12) if chance.random() < 0.5 / (k + 1)] + (["rare"] if i % 100 == 7 else [])
        file.write(json.dumps({"id": i, "text": " ".join(chance.choice(["word1", "word2", "linked", "apart"]) for _ in range(8)) + f" {i}",
                               "tags": labels, "packed": ";".join(labels)}) + "\n")
job = json.load(open("job.json"))
job["task"] = "multi_label_classification"
job["data"] = {"path": "many.jsonl", "id": "id", "label": "tags", "text_a": ["text"], "min_label_count": 10}
job["split"] = {"method": "stratified"}
job.pop("sweep")
json.dump(job, open("many.json", "w"))
PY
expect 0 'labels dropped as rare .* 1, and [0-9]+ rows' muster split many.json out=many
python3 - <<'PY'
import json
rows = [json.loads(line)["tags"] for line in open("many.jsonl")]
check, split = json.load(open("many/check.json")), json.load(open("many/split_check.json"))
kept = [tags for tags in rows if tags != ["rare"]]
assert check["kept"] == len(kept) and check["rare_only"] == len(rows) - len(kept), (check["kept"], len(kept))
assert check["dropped_labels"] == ["rare"]
assert check["labels_per_row"]["rows"][0] == sum(not tags for tags in kept)
counts = {label["name"]: label["count"] for label in check["labels"]}
assert counts == {name: sum(name in tags for tags in kept) for name in counts}, counts
for part, share in (("train", 0.7), ("validation", 0.15), ("test", 0.15)):
    for name, found in zip(counts, split["parts"][part]["labels"]):
        assert abs(found - share * counts[name]) <= 3, (part, name, found, share * counts[name])
assert json.load(open("many/split.json"))["fingerprints"] == {p: v["fingerprint"] for p, v in split["parts"].items()}
PY
python3 - <<'PY'
import json
rows = [json.loads(line) for line in open("many.jsonl")]
with open("tiny_texts.jsonl", "w") as file:
    for i, row in enumerate(rows):
        file.write(json.dumps({**row, "text": row["text"] if i % 4 else f"two {i}"}) + "\n")
PY
expect 0 'dropped, too few words \(data.min_words\): [0-9]+' muster check many.json data.path=tiny_texts.jsonl data.min_words=9 out=wordy
python3 - <<'PY' || fail "rows of few words are not dropped after rare labels"
import json
rows = [json.loads(line)["tags"] for line in open("tiny_texts.jsonl")]
check = json.load(open("wordy/check.json"))
short = sum(tags != ["rare"] for i, tags in enumerate(rows) if i % 4 == 0)
assert check["too_short"] == short and check["tiny"] == check["kept"] == len(rows) - check["rare_only"] - short, (check["too_short"], short, check["tiny"])
PY
expect 3 'no row has 1000 words' muster check many.json data.min_words=1000 out=none
expect 3 'no label has 1000 rows' muster check many.json out=none data.min_label_count=1000

say "a column a label: CSV, TSV and JSON Lines, a list and a pattern, give what lists give"
python3 - <<'PY'
import csv, json
rows = [json.loads(line) for line in open("many.jsonl")]
names = sorted({tag for row in rows for tag in row["tags"]})
flat = [dict(id=row["id"], text=row["text"], **{"t_" + n: int(n in row["tags"]) for n in names}) for row in rows]
for path, separator in (("flat.csv", ","), ("flat.tsv", "\t")):
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, flat[0].keys(), delimiter=separator)
        writer.writeheader()
        writer.writerows(flat)
with open("flat.jsonl", "w") as file:
    file.writelines(json.dumps({k: v if v or not k.startswith("t_") else None for k, v in row.items()}) + "\n" for row in flat)
with open("listed.jsonl", "w") as file:
    file.writelines(json.dumps({"id": row["id"], "text": row["text"], "tags": ["t_" + t for t in row["tags"]]}) + "\n" for row in rows)
json.dump(["t_" + n for n in names], open("columns.json", "w"))
PY
expect 0 'kept' muster split many.json data.path=listed.jsonl data.group=id out=listed
for file in flat.csv flat.tsv flat.jsonl; do
  for label in '"t_*"' "$(cat columns.json)"; do
    expect 0 'kept' muster split many.json data.path=$file data.group=id data.label="$label" out=other
    same_bytes listed/split.json other/split.json
    rm -rf other
  done
done
expect 2 'label columns needs "task": "multi_label_classification"' muster check many.json data.path=flat.csv 'data.label="t_*"' task=single_label_classification out=other
expect 3 "no row has a field 'u_\*'" muster check many.json data.path=flat.csv 'data.label="u_*"' out=other
sed '3s/,1/,7/' flat.csv >seven.csv
expect 3 "seven.csv:3: field 't_l[0-9]*' is \"7\"; a label column must be 0, 1 or empty" muster check many.json data.path=seven.csv 'data.label="t_*"' out=other
expect 0 'kept' muster check many.json 'data.word_limits={"text": 3}' 'data.accept=["conflicting_duplicates"]' out=short
expect 0 'bundle' muster publish many.json data.path=flat.csv 'data.label="t_*"' 'data.word_limits={"text": 20}' train.epochs=1 out=flat
python3 - <<'PY' || fail "the first words are not what counts"
import json
assert json.load(open("short/check.json"))["lengths"]["text_a"]["words"]["max"] == 3
assert json.load(open("flat/bundle/inference_config.json"))["input"]["word_limits"] == {"text": 20}
assert "(first 20 words)" in open("flat/bundle/README.md").read()
PY
expect 2 'data.word_limits: "txt" is in neither' muster check many.json 'data.word_limits={"txt": 3}' out=other
expect 2 'data.word_limits: expected an object of fields and whole numbers' muster check many.json 'data.word_limits={"text": 0}' out=other
expect 0 'micro F1' muster evaluate flat/bundle flat.tsv --unseen
expect -e 0 '400 rows' muster predict flat/bundle many.jsonl -o flat.predicted.jsonl

say "init"
for file in rows.jsonl rows.csv many.jsonl flat.csv flat.jsonl; do
  rm -f init.json
  expect 0 'next: muster check init.json' muster init $file --model model -o init.json
  expect 0 'kept' muster check init.json out=init data.min_label_count=0
  rm -rf init
done
expect 2 'init.json: exists already' muster init rows.jsonl -o init.json
expect 0 'wrote init.json' muster init rows.jsonl -o init.json --force
tail -n +2 rows.csv >headless.csv
expect -e 0 'headless.csv: its first line, .* is the header line missing' muster init headless.csv --model model -o headless.json
expect 0 'wrote rows.json' muster init rows.csv --model model -o rows.json
if grep -q 'header line missing' out said; then fail "a header line is doubted"; fi
printf '{"text": "one two three four"}\n{"text": "five six seven eight"}\n' >plain.jsonl
expect 3 'no field looks like a label; name it: --label FIELD' muster init plain.jsonl -o none.json
[ ! -e none.json ] || fail "a job was written for data without labels"
