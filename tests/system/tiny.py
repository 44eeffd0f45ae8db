#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes a directory to try a whole run in, with nothing but Python's standard library: a tiny random BERT (model/), rows whose label
can be learnt from one word (rows.jsonl), and a job file (job.json). Deterministic.

usage: tiny.py DIRECTORY [rows [width [family]]]    width: of the model, a multiple of 4; family: bert, distilbert, electra, roberta, longformer (byte-level
BPE, vocab.json and merges.txt), modernbert (the same in tokenizer.json), xlm-roberta, camembert (Unigram, tokenizer.json), deberta-v2, deberta-v3 (Unigram, spm.model). The weights are random: for tests only.
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
like_roberta = family in ("roberta", "longformer", "xlm-roberta", "camembert")
modern = family == "modernbert"
byte_level = modern or family in ("roberta", "longformer")
unigram = family in ("xlm-roberta", "camembert")
deberta = family.startswith("deberta")
if byte_level:
    own = [*range(33, 127), *range(161, 173), *range(174, 256)]
    signs = [chr(b) for b in own] + [chr(256 + n) for n in range(256 - len(own))]
    first, last = (["[UNK]", "[CLS]", "[SEP]", "[PAD]"], ["[MASK]"]) if modern else (["<s>", "<pad>", "</s>", "<unk>"], ["<mask>"])
    vocabulary = first + signs + [a + b for a, b in merges] + last
# Unigram: pieces with their scores, "\u2581" for a space; the special tokens stand where XLM-R and CamemBERT have them.
if unigram or deberta:
    specials = ["[PAD]", "[CLS]", "[SEP]", "[UNK]"] if deberta else ["<s>", "<pad>", "</s>", "<unk>"] if family == "xlm-roberta" else ["<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>NOTUSED"]
    texts = [("\u2581", -3.0), ("\u2581word", -2.5), ("\u2581linked", -3.5), ("\u2581apart", -3.5), ("word", -4.0), ("link", -6.0), ("ed", -5.0)]
    texts += [(str(i), -5.0 - i / 7) for i in range(60)] + [(c, -8.0 - i / 9) for i, c in enumerate("abcdefghijklmnopqrstuvwxyz.,\u0436\u4e2d\u00e9")]
    last = [] if deberta else ["<mask>"] if family == "xlm-roberta" else ["<s>", "</s>", "<mask>"]
    pieces = [(w, 0.0) for w in specials] + texts + [(w, 0.0) for w in last]
    vocabulary = [w for w, _ in pieces]
rows_of_words = 512 if unigram or deberta else len(vocabulary) # a table may have more rows than the tokenizer has tokens


def tensor(*shape, scale=0.05, start=0.0):
    count = 1
    for n in shape:
        count *= n
    return shape, struct.pack(f"<{count}f", *(start + chance.gauss(0, scale) for _ in range(count)))


def weights():
    yield "embeddings.word_embeddings.weight", tensor(rows_of_words, embedding, scale=0.5)
    if family != "deberta-v3":
        yield "embeddings.position_embeddings.weight", tensor(positions, embedding)
    if deberta:
        yield "encoder.rel_embeddings.weight", tensor(16, width, scale=0.5)
    if family not in ("distilbert", "deberta-v3"):
        yield "embeddings.token_type_embeddings.weight", tensor(1 if like_roberta else 2, embedding)
    if family == "electra":
        yield "embeddings_project.weight", tensor(width, embedding, scale=0.4)
        yield "embeddings_project.bias", tensor(width)
    blocks = ["embeddings.LayerNorm"] + ["encoder.LayerNorm"] * deberta
    own = "_proj" * deberta
    more = ("pos_query_proj", "pos_key_proj") if family == "deberta-v2" else ()
    for i in range(layers):
        layer = f"encoder.layer.{i}"
        global_maps = tuple((f"attention.self.{n}_global", width, width) for n in ("query", "key", "value")) if family == "longformer" else ()
        for name, out, into in ((f"attention.self.query{own}", width, width), (f"attention.self.key{own}", width, width),
                                (f"attention.self.value{own}", width, width), *((f"attention.self.{n}", width, width) for n in more), *global_maps, ("attention.output.dense", width, width), ("intermediate.dense", inner, width), ("output.dense", width, inner)):
            yield f"{layer}.{name}.weight", tensor(out, into, scale=0.2)
            yield f"{layer}.{name}.bias", tensor(out)
        blocks += [f"{layer}.attention.output.LayerNorm", f"{layer}.output.LayerNorm"]
    for block in blocks:
        yield f"{block}.weight", tensor(embedding if block.startswith("embeddings") else width, start=1.0)
        yield f"{block}.bias", tensor(embedding if block.startswith("embeddings") else width)
    if family == "bert":
        yield "pooler.dense.weight", tensor(width, width, scale=0.2)
        yield "pooler.dense.bias", tensor(width)


def modern_weights():
    yield "model.embeddings.tok_embeddings.weight", tensor(len(vocabulary), width, scale=0.5)
    norms = ["embeddings.norm", "final_norm"]
    for i in range(layers):
        norms += [f"layers.{i}.attn_norm"] * (i > 0) + [f"layers.{i}.mlp_norm"]
        for name, out, into in (("attn.Wqkv", 3 * width, width), ("attn.Wo", width, width), ("mlp.Wi", 2 * inner, width), ("mlp.Wo", width, inner)):
            yield f"model.layers.{i}.{name}.weight", tensor(out, into, scale=0.2)
    for name in norms:
        yield f"model.{name}.weight", tensor(width, start=1.0)


# As transformers writes it: the family's prefix, and DistilBERT's own names in the layers.
DISTILBERT = {"encoder.layer": "transformer.layer", "attention.self.query": "attention.q_lin", "attention.self.key": "attention.k_lin",
              "attention.self.value": "attention.v_lin", "attention.output.dense": "attention.out_lin",
              "attention.output.LayerNorm": "sa_layer_norm", "intermediate.dense": "ffn.lin1", "output.dense": "ffn.lin2",
              "output.LayerNorm": "output_layer_norm"}


def named(name):
    if family == "bert" or modern:
        return name
    for old, new in DISTILBERT.items() if family == "distilbert" else ():
        name = name.replace(old, new)
    return f"{'deberta' if deberta else 'roberta' if unigram else family}.{name}"


def config():
    sizes = dict(vocab_size=rows_of_words, max_position_embeddings=positions, initializer_range=0.02, pad_token_id=0)
    if family == "distilbert":
        return dict(architectures=["DistilBertForMaskedLM"], model_type=family, dim=width, n_layers=layers, n_heads=heads, hidden_dim=inner,
                    activation="gelu", dropout=0.1, attention_dropout=0.1, seq_classif_dropout=0.2, sinusoidal_pos_embds=False, **sizes)
    if modern:
        sizes.update(pad_token_id=3, cls_token_id=1, sep_token_id=2, bos_token_id=1, eos_token_id=2)
        return dict(architectures=["ModernBertForMaskedLM"], model_type=family, hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads,
                    intermediate_size=inner, hidden_activation="gelu", norm_eps=1e-5, norm_bias=False, attention_bias=False, mlp_bias=False,
                    classifier_pooling="mean", local_attention=8, global_attn_every_n_layers=2, global_rope_theta=160000.0, local_rope_theta=10000.0,
                    classifier_dropout=0.1, mlp_dropout=0.1, **sizes)
    if deberta:
        third = family == "deberta-v3"
        return dict(model_type="deberta-v2", hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads, intermediate_size=inner,
                    hidden_act="gelu", hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1, layer_norm_eps=1e-7, relative_attention=True,
                    position_buckets=8, norm_rel_ebd="layer_norm", share_att_key=third, pos_att_type="p2c|c2p", max_relative_positions=-1,
                    position_biased_input=not third, type_vocab_size=0 if third else 2, **sizes)
    own = dict(architectures=["ElectraForPreTraining"], embedding_size=embedding, type_vocab_size=2)
    if like_roberta:
        prefix = {"roberta": "Roberta", "longformer": "Longformer", "xlm-roberta": "XLMRoberta", "camembert": "Camembert"}[family]
        own = dict(architectures=[prefix + "ForMaskedLM"], type_vocab_size=1, bos_token_id=vocabulary.index("<s>"), eos_token_id=vocabulary.index("</s>"))
        sizes["pad_token_id"] = 1
    if family == "longformer":
        own.update(attention_window=[8, 4], sep_token_id=2)
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
write_safetensors(f"{model}/model.safetensors", [(named(name), data) for name, data in (modern_weights() if modern else weights())])
if unigram:
    s, end, mask = (vocabulary.index(w) for w in ("<s>", "</s>", "<mask>"))

    def special(id, kind=0):
        return {"SpecialToken": {"id": id, "type_id": kind}}

    def sequence(id):
        return {"Sequence": {"id": id, "type_id": 0}}

    write_json(f"{model}/tokenizer.json", {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [dict(id=i, content=w, single_word=False, lstrip=w == "<mask>", rstrip=False, normalized=False, special=True)
                         for i, w in sorted((vocabulary.index(w), w) for w in ("<s>", "<pad>", "</s>", "<unk>", "<mask>"))],
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFKC"}, {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}]},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "WhitespaceSplit"}, {"type": "Metaspace", "replacement": "\u2581", "add_prefix_space": True}]},
        "post_processor": {
            "type": "TemplateProcessing", "single": [special("<s>"), sequence("A"), special("</s>")],
            "pair": [special("<s>"), sequence("A"), special("</s>"), special("</s>"), sequence("B"), special("</s>")],
            "special_tokens": {w: {"id": w, "ids": [i], "tokens": [w]} for w, i in (("<s>", s), ("</s>", end))}},
        "decoder": {"type": "Metaspace", "replacement": "\u2581", "add_prefix_space": True},
        "model": {"type": "Unigram", "unk_id": vocabulary.index("<unk>"), "vocab": [[w, score] for w, score in pieces]}})
    write_json(f"{model}/tokenizer_config.json", {
        "tokenizer_class": {"xlm-roberta": "XLMRobertaTokenizer", "camembert": "CamembertTokenizer"}[family], "model_max_length": positions - 2})
elif deberta:
    def field(number, kind, data):
        return bytes([number << 3 | kind]) + data

    def framed(number, data):
        return field(number, 2, bytes([len(data)]) + data)

    with open(f"{model}/spm.model", "wb") as file:
        for i, (piece, score) in enumerate(pieces):
            kind = 2 if piece == "[UNK]" else 3 if i < 4 else 1
            file.write(framed(1, framed(1, piece.encode()) + field(2, 5, struct.pack("<f", score)) + field(3, 0, bytes([kind]))))
        file.write(framed(2, field(3, 0, b"\x01") + bytes([40 << 3 & 0x7F | 0x80, 40 >> 4]) + b"\x03"))
    write_json(f"{model}/tokenizer_config.json", {"tokenizer_class": "DebertaV2Tokenizer", "do_lower_case": False, "split_by_punct": False})
elif modern:
    def step(**more):
        return dict(type="ByteLevel", add_prefix_space=False, trim_offsets=True, use_regex=True, **more)

    def template(*parts):
        return [{"Sequence" if part in "AB" else "SpecialToken": {"id": part, "type_id": 0}} for part in parts]

    write_json(f"{model}/tokenizer.json", {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [dict(id=vocabulary.index(w), content=w, single_word=False, lstrip=w == "[MASK]", rstrip=False, normalized=False, special=True) for w in first + last],
        "normalizer": {"type": "NFC"}, "pre_tokenizer": step(), "decoder": step(),
        "post_processor": {"type": "TemplateProcessing", "single": template("[CLS]", "A", "[SEP]"), "pair": template("[CLS]", "A", "[SEP]", "B", "[SEP]"),
                           "special_tokens": {w: {"id": w, "ids": [vocabulary.index(w)], "tokens": [w]} for w in ("[CLS]", "[SEP]")}},
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": False,
                  "byte_fallback": False, "vocab": {word: i for i, word in enumerate(vocabulary)}, "merges": [list(merge) for merge in merges]}})
    write_json(f"{model}/tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": positions, "model_input_names": ["input_ids", "attention_mask"],
        **{role + "_token": f"[{role.upper()}]" for role in ("unk", "cls", "sep", "pad", "mask")}})
elif byte_level:
    write_json(f"{model}/vocab.json", {word: i for i, word in enumerate(vocabulary)})
    with open(f"{model}/merges.txt", "w") as file:
        file.write("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
    write_json(f"{model}/tokenizer_config.json", {
        "tokenizer_class": {"roberta": "RobertaTokenizer", "longformer": "LongformerTokenizer"}[family], "model_max_length": positions - 2})
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
