#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks bundle/adapter: names and shapes with Python alone; with peft and transformers also that base + adapter gives the logits that
`muster predict` printed for the bundle. Exits 77 where these are not installed.

usage: lora_check.py BUNDLE BASE RANK LABELS ROWS.jsonl PREDICTIONS.jsonl
"""
import json
import struct
import sys

bundle, base, rank, labels, rows, predictions = *sys.argv[1:3], int(sys.argv[3]), int(sys.argv[4]), *sys.argv[5:7]


def header_of(path):
    with open(path, "rb") as file:
        size, = struct.unpack("<Q", file.read(8))
        return json.loads(file.read(size))


header = header_of(f"{bundle}/adapter/adapter_model.safetensors")
model_type = json.load(open(f"{base}/config.json"))["model_type"]
config = json.load(open(f"{bundle}/adapter/adapter_config.json"))
assert header.pop("__metadata__")["format"] == "pt"
assert config["peft_type"] == "LORA" and config["task_type"] == "SEQ_CLS" and config["r"] == rank, config
head = ["bert.pooler.dense", "classifier"] if model_type == "bert" else ["classifier", "pooler.dense"]
assert config["target_modules"] == sorted(config["target_modules"]) and config["modules_to_save"] == head, config
prefix = "bert." if model_type == "bert" else "deberta."
adapted, wanted = set(), {f"base_model.model.{module}.{part}" for module in head for part in ("weight", "bias")}
for layer in range(2):
    for module in config["target_modules"]:
        adapted.add(f"{prefix}encoder.layer.{layer}.{module}")
for module in adapted:
    for part in "AB":
        name = f"base_model.model.{module}.lora_{part}.weight"
        wanted.add(name)
        assert header[name]["shape"][part == "B"] == rank, (name, header[name])
of_base = {prefix + name.removeprefix(prefix).removesuffix(".bias") for name in header_of(f"{base}/model.safetensors") if name.endswith(".bias")}
of_base -= {prefix + module.removeprefix(prefix) for module in head}
trained = {"none": set(), "all": of_base, "lora_only": of_base & adapted}[config["bias"]]
wanted |= {f"base_model.model.{module}{'.base_layer' if module in adapted else ''}.bias" for module in trained}
assert set(header) == wanted, set(header) ^ wanted
assert header["base_model.model.classifier.weight"]["shape"][0] == labels
assert "config.json" not in __import__("os").listdir(f"{bundle}/adapter")
try:
    import torch
    import peft
    from peft import LoraConfig, PeftModel
    from transformers import AutoModelForSequenceClassification, AutoTokenizer
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)
if trained and tuple(map(int, peft.__version__.split(".")[:2])) < (0, 7):
    print(f"skipped: PEFT {peft.__version__} has other names for biases")
    sys.exit(77)
# An older PEFT drops the keys that it does not know in silence: they must be off.
unknown = {key: value for key, value in config.items() if value and key not in LoraConfig.__dataclass_fields__}
assert not unknown, f"this PEFT cannot load the adapter: it does not know {unknown}"
torch.manual_seed(0)
model = PeftModel.from_pretrained(AutoModelForSequenceClassification.from_pretrained(base, num_labels=labels), f"{bundle}/adapter").eval()
tokenizer = AutoTokenizer.from_pretrained(bundle)
worst, count = 0.0, 0
for text, line in zip(open(rows), open(predictions)):
    text, row = json.loads(text), json.loads(line)
    with torch.no_grad():
        logits = model(**tokenizer(text["a"], text["b"], truncation="only_second", max_length=32, return_tensors="pt")).logits[0].tolist()
    worst, count = max(worst, max(abs(a - b) for a, b in zip(logits, row["logits"]))), count + 1
assert count > 10 and worst < 1e-4, (count, worst)
print(f"PeftModel.from_pretrained gives the bundle's logits of {count} rows, within {worst:.1e}")
