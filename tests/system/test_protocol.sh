#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# muster protocol: rows, labels and split of a job, frozen; a job that names it has exactly these, or is refused by name.
. "$(dirname "$0")/common.sh"
python3 "$here/tiny.py" "$scratch"
python3 - <<'PY'
import json, random
chance = random.Random(5)
with open("many.jsonl", "w") as file:
    for i in range(400):
        labels = [f"l{k}" for k in range(6) if chance.random() < 0.5 / (k + 1)] + (["rare"] if i % 40 == 7 else [])
        text = "word1" if i == 11 else " ".join(chance.choice(["word1", "word2", "linked", "apart"]) for _ in range(8)) + f" {i}"
        file.write(json.dumps({"id": f"r{i}", "when": f"{2000 + i // 4}-01-01", "title": f"word{i % 9}", "text": text, "tags": labels}) + "\n")
job = json.load(open("job.json"))
job.update(task="multi_label_classification", split={"method": "time"},
           data={"path": "many.jsonl", "id": "id", "label": "tags", "text_a": ["title", "text"], "time": "when", "min_label_count": 8, "min_words": 3,
                 "accept": ["leaks"]})
job.pop("sweep")
json.dump(job, open("many.json", "w"))
PY

say "frozen: parts by time, limits, labels by train alone, and every row accounted for"
expect 0 'protocol: frozen/protocol.json' muster protocol many.json -o frozen --train 100 --validation 30
[ "$(ls -A frozen)" = protocol.json ] || fail "frozen holds more than the protocol: $(ls -A frozen)"
cat >check.py <<'PY'
import hashlib, json
rows = {r["id"]: r for r in map(json.loads, open("many.jsonl"))}
p = json.load(open("frozen/protocol.json"))
parts, protocol = p["parts"], p["protocol"]
left = sum(protocol["left_out"].values(), [])
assert sorted(left + sum(parts.values(), [])) == sorted(rows), "each row is in a part or left out"
assert protocol["files"] == [{"name": "many.jsonl", "sha256": hashlib.sha256(open("many.jsonl", "rb").read()).hexdigest()}]
assert len(parts["train"] + [i for i in protocol["left_out"]["rare_labels"]]) >= 100 >= len(parts["train"]) > 80, len(parts["train"])
assert len(parts["validation"]) <= 30 and protocol["left_out"]["cleaning"] == ["r11"], protocol["left_out"]["cleaning"]
times = [sorted(rows[i]["when"] for i in parts[part]) for part in ("train", "validation", "test")]
assert times[0][-1] < times[1][0] and times[1][-1] < times[2][0]
# Of the limited train part, before rows without labels go: every label that is kept has at least 8 rows there, every other fewer.
train = [rows[i]["tags"] for i in parts["train"] + [i for i in protocol["left_out"]["rare_labels"] if rows[i]["when"] <= times[0][-1]]]
count = {name: sum(name in tags for tags in train) for name in [f"l{k}" for k in range(6)] + ["rare"]}
assert set(protocol["labels"]) == {n for n, c in count.items() if c >= 8}, (protocol["labels"], count)
assert set(protocol["dropped_labels"]) == set(count) - set(protocol["labels"]) and "rare" in protocol["dropped_labels"], count
assert sum("rare" in r["tags"] for r in rows.values()) >= 8, "in all rows it is not rare"
for ids in parts.values():
    assert all(not rows[i]["tags"] or set(rows[i]["tags"]) & set(protocol["labels"]) for i in ids)
PY
python3 check.py
expect 0 '' muster protocol many.json -o again --train 100 --validation 30
same_bytes frozen/protocol.json again/protocol.json

say "a job that names it has its rows, labels and split, whatever it says of cleaning"
frozen="split.file=frozen/protocol.json split.method=muster"
expect 0 'left out by the protocol' muster split many.json $frozen data.min_label_count=0 data.min_words=0 out=used
python3 - <<'PY'
import json
p, s, c = json.load(open("frozen/protocol.json")), json.load(open("used/split.json")), json.load(open("used/check.json"))
assert {**s, "protocol": p["protocol"]} == p
assert [label["name"] for label in c["labels"]] == p["protocol"]["labels"] and c["dropped_labels"] == p["protocol"]["dropped_labels"]
assert c["protocol_left_out"] == sum(map(len, p["protocol"]["left_out"].values()))
PY
expect 0 'note: texts are composed of other fields than in frozen/protocol.json' muster split many.json $frozen 'data.text_a=["text"]' out=snippet
expect 0 'bundle' muster publish many.json $frozen train.epochs=1 cluster.device=fake out=whole

say "what is not the same is refused by name"
refused() { expect 3 "$1" muster split many.json $frozen out=bad "${@:2}"; rm -rf bad; }
sed '1s/word/wort/' many.jsonl >other.jsonl
refused 'was made from many.jsonl \(sha256 [0-9a-f]{12}...\), but other.jsonl has sha256' data.path=other.jsonl
refused 'rows are missing, the first is|is unknown to the protocol' data.id=null
refused 'rows are missing, the first is|is unknown to the protocol' data.id=title
refused 'was made from other data' data.group=title
edit() { python3 - "$1" <<'PY'
import json, sys
p = json.load(open("frozen/protocol.json"))
exec(sys.argv[1])
json.dump(p, open("edited.json", "w"))
PY
}
edited="split.file=edited.json"
edit 'p["fingerprints"]["test"] = "0" * 64'
refused 'the texts or labels of the test part are others' $edited
edit 'p["protocol"]["labels"].reverse()'
refused 'was made from other data' $edited
edit 'p["protocol"]["labels"].remove("l0")'
refused 'the data has a label "l0", which is unknown to the protocol' $edited
edit 'p["parts"]["train"].pop()'
refused 'the row "r[0-9]+" is unknown to the protocol' $edited
edit 'p["parts"]["train"].append("r999")'
refused '1 of its rows are missing, the first is "r999"' $edited
edit 'p["parts"]["train"], p["parts"]["test"] = p["parts"]["test"], p["parts"]["train"]'
refused 'was changed after it was written|the texts or labels of the train part' $edited
edit 'p["protocol"]["version"] = 2'
refused 'its protocol is of version 2, version 1 is expected' $edited

say "more rows than split.json lists by id: a protocol has all ids, and is used; a split by number tells how many rows train has"
python3 - <<'PY'
import json
with open("large.jsonl", "w") as file:
    for i in range(200_010):
        file.write(f'{{"id": {i}, "text": "a{i}", "label": "{"xy"[i % 2]}"}}\n')
job = json.load(open("job.json"))
job.update(data={"path": "large.jsonl", "id": "id", "label": "label", "text_a": ["text"], "accept": ["leaks"]}, split={})
job.pop("sweep")
json.dump(job, open("large.json", "w"))
PY
expect 0 'protocol: large/protocol.json' muster protocol large.json -o large
expect 0 '' muster split large.json split.file=large/protocol.json out=of-protocol
python3 - <<'PY'
import json
p, s = json.load(open("large/protocol.json")), json.load(open("of-protocol/split.json"))
assert "part_of" in s and "part_of" not in p and s["sha256"] == p["sha256"]
assert {part: len(ids) for part, ids in p["parts"].items()} == p["counts"] == s["counts"]
open("rows", "w").write(str(p["counts"]["train"]))
PY
expect 0 "on the same $(cat rows) rows of train" muster check large.json split.file=of-protocol/split.json 'sweep.fields=[["text"]]' out=by-number

say "what cannot be frozen"
expect 2 'split.file: the split is frozen already' muster protocol many.json split.file=frozen/protocol.json -o no
expect 3 '0 labels have 1000 rows in the train part \(data.min_label_count\)' muster protocol many.json data.min_label_count=1000 -o no
[ ! -e no/protocol.json ] && [ -z "$(ls -A no)" ] || fail "a failure leaves files: $(ls -A no)"
expect 2 'protocol: --train' muster protocol many.json --train many -o no
