#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tests/golden/train_lora.json: LoRA training as PEFT does it on the rows of golden_train.py, with its model and with tiny random ones of
other families (train_longformer/, train_modernbert/, train_deberta/): twelve steps of losses and norms of the gradient, the logits it ends with, and those
of the merged model.

    python tools/golden_lora.py tests/golden
"""
import json
import math
import os
import sys

import peft
import torch
import transformers

import golden_loss
from golden_loss import classes_loss, two_epochs
from golden_train import SEED, forward, philox, write

RANDOM_INITIALIZE = 3


def uniform(seed, index, rows, columns):
    """A of an adapter as the trainer makes it: +-1 / sqrt(inputs), from Philox."""
    values, bound = [], 1 / math.sqrt(columns)
    for block in range((rows * columns + 3) // 4):
        values += [bound * ((w + 0.5) * 2.0 ** -31 - 1) for w in philox(seed, RANDOM_INITIALIZE, block, 0, index, 0)]
    return torch.tensor(values[:rows * columns], dtype=torch.float32).reshape(rows, columns)


SIZES = dict(vocab_size=61, hidden_size=12, num_hidden_layers=2, num_attention_heads=3, intermediate_size=20, max_position_embeddings=40,
             num_labels=3, initializer_range=0.2, pad_token_id=0)
BERT = ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense", "intermediate.dense", "output.dense"]
DEBERTA = ["attention.self.query_proj", "attention.self.key_proj", "attention.self.value_proj", *BERT[3:]]
# Of each model: its configuration (None: golden_train.py's), where its layers are, their linear maps in the trainer's order, the head.
MODELS = {
    "train_model": (None, "bert.encoder.layer", BERT, ["classifier", "bert.pooler.dense"]),
    "train_longformer": (lambda: transformers.LongformerConfig(**SIZES, type_vocab_size=1, attention_window=[4, 8], sep_token_id=2),
                         "longformer.encoder.layer",
                         BERT[:3] + [f"{module}_global" for module in BERT[:3]] + BERT[3:], ["classifier"]),
    "train_modernbert": (lambda: transformers.ModernBertConfig(**SIZES, local_attention=8,
                                                               layer_types=["sliding_attention", "full_attention"], bos_token_id=1,
                                                               cls_token_id=1, eos_token_id=2, sep_token_id=2),
                         "model.layers", ["attn.Wqkv", "attn.Wo", "mlp.Wi", "mlp.Wo"], ["classifier", "head.dense", "head.norm"]),
    # Distances go through the maps of tokens, as in DeBERTa-v3, and through maps of their own.
    "train_deberta": (lambda: deberta(share_att_key=True), "deberta.encoder.layer", DEBERTA, ["classifier", "pooler.dense"]),
    "train_deberta_own": (lambda: deberta(share_att_key=False), "deberta.encoder.layer",
                          DEBERTA[:3] + ["attention.self.pos_query_proj", "attention.self.pos_key_proj"] + DEBERTA[3:],
                          ["classifier", "pooler.dense"]),
}


def deberta(**more):
    return transformers.DebertaV2Config(**SIZES, type_vocab_size=0, relative_attention=True, position_biased_input=False,
                                        pos_att_type=["p2c", "c2p"], position_buckets=6, norm_rel_ebd="layer_norm", **more)


def make_model(directory, name):
    """transformers' own initialisation; saved once, since another version's would be another one."""
    if MODELS[name][0] and not os.path.exists(os.path.join(directory, name)):
        torch.manual_seed(7)
        config = MODELS[name][0]()
        config.architectures = None
        model = transformers.AutoModelForSequenceClassification.from_config(config)
        with torch.no_grad():
            for parameter in model.parameters():  # no bias that is 0, no norm that is 1
                parameter.add_(torch.randn_like(parameter) * 0.05)
        model.save_pretrained(os.path.join(directory, name))


def forward_of_ids(model, rows, batch):
    """Of a family without types of tokens."""
    longest = max(len(rows[r]["ids"]) for r in batch)
    ids = torch.zeros(len(batch), longest, dtype=torch.long)
    for i, r in enumerate(batch):
        ids[i, :len(rows[r]["ids"])] = torch.tensor(rows[r]["ids"])
    return model(input_ids=ids, attention_mask=(ids > 0).long()).logits


def run(directory, rows, train, validation, options):
    torch.manual_seed(1)
    name = options.get("model", "train_model")
    _, layers, order, head = MODELS[name]
    base = transformers.AutoModelForSequenceClassification.from_pretrained(os.path.join(directory, name), attn_implementation="eager")
    index = len(list(base.parameters()))  # of the trainer's table; adapters follow, A and B of each
    config = peft.LoraConfig(task_type="SEQ_CLS", r=options["r"], lora_alpha=options["alpha"], lora_dropout=0.0, use_rslora=options["rslora"],
                             target_modules=options["targets"], modules_to_save=head, bias=options.get("bias", "none"))
    model = peft.get_peft_model(base, config).eval()  # dropout 0
    parameters = dict(model.named_parameters())
    for layer in range(2):
        for module in order:
            of = f"base_model.model.{layers}.{layer}.{module}.lora_%s.default.weight"
            if of % "A" not in parameters:
                continue
            with torch.no_grad():
                a = parameters[of % "A"]
                a.copy_(uniform(SEED, index, *a.shape))
                assert float(parameters[of % "B"].abs().max()) == 0
            index += 2
    golden_loss.forward = forward if name == "train_model" else forward_of_ids
    weights = torch.tensor([0.7, 1.5, 1.1])

    def loss_of(batch, logits):
        of = torch.tensor([rows[r]["class"] for r in batch])
        return classes_loss(logits, of, weights, 0, 0).sum() / weights[of].sum()

    trained = [(n, p) for n, p in model.named_parameters() if p.requires_grad and "original_module" not in n]
    groups = [{"params": [p for n, p in trained if (n.endswith("bias") or ".norm." in n) == plain], "weight_decay": 0.0 if plain else 0.01}
              for plain in (False, True)]
    optimizer = torch.optim.AdamW(groups, lr=5e-3, betas=(0.9, 0.999), eps=1e-8)
    found = two_epochs(model, [p for _, p in trained], optimizer, "linear", loss_of, rows, train, validation)
    with torch.no_grad():
        merged = model.merge_and_unload().eval()
        found["merged"] = [round(float(x), 7) for x in golden_loss.forward(merged, rows, validation).flatten()]
    return {**options, "trained": sum(p.numel() for _, p in trained), **found}


def main(directory):
    with open(os.path.join(directory, "train_runs.json")) as f:
        data = json.load(f)
    plain = {"r": 8, "alpha": 16, "rslora": False, "targets": BERT}
    options = [plain, {**plain, "r": 1, "alpha": 4, "targets": ["query", "value"]}, {**plain, "r": 64, "rslora": True},
               {**plain, "targets": ["key", "intermediate.dense"], "rslora": True, "alpha": 8},
               {**plain, "r": 3, "targets": ["output.dense"]}]
    longformer = {**plain, "model": "train_longformer", "targets": MODELS["train_longformer"][2]}
    options += [longformer, {**longformer, "r": 1, "alpha": 4, "targets": ["query", "value_global"]},
                {**longformer, "targets": ["key_global", "query_global", "output.dense"], "rslora": True}]
    modernbert = {**plain, "model": "train_modernbert", "targets": ["Wqkv", "Wo", "Wi"]}
    options += [modernbert, {**modernbert, "r": 1, "alpha": 4, "targets": ["Wqkv"]},
                {**modernbert, "targets": ["Wi", "attn.Wo"], "rslora": True}]
    shared = {**plain, "model": "train_deberta", "targets": DEBERTA}
    options += [shared, {**shared, "r": 1, "alpha": 4, "targets": ["key_proj"]},
                {**shared, "targets": ["query_proj", "value_proj", "intermediate.dense"], "rslora": True}]
    own = {**plain, "model": "train_deberta_own", "targets": MODELS["train_deberta_own"][2]}
    options += [own, {**own, "r": 1, "alpha": 4, "targets": ["pos_key_proj", "query_proj"]}]
    options += [{**plain, "bias": "all", "r": 2}, {**plain, "bias": "lora_only", "targets": ["query", "value", "intermediate.dense"]},
                {**longformer, "bias": "lora_only", "targets": ["key", "value_global", "output.dense"]}, {**shared, "bias": "all"},
                {**shared, "bias": "lora_only", "targets": ["key_proj", "output.dense"]}, {**own, "bias": "all", "targets": ["pos_query_proj"]}]
    for name in MODELS:
        make_model(directory, name)
    write(directory, "train_lora.json", {"made_by": "tools/golden_lora.py", "peft": peft.__version__,
                                         "runs": [run(directory, data["rows"], data["train"], data["validation"], o) for o in options]})


if __name__ == "__main__":
    main(sys.argv[1])
