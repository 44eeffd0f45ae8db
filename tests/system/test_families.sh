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

for family in distilbert electra roberta xlm-roberta camembert longformer modernbert deberta-v3 deberta-v2; do
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
# refused PATTERN EXPRESSION [FAMILY [FILE]]: the expression changes a JSON file of the model (a variable c), in Python
refused() {
  local family=${3:-distilbert} file=${4:-config.json}
  cp "$family/model/$file" kept.json
  python3 -c "import json; c = json.load(open('kept.json')); $2; json.dump(c, open('$family/model/$file', 'w'))"
  expect "[23]" "$1" muster check "$family/job.json" out=refused sweep=null
  cp kept.json "$family/model/$file"
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
refused 'train.max_length: 32 tokens are more than the 31' 'c["max_position_embeddings"] = 33' roberta
refused 'there is no type_vocab_size, which this model_type needs' 'del c["type_vocab_size"]' xlm-roberta
refused 'attention_window of layer 1 is 5; it must be an even number' 'c["attention_window"] = [8, 5]' longformer
refused 'attention_window of layer 0 is 0; it must be an even number' 'c["attention_window"] = 0' longformer
refused 'there is no attention_window' 'del c["attention_window"]' longformer
refused 'tokenizer.json.*"Quantum"' 'c["model"]["type"] = "Quantum"' camembert tokenizer.json
refused 'tokenizer.json.*"Quantum"' 'c["pre_tokenizer"]["pretokenizers"][0]["type"] = "Quantum"' xlm-roberta tokenizer.json
refused 'merge 1, "wo" with "r", needs the token "wor"' 'del c["wor"]' roberta vocab.json
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

say "older checkpoints: shards of PyTorch's pickles, f16, bf16 and f64, LayerNorm's old names, a tied head of another task"
mkdir older && python3 "$here/tiny.py" older 60
older=$("$python" - older/model <<'PY' 2>"$scratch/said" || true
import json, os, struct, sys
import torch

model = sys.argv[1]
with open(f"{model}/model.safetensors", "rb") as file:
    size, = struct.unpack("<Q", file.read(8))
    header = json.loads(file.read(size))
    body = file.read()
header.pop("__metadata__")
tensors = {}
for name, t in header.items():
    start, end = t["data_offsets"]
    value = torch.tensor(struct.unpack(f"<{(end - start) // 4}f", body[start:end])).reshape(t["shape"])
    tensors[name] = (value * 64).round().clamp(-255, 255) / 64 # what f16 and bf16 hold exactly


def write_plain(path):
    parts, data = {}, b""
    for name, value in tensors.items():
        raw = value.contiguous().numpy().tobytes()
        parts[name] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(parts).encode()
    open(path, "wb").write(struct.pack("<Q", len(text)) + text + data)


write_plain(f"{model}/model.safetensors")
types, index = (torch.float16, torch.bfloat16, torch.float64), {}
os.mkdir("older/shards")
for k, type in enumerate(types):
    shard, file = {}, f"pytorch_model-{k + 1:05}-of-00003.bin"
    for name in sorted(tensors)[k::3]:
        old = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        shard["bert." + old] = tensors[name].to(type)
    words = shard.get("bert.embeddings.word_embeddings.weight")
    if words is not None: # the same storage twice, as in a masked language model; and a head of natural language inference
        shard["cls.predictions.decoder.weight"] = words
        shard["classifier.weight"], shard["classifier.bias"] = torch.full((3, words.shape[1]), 0.25), torch.zeros(3)
    torch.save(shard, f"older/shards/{file}", _use_new_zipfile_serialization=k != 1)
    index.update(dict.fromkeys(shard, file))
json.dump({"metadata": {}, "weight_map": index}, open("older/shards/pytorch_model.bin.index.json", "w"))
print("made")
PY
)
if [ "$older" != made ]; then skipped "$python has no torch: $(tail -1 "$scratch/said")"; else
  cp older/model/{config.json,vocab.txt,tokenizer_config.json} older/shards
  expect 0 'bundle' muster run older/job.json sweep=null train.epochs=1 out=older/plain
  expect 0 "classifier head: new: the base's head has 3 labels, the job 2" muster check older/job.json sweep=null train.epochs=1 model=older/shards out=older/run
  expect -e 0 'tensors used; 2 made new \(classifier.weight, classifier.bias\); 3 ignored' muster train older/job.json sweep=null train.epochs=1 model=older/shards out=older/run
  expect 0 'bundle' muster run older/job.json sweep=null train.epochs=1 model=older/shards out=older/run
  cmp older/plain/bundle/model.safetensors older/run/bundle/model.safetensors || fail "the older files make another model"
  cp older/shards/pytorch_model-00002-of-00003.bin kept.bin
  truncate -s -700 older/shards/pytorch_model-00002-of-00003.bin
  expect '[23]' 'pytorch_model-00002-of-00003.bin' muster check older/job.json sweep=null model=older/shards out=older/cut
  cp kept.bin older/shards/pytorch_model-00002-of-00003.bin
  truncate -s -700 older/shards/pytorch_model-00003-of-00003.bin
  expect '[23]' 'pytorch_model-00003-of-00003.bin' muster check older/job.json sweep=null model=older/shards out=older/cut
  rm older/shards/pytorch_model-00003-of-00003.bin
  expect '[23]' 'pytorch_model-00003-of-00003.bin: does not exist, but .*index.json names it' muster check older/job.json sweep=null model=older/shards out=older/cut
fi

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
