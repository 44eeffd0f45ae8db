#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes a directory to try a whole run in, with nothing but Python's standard library: a tiny random BERT (model/), rows whose label
can be learnt from one word (rows.jsonl), and a job file (job.json). Deterministic.

usage: tiny.py DIRECTORY [rows [width [family]]]    width: of the model, a multiple of 4; family: bert, distilbert, electra, roberta
"""
import json
import os
import random
import struct
import sys

directory, rows = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 240
chance = random.Random(7)
width = int(sys.argv[3]) if len(sys.argv) > 3 else 20
family = sys.argv[4] if len(sys.argv) > 4 else "bert"
embedding = 12 if family == "electra" else width
inner, layers, heads, positions = width * 9 // 5, 2, width // 4, 64
words = [f"word{i}" for i in range(60)] + ["linked", "apart"]
vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "."] + words + ["##s"]
# RoBERTa's: every byte under its sign, and "word", "linked", "apart" with and without a space before them.
merges = [(word[:i], word[i]) for word in ("word", "linked", "apart") for i in range(1, len(word))] + [("\u0120", w) for w in ("word", "linked", "apart")]
if family == "roberta":
    own = [*range(33, 127), *range(161, 173), *range(174, 256)]
    signs = [chr(b) for b in own] + [chr(256 + n) for n in range(256 - len(own))]
    vocabulary = ["<s>", "<pad>", "</s>", "<unk>"] + signs + [a + b for a, b in merges] + ["<mask>"]


def tensor(*shape, scale=0.05, start=0.0):
    count = 1
    for n in shape:
        count *= n
    return shape, struct.pack(f"<{count}f", *(start + chance.gauss(0, scale) for _ in range(count)))


def weights():
    yield "embeddings.word_embeddings.weight", tensor(len(vocabulary), embedding, scale=0.5)
    yield "embeddings.position_embeddings.weight", tensor(positions, embedding)
    if family != "distilbert":
        yield "embeddings.token_type_embeddings.weight", tensor(1 if family == "roberta" else 2, embedding)
    if family == "electra":
        yield "embeddings_project.weight", tensor(width, embedding, scale=0.4)
        yield "embeddings_project.bias", tensor(width)
    blocks = ["embeddings.LayerNorm"]
    for i in range(layers):
        layer = f"encoder.layer.{i}"
        for name, out, into in (("attention.self.query", width, width), ("attention.self.key", width, width), ("attention.self.value", width, width),
                                ("attention.output.dense", width, width), ("intermediate.dense", inner, width), ("output.dense", width, inner)):
            yield f"{layer}.{name}.weight", tensor(out, into, scale=0.2)
            yield f"{layer}.{name}.bias", tensor(out)
        blocks += [f"{layer}.attention.output.LayerNorm", f"{layer}.output.LayerNorm"]
    for block in blocks:
        yield f"{block}.weight", tensor(embedding if block.startswith("embeddings") else width, start=1.0)
        yield f"{block}.bias", tensor(embedding if block.startswith("embeddings") else width)
    if family == "bert":
        yield "pooler.dense.weight", tensor(width, width, scale=0.2)
        yield "pooler.dense.bias", tensor(width)


# As transformers writes it: the family's prefix, and DistilBERT's own names in the layers.
DISTILBERT = {"encoder.layer": "transformer.layer", "attention.self.query": "attention.q_lin", "attention.self.key": "attention.k_lin",
              "attention.self.value": "attention.v_lin", "attention.output.dense": "attention.out_lin",
              "attention.output.LayerNorm": "sa_layer_norm", "intermediate.dense": "ffn.lin1", "output.dense": "ffn.lin2",
              "output.LayerNorm": "output_layer_norm"}


def named(name):
    if family == "bert":
        return name
    for old, new in DISTILBERT.items() if family == "distilbert" else ():
        name = name.replace(old, new)
    return f"{family}.{name}"


def config():
    sizes = dict(vocab_size=len(vocabulary), max_position_embeddings=positions, initializer_range=0.02, pad_token_id=0)
    if family == "distilbert":
        return dict(architectures=["DistilBertForMaskedLM"], model_type=family, dim=width, n_layers=layers, n_heads=heads, hidden_dim=inner,
                    activation="gelu", dropout=0.1, attention_dropout=0.1, seq_classif_dropout=0.2, sinusoidal_pos_embds=False, **sizes)
    own = dict(architectures=["ElectraForPreTraining"], embedding_size=embedding, type_vocab_size=2)
    if family == "roberta":
        own = dict(architectures=["RobertaForMaskedLM"], type_vocab_size=1, bos_token_id=0, eos_token_id=2)
        sizes["pad_token_id"] = 1
    return dict(model_type=family, hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads, intermediate_size=inner,
                hidden_act="gelu", hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1, layer_norm_eps=1e-12, **own, **sizes)


def write_safetensors(path, tensors):
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, (shape, data) in tensors:
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(data for _, (_, data) in tensors))


def write_json(path, value):
    with open(path, "w") as file:
        json.dump(value, file, indent=2)


model = f"{directory}/model"
os.makedirs(model, exist_ok=True)
write_safetensors(f"{model}/model.safetensors", [(named(name), data) for name, data in weights()])
if family == "roberta":
    write_json(f"{model}/vocab.json", {word: i for i, word in enumerate(vocabulary)})
    with open(f"{model}/merges.txt", "w") as file:
        file.write("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
    write_json(f"{model}/tokenizer_config.json", {"tokenizer_class": "RobertaTokenizer", "model_max_length": positions - 2})
else:
    with open(f"{model}/vocab.txt", "w") as file:
        file.write("".join(word + "\n" for word in vocabulary))
    write_json(f"{model}/tokenizer_config.json", {
        "do_lower_case": True, "tokenizer_class": {"bert": "Bert", "distilbert": "DistilBert", "electra": "Electra"}[family] + "Tokenizer",
        "model_max_length": positions})
write_json(f"{model}/config.json", config() if family != "bert" else {
    "architectures": ["BertModel"], "model_type": "bert", "vocab_size": len(vocabulary), "hidden_size": width, "num_hidden_layers": layers,
    "num_attention_heads": heads, "intermediate_size": inner, "hidden_act": "gelu", "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1, "max_position_embeddings": positions, "type_vocab_size": 2, "initializer_range": 0.02,
    "layer_norm_eps": 1e-12, "pad_token_id": 0})
with open(f"{directory}/rows.jsonl", "w") as file:
    for i in range(rows):
        label = int(chance.random() < 0.4)
        a = [chance.choice(words[:60]) for _ in range(chance.randint(1, 9))]
        b = [chance.choice(words[:60]) for _ in range(chance.randint(1, 14))]
        b.insert(chance.randrange(len(b) + 1), "linked" if label else "apart")
        file.write(json.dumps({"id": f"row{i}", "group": f"group{i // 3}", "a": " ".join(a), "title": chance.choice([None, "", "word1"]), "b": " ".join(b),
                               "label": label}) + "\n")
write_json(f"{directory}/job.json", {
    "name": "tiny", "out": "run", "model": "model", "seed": 42, "task": "single_label_classification",
    "data": {"path": "rows.jsonl", "id": "id", "group": "group", "label": "label", "text_a": ["a"], "text_b": ["title", "b"],
             "required": ["a", "b"], "labels": ["NO", "YES"], "positive": "YES"},
    "train": {"lr": 5e-3, "epochs": 3, "batch": 8, "micro_batch": 2, "max_length": 32},
    "sweep": {"lr": [2e-3, 5e-3], "epochs": [2, 3]},
    "cluster": {"threads": 1}})
