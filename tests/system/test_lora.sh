# SPDX-License-Identifier: Apache-2.0
# A job with LoRA, the whole way: check, run, the bundle with the adapter in its weights and for PEFT, predict; a sweep of ranks; a run
# stopped and resumed; jobs that ask for what cannot be.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
python=${PYTHON:-python3}
"$python" "$here/tiny.py" "$scratch"
lora=(sweep=null 'data.text_b=["b"]' train.epochs=2 train.method=lora train.lr=1e-2 train.lora_r=4)

say "check tells the method"
expect -o 0 'training: 2 epochs, learning rate 0.01 .*; LoRA r 4, alpha 16, dropout 0.05, on all linear maps, and the head' \
  muster check job.json "${lora[@]}"

say "run: the bundle is merged; its adapter is PEFT's"
expect 0 '' muster run job.json "${lora[@]}" publish.adapter=both
muster predict run/bundle rows.jsonl -o predictions.jsonl >"$scratch/out" 2>"$scratch/said" || fail "predict"
grep -q "LoRA r 4" run/bundle/README.md || fail "the model card does not tell the method"
base=$(sha256sum model/model.safetensors | cut -d ' ' -f 1)
grep -q "$base" run/bundle/adapter/README.md || fail "the adapter does not name its base by its hash"
grep -q 'PeftModel.from_pretrained(base, "bundle/adapter")' run/bundle/adapter/README.md || fail "no line that loads the adapter"
code=0
"$python" "$here/lora_check.py" run/bundle model 4 2 rows.jsonl predictions.jsonl >"$scratch/out" 2>"$scratch/said" || code=$?
[ $code = 0 ] || [ $code = 77 ] || fail "the adapter"
cat "$scratch/out"
small=$(stat -c %s run/trials/*/checkpoint/model.safetensors)
[ "$small" -lt $(($(stat -c %s model/model.safetensors) / 2)) ] || fail "the checkpoint holds $small bytes: more than what is trained"

say "biases, too, and DeBERTa, whose distances go through the adapters: apart, with the logits of PEFT"
mkdir deberta && "$python" "$here/tiny.py" deberta 240 20 deberta-v3
in_peft() { # in_peft DIRECTORY OUT OPTION...
  local of=$1 out=$2 code=0
  shift 2
  expect 0 '' muster run "$of/job.json" "${lora[@]}" out="$out" train.epochs=1 publish.adapter=separate "$@"
  muster predict "$out/bundle" rows.jsonl -o "$out.jsonl" >"$scratch/out" 2>"$scratch/said" || fail "predict, $out"
  "$python" "$here/lora_check.py" "$out/bundle" "$of/model" 4 2 rows.jsonl "$out.jsonl" >"$scratch/out" 2>"$scratch/said" || code=$?
  [ $code = 0 ] || [ $code = 77 ] || fail "the adapter of $out"
  cat "$scratch/out"
}
in_peft . all train.lora_bias=all
in_peft . only train.lora_bias=lora_only 'train.lora_targets=["query", "value"]'
in_peft deberta distances
in_peft deberta distances_only train.lora_bias=lora_only 'train.lora_targets=["key_proj", "output.dense"]'
expect -o 0 'goes on from the adapter only/bundle/adapter' muster run job.json "${lora[@]}" out=on adapter=only/bundle/adapter train.epochs=1 \
  train.lora_bias=lora_only 'train.lora_targets=["query", "value"]'
expect 2 'has bias "lora_only"; the job has train.lora_bias "none": set it to that' \
  muster run job.json "${lora[@]}" out=other adapter=only/bundle/adapter 'train.lora_targets=["query", "value"]'
expect 2 'train.lora_bias: expected "none", "all" or "lora_only", found "some"' muster check job.json "${lora[@]}" out=bad train.lora_bias=some
expect 2 'train.lora_bias has no effect on train.method "full"' muster check job.json out=bad sweep=null train.lora_bias=all

say "without publish.adapter there is none"
expect 0 '' muster run job.json "${lora[@]}" out=plain
[ ! -e plain/bundle/adapter ] || fail "an adapter that was not asked for"
cmp plain/bundle/model.safetensors run/bundle/model.safetensors || fail "the weights depend on publish.adapter"

say "stopped by a fault and resumed: the same bytes"
MUSTER_FAULT="kill rank=0 step=23 op=backward" muster run job.json "${lora[@]}" out=killed cluster.restarts=1 train.checkpoint_every='5 steps' >"$scratch/out" 2>"$scratch/said" ||
  muster run job.json "${lora[@]}" out=killed train.checkpoint_every='5 steps' >"$scratch/out" 2>"$scratch/said" || fail "resume"
cmp plain/bundle/model.safetensors killed/bundle/model.safetensors || fail "the resumed run has other weights"

say "the keys as a section of their own"
"$python" - <<'PY'
import json
job = json.load(open("job.json"))
job["train"].update(method="lora", lora={"r": 2, "alpha": 4, "targets": ["query", "value"]})
json.dump(job, open("section.json", "w"))
PY
expect -o 0 'LoRA r 2, alpha 4, dropout 0.05, on query value, and the head' muster check section.json sweep=null out=section

say "ranks are swept"
expect -o 0 'lr-0.01_epochs-2_lora_r-2' muster check job.json "${lora[@]}" 'sweep={"lora_r": [2, 4, 8]}' out=swept

say "what cannot be"
expect 2 'train.lora_r: expected a whole number from 1 to 65536, found 0' muster check job.json "${lora[@]}" out=bad train.lora_r=0
expect 2 'train.lora_targets: "qurey" matches no linear map of a layer \(attention.self.query.*did you mean .query.' \
  muster check job.json "${lora[@]}" out=bad 'train.lora_targets=["qurey"]'
expect 2 'train.freeze and train.method "lora" are mutually exclusive' muster check job.json "${lora[@]}" out=bad 'train.freeze=["embeddings"]'
expect 2 'sweep.lora_r has no effect on train.method "full"' muster check job.json out=bad 'sweep={"lora_r": [2]}'
expect 2 'train.freeze: "layers.2": expected embeddings' muster check job.json out=bad sweep=null 'train.freeze=["layers.2"]'

say "frozen parts keep their bytes, and check tells them"
expect -o 0 'frozen: embeddings layers.0' muster run job.json sweep=null out=frozen 'train.freeze=["embeddings", "layers.0"]' train.epochs=1
"$python" - model/model.safetensors frozen/bundle/model.safetensors <<'PY'
import json, struct, sys
def tensors(path):
    data = open(path, "rb").read()
    size, = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + size])
    return {n.removeprefix("bert."): data[8 + size + t["data_offsets"][0]:8 + size + t["data_offsets"][1]] for n, t in header.items() if n != "__metadata__"}
base, trained = (tensors(path) for path in sys.argv[1:])
for name, value in base.items():
    frozen = name.startswith(("embeddings.", "encoder.layer.0."))
    if name in trained:
        assert (trained[name] == value) == frozen, name
PY
