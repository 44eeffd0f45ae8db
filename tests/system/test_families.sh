#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Families beside BERT, the whole way: a tiny model is trained, its bundle predicts, and transformers loads the bundle with all keys and gives the
# same logits; what does not fit is refused before training.
. "$(dirname "$0")/common.sh"
python=${PYTHON:-python3}

# Texts that tokenizers trip over: special tokens written out, other scripts, joined emoji, runs of spaces, more than fits.
python3 - <<'PY'
import json
texts = ["word1 <mask> linked", "<pad>", "[PAD] word2 [MASK][SEP]", "</s><s> apart <unk>", "d\u00e9j\u00e0 vu \u0436\u0436 \u4e2d\u6587 \u00df", "A\u0301  B   C",
         "\U0001F468\u200D\U0001F469\u200D\U0001F467 word3", "don't  we'll 1234 56,78...", "x" * 300, "word4 " * 60, "\u2581word5 \u0120word6", "."]
with open("traps.jsonl", "w") as file:
    for i, text in enumerate(texts):
        file.write(json.dumps({"id": f"trap{i}", "group": "g", "a": text[:12] if text.isascii() else text[:5], "title": "", "b": texts[-1 - i], "label": 0}) + "\n")
PY
# in_transformers FAMILY ROWS: the bundle FAMILY/run/bundle loads there whole, and gives the logits that `muster predict` gives, with its own tokens.
in_transformers() {
  local code=0 predicted=$1/predictions.jsonl
  expect 0 '' muster predict "$1/run/bundle" "$2" -o "$predicted"
  "$python" "$here/bundle_check.py" "$1/run/bundle" "$2" "$predicted" >"$scratch/said" 2>&1 || code=$?
  if [ $code = 77 ]; then skipped "$(tail -1 "$scratch/said" | sed 's/^skipped: //')"; else
    [ $code = 0 ] || fail "transformers does not agree with the bundle"
    tail -1 "$scratch/said"
  fi
}

for family in distilbert electra roberta xlm-roberta camembert longformer deberta-v3 deberta-v2; do
  say "$family: check, run, predict, evaluate, and the bundle in transformers"
  mkdir "$family"
  python3 "$here/tiny.py" "$family" 120 20 "$family"
  expect -o 0 'rows' muster check "$family/job.json" sweep=null train.epochs=2
  expect 0 'bundle' muster run "$family/job.json" sweep=null train.epochs=2
  expect 0 '' muster evaluate "$family/run/bundle" "$family/rows.jsonl" --unseen
  in_transformers "$family" "$family/rows.jsonl"
  in_transformers "$family" traps.jsonl
  expect 0 'bundle' muster run "$family/job.json" sweep=null train.epochs=2 out=ranks cluster.ranks_per_group=2
  cmp "$family/run/bundle/model.safetensors" ranks/bundle/model.safetensors || fail "$family: two ranks make other weights than one"
  rm -rf ranks
done

say "xlm-roberta with the sentencepiece model alone: the bundle has a tokenizer.json with its ids"
mkdir sentencepiece
cp -r xlm-roberta/model xlm-roberta/job.json xlm-roberta/rows.jsonl sentencepiece
rm sentencepiece/model/tokenizer.json
cp "$MUSTER_SOURCE/tests/golden/sentencepiece_xlm.model" sentencepiece/model/sentencepiece.bpe.model
# Single texts: the small vocabulary makes many tokens of a word, and transformers refuses a pair whose first text alone is too long.
expect 0 'bundle' muster run sentencepiece/job.json sweep=null train.epochs=1 'data.text_a=["b"]' 'data.text_b=[]' 'data.required=["b"]'
in_transformers sentencepiece sentencepiece/rows.jsonl
in_transformers sentencepiece traps.jsonl

say "a model that does not fit its config.json is refused by check"
# refused PATTERN EXPRESSION: of config.json (a variable c), in Python
refused() {
  cp distilbert/model/config.json kept.json
  python3 -c "import json; c = json.load(open('kept.json')); $2; json.dump(c, open('distilbert/model/config.json', 'w'))"
  expect "[23]" "$1" muster check distilbert/job.json out=refused sweep=null
  cp kept.json distilbert/model/config.json
}
refused 'there is no dim or hidden_size, which this model_type needs' 'del c["dim"]'
refused 'dim 20 is not a multiple of n_heads 3' 'c["n_heads"] = 3'
refused 'lin1.weight has shape \(36, 20\), but config.json makes it \(37, 20\)' 'c["hidden_dim"] = 37'
refused 'layer.2.attention.q_lin.weight is missing' 'c["n_layers"] = 3'
refused 'position_embeddings.weight has shape \(64, 20\), but config.json makes it \(63, 20\)' 'c["max_position_embeddings"] = 63'
refused 'word_embeddings.weight has shape' 'c["vocab_size"] += 1'
refused 'train.max_length: 32 tokens are more than the 31' 'c["max_position_embeddings"] = 31'
refused 'model_type is gpt2; supported are: bert, distilbert' 'c["model_type"] = "gpt2"'
refused 'sinusoidal_pos_embds must be false' 'c["sinusoidal_pos_embds"] = True'
cp electra/model/config.json kept.json
sed -i 's/"type_vocab_size": 2/"type_vocab_size": 1/' electra/model/config.json
expect 2 'data.text_b: rows are pairs of texts, but .* has one token type' muster check electra/job.json out=refused sweep=null
cp kept.json electra/model/config.json

say "weights in several files, of other types, without prefix or behind one, are the same model; a file that is missing or cut is named"
cp -r electra/model plain
python3 - <<'PY'
import json, os, struct
# splits plain/model.safetensors into three: float32 and float64, names without the prefix, with it, and behind DataParallel's
data = open("plain/model.safetensors", "rb").read()
size, = struct.unpack("<Q", data[:8])
header = json.loads(data[8:8 + size])
header.pop("__metadata__")
names, index = sorted(header), {}
for k in range(3):
    part, body, file = {"__metadata__": {"format": "pt"}}, b"", f"model-{k + 1:05}-of-00003.safetensors"
    for name in names[k::3]:
        start, end = (8 + size + at for at in header[name]["data_offsets"])
        values = struct.unpack(f"<{(end - start) // 4}f", data[start:end])
        raw = struct.pack(f"<{len(values)}{'fdf'[k]}", *values)
        spelled = (name.removeprefix("electra."), name, "module." + name)[k]
        part[spelled] = {"dtype": ("F32", "F64", "F32")[k], "shape": header[name]["shape"], "data_offsets": [len(body), len(body) + len(raw)]}
        index[spelled] = file
        body += raw
    text = json.dumps(part).encode()
    open("plain/" + file, "wb").write(struct.pack("<Q", len(text)) + text + body)
json.dump({"metadata": {}, "weight_map": index}, open("plain/model.safetensors.index.json", "w"))
os.unlink("plain/model.safetensors")
PY
expect 0 'bundle' muster run electra/job.json sweep=null train.epochs=2 model=plain out=shards
cmp electra/run/bundle/model.safetensors shards/bundle/model.safetensors || fail "weights in several files make another model"
truncate -s -9 plain/model-00002-of-00003.safetensors
expect 3 'model-00002-of-00003.safetensors' muster check electra/job.json sweep=null model=plain out=cut
rm plain/model-00002-of-00003.safetensors
expect 3 'model-00002-of-00003.safetensors: does not exist, but .*index.json names it' muster check electra/job.json sweep=null model=plain out=cut

say "a head of another task is left out, and said"
python3 - <<'PY'
import json, struct
path = "electra/model/model.safetensors"
data = open(path, "rb").read()
size, = struct.unpack("<Q", data[:8])
header = json.loads(data[8:8 + size])
at = len(data) - 8 - size
for name, shape in (("discriminator_predictions.dense.weight", [20, 20]), ("classifier.dense.weight", [20, 20]), ("classifier.dense.bias", [20]),
                    ("classifier.out_proj.weight", [3, 20]), ("classifier.out_proj.bias", [3])):
    count = shape[0] * (shape[1] if len(shape) > 1 else 1)
    header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + 4 * count]}
    data += struct.pack(f"<{count}f", *[0.25] * count)
    at += 4 * count
text = json.dumps(header).encode()
open(path, "wb").write(struct.pack("<Q", len(text)) + text + data[8 + size:])
PY
expect 0 "classifier head: new: the base's head has 3 labels, the job 2" muster check electra/job.json out=heads sweep=null train.epochs=1
expect -e 0 '41 tensors used; 2 made new \(classifier.out_proj.weight, classifier.out_proj.bias\); 3 ignored' \
  muster train electra/job.json out=heads sweep=null train.epochs=1
