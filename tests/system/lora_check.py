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
with open(f"{bundle}/adapter/adapter_model.safetensors", "rb") as file:
    size, = struct.unpack("<Q", file.read(8))
    header = json.loads(file.read(size))
config = json.load(open(f"{bundle}/adapter/adapter_config.json"))
assert header.pop("__metadata__")["format"] == "pt"
assert config["peft_type"] == "LORA" and config["task_type"] == "SEQ_CLS" and config["r"] == rank, config
assert config["target_modules"] == sorted(config["target_modules"]) and config["modules_to_save"] == ["bert.pooler.dense", "classifier"], config
wanted = {"base_model.model.classifier.weight", "base_model.model.classifier.bias", "base_model.model.bert.pooler.dense.weight",
          "base_model.model.bert.pooler.dense.bias"}
for layer in range(2):
    for module in config["target_modules"]:
        for part in "AB":
            name = f"base_model.model.bert.encoder.layer.{layer}.{module}.lora_{part}.weight"
            wanted.add(name)
            assert header[name]["shape"][part == "B"] == rank, (name, header[name])
assert set(header) == wanted, set(header) ^ wanted
assert header["base_model.model.classifier.weight"]["shape"][0] == labels
assert "config.json" not in __import__("os").listdir(f"{bundle}/adapter")
try:
    import torch
    from peft import LoraConfig, PeftModel
    from transformers import AutoModelForSequenceClassification, AutoTokenizer
except ImportError as error:
    print(f"skipped: {error}")
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
