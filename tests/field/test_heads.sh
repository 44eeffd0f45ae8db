#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Base models with a classifier head, and weights as people have them: what becomes of the head, told by check before anything is trained.
. "$(dirname "$0")/../system/common.sh"
python3 "$here/../system/tiny.py" tiny 120 >/dev/null
alone=(sweep=null report.baseline=false)

# change DIRECTORY NEW PYTHON: a copy of a model directory; the code changes c (config.json) and t (tensors: name -> [shape, bytes]).
change() {
  rm -rf "$2"
  cp -r "$1" "$2"
  python3 - "$2" "$3" <<'PY'
import json, struct, sys
directory, code = sys.argv[1:]
c = json.load(open(f"{directory}/config.json"))
data = open(f"{directory}/model.safetensors", "rb").read()
size = struct.unpack("<Q", data[:8])[0]
header = json.loads(data[8:8 + size])
t = {n: [h["shape"], data[8 + size + h["data_offsets"][0]:8 + size + h["data_offsets"][1]]] for n, h in header.items() if n != "__metadata__"}


def rows(name, order):
    """The rows of a tensor in another order (or some of them, or some twice)."""
    shape, values = t[name]
    step = len(values) // shape[0]
    t[name] = [[len(order)] + shape[1:], b"".join(values[i * step:(i + 1) * step] for i in order)]


def write(path, tensors):
    at, head = 0, {"__metadata__": {"format": "pt"}}
    for n, (shape, values) in tensors.items():
        head[n] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + len(values)]}
        at += len(values)
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(values for _, values in tensors.values()))


exec(code)
json.dump(c, open(f"{directory}/config.json", "w"))
if t:
    write(f"{directory}/model.safetensors", t)
PY
}
swap='rows("classifier.weight", [1, 0]); rows("classifier.bias", [1, 0])'

# told MODEL PATTERN [key=value ...]: what check says of the head
told() {
  local model=$1 pattern=$2
  shift 2
  say "$model: $pattern"
  rm -rf checked
  expect -o 0 "classifier head: $pattern" muster check tiny/job.json out=checked model="$model" "${alone[@]}" "$@"
}

# stays_right MODEL [key=value ...]: after an epoch that teaches nothing, validation accuracy is what it was, 1.0
stays_right() {
  local model=$1
  shift
  rm -rf again
  muster train tiny/job.json out=again model="$model" "${alone[@]}" train.epochs=1 train.lr=1e-9 train.dropout=0 "$@" >out 2>said || fail "$model: $(tail -1 said)"
  grep -q 'acc. 1.0000' out || fail "$model: $(grep epoch out)"
}

say "a model that has learnt"
muster run tiny/job.json out=first "${alone[@]}" train.epochs=8 train.lr=1e-2 >out 2>said || fail "$(tail -1 said)"
bundle=first/bundle
change $bundle swapped "$swap; c['id2label'] = {'0': 'YES', '1': 'NO'}; c['label2id'] = {'YES': 0, 'NO': 1}"
change $bundle generic "c['id2label'] = {'0': 'LABEL_0', '1': 'LABEL_1'}; del c['label2id']"
change $bundle unnamed "del c['id2label'], c['label2id']"
change $bundle other "c['id2label'] = {'0': 'good', '1': 'bad'}"
change $bundle three "rows('classifier.weight', [0, 1, 1]); rows('classifier.bias', [0, 1, 1]); c['id2label'] = {'0': 'a', '1': 'b', '2': 'c'}"
change $bundle regression "rows('classifier.weight', [1]); rows('classifier.bias', [1]); c['id2label'] = {'0': 'LABEL_0'}; c['problem_type'] = 'regression'"

told $bundle "kept from the base, whose labels are the job's$"
stays_right $bundle
told swapped "kept from the base, whose labels are the job's in another order; rows permuted: NO from row 1, YES from row 0$"
stays_right swapped
stays_right swapped train.head=keep
told generic "kept from the base by index: its label names are generic"
stays_right generic
told unnamed "kept from the base by index"
told other 'new: the labels differ: .* must be "NO"$'
told three "new: the base's head has 3 labels, the job 2$"
told regression "new: the base's head has 1 label, the job 2$"
told tiny/model "new: the base's weights have none$"
told swapped "new: train.head is new$" train.head=new
for model in other three regression tiny/model; do
  expect 2 "train.head is keep, but the head cannot be kept: " muster check tiny/job.json out=kept model=$model train.head=keep
done
for model in other three regression; do # the head is new, and learns
  rm -rf again
  muster train tiny/job.json out=again model=$model "${alone[@]}" train.epochs=1 >out 2>said || fail "$model: $(tail -1 said)"
  grep -q '2 made new (classifier.weight, classifier.bias)' said || fail "$model: $(grep used said)"
done

say "several labels a row"
python3 - <<'PY'
import json
with open("multi.jsonl", "w") as file:
    for line in open("tiny/rows.jsonl"):
        row = json.loads(line)
        row["label"] = ["NO", "YES"][row["label"]:][:1]
        file.write(json.dumps(row) + "\n")
PY
multi=(data.path=multi.jsonl task=multi_label_classification data.positive=null train.class_weights=none)
told swapped "kept from the base, .* NO from row 1, YES from row 0$" "${multi[@]}"
stays_right swapped "${multi[@]}"
