#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The demo's data is what it says: three non-links a link, of other source packages, and the same bytes for the same seed. Every job file of
# examples/ passes `muster check` on data of that form, with a tiny random model of its family, and the job of each kind that the demo does not
# run is run whole: several models by LoRA with many labels, Longformer.
. "$(dirname "$0")/common.sh"
python=${PYTHON:-python3}
python3 - "$MUSTER_SOURCE/examples" <<'PY' || fail "examples/debian.py"
import json, random, sys
sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
import debian

known = {f"p{i}": {"source": f"s{i // 2}", "maintainer": "m", "description": f"text {i}",
                   "targets": [f"p{(i * 7 + k) % 60}" for k in range(3)] + ["absent"], "tags": ["a", "b"][: i % 3]} for i in range(60)}
rows = list(debian.make_pairs(known, 40, 42))
assert [row["label"] for row in rows] == [1, 0, 0, 0] * 40, "one link, then three that are none"
for at in range(0, len(rows), 4):
    a = next(name for name in known if known[name]["description"] == rows[at]["sentence"])
    assert len({row["ref_paper_id"] for row in rows[at:at + 4]}) == 4, "a text has the same package twice"
    for row in rows[at:at + 4]:
        assert row["sentence"] == known[a]["description"] and row["original_paper_id"] == known[a]["source"], row
        assert (row["ref_paper_id"] in known[a]["targets"]) == (row["label"] == 1), row
        assert known[row["ref_paper_id"]]["source"] != known[a]["source"], row
again, other = list(debian.make_pairs(known, 40, 42)), list(debian.make_pairs(known, 40, 43))
assert json.dumps(again) == json.dumps(rows) and json.dumps(other) != json.dumps(rows), "the seed decides"
tags = list(debian.make_tags(known, 100, 42))
assert len(tags) == 40 and all(row["tags"] == known[row["id"]]["tags"] and row["tags"] for row in tags), "packages with tags, all of them"

chance, words = random.Random(5), [f"word{i}" for i in range(60)]
known = {}
for i in range(300):
    title, snippet = (" ".join(chance.choice(words) for _ in range(n)) for n in (3, chance.randint(8, 20)))
    marks = [mark for mark in ("linked", "apart") if chance.random() < 0.6]
    snippet += "".join(f" {mark}" for mark in marks)
    known[f"p{i}"] = {"source": f"s{i // 2}", "maintainer": "m", "description": f"{title} {snippet}", "title": title, "snippet": snippet,
                      "targets": [f"p{(i * 7 + k) % 300}" for k in range(3)], "tags": ["role::any"] + [f"is::{mark}" for mark in marks]}
parts = list(debian.make_tags(known, 300, 42, parts=True))
assert all(row.keys() == {"id", "source", "title", "snippet", "tags"} and row["title"] == known[row["id"]]["title"] for row in parts)
documents = list(debian.make_documents(known, 150, 42))
assert len(documents) == 150 and len({row["id"] for row in documents}) == 150, "a document a source"
for row in documents:
    packages = [known[name] for name in sorted(known) if known[name]["source"] == row["id"]]
    assert row["text"] == " ".join(package["description"] for package in packages), row
    assert row["tags"] == sorted({tag for package in packages for tag in package["tags"]}), row
for name, rows in (("pairs", debian.make_pairs(known, 60, 42)), ("tags", debian.make_tags(known, 300, 42)), ("zoo", parts), ("documents", documents)):
    with open(f"{name}.jsonl", "w") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
PY

for family in bert distilbert longformer; do python3 "$here/tiny.py" $family 10 20 $family; done
# example JOB VERB [key=value ...]: a job of examples/ with data and a model that are there.
example() {
  local name=$1 verb=$2 data family model
  shift 2
  case $name in citations | demo) data=pairs ;; *) data=$name ;; esac
  case $name in documents) family=longformer ;; *) family=bert ;; esac
  case $name in zoo) model='sweep.model=["distilbert/model", "bert/model"]' ;; *) model=model=$family/model ;; esac
  muster "$verb" "$MUSTER_SOURCE/examples/$name.json" data.path=$data.jsonl "$model" out="runs/$name" train.max_length=48 "$@"
}
in_transformers() {
  local code=0
  expect 0 '' muster predict "runs/$1/bundle" "$2" -o predictions.jsonl
  "$python" "$here/bundle_check.py" "runs/$1/bundle" "$2" predictions.jsonl >"$scratch/said" 2>&1 || code=$?
  if [ $code = 77 ]; then skipped "$(tail -1 "$scratch/said" | sed 's/^skipped: //')"; else
    [ $code = 0 ] || fail "transformers does not agree with the bundle of $1"
    tail -1 "$scratch/said"
  fi
}

say "every example passes check"
for job in "$MUSTER_SOURCE"/examples/*.json; do
  name=$(basename "$job" .json)
  expect -o 0 'rows: .* kept' example "$name" check out="checked/$name"
done

say "DistilBERT and BERT with LoRA and many labels, with the snippet and without, whole"
expect 0 'bundle' example zoo run train.lr=1e-2
in_transformers zoo zoo.jsonl
[ -s runs/zoo/bundle/adapter/adapter_model.safetensors ] || fail "the adapter is not published"
expect 0 '' muster zoo runs/zoo -o table.csv
[ "$(cut -d, -f2 table.csv | grep model_title | sed 's/.*_//' | tr '\n' ' ')" = 'title-snippet title-snippet title title ' ] || fail "the words that decide stand in the snippet: with it is better, first in the table; $(cat table.csv)"

say "Longformer with many labels, whole"
expect 0 'bundle' example documents run train.lr=5e-3 train.epochs=2
in_transformers documents documents.jsonl
[ -s runs/documents/automatable.json ] || fail "no report of labels that can be automated"
