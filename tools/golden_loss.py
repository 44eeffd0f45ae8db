#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tests/golden/train_losses.json: label smoothing and the focal loss as PyTorch computes them (losses and gradients, f64), the
learning rates of transformers' schedules, and whole training runs with them on the model and rows of golden_train.py.

    python tools/golden_loss.py tests/golden
"""
import json
import math
import os
import sys

import torch
import torch.nn.functional as F
import transformers

from golden_train import SEED, forward, order, write


def classes_loss(logits, classes, weights, smoothing, gamma):
    """CrossEntropyLoss(weight, label_smoothing) where it has it; the focal loss by its formula, from autograd's log_softmax."""
    if gamma == 0:
        return F.cross_entropy(logits, classes, weights, reduction="none", label_smoothing=smoothing)
    log_p = F.log_softmax(logits, 1)
    q = F.one_hot(classes, logits.shape[1]) * (1 - smoothing) + smoothing / logits.shape[1]
    # log(1 - p) from the others' logits: 1 - p itself has no digits left where p is near 1, and autograd then makes 0 times infinity.
    others = torch.stack([torch.logsumexp(torch.cat((logits[:, :c], logits[:, c + 1:]), 1), 1) for c in range(logits.shape[1])], 1)
    log_other = others - torch.logsumexp(logits, 1, keepdim=True)
    return -(q * weights * (gamma * log_other).exp() * log_p).sum(1)


def labels_loss(logits, targets, weights, smoothing, gamma):
    """BCEWithLogitsLoss(pos_weight) on smoothed targets; torchvision's sigmoid_focal_loss is the same with the factors written out."""
    targets = targets * (1 - smoothing) + smoothing / 2
    if gamma == 0:
        return F.binary_cross_entropy_with_logits(logits, targets, pos_weight=weights, reduction="none").sum(1)
    positive, negative = -F.logsigmoid(logits), -F.logsigmoid(-logits)
    return (targets * weights * (-gamma * negative).exp() * positive + (1 - targets) * (-gamma * positive).exp() * negative).sum(1)


def values():
    torch.manual_seed(3)
    found = []
    for labels in (2, 3, 7):
        logits = (torch.randn(4, labels, dtype=torch.float64) * 3).to(torch.float32)
        classes = torch.randint(0, labels, (4,))
        logits[3] = 0
        logits[3, classes[3]] = 60  # 1 - p far below what a difference can hold
        targets = torch.randint(0, 2, (4, labels)).to(torch.float64)
        weights = torch.rand(labels).to(torch.float32) + 0.5
        for smoothing, gamma in ((0.1, 0), (0, 2), (0, 0.5), (0.2, 1.5), (0, 0)):
            case = {"labels": labels, "smoothing": smoothing, "gamma": gamma, "logits": logits.flatten().tolist(), "classes": classes.tolist(),
                    "targets": targets.flatten().tolist(), "weights": weights.tolist()}
            for name, loss_of, of in (("class", classes_loss, classes), ("label", labels_loss, targets)):
                x = logits.to(torch.float64).requires_grad_()
                loss = loss_of(x, of, weights.to(torch.float64), smoothing, gamma)
                loss.sum().backward()
                case[name + "_loss"], case[name + "_gradient"] = loss.tolist(), x.grad.flatten().tolist()
            found.append(case)
    return found


def schedule_of(kind, optimizer, warmup, steps):
    if kind == "constant":
        return transformers.get_constant_schedule_with_warmup(optimizer, math.ceil(warmup * steps))
    return getattr(transformers, f"get_{kind}_schedule_with_warmup")(optimizer, math.ceil(warmup * steps), steps)


def rates(kind, lr, warmup, steps):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    schedule, found = schedule_of(kind, optimizer, warmup, steps), []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return {"kind": kind, "lr": lr, "warmup": warmup, "rates": found}


def two_epochs(model, parameters, optimizer, schedule, loss_of, rows, train, validation):
    """Training in batches of 8 with clipping, as the trainer's; the losses and norms of its steps, logits and loss after each epoch."""
    per_epoch = math.ceil(len(train) / 8)
    schedule = schedule_of(schedule, optimizer, 0.1, 2 * per_epoch)
    found = {"losses": [], "norms": [], "validation": [], "validation_losses": []}
    for epoch in (1, 2):
        rows_in_order = order(train, SEED, epoch)
        for s in range(per_epoch):
            batch = rows_in_order[s * 8:(s + 1) * 8]
            loss = loss_of(batch, forward(model, rows, batch))
            optimizer.zero_grad()
            loss.backward()
            found["norms"].append(torch.nn.utils.clip_grad_norm_(parameters, 1.0).item())
            optimizer.step()
            schedule.step()
            found["losses"].append(loss.item())
        with torch.no_grad():
            logits = forward(model, rows, validation)
            found["validation"].append([round(float(x), 7) for x in logits.flatten()])
            found["validation_losses"].append(loss_of(validation, logits).item())
    return found


def run(directory, rows, train, validation, options):
    torch.manual_seed(1)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(os.path.join(directory, "train_model")).eval()  # dropout 0
    weights, multi = torch.tensor(options["weights"]), options["multi"]

    def loss_of(batch, logits):
        of = torch.tensor([rows[r]["targets" if multi else "class"] for r in batch])
        total = (labels_loss if multi else classes_loss)(logits, of.float() if multi else of, weights, options["smoothing"], options["gamma"]).sum()
        return total / (of.numel() if multi else weights[of].sum())

    def is_plain(name):
        return name.endswith("bias") or "LayerNorm" in name

    layers, decay = model.config.num_hidden_layers, options.get("layer_decay", 1.0)

    def depth(name):
        """From the head: 0; of the embeddings layers + 1."""
        if name.startswith("bert.embeddings"):
            return layers + 1
        return layers - int(name.split(".")[3]) if name.startswith("bert.encoder.layer") else 0

    def is_frozen(name):
        return any(name.startswith(prefix) for prefix in options.get("frozen", []))

    for n, p in model.named_parameters():
        p.requires_grad_(not is_frozen(n))
    groups = [{"params": [p], "lr": 2e-3 * decay ** depth(n), "weight_decay": 0.0 if is_plain(n) else 0.01}
              for n, p in model.named_parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(groups, lr=2e-3, betas=(0.9, 0.999), eps=1e-8)
    found = two_epochs(model, list(model.parameters()), optimizer, options["schedule"], loss_of, rows, train, validation)
    return {**options, **found}


def main(directory):
    with open(os.path.join(directory, "train_runs.json")) as f:
        data = json.load(f)
    single, multi = {"multi": False, "weights": [0.7, 1.5, 1.1]}, {"multi": True, "weights": [1.0, 3.0, 2.0]}
    options = [{**single, "schedule": "cosine", "smoothing": 0.1, "gamma": 0}, {**single, "schedule": "constant", "smoothing": 0, "gamma": 2},
               {**multi, "schedule": "linear", "smoothing": 0.2, "gamma": 1.5}]
    layer = "bert.encoder.layer."
    options += [{**single, "schedule": "linear", "smoothing": 0, "gamma": 0, "layer_decay": 0.5},
                {**single, "schedule": "linear", "smoothing": 0, "gamma": 0, "frozen": ["bert.embeddings", layer + "0."]},
                {**single, "schedule": "linear", "smoothing": 0, "gamma": 0, "frozen": ["bert.embeddings"]},
                {**single, "schedule": "linear", "smoothing": 0, "gamma": 0, "frozen": [layer + "1."]},
                {**single, "schedule": "linear", "smoothing": 0, "gamma": 0, "frozen": ["bert.embeddings", layer]}]
    write(directory, "train_losses.json", {
        "made_by": "tools/golden_loss.py",
        "values": values(),
        "schedules": [rates(kind, lr, warmup, steps) for kind in ("linear", "cosine", "constant")
                      for lr, warmup, steps in ((2e-5, 0.0, 30), (1e-3, 0.1, 25), (3e-5, 0.5, 7), (1e-5, 1.0, 4))],
        "runs": [run(directory, data["rows"], data["train"], data["validation"], o) for o in options],
    })


if __name__ == "__main__":
    main(sys.argv[1])
