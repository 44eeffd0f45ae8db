#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tests/golden/train_lora.json: LoRA training as PEFT does it on the model and rows of golden_train.py: the adapters it starts from,
ten steps of losses and norms of the gradient, the logits it ends with, and those of the merged model.

    python tools/golden_lora.py tests/golden
"""
import json
import math
import os
import sys

import peft
import torch
import transformers

from golden_loss import classes_loss, two_epochs
from golden_train import SEED, forward, philox, write

RANDOM_INITIALIZE = 3


def uniform(seed, index, rows, columns):
    """A of an adapter as the trainer makes it: +-1 / sqrt(inputs), from Philox."""
    values, bound = [], 1 / math.sqrt(columns)
    for block in range((rows * columns + 3) // 4):
        values += [bound * ((w + 0.5) * 2.0 ** -31 - 1) for w in philox(seed, RANDOM_INITIALIZE, block, 0, index, 0)]
    return torch.tensor(values[:rows * columns], dtype=torch.float32).reshape(rows, columns)


ORDER = ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense", "intermediate.dense", "output.dense"]
BASE = 4 + 2 * 16 + 4 + 1  # tensors of the model, in the trainer's table; adapters follow, A and B of each


def run(directory, rows, train, validation, options):
    torch.manual_seed(1)
    base = transformers.AutoModelForSequenceClassification.from_pretrained(os.path.join(directory, "train_model"))
    config = peft.LoraConfig(task_type="SEQ_CLS", r=options["r"], lora_alpha=options["alpha"], lora_dropout=0.0, use_rslora=options["rslora"],
                             target_modules=options["targets"], modules_to_save=["classifier", "bert.pooler.dense"])
    model = peft.get_peft_model(base, config).eval()  # dropout 0
    parameters, index = dict(model.named_parameters()), BASE
    for layer in range(2):
        for module in ORDER:
            name = f"base_model.model.bert.encoder.layer.{layer}.{module}.lora_%s.default.weight"
            if name % "A" not in parameters:
                continue
            with torch.no_grad():
                a = parameters[name % "A"]
                a.copy_(uniform(SEED, index, *a.shape))
                assert float(parameters[name % "B"].abs().max()) == 0
            index += 2
    weights = torch.tensor([0.7, 1.5, 1.1])

    def loss_of(batch, logits):
        of = torch.tensor([rows[r]["class"] for r in batch])
        return classes_loss(logits, of, weights, 0, 0).sum() / weights[of].sum()

    trained = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    groups = [{"params": [p for n, p in trained if n.endswith("bias") == plain], "weight_decay": 0.0 if plain else 0.01}
              for plain in (False, True)]
    optimizer = torch.optim.AdamW(groups, lr=5e-3, betas=(0.9, 0.999), eps=1e-8)
    found = two_epochs(model, [p for _, p in trained], optimizer, "linear", loss_of, rows, train, validation)
    with torch.no_grad():
        merged = model.merge_and_unload().eval()
        found["merged"] = [round(float(x), 7) for x in forward(merged, rows, validation).flatten()]
    return {**options, "trained": sum(p.numel() for _, p in trained), **found}


def main(directory):
    with open(os.path.join(directory, "train_runs.json")) as f:
        data = json.load(f)
    plain = {"r": 8, "alpha": 16, "rslora": False, "targets": ORDER}
    options = [plain, {**plain, "r": 1, "alpha": 4, "targets": ["query", "value"]}, {**plain, "r": 64, "rslora": True},
               {**plain, "targets": ["key", "intermediate.dense"], "rslora": True, "alpha": 8},
               {**plain, "r": 3, "targets": ["output.dense"]}]
    write(directory, "train_lora.json", {"made_by": "tools/golden_lora.py", "peft": peft.__version__,
                                         "runs": [run(directory, data["rows"], data["train"], data["validation"], o) for o in options]})


if __name__ == "__main__":
    main(sys.argv[1])
