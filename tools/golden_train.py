#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the golden files of worker/train: the order of rows and learning rates (train_plan.json), and whole training runs of a tiny random
BERT in PyTorch and transformers (train_model/, train_runs.json) that the trainer must repeat.

    python tools/golden_train.py tests/golden
"""
import json
import math
import os
import random
import sys

import torch
import transformers
from safetensors.torch import save_file

SHUFFLE, SEED, ROWS = 1, 42, 103


def philox(seed, purpose, c0, c1, c2, c3):
    """Philox4x32-10, from its paper (Salmon et al., SC11)."""
    mask = 0xFFFFFFFF
    k0, k1 = seed & mask, (seed >> 32 & mask) ^ purpose
    for _ in range(10):
        a, b = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (b >> 32) ^ c1 ^ k0, b & mask, (a >> 32) ^ c3 ^ k1, a & mask
        k0, k1 = (k0 + 0x9E3779B9) & mask, (k1 + 0xBB67AE85) & mask
    return c0, c1, c2, c3


def order(rows, seed, epoch):
    def key(row):
        word = philox(seed, SHUFFLE, row, 0, 0, epoch)
        return word[1] << 32 | word[0], row

    return sorted(rows, key=key)


def rates(lr, warmup, steps):
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=lr)
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, math.ceil(warmup * steps), steps)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return {"lr": lr, "warmup": warmup, "rates": found}


def write(directory, name, value):
    value = {"made_by": "tools/golden_train.py", "torch": torch.__version__, "transformers": transformers.__version__, **value}
    with open(os.path.join(directory, name), "w") as f:
        json.dump(value, f, separators=(",", ":"))
        f.write("\n")


def config():
    return transformers.BertConfig(vocab_size=61, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40,
                                   max_position_embeddings=40, type_vocab_size=2, num_labels=3, initializer_range=0.2,
                                   hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1)


def make_rows(count, generator):
    rows = []
    for i in range(count):
        length = generator.randrange(3, 33)
        first = generator.randrange(2, length)
        kind = generator.randrange(3)
        # The class can be learnt: its rows prefer words of their own.
        ids = [generator.randrange(5 + 18 * kind, 23 + 18 * kind) if generator.random() < 0.5 else generator.randrange(1, 61)
               for _ in range(length)]
        rows.append({"ids": ids, "first": first, "class": kind,
                     "targets": [int(generator.random() < 0.2 + 0.6 * (c == kind)) for c in range(3)]})
    return rows


def forward(model, rows, batch):
    longest = max(len(rows[r]["ids"]) for r in batch)
    ids = torch.zeros(len(batch), longest, dtype=torch.long)
    types, mask = torch.zeros_like(ids), torch.zeros_like(ids)
    for i, r in enumerate(batch):
        n = len(rows[r]["ids"])
        ids[i, :n] = torch.tensor(rows[r]["ids"])
        types[i, rows[r]["first"]:n] = 1
        mask[i, :n] = 1
    return model(input_ids=ids, token_type_ids=types, attention_mask=mask).logits


def run(model_folder, rows, train, validation, options):
    torch.manual_seed(1)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(model_folder)
    model.eval()  # dropout 0
    multi, weights = options["multi"], torch.tensor(options["weights"])
    if multi:
        criterion = torch.nn.BCEWithLogitsLoss(pos_weight=weights)
    else:
        criterion = torch.nn.CrossEntropyLoss(weight=weights)

    def target(batch):
        return torch.tensor([rows[r]["targets"] for r in batch], dtype=torch.float) if multi else torch.tensor(
            [rows[r]["class"] for r in batch])

    plain = [p for n, p in model.named_parameters() if n.endswith("bias") or "LayerNorm" in n]
    decayed = [p for n, p in model.named_parameters() if not (n.endswith("bias") or "LayerNorm" in n)]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": options["weight_decay"]}, {"params": plain, "weight_decay": 0.0}],
                                  lr=options["lr"], betas=(0.9, 0.999), eps=1e-8)
    per_epoch = math.ceil(len(train) / options["batch"])
    steps = per_epoch * options["epochs"]
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, math.ceil(options["warmup"] * steps), steps)
    found = {"losses": [], "norms": [], "validation": [], "validation_losses": []}
    for epoch in range(1, options["epochs"] + 1):
        rows_in_order = order(train, SEED, epoch)
        for s in range(per_epoch):
            batch = rows_in_order[s * options["batch"]:(s + 1) * options["batch"]]
            loss = criterion(forward(model, rows, batch), target(batch))
            optimizer.zero_grad()
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), options["clip"])
            optimizer.step()
            schedule.step()
            found["losses"].append(loss.item())
            found["norms"].append(norm.item())
        with torch.no_grad():
            logits = forward(model, rows, validation)
            found["validation"].append([round(float(x), 7) for x in logits.flatten()])
            found["validation_losses"].append(criterion(logits, target(validation)).item())
    return {**options, **found}


def main(directory):
    rows = [i * 3 + 1 for i in range(ROWS)]
    write(directory, "train_plan.json", {
        "seed": SEED,
        "orders": [order(rows, SEED, epoch) for epoch in (1, 2)],
        "schedules": [rates(2e-5, 0.0, 30), rates(1e-3, 0.1, 25), rates(3e-5, 0.5, 7), rates(1e-5, 1.0, 4)],
    })
    torch.manual_seed(0)
    model = transformers.BertForSequenceClassification(config())
    model_folder = os.path.join(directory, "train_model")
    os.makedirs(model_folder, exist_ok=True)
    save_file({n: t.contiguous() for n, t in model.state_dict().items() if "position_ids" not in n},
              os.path.join(model_folder, "model.safetensors"), metadata={"format": "pt"})
    model.config.architectures = ["BertForSequenceClassification"]
    model.config.save_pretrained(model_folder)
    generator = random.Random(7)
    rows = make_rows(64, generator)
    parts = [i for i in range(64)]
    generator.shuffle(parts)
    train, validation, test = sorted(parts[:45]), sorted(parts[45:56]), sorted(parts[56:])
    plain = {"multi": False, "weights": [0.7, 1.5, 1.1], "lr": 2e-3, "weight_decay": 0.01, "clip": 1.0, "warmup": 0.1, "batch": 8,
             "epochs": 2}
    runs = [run(model_folder, rows, train, validation, plain),
            run(model_folder, rows, train, validation, {**plain, "multi": True, "weights": [1.0, 3.0, 2.0], "clip": 0.3, "weight_decay": 3.0}),
            run(model_folder, rows, train, validation, {**plain, "batch": 45, "warmup": 0.0, "clip": 1e9, "weight_decay": 0.1})]
    write(directory, "train_runs.json", {"seed": SEED, "rows": rows, "train": train, "validation": validation, "test": test, "runs": runs})


if __name__ == "__main__":
    main(sys.argv[1])
