#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# muster zoo: a row a model and its TF-IDF baseline, best on validation first; every figure of a part as computed here from logits, labels and
# thresholds alone; other splits in tables of their own; unfinished runs and bundles with dashes; all four forms.
. "$(dirname "$0")/common.sh"
python3 "$here/tiny.py" "$scratch"
python3 - <<'PY'
import json, random
chance, snippet = random.Random(3), '<b>"|,'
with open("many.jsonl", "w") as file:
    for i in range(240):
        marks = [mark for mark in ("linked", "apart") if chance.random() < 0.5]
        words = [f"word{chance.randint(0, 59)}" for _ in range(chance.randint(3, 12))]
        row = {"id": f"r{i}", "title": " ".join(words[:3]), snippet: " ".join(words + marks), "tags": ["any"] * (i % 3 == 0) + marks}
        file.write(json.dumps(row) + "\n")
job = {"name": "with-snippet", "out": "zoo/a", "model": "model", "task": "multi_label_classification",
       "data": {"path": "many.jsonl", "id": "id", "label": "tags", "text_a": ["title", snippet], "accept": ["conflicting_duplicates", "leaks"]},
       "split": {"method": "stratified", "train": 0.6, "validation": 0.2},
       "train": {"lr": 1e-2, "epochs": 3, "batch": 8, "micro_batch": 4, "max_length": 10}, "tune": {"per_class": "true", "calibrate": "temperature"},
       "cluster": {"threads": 1}}
json.dump(job, open("many.json", "w"))
PY

say "nothing to compare, and forms that are not there"
mkdir empty
expect 2 'empty: holds no run \(events.jsonl\) and no bundle' muster zoo empty
expect 2 'nowhere: No such file or directory; name the directory of a run' muster zoo nowhere
expect 2 '--output: expected a file that ends in .md, .html, .json or .csv, found zoo.txt' muster zoo empty -o zoo.txt

say "four runs: with and without the snippet, by LoRA with seeds, on another split; and one that has only been checked"
expect 0 'bundle' muster run many.json
expect 0 'bundle' muster run many.json out=zoo/b name=title 'data.text_a=["title"]' split.file=zoo/a/split.json
expect 0 'bundle' muster run many.json out=zoo/c name=lora split.file=zoo/a/split.json train.method=lora 'train.seeds=[1,2]' publish.adapter=both
expect 0 'bundle' muster run many.json out=zoo/d name=other seed=7
expect 0 '' muster check many.json out=zoo/e name=begun
expect 0 '^zoo: zoo.json$' muster zoo zoo -o zoo.json
python3 - <<'PY' || fail "the figures of zoo.json"
import json, math
zoo = json.load(open("zoo.json"))
tables = zoo["tables"]
assert [sorted(m["name"] for m in t["models"]) for t in tables] == [["TF-IDF + linear", "TF-IDF + linear", "lora", "title", "with-snippet"], ["TF-IDF + linear", "other"], ["begun"]], \
    [[m["name"] for m in t["models"]] for t in tables]
assert tables[0]["protocol"] != tables[1]["protocol"] and tables[2]["protocol"] is None
ratio = lambda a, b: a / b if b else 0.0
def close(a, b, what):
    assert abs(a - b) < 2e-5, (what, a, b)

def average_precision(p, y):
    order, total, found, sum_ = sorted(set(p), reverse=True), sum(y), 0, 0.0
    for t in order:
        now = sum(y[i] for i in range(len(p)) if p[i] >= t)
        sum_ += (now - found) * now / sum(1 for x in p if x >= t)
        found = now
    return ratio(sum_, total)

for table in tables[:2]:
    scores = [m["validation"]["micro_f1"] for m in table["models"]]
    assert scores == sorted(scores, reverse=True), scores
    assert "difference" not in table["models"][0]["validation"] and all("p" in m["test"] for m in table["models"][1:])
    best = table["models"][0]
    for m in table["models"][1:]:
        for part in ("validation", "test"):
            close(m[part]["difference"], m[part]["micro_f1"] - best[part]["micro_f1"], "difference")
            low, high = m[part]["difference_interval"]
            assert low <= high and 0 < m[part]["p"] <= 1, m[part]
            assert low <= m[part]["difference"] <= high or m[part]["p"] < 0.05, m[part]
    for m in table["models"]:
        if m.get("baseline"):
            assert m["method"] == "TF-IDF" and m["validation"]["rows"] == best["validation"]["rows"]
            continue
        bundle = m["directory"] + "/bundle"
        rule, evaluation = json.load(open(bundle + "/inference_config.json")), json.load(open(bundle + "/evaluation.json"))
        labels, out, v = rule["input"]["labels"], evaluation["validation_outputs"], m["validation"]
        p = [[1 / (1 + math.exp(-x / rule.get("temperature", 1))) for x in row] for row in out["logits"]]
        y = [[int(c in truth) for c in range(len(labels))] for truth in out["truth"]]
        d = [[int(x >= rule["thresholds"][labels[c]]) for c, x in enumerate(row)] for row in p]
        n, L = len(y), range(len(labels))
        tp = [sum(a[c] and b[c] for a, b in zip(y, d)) for c in L]
        there, said = [sum(a[c] for a in y) for c in L], [sum(a[c] for a in d) for c in L]
        close(v["micro_f1"], ratio(2 * sum(tp), sum(there) + sum(said)), "micro F1")
        close(v["micro_precision"], ratio(sum(tp), sum(said)), "micro precision")
        close(v["macro_f1"], sum(ratio(2 * tp[c], there[c] + said[c]) for c in L) / len(labels), "macro F1")
        close(v["macro_recall"], sum(ratio(tp[c], there[c]) for c in L) / len(labels), "macro recall")
        hits = [sum(a and b for a, b in zip(r, s)) for r, s in zip(y, d)]
        precision, recall = sum(ratio(h, sum(s)) for h, s in zip(hits, d)) / n, sum(ratio(h, sum(r)) for h, r in zip(hits, y)) / n
        close(v["rows_precision"], precision, "rows precision")
        close(v["rows_recall"], recall, "rows recall")
        close(v["rows_f1"], ratio(2 * precision * recall, precision + recall), "rows F1")
        close(v["subset_accuracy"], sum(r == s for r, s in zip(y, d)) / n, "subset accuracy")
        close(v["map"], sum(average_precision([row[c] for row in p], [row[c] for row in y]) for c in L) / len(labels), "mAP")
        flat = [(x, t) for row, truth in zip(p, y) for x, t in zip(row, truth)]
        bins = [[(x, t) for x, t in flat if min(int(x * 15), 14) == b] for b in range(15)]
        close(v["ece"], sum(abs(sum(x for x, _ in b) - sum(t for _, t in b)) for b in bins) / len(flat), "ECE")
        s = v["sanity"]
        for key, value in (("true_labels", sum(there) / n), ("predicted_labels", sum(said) / n), ("share_with_any", sum(any(r) for r in d) / n),
                           ("probability_min", min(x for x, _ in flat)), ("probability_mean", sum(x for x, _ in flat) / len(flat)), ("probability_max", max(x for x, _ in flat))):
            close(s[key], value, key)
        for name in ("micro_f1", "macro_f1", "subset_accuracy"):
            for part in ("validation", "test"):
                assert m[part]["intervals"][name][0] <= m[part][name] <= m[part]["intervals"][name][1], (name, part)
        tuned = evaluation["test"]["rules"]["tuned"]
        for ours, theirs in (("micro_f1",) * 2, ("macro_f1",) * 2, ("subset_accuracy", "accuracy")):
            close(m["test"][ours], tuned[theirs], ours + " of test")
        check = json.load(open(m["directory"] + "/check.json"))
        close(m["truncated_share"], check["tokens"]["truncated"] / check["kept"], "truncated")
        assert m["max_length"] == 10 and m["status"] == "published" and m["train_seconds"] > 0 and len(m["backbone_sha256"]) == 64
models = {m["name"]: m for m in tables[0]["models"]}
full, lora = models["with-snippet"], models["lora"]
assert full["fields"] == 'title + <b>"|,' and models["title"]["fields"] == "title"
assert full["method"] == "full" and full["parameters"] == full["parameters_trained"]
assert lora["method"] == "LoRA r 8, alpha 16 on all linear maps" and lora["parameters_trained"] < lora["parameters"] == full["parameters"]
table = json.load(open("zoo/c/table.json"))["configurations"][0]["metrics"]["score"]
assert lora["seeds"] == {"count": 2, "mean": table["mean"], "sd": table["sd"]}, lora["seeds"]
begun = tables[2]["models"][0]
assert begun["status"] == "not finished" and "validation" not in begun and "parameters" not in begun, begun
import hashlib
assert full["backbone_sha256"] == hashlib.sha256(open("model/model.safetensors", "rb").read()).hexdigest()
PY

say "Markdown, HTML and CSV say the same; a field's name with a bar, a quote or markup stays a name"
expect -o 0 '^3 tables: models with other rows, another split or other labels are not compared' muster zoo zoo
cp out zoo.md
[ "$(grep -c '^| with-snippet ' zoo.md)" = 5 ] && grep -qF '| title + <b>"\|, ' zoo.md || fail "the model is not once in each of the five tables: $(cat zoo.md)"
grep -E '^\| begun ' zoo.md | head -2 | tail -1 | has '\| +- \| +- \|' || fail "what is not known is not a dash"
expect 0 '' muster zoo zoo -o zoo.html
grep -q 'title + &#60;b&#62;&#34;|,' zoo.html && ! grep -q '<b>"' zoo.html || fail "markup in a name is not text"
expect 0 '' muster zoo zoo -o zoo.csv
python3 - <<'PY' || fail "zoo.csv"
import csv, json
zoo = json.load(open("zoo.json"))
rows = list(csv.DictReader(open("zoo.csv", newline="")))
assert len(rows) == 5 + 2 + 1 and any(row["fields"] == 'title + <b>"|,' for row in rows), [row["fields"] for row in rows]
for model, row in zip(zoo["tables"][0]["models"], rows):
    assert row["name"] == model["name"] and row["table"] == "1" and float(row["test.micro_f1"]) == model["test"]["micro_f1"]
    assert row["validation.rows_f1"] and row["backbone_sha256"] == model.get("backbone_sha256", "")
PY

say "a bundle alone: what it says, and dashes"
cp -r zoo/a run && rm run/baseline.json # whose TF-IDF a bundle does not have
expect 0 '' muster zoo run zoo/b -o pair.json
mv zoo/a/bundle alone
expect 0 '' muster zoo alone zoo/b -o some.json
python3 - <<'PY' || fail "a bundle's row"
import json
(table,) = json.load(open("some.json"))["tables"]
models = {m["name"]: m for m in table["models"]}
of = {m["name"]: m for m in json.load(open("zoo.json"))["tables"][0]["models"]}["with-snippet"]
alone = models["with-snippet"]
assert alone["status"] == "bundle" and "ece" not in alone["test"] and "no logits of test" in alone["missing"] and alone["fields"] == of["fields"] and alone["parameters"] == of["parameters"]
assert abs(alone["test"]["micro_f1"] - of["test"]["micro_f1"]) < 1e-9
title, mine, its = models["title"]["validation"], alone["validation"], of["validation"]
for key in ("micro_f1", "macro_precision", "rows_f1", "map", "ece", "loss"):
    assert abs(mine[key] - its[key]) < 1e-5, (key, mine[key], its[key])
assert mine["sanity"].keys() == its["sanity"].keys() and len(mine["label_f1"]) == len(table["labels"]) == 3
# The same rows are drawn as for runs: the comparison is theirs.
pair = json.load(open("pair.json"))["tables"][0]["models"]
for m in (x for x in table["models"] if x["name"] in ("title", "with-snippet") and "p" in x["validation"]):
    (same,) = [x for x in pair if x["name"] == m["name"]]
    for key in ("difference", "p"):
        assert abs(m["validation"][key] - same["validation"][key]) < 1e-6, (m["name"], key)
PY

expect -o 0 '^with-snippet: a bundle alone has no logits of test' muster zoo alone
sed 's/"truth":\[\[[^]]*\],/"truth":[[9],/' alone/evaluation.json >bad && ! cmp -s bad alone/evaluation.json || fail "the file is not damaged yet"
cp alone/evaluation.json good && mv bad alone/evaluation.json
expect 3 "alone/evaluation.json: validation_outputs does not fit the bundle's 3 labels" muster zoo alone
mv good alone/evaluation.json

say "a damaged file is an error that names it"
echo '{' >zoo/d/tune.json
expect 3 'zoo/d/tune.json:' muster zoo zoo/d
