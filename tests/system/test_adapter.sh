# SPDX-License-Identifier: Apache-2.0
# LoRA adapters apart from their base: a bundle with the adapter alone, training that goes on from an adapter of ours and of PEFT, and what is no
# adapter of the model.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
python=${PYTHON:-python3}
"$python" "$here/tiny.py" "$scratch"
lora=(sweep=null report.baseline=false 'data.text_b=["b"]' train.epochs=1 train.method=lora train.lr=1e-2 train.lora_r=4)

say "the adapter alone: a bundle without weights, with the same logits as the merged one"
expect 0 '' muster run job.json "${lora[@]}" out=merged
expect 0 '' muster run job.json "${lora[@]}" out=apart publish.adapter=separate
[ ! -e apart/bundle/model.safetensors ] || fail "the bundle holds the base's weights"
grep -q "$(sha256sum model/model.safetensors | cut -d ' ' -f 1)" apart/bundle/adapter/base.json || fail "base.json does not name the base by its hash"
for run in merged apart; do
  muster predict $run/bundle rows.jsonl -o $run.jsonl >"$scratch/out" 2>"$scratch/said" || fail "predict, $run"
  muster evaluate $run/bundle rows.jsonl --allow-train >$run.txt 2>"$scratch/said" || fail "evaluate, $run"
done
cmp merged.jsonl apart.jsonl || fail "other predictions than those of the merged bundle"
diff <(sed 's/merged/apart/' merged.txt) apart.txt || fail "another evaluation than that of the merged bundle"
muster predict apart/bundle - <rows.jsonl 2>"$scratch/said" | cmp - apart.jsonl || fail "other predictions of standard input"
"$python" "$here/lora_check.py" apart/bundle model 4 2 rows.jsonl apart.jsonl || [ $? = 77 ] || fail "PEFT"
mv apart/bundle moved
expect 0 '' muster predict moved rows.jsonl -o moved.jsonl

# same_logits A B: within 1e-5
same_logits() {
  "$python" - "$@" <<'PY' || fail "$1 and $2 differ"
import json, sys
a, b = ([json.loads(line)["logits"] for line in open(path)] for path in sys.argv[1:])
worst = max(abs(x - y) for p, q in zip(a, b, strict=True) for x, y in zip(p, q))
assert worst < 1e-5, worst
PY
}

say "training goes on from it, as an adapter and merged"
still=(sweep=null report.baseline=false 'data.text_b=["b"]' train.epochs=1 train.lr=1e-12 adapter=moved/adapter)
expect -o 0 "classifier head: the adapter's, .* goes on from the adapter moved/adapter \(r 4, alpha 16\)" \
  muster run job.json "${still[@]}" out=on train.method=lora train.lora_r=4 train.lora_dropout=0
expect -o 0 'merged into the weights' muster run job.json "${still[@]}" out=whole
for run in on whole; do
  muster predict $run/bundle rows.jsonl -o $run.jsonl >"$scratch/out" 2>"$scratch/said" || fail "predict, $run"
  same_logits apart.jsonl $run.jsonl
done
expect 2 'has r 4, alpha 16; the job has train.lora_r 8, lora_alpha 16' muster check job.json "${still[@]}" out=bad train.method=lora
expect 2 'adapts bert.encoder.layer.0.attention.self.key.weight, which is not among train.lora_targets' \
  muster check job.json "${still[@]}" out=bad2 train.method=lora train.lora_r=4 'train.lora_targets=["query"]'

say "adapters that PEFT made: of a pattern of names; with ranks and alphas of their own and biases"
code=0
"$python" - model rows.jsonl <<'PY' || code=$?
import json, sys
try:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForSequenceClassification, AutoTokenizer
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)
model, rows = sys.argv[1:]
names = dict(target_modules=r".*layer\.1\..*(query|value|dense)|.*pooler\.dense", modules_to_save=["classifier"])
patterns = dict(target_modules=["query", "value", "intermediate.dense"], rank_pattern={"0.attention.self.query": 2, "intermediate.dense": 5},
                alpha_pattern={"value": 7, "layer.1.intermediate.dense": 1}, use_rslora=True, bias="all", modules_to_save=["classifier", "pooler"])
tokenizer = AutoTokenizer.from_pretrained(model)
for out, options in ("names", names), ("patterns", patterns):
    if not options.keys() <= LoraConfig.__dataclass_fields__.keys():
        print("skipped: this PEFT has no patterns of ranks")
        break
    torch.manual_seed(3)
    base = AutoModelForSequenceClassification.from_pretrained(model, num_labels=2)
    peft = get_peft_model(base, LoraConfig(task_type="SEQ_CLS", r=3, lora_alpha=5, **options)).eval()
    with torch.no_grad():
        for name, parameter in peft.named_parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    peft.save_pretrained(f"peft_{out}")
    with open(f"peft_{out}.jsonl", "w") as file, torch.no_grad():
        for text in map(json.loads, open(rows)):
            inputs = tokenizer(text["a"], text["b"], truncation="only_second", max_length=32, return_tensors="pt")
            file.write(json.dumps({"logits": peft(**inputs).logits[0].tolist()}) + "\n")
PY
if [ $code = 0 ]; then
  for kind in names patterns; do
    [ -d peft_$kind ] || continue
    expect 0 '' muster run job.json "${still[@]}" out=of_$kind adapter=peft_$kind
    muster predict of_$kind/bundle rows.jsonl -o of_$kind.jsonl >"$scratch/out" 2>"$scratch/said" || fail "predict, of_$kind"
    same_logits peft_$kind.jsonl of_$kind.jsonl
  done
else
  [ $code = 77 ] || fail "PEFT made no adapter"
fi

say "what is no adapter of the model"
bad=(check job.json "${still[@]}" out=checked)
change() { # of adapter_config.json: change NAME KEY VALUE
  rm -rf "$1"
  cp -r moved/adapter "$1"
  "$python" - "$1/adapter_config.json" "$2" "$3" <<'PY'
import json, sys
path, key, value = sys.argv[1:]
config = json.load(open(path))
config[key] = json.loads(value)
json.dump(config, open(path, "w"))
PY
}
change spoilt r 0
expect 3 'adapter_config.json: r: expected a number from 1 to 65536' muster "${bad[@]}" adapter=spoilt
change spoilt r 3
expect 3 'lora_A.weight has shape \(4, 20\), but config.json makes it \(3, 20\)' muster "${bad[@]}" adapter=spoilt
change spoilt use_dora true
expect 3 'use_dora is not supported; merge the adapter with PEFT' muster "${bad[@]}" adapter=spoilt
change spoilt rank_pattern '{"query": 2}'
expect 3 'self.query.lora_A.weight has shape \(4, 20\), but config.json makes it \(2, 20\)' muster "${bad[@]}" adapter=spoilt
change spoilt rank_pattern '{".*query|key": 2}'
expect 3 'rank_pattern: "\.\*query\|key": only names of modules are supported; merge the adapter' muster "${bad[@]}" adapter=spoilt
change spoilt alpha_pattern '{"query": 0}'
expect 3 'alpha_pattern: "query": expected a number above 0' muster "${bad[@]}" adapter=spoilt
change spoilt alpha_pattern '{"1.attention.self.query": 5}'
expect 2 'another rank or alpha for bert.encoder.layer.1.attention.self.query.weight' \
  muster check job.json "${still[@]}" out=bad1 train.method=lora train.lora_r=4 adapter=spoilt
change spoilt peft_type '"IA3"'
expect 3 'peft_type: only LORA is supported' muster "${bad[@]}" adapter=spoilt
cp moved/adapter/adapter_config.json spoilt/
head -c 2000 moved/adapter/adapter_model.safetensors >spoilt/adapter_model.safetensors
expect 3 'adapter_model.safetensors' muster "${bad[@]}" adapter=spoilt
rm spoilt/adapter_model.safetensors
expect 3 'holds no weights of an adapter' muster "${bad[@]}" adapter=spoilt
mkdir only && cp model/config.json moved/adapter/adapter_model.safetensors only/ && cp model/*token* model/vocab.txt only/ 2>/dev/null || true
expect 2 'it holds an adapter: name its base as the model' muster train job.json sweep=null out=bad3 model=only
expect 3 'nowhere: is no directory of a PEFT adapter' muster "${bad[@]}" adapter=nowhere
"$python" - rows.jsonl three.jsonl <<'PY'
import json, sys
with open(sys.argv[2], "w") as file:
    for i, line in enumerate(open(sys.argv[1])):
        row = json.loads(line)
        row["label"] = f"kind{i % 3}"
        file.write(json.dumps(row) + "\n")
PY
expect 3 'classifier.* has shape \(2.*\), but config.json makes it \(3.*another number of labels than the job' \
  muster check job.json "${still[@]}" out=bad4 data.path=three.jsonl data.labels='[]' data.positive=null data.label_form=auto
mkdir other && "$python" "$here/tiny.py" other 240 24
expect 3 'is an adapter of weights with the sha256 [0-9a-f]{64}; those of .*other/model have [0-9a-f]{64}' \
  muster check job.json "${still[@]}" out=bad5 model=other/model
sed -i "s|\"model\": \".*\"|\"model\": \"$scratch/other/model\"|" moved/adapter/base.json
expect 3 'is an adapter of weights with the sha256' muster predict moved rows.jsonl -o no.jsonl
sed -i "s|\"model\": \".*\"|\"model\": \"/no/where\"|" moved/adapter/base.json
expect 3 'base.json: model "/no/where"' muster predict moved rows.jsonl -o no.jsonl
