#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What `muster init` sees in a table: cells that are sets of labels, a column of parts, files named for their parts, rare positives, repeats; and that each
# written job passes `check` and `split`.
. "$(dirname "$0")/../system/common.sh"
python3 "$here/../system/tiny.py" tiny 60 >/dev/null
mv tiny/model model
python3 - <<'PY'
import csv, json, random
chance = random.Random(5)
text = lambda: " ".join(f"word{chance.randrange(60)}" for _ in range(9))
def table(name, rows):
    with open(name, "w", newline="") as file:
        if name.endswith(".csv"):
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        else:
            file.writelines(json.dumps(row) + "\n" for row in rows)
uses = ["uses", "similarities", "background", "uses similarities", "background uses", "similarities"]
table("sets.csv", [{"sentence": text(), "functions": uses[i % 6]} for i in range(240)])
table("sets.jsonl", [{"sentence": text(), "functions": uses[i % 6].replace(" ", ", ")} for i in range(240)])
names = ["card arrival", "card lost", "pin", "card", "new york"]
table("names.csv", [{"sentence": text(), "intent": names[i % 5]} for i in range(240)])
part = lambda i: "dev" if i % 6 == 0 else "test" if i % 6 == 1 else "train"
table("parts.csv", [{"id": f"r{i}", "text": text(), "label": "ab"[i * 7 % 5 % 2], "split": part(i)} for i in range(240)])
table("two.jsonl", [{"text": text(), "label": "ab"[i * 7 % 5 % 2], "part": "Test" if i % 5 == 0 else "Train"} for i in range(240)])
table("nine.csv", [{"text": text(), "verdict": "ab"[i * 7 % 5 % 2], "fold": "dev" if i % 6 == 0 else "train"} for i in range(240)])
table("other.csv", [{"text": text(), "verdict": "ab"[i * 7 % 5 % 2], "use": "unlabeled" if i % 9 == 0 else part(i)} for i in range(240)])
table("blank.csv", [{"text": text(), "verdict": "ab"[i * 7 % 5 % 2], "use": "" if i % 9 == 0 else part(i)} for i in range(240)])
table("sorted.csv", [{"text": f"{i} words of a long table", "verdict": "ab"[i * 7 % 5 % 2], "use": "train" if i < 50500 else "test"} for i in range(51000)])
table("few.csv", [{"text": text(), "tags": ";".join("xyz"[k] for k in range(3) if i >> k & 1) if i % 3 == 0 else ""} for i in range(240)])
for name, size in (("train", 120), ("val", 40), ("test", 40)):
    table(f"news-{name}.csv", [{"text": text(), "label": "ab"[i * 7 % 5 % 2]} for i in range(size)])
for name, size in (("train", 120), ("val", 40)):
    table(f"only-{name}.csv", [{"text": text(), "label": "ab"[i * 7 % 5 % 2]} for i in range(size)])
for name, size in (("train", 120), ("test", 40)):
    table(f"pair-{name}.csv", [{"text": text(), "label": "ab"[i * 7 % 5 % 2]} for i in range(size)])
table("rare.csv", [{"text": text(), "label": int(i % 16 == 0)} for i in range(480)])
open("norows.jsonl", "w").close()
PY

# init FILE PATTERN JOB_KEY=JSON...: what is printed, what is in the job, and that check passes
init() {
  local file=$1 pattern=$2
  shift 2
  rm -rf job.json runs
  expect 0 "$pattern" muster init "$file" --model model
  python3 - "$@" <<'PY' || fail "the job of $file"
import json, sys
job = json.load(open("job.json"))
for given in sys.argv[1:]:
    key, value = given.split("=", 1)
    at = job
    for name in key.split("."):
        at = at.get(name) if isinstance(at, dict) else None
    assert at == json.loads(value), f"{key}: expected {value}, found {at!r}"
PY
  expect 0 'rows' muster check job.json
  expect 0 '' muster split job.json
}

say "cells that are sets of labels"
for file in sets.csv sets.jsonl; do
  init $file 'multi-label: .* sets of others' 'task="multi_label_classification"' 'data.labels=["background", "similarities", "uses"]' 'train.select="best_f1"' 'train.head_bias="shares"' \
    'tune.per_class="auto"' 'tune.ties="middle"'
done
init names.csv 'task +single label' 'task="single_label_classification"' 'data.label_separator=null'

say "a column of parts is the split"
init parts.csv "split.file +job.split.json: by the column 'split', 160 rows to train, 40 to validate, 40 to test" 'split={"file": "job.split.json"}' 'data.group=null' 'data.text_a=["text"]'
expect 0 '' muster split job.json
python3 - <<'PY' || fail "the parts are not those of the column"
import csv, json
parts = json.load(open("runs/parts/split.json"))["parts"]
names = {"train": "train", "dev": "validation", "test": "test"}
for row in csv.DictReader(open("parts.csv")):
    assert row["id"] in parts[names[row["split"]]], row
PY
init two.jsonl 'there is no validation part, so 15 % of the training rows' 'split={"file": "job.split.json"}'
expect 0 '' muster split job.json
python3 - <<'PY' || fail "test rows are not those of the column"
import json
parts = json.load(open("runs/two/split.json"))["parts"]
rows = {str(i): json.loads(line)["part"] for i, line in enumerate(open("two.jsonl"), 1)}
assert sorted(parts["test"]) == sorted(i for i, part in rows.items() if part == "Test") and 10 <= len(parts["validation"]) <= 60, len(parts["validation"])
PY

init nine.csv 'there is no test part, so 15 % of the training rows' 'split={"file": "job.split.json"}' 'data.label="verdict"'
expect 0 '' python3 -c 'import json; p = json.load(open("runs/nine/split.json"))["parts"]; assert len(p["validation"]) == 40 and 15 <= len(p["test"]) <= 45, p'
expect 0 "data.path +its column 'use' is not the split: 'unlabeled' is no part" muster init other.csv --model model -o other.json
expect 0 "data.path +its column 'use' is not the split: some rows have no value there" muster init blank.csv --model model -o blank.json
expect 0 "by the column 'use', [0-9]+ rows to train, [0-9]+ to validate, 500 to test; there is no validation part" muster init sorted.csv --model model -o sorted.json
expect 0 '' python3 -c 'import json; assert all(json.load(open(f))["data"]["label"] == "verdict" for f in ("other.json", "blank.json", "sorted.json"))'
init few.csv 'multi-label: .* sets of others' 'task="multi_label_classification"' 'data.label="tags"' 'data.label_separator=";"'

say "files named for their parts"
init news-train.csv 'files named for their parts are the split' 'data.path=null' 'data.train_path="news-train.csv"' 'data.validation_path="news-val.csv"' 'data.test_path="news-test.csv"' 'split=null'
for file in pair-train.csv pair-test.csv; do
  init $file 'without a file for validation, validation rows are drawn from train' 'data.path=null' 'data.train_path="pair-train.csv"' 'data.test_path="pair-test.csv"'
done
python3 - <<'PY' || fail "the test part is not the test file, or validation is not drawn from train"
import json
parts = json.load(open("runs/pair-test/split.json"))["parts"]
assert parts["test"] == [f"2:{line}" for line in range(2, 42)] and ":" not in "".join(parts["train"] + parts["validation"]), parts
assert len(parts["train"]) + len(parts["validation"]) == 120 and 18 <= len(parts["validation"]) <= 24, parts
PY
init only-train.csv 'only-train.csv alone: only-val.csv is not used, as there is no file for test; with train and test they would be' 'data.path="only-train.csv"'

say "rare positives"
init rare.csv 'train.select +best_f1: F1 at the best threshold, which is tuned afterwards' 'train.select="best_f1"' 'train.head_bias=null' 'train.class_weights="none"' 'data.positive="1"'

say "repeats: what a run would stop at is settled"
python3 - <<'PY'
import csv, random
chance = random.Random(9)
text = lambda words: [f"word{chance.randrange(900)}" for _ in range(words)]
other = lambda words, k: " ".join(words[:k] + ["elsewhere"] + words[k + 1:])
def table(name, rows):
    with open(name, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
def rows(count, **more):
    return [{"text": " ".join(text(60)), "label": "ab"[i * 7 % 5 % 2]} | {key: value(i) for key, value in more.items()} for i in range(count)]
flip = lambda row: dict(row, label="b" if row["label"] == "a" else "a")
plain = rows(400)
near = [dict(row, text=other(row["text"].split(), 30)) for row in plain[:60]]
table("nearly.csv", plain + near)
table("exactly.csv", plain + plain[:6])
table("disagree.csv", plain + [flip(row) for row in plain[:30]])
table("doubted.csv", plain + near + [flip(row) for row in plain[60:90]])
parts = rows(400, split=lambda i: ("train", "train", "dev", "test")[i % 4])
table("given.csv", parts + [dict(flip(row) if i % 2 else row, split="test") for i, row in enumerate(parts[0:120:4])])
sources = rows(400, source=lambda i: f"s{i % 20}")
table("wire-train.csv", sources[:240])
table("wire-val.csv", sources[240:320] + sources[:10])
table("wire-test.csv", sources[320:] + [flip(row) for row in sources[:30]])
untrained = rows(400, part=lambda i: ("train", "train", "dev", "test")[i % 4])
table("untrained.csv", [dict(row, label="c") if i % 32 == 3 else row for i, row in enumerate(untrained)])
PY
init nearly.csv 'data.repeats +group: 60 rows repeat .* .0 exactly, 0 of them with another label' 'data.repeats="group"' 'data.accept=null'
expect 0 '' python3 -c 'import json; p = json.load(open("runs/nearly/split_check.json"))["parts"]; assert not p["test"]["near_in_train"] + p["validation"]["near_in_train"], p'
init exactly.csv 'data.repeats +group: 6 rows repeat .* .6 exactly' 'data.repeats="group"'
init disagree.csv 'data.repeats +drop: 30 rows repeat .* .30 exactly, 30 of them with another label' 'data.repeats="drop"' 'data.accept=null'
init doubted.csv 'data.accept +conflicting_duplicates: to drop all repeats would cost 18 % of the rows' 'data.repeats="group"' 'data.accept=["conflicting_duplicates"]'
init given.csv 'data.accept +leaks: the texts of 0 validation and 30 test rows are in train' 'data.repeats=null' 'data.accept=["leaks", "conflicting_duplicates"]'
init wire-train.csv "data.accept +shared_groups: 20 values of 'source' are in more than one part" 'data.group="source"' 'data.accept=["leaks", "conflicting_duplicates", "shared_groups"]'
init untrained.csv "data.min_label_count +14: no row of label 'c' is in train" 'data.min_label_count=14' 'split.file="job.split.json"'
init names.csv 'task' 'data.repeats=null' 'data.accept=null'

say "as many rows at once as the memory holds"
init rare.csv 'train.micro_batch +the whole batch: up to 0.00 GB of' 'train.micro_batch=null'
python3 - <<'PY'
import json, os, re
available = 1024 * int(re.search(r"MemAvailable: +(\d+)", open("/proc/meminfo").read()).group(1))
open("long.csv", "w").write("text,label\n" + "".join(f"{i:04} {'wordword ' * 280},{'ab'[i * 7 % 5 % 2]}\n" for i in range(240)))
config = json.load(open("model/config.json"))
# Wide feed-forward layers: for 8 rows of 512 tokens their outputs take twice the memory, the weights little.
config |= {"hidden_size": 64, "intermediate_size": 65536, "num_attention_heads": 4, "max_position_embeddings": 512}
config["num_hidden_layers"] = 1 + round(2 * available / (8 * 512 * 65536 * 8))
os.mkdir("deep")
json.dump(config, open("deep/config.json", "w"))
config |= {"hidden_size": 8192, "intermediate_size": 32768, "num_hidden_layers": int(available / (16 * 12 * 8192**2)) + 1}
os.mkdir("huge")
json.dump(config, open("huge/config.json", "w"))
PY
expect -o 0 'train.micro_batch +[124] rows of the batch at once: up to .* at most half of' muster init long.csv --model deep -o fits.json
grep -qE '"micro_batch": *[124]' fits.json || fail "the job has no micro-batch"
expect -o 0 'train.micro_batch +1: takes up to .* more than half of' muster init long.csv --model huge -o huge.json

say "tables as programs write them, from init to a bundle"
python3 - <<'PY'
import csv, io, json, random
chance = random.Random(11)
words = {"positiv": ["schön", "Qualität", "prima"], "negativ": ["übel", "Ärger", "kaputt"]}
rows = []
for i in range(160):
    mood = "positiv" if i % 3 == 0 else "negativ"
    text = " ".join(chance.choice(words[mood] + ["die", "Straße", "ist"]) for _ in range(9)) + (", sehr; ja" if i % 4 == 0 else "")
    rows.append({"Nr.": i + 1, "Kommentar": text, "Bewertung": mood})
def table(separator, end):
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), delimiter=separator, lineterminator=end)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()
open("windows.csv", "wb").write(table(";", "\r\n").encode("cp1252"))
open("excel.csv", "wb").write(("sep=;\r\n" + table(";", "\r\n")).encode("utf-8-sig"))
open("unicode.csv", "wb").write(table("\t", "\r\n").encode("utf-16"))
open("mac.tsv", "wb").write(table("\t", "\r").encode())
json.dump(rows, open("records.json", "w"), indent=1)
json.dump({"columns": list(rows[0]), "index": list(range(160)), "data": [list(row.values()) for row in rows]}, open("frame.json", "w"))
PY
while IFS='|' read -r file format encoding; do
  init $file "$file: $format, 160 rows" "data.encoding=$encoding" 'data.text_a=["Kommentar"]' 'data.label="Bewertung"' 'data.labels=["negativ", "positiv"]'
  python3 -c 'import json, glob; l = json.load(open(glob.glob("runs/*/check.json")[0]))["labels"]; assert [x["count"] for x in l] == [106, 54], l' || fail "$file: other rows"
done <<'TABLES'
windows.csv|CSV .separator ';', encoding cp1252.|"cp1252"
excel.csv|CSV .separator ';'.|null
unicode.csv|CSV .separator tab, encoding utf-16.|"utf-16"
mac.tsv|TSV .CR line ends.|null
records.json|JSON|null
frame.json|JSON|null
TABLES
init windows.csv 'encoding cp1252' 'task="single_label_classification"'
expect 0 'next +muster predict whole/bundle' muster run job.json out=whole train.epochs=1 report.baseline=false
expect 0 '' muster predict whole/bundle windows.csv --encoding cp1252 -o predicted.csv
[ "$(wc -l <predicted.csv)" = 161 ] || fail "predictions: $(wc -l <predicted.csv)"

say "data without rows, data in place of a job"
expect 3 'norows.jsonl: is empty' muster init norows.jsonl --model model
expect 2 'job.json: exists already' muster init rare.csv --model model
expect 2 'rare.csv: is data; a job file is expected, which .muster init rare.csv. writes' muster check rare.csv
