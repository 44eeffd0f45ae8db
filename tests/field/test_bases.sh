#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Bases as people have them: the names that gelu has, weights with a prefix or in shards, id2label of numbers; what is no base says what it is. And a sweep
# trains the same trial once.
. "$(dirname "$0")/../system/common.sh"
python3 "$here/../system/tiny.py" tiny 60 >/dev/null
cp -r tiny/model plain

# base NAME: tiny/model is the plain one again
base() { say "$1"; rm -rf tiny/model tiny/run; cp -r plain tiny/model; }
# config KEY JSON
config() { set_key tiny/model/config.json "$1" "$2"; }
check() { expect 0 'classifier head' muster check tiny/job.json; }
# weights CODE: rewrites the tensors, {name: (dtype, shape, bytes)} as `t`
weights() {
  python3 - "$1" <<'PY'
import json, struct, sys
data = open("plain/model.safetensors", "rb").read()
size = struct.unpack("<Q", data[:8])[0]
header, body = json.loads(data[8:8 + size]), data[8 + size:]
t = {k: (v["dtype"], v["shape"], body[v["data_offsets"][0]:v["data_offsets"][1]]) for k, v in header.items() if k != "__metadata__"}
def write(path, tensors):
    at, new, parts = 0, {}, []
    for name, (dtype, shape, content) in tensors.items():
        new[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(content)]}
        at += len(content)
        parts.append(content)
    text = json.dumps(new).encode()
    open(path, "wb").write(struct.pack("<Q", len(text)) + text + b"".join(parts))
exec(sys.argv[1])
PY
}
# trained: the first loss of a run, which the weights decide
trained() {
  muster train tiny/job.json sweep=null train.epochs=1 out=one >ran 2>&1 || fail "it is not trained"
  head -1 one/trials/*/metrics.jsonl | sed 's/.*"loss":\([^,]*\),.*/\1/'
  rm -rf one
}

base "as it is"
plain=$(trained)
for act in gelu_python gelu_fast gelu_new gelu_pytorch_tanh; do
  base "hidden_act $act"
  config hidden_act "\"$act\""
  check
done
for prefix in module. model.; do
  base "weights with the prefix $prefix"
  weights "write('tiny/model/model.safetensors', {'$prefix' + name: value for name, value in t.items()})"
  [ "$(trained)" = "$plain" ] || fail "other weights"
done
base "weights in shards"
weights "
names = list(t)
half = {'model-00001-of-00002.safetensors': names[::2], 'model-00002-of-00002.safetensors': names[1::2]}
for file, mine in half.items():
    write('tiny/model/' + file, {name: t[name] for name in mine})
json.dump({'metadata': {}, 'weight_map': {name: file for file, mine in half.items() for name in mine}}, open('tiny/model/model.safetensors.index.json', 'w'))"
rm tiny/model/model.safetensors
[ "$(trained)" = "$plain" ] || fail "other weights"
base "id2label of numbers, and from 1"
config id2label '{"0": 0, "1": 1}'
check
config id2label '{"1": "a", "2": "b"}'
check

base "TensorFlow's weights alone"
rm tiny/model/model.safetensors
touch tiny/model/tf_model.h5
expect 2 "TensorFlow's weights only" muster check tiny/job.json
base "Google's files, and those of pytorch-pretrained-bert"
mv tiny/model/config.json tiny/model/bert_config.json
expect 2 'has bert_config.json in place of config.json, .*; copy it to config.json' muster check tiny/job.json
rm tiny/model/model.safetensors
touch tiny/model/bert_model.ckpt.index tiny/model/bert_model.ckpt.meta tiny/model/bert_model.ckpt.data-00000-of-00001
expect 2 'holds a TensorFlow checkpoint \(bert_model.ckpt\); convert it' muster check tiny/job.json
for file in model.safetensors vocab.txt; do
  base "Git LFS: $file"
  printf 'version https://git-lfs.github.com/spec/v1\noid sha256:%064d\nsize 1234\n' 0 >tiny/model/$file
  expect '[23]' "$file: is a Git LFS pointer, not the file itself; fetch it: git lfs pull" muster check tiny/job.json
done
base "pairs of texts, one token type"
config type_vocab_size 1
expect 2 'data.text_b: rows are pairs of texts, but .* has one token type \(type_vocab_size 1' muster check tiny/job.json
base "a sentence-transformers directory"
mkdir tiny/model/0_Transformer
mv tiny/model/*.* tiny/model/0_Transformer
echo '[{"idx": 0, "name": "0", "path": "0_Transformer", "type": "sentence_transformers.models.Transformer"}]' >tiny/model/modules.json
expect 2 'is a sentence-transformers directory; name its encoder' muster check tiny/job.json

base "clip 0 and null are one trial"
set_key tiny/job.json sweep '{"clip": [0, null, 1]}'
muster train tiny/job.json out=swept train.epochs=1 >/dev/null 2>&1 || fail "no sweep"
muster sweep tiny/job.json out=swept train.epochs=1 >ran 2>&1 || fail "no sweep"
[ "$(ls swept/trials | wc -l)" = 2 ] || fail "trials: $(ls swept/trials | tr '\n' ' ')"
