#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Wrong input as users type it: each gets one clear line with what, where and what to do, and the right exit code.
. "$(dirname "$0")/common.sh"
python3 "$here/tiny.py" "$scratch"
cp job.json good.json
cp rows.jsonl good.jsonl

# refused CODE WORDS [key=value ...]: `muster check` on job.json; the error is exactly one line.
refused() {
  local code=$1 words=$2
  shift 2
  expect "$code" "$words" muster split job.json "$@"
  [ "$(grep -c '^muster: ' "$scratch/said")" -ge 1 ] || fail "no 'muster: ' line"
  cp good.json job.json
  cp good.jsonl rows.jsonl
  rm -rf run
}

say "the job file"
printf '{"name": "x", ' >job.json; refused 2 'job.json:1'
set_key job.json train.epocs 3; refused 2 "train.epocs.*did you mean.*epochs"
set_key job.json train.lr '"fast"'; refused 2 'train.lr.*number'
set_key job.json train.batch -8; refused 2 'train.batch'
set_key job.json task '"regression"'; refused 2 'task'
refused 2 'train.lrr' train.lrr=1
expect 2 'nowhere.json: cannot be read' muster run nowhere.json
expect 2 'run|usage|help' muster rnu job.json
expect 2 'ranks|micro' muster train job.json cluster.ranks_per_group=16
rm -rf run

say "the data"
refused 3 'nothing.jsonl' data.path=nothing.jsonl
refused 3 'is a directory' data.path=model
: >rows.jsonl; refused 3 'rows.jsonl.*empty'
sed -i '5s/"a"/a"/' rows.jsonl; refused 3 'rows.jsonl:5'
printf '{"id": "x", "a": "\xff"}\n' >>rows.jsonl; refused 3 'rows.jsonl:241.*UTF-8'
sed -i '7s/"label": [01]/"label": 2/' rows.jsonl; refused 3 "rows.jsonl:7.*label '2' is out of range"
sed -i '9s/"row8"/"row3"/' rows.jsonl; refused 3 'row3'
sed -i 's/"id": "row\([0-9]\)"/"id": 900719925474099\1/' rows.jsonl; refused 3 "rows.jsonl:3: field 'id' is a number above 2\^53.*quotes"
sed -i '4s/"group": "[^"]*"/"group": -1e300/' rows.jsonl; refused 3 "rows.jsonl:4: field 'group' is a number above 2\^53"
sed -i 's/"group": "group[0-9]*"/"group": "one"/' rows.jsonl; refused 3 'at least 3'
sed -i 's/"label": 0/"label": 1/' rows.jsonl
expect 3 "NO.*no row in the train part" muster train job.json; cp good.jsonl rows.jsonl; rm -rf run
set_key job.json data.text_a '["sentense"]'; refused 3 "sentense"
sed -i '3s/"b": "[^"]*"/"b": " "/; 4s/"b": "[^"]*"/"b": NaN/' rows.jsonl
expect 0 '238 kept' muster check job.json; cp good.jsonl rows.jsonl; rm -rf run

say "a split of other data, a run directory of another job"
expect 0 '' muster split job.json
cp run/split.json frozen.json
head -200 good.jsonl >rows.jsonl; rm -rf run
expect 3 'frozen.json' muster split job.json split.file=frozen.json
cp good.jsonl rows.jsonl; rm -rf run
expect 0 '' muster split job.json split.file=frozen.json
expect 2 'another job|train.lr' muster split job.json train.lr=0.25
rm -rf run

say "the model directory"
cp -r model good-model
broken() { # CODE WORDS: `muster train` on the model directory as it is now
  expect "$1" "$2" muster train job.json train.epochs=1
  rm -rf model run && cp -r good-model model
}
truncate -s 20000 model/model.safetensors; broken 3 'model.safetensors'
printf '\377\377\377\377\377\377\377\177' | dd of=model/model.safetensors conv=notrunc status=none; broken 3 'model.safetensors'
rm model/model.safetensors; broken '[23]' 'model.safetensors.*pytorch_model.bin'
sed -i 's/"model_type": "bert"/"model_type": "t5"/' model/config.json; broken 2 'config.json: model_type is t5; supported are: bert, '
sed -i 's/"gelu"/"swish"/' model/config.json; broken 2 'swish'
sed -i '/^\[UNK\]$/d' model/vocab.txt; broken '[23]' '\[UNK\]'
sed -i 's/"vocab_size": [0-9]*/"vocab_size": 50/' model/config.json
expect 2 'has 69 tokens, its config.json says vocab_size 50' muster check job.json; rm -rf model run && cp -r good-model model
rm model/config.json; broken '[23]' 'config.json'
expect 2 'hf download|huggingface-cli download' muster check job.json model=allenai/no_such_model_here

say "bundles"
expect 3 'inference_config|bundle' muster predict model rows.jsonl
expect '[23]' 'nowhere' muster predict nowhere rows.jsonl

say "a place that cannot be written, a disk that is full"
expect 1 '/proc' muster check job.json out=/proc/run
if [ "$(id -u)" = 0 ] && mkdir full && mount -t tmpfs -o size=200k tmpfs full 2>/dev/null; then
  clean_up() { umount "$scratch/full"; }
  expect 1 'No space left|full' muster train job.json out=full/run train.epochs=1
  [ -z "$(find full -name '*.tmp*')" ] || fail "a half-written file is left: $(find full -name '*.tmp*')"
else
  skipped "a tmpfs cannot be mounted here"
fi
