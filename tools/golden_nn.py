#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tests/golden/nn_*.safetensors with PyTorch and transformers: what tiny random models of every family and a real MiniLM give.

    golden_nn.py TINY_OUT_FOLDER [MINILM_FOLDER | --only FAMILY...]

Weights of the tiny models are not stored: both sides compute them from Philox (seed, RANDOM_EXAMPLES, element, name).
Logits and gradients are computed in double precision, each row alone, so that no padding takes part; the optimiser's
run and the MiniLM in single precision, as PyTorch's users have them."""
import json
import sys

import numpy
import safetensors.numpy
import torch
import transformers

PURPOSE_DROPOUT, PURPOSE_EXAMPLES = 4, 5
LENGTHS = [1, 37, 2, 13, 17, 5, 29]
CASES = {
    "gelu": dict(width=20, heads=5, inner=31, layers=2, vocabulary=97, positions=40, types=2, labels=2, activation="gelu"),
    "gelu_new": dict(width=24, heads=3, inner=53, layers=3, vocabulary=97, positions=37, types=2, labels=3,
                     activation="gelu_new"),
    "relu": dict(width=28, heads=4, inner=17, layers=1, vocabulary=61, positions=43, types=3, labels=5, activation="relu"),
}
# Of other families; dropout: with a file of the masks, too; steps: with ten steps of the optimiser.
FAMILIES = {
    "distilbert": dict(family="distilbert", width=20, heads=5, inner=31, layers=2, vocabulary=97, positions=40, types=0, labels=2,
                       activation="gelu", dropout=1, steps=1),
    "distilbert_relu": dict(family="distilbert", width=28, heads=4, inner=17, layers=1, vocabulary=61, positions=37, types=0, labels=5,
                            activation="relu"),
    "roberta": dict(family="roberta", width=20, heads=5, inner=31, layers=2, vocabulary=97, positions=42, types=1, labels=2, pad=1,
                    activation="gelu", dropout=1, steps=1),
    "xlm_roberta": dict(family="xlm-roberta", width=24, heads=3, inner=53, layers=3, vocabulary=61, positions=41, types=1, labels=3, pad=3,
                        activation="gelu"),
    "electra": dict(family="electra", width=20, heads=5, inner=31, layers=2, vocabulary=97, positions=40, types=2, labels=2, embedding=13,
                    activation="gelu", dropout=1, steps=1),
    "electra_wide": dict(family="electra", width=12, heads=2, inner=19, layers=1, vocabulary=61, positions=37, types=3, labels=4,
                         embedding=37, activation="gelu"),
    "electra_equal": dict(family="electra", width=12, heads=3, inner=19, layers=2, vocabulary=61, positions=37, types=2, labels=3,
                          embedding=12, activation="gelu"),
    # With the padding token in the texts, whose rows of the tables have no gradient.
    "padded": dict(family="bert", width=20, heads=5, inner=31, layers=2, vocabulary=13, positions=40, types=2, labels=2, padded=1, activation="gelu"),
    "roberta_padded": dict(family="roberta", width=24, heads=3, inner=53, layers=2, vocabulary=13, positions=42, types=1, labels=3, pad=1, padded=1,
                           activation="gelu"),
}
PAIRS = [
    ("Fine-tuning a small encoder is often enough.", "We study transfer learning for short texts."),
    ("Citation!", "No."),
    ("The results agree with earlier measurements of the same sample (Table 3), within two standard deviations.",
     "High-precision measurements. A. Author, B. Writer. We report the decay rate of the sample at 77 K and at 300 K, with "
     "an apparatus that has been described before; the systematic uncertainty is dominated by the temperature."),
    ("library for reading and writing compressed archives",
     "development files of the archive library. This package has the headers, the static library and the manual pages."),
    ("A sentence whose words are rare: antidisestablishmentarianism, floccinaucinihilipilification, naïve façade, 東京.",
     "Tokens in pieces; numbers 3.14159, 1e-12; symbols §, €, ™ and an emoji 🙂."),
    ("why", "because " * 40),
    ("On the other hand, the method of Smith et al. needs the whole matrix in memory, and its cost grows with the cube of "
     "the number of documents, while ours takes one pass over them, keeps a sketch of fixed size, and can be stopped at any "
     "time with a bound on the error that it has made so far.",
     "Sketching for large document collections. We give an algorithm that sees each document once. It keeps a sketch, from "
     "which neighbours are found with high probability. Experiments with two collections of news articles and with one of "
     "patents show that the sketch may be a hundred times smaller than the collection before the quality suffers, and that "
     "the order of the documents does not matter. We also show how two sketches, made on two machines, are put together."),
    ("Empty second text follows here", "x"),
]


def philox(seed, purpose, c0, c1, c2, c3):
    """Philox4x32-10 over arrays of counters c0; (n, 4) words."""
    mask = numpy.uint64(0xFFFFFFFF)
    c = [numpy.broadcast_to(numpy.asarray(x, dtype=numpy.uint64), c0.shape).copy() for x in (c0, c1, c2, c3)]
    k0, k1 = seed & 0xFFFFFFFF, (seed >> 32) ^ purpose
    for _ in range(10):
        a, b = numpy.uint64(0xD2511F53) * c[0], numpy.uint64(0xCD9E8D57) * c[2]
        c = [(b >> numpy.uint64(32)) ^ c[1] ^ numpy.uint64(k0), b & mask,
             (a >> numpy.uint64(32)) ^ c[3] ^ numpy.uint64(k1), a & mask]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return numpy.stack(c, axis=-1)


def name_hash(name):
    h = 2166136261
    for byte in name.encode():
        h = (h ^ byte) * 16777619 & 0xFFFFFFFF
    return h


def made_weight(seed, name, shape):
    count = int(numpy.prod(shape))
    words = philox(seed, PURPOSE_EXAMPLES, numpy.arange((count + 3) // 4, dtype=numpy.uint64), 0, name_hash(name), 0)
    u = (words.reshape(-1)[:count] >> numpy.uint64(8)).astype(numpy.float32) * numpy.float32(2.0**-23) - numpy.float32(1)
    u = u * numpy.float32(0.25)
    return torch.from_numpy((u + numpy.float32(1) if name.lower().endswith("norm.weight") else u).reshape(shape))


def bert_like(case, **more):
    return dict(vocab_size=case["vocabulary"], hidden_size=case["width"], num_hidden_layers=case["layers"],
                num_attention_heads=case["heads"], intermediate_size=case["inner"], hidden_act=case["activation"],
                max_position_embeddings=case["positions"], type_vocab_size=case["types"], hidden_dropout_prob=0.0,
                attention_probs_dropout_prob=0.0, num_labels=case["labels"], layer_norm_eps=1e-12, **more)


def make_config(case):
    family = case.get("family", "bert")
    if family == "bert":
        return transformers.BertConfig(**bert_like(case))
    if family == "roberta":
        return transformers.RobertaConfig(**bert_like(case, pad_token_id=case["pad"]))
    if family == "xlm-roberta":
        return transformers.XLMRobertaConfig(**bert_like(case, pad_token_id=case["pad"]))
    if family == "electra":
        return transformers.ElectraConfig(**bert_like(case, embedding_size=case["embedding"]))
    assert family == "distilbert"
    return transformers.DistilBertConfig(
        vocab_size=case["vocabulary"], dim=case["width"], n_layers=case["layers"], n_heads=case["heads"], hidden_dim=case["inner"],
        activation=case["activation"], max_position_embeddings=case["positions"], dropout=0.0, attention_dropout=0.0,
        seq_classif_dropout=0.0, num_labels=case["labels"])


def make_model(case, seed):
    config = make_config(case)
    config._attn_implementation = "eager"
    model = transformers.AutoModelForSequenceClassification.from_config(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(made_weight(seed, name, tuple(parameter.shape)))
    return model.eval()


def run_rows(model, rows):
    typed = getattr(model.config, "type_vocab_size", 0)
    out = [model(input_ids=torch.tensor([r["ids"]]), output_hidden_states=True,
                 **(dict(token_type_ids=torch.tensor([r["types"]])) if typed else {})) for r in rows]
    logits = torch.cat([o.logits for o in out])
    layers = len(out[0].hidden_states) - 1
    hidden = [torch.cat([o.hidden_states[i + 1][0] for o in out]) for i in range(layers - 1)]
    hidden.append(torch.cat([o.hidden_states[layers][:, 0] for o in out]))
    return logits, hidden


def make_rows(case, random):
    """But for the padded cases without the word that transformers takes for padding and gives no gradient."""
    first_word = 0 if case.get("padded") else case.get("pad", 0) + 1
    rows = []
    for length in LENGTHS:
        first = random.randint(1, length + 1)
        rows.append(dict(ids=random.randint(first_word, case["vocabulary"], length).tolist(),
                         types=[0] * first + [int(random.randint(1, case["types"])) if case["types"] > 1 else 0] * (length - first),
                         class_=int(random.randint(0, case["labels"])),
                         targets=random.randint(0, 2, case["labels"]).astype(numpy.float32)))
    return rows


def f32(tensor):
    return tensor.detach().to(torch.float32).contiguous().numpy()


def batch_tensors(rows, labels):
    out = dict(ids=numpy.array([i for r in rows for i in r["ids"]], dtype=numpy.int32),
               types=numpy.array([i for r in rows for i in r["types"]], dtype=numpy.int32),
               lengths=numpy.array([len(r["ids"]) for r in rows], dtype=numpy.int32))
    if labels:
        out["classes"] = numpy.array([r["class_"] for r in rows], dtype=numpy.int32)
        out["targets"] = numpy.stack([r["targets"] for r in rows])
    return out


def metadata(**more):
    return {"made_by": "tools/golden_nn.py", "torch": torch.__version__, "transformers": transformers.__version__,
            "numpy": numpy.__version__, **{k: str(v) for k, v in more.items()}}


def save(path, tensors, about):
    """Same tensors, same bytes: the library leaves the order of metadata to chance."""
    whole = safetensors.numpy.save(tensors, about)
    size = 8 + int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8:size])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode().ljust(size - 8)
    assert len(text) == size - 8
    with open(path, "wb") as file:
        file.write(whole[:8] + text + whole[size:])


def add_gradients(out, prefix, model, loss):
    model.zero_grad()
    loss.backward()
    for name, parameter in model.named_parameters():
        out[prefix + "." + name] = f32(parameter.grad)


def golden_tiny(directory, name, case, seed):
    random = numpy.random.RandomState(seed)
    rows = make_rows(case, random)
    model = make_model(case, seed).double()
    out = batch_tensors(rows, True)
    weights = random.uniform(0.5, 2.0, case["labels"]).astype(numpy.float32)
    positive = random.uniform(0.5, 4.0, case["labels"]).astype(numpy.float32)
    out["class_weights"], out["positive_weights"] = weights, positive
    logits, hidden = run_rows(model, rows)
    out["logits"] = f32(logits)
    for i, states in enumerate(hidden):
        out[f"hidden.{i}"] = f32(states)
    classes, targets = torch.tensor([r["class_"] for r in rows]), torch.from_numpy(out["targets"]).double()
    loss = torch.nn.functional.cross_entropy(logits, classes, torch.from_numpy(weights).double(), reduction="none")
    out["ce_loss"] = f32(loss)
    add_gradients(out, "ce", model, loss.sum())
    logits, _ = run_rows(model, rows)
    loss = torch.nn.functional.binary_cross_entropy_with_logits(
        logits, targets, pos_weight=torch.from_numpy(positive).double(), reduction="none")
    out["bce_loss"] = f32(loss.sum(1))
    add_gradients(out, "bce", model, loss.sum())
    save(f"{directory}/nn_{name}.safetensors", out, metadata(seed=seed, **case))


class Masks:
    """torch's dropout replaced by masks of philox.h; the calls of one row's forward come in a known order of sites."""

    def __init__(self, seed, epoch, layers, family="bert"):
        self.seed, self.epoch = seed, epoch
        parts = (0, 2) if family == "distilbert" else (0, 1, 2)
        self.sites = [3] + [4 * layer + which for layer in range(layers) for which in parts]
        self.sites += [7] if family in ("bert", "distilbert") else [11, 7]

    def start(self, row):
        self.row, self.calls = row, 0

    def __call__(self, x, p=0.5, training=True, inplace=False):
        site = self.sites[self.calls]
        self.calls += 1
        if x.dim() == 4:  # (1, heads, queries, keys)
            head, position, key = numpy.indices(x.shape[1:])
            element = head << 19 | key
        elif x.dim() == 3:  # (1, tokens, width)
            position, element = numpy.indices(x.shape[1:])
        else:  # (1, width)
            position, element = numpy.zeros(x.shape[1:], dtype=int), numpy.arange(x.shape[1])
        words = philox(self.seed, PURPOSE_DROPOUT, (element // 8).astype(numpy.uint64), position, self.row,
                       self.epoch << 16 | site)
        word = numpy.take_along_axis(words, (element % 8 // 2)[..., None], axis=-1)[..., 0]
        half = word >> (element % 2 * 16).astype(numpy.uint64) & numpy.uint64(0xFFFF)
        bound = int(numpy.float32(p) * 65536 + 0.5)
        return x * torch.from_numpy((half >= bound) * (65536 / (65536 - bound)))[None]


def probability(name):
    if name == "dropout" or name == "classifier.dropout":
        return 0.4
    return 0.3 if name.endswith("self.dropout") or name.endswith("attention.dropout") else 0.2


def golden_dropout(directory, case, seed, file="dropout"):
    """Loss and gradients with dropout of 0.2, 0.3 (attention), 0.4 (classifier); rows are numbered 5, 8, 11, ..."""
    random = numpy.random.RandomState(seed)
    rows = make_rows(case, random)
    model = make_model(case, seed).double().train()
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = probability(name)
        if hasattr(module, "dropout_prob"): # transformers 5's attention of DistilBERT
            module.dropout_prob = 0.3
    weights = random.uniform(0.5, 2.0, case["labels"]).astype(numpy.float32)
    masks, plain = Masks(0x123456789ABCDEF, 3, case["layers"], case.get("family", "bert")), torch.nn.functional.dropout
    torch.nn.functional.dropout = masks
    logits = []
    for b, row in enumerate(rows):
        masks.start(5 + 3 * b)
        logits.append(run_rows(model, [row])[0])
        assert masks.calls == len(masks.sites)
    torch.nn.functional.dropout = plain
    logits = torch.cat(logits)
    classes = torch.tensor([r["class_"] for r in rows])
    loss = torch.nn.functional.cross_entropy(logits, classes, torch.from_numpy(weights).double(), reduction="none")
    out = batch_tensors(rows, True)
    out.update(class_weights=weights, logits=f32(logits), ce_loss=f32(loss))
    add_gradients(out, "ce", model, loss.sum())
    save(f"{directory}/nn_{file}.safetensors", out, metadata(seed=seed, **case))


def golden_steps(directory, case, seed, file="steps"):
    """Ten steps of AdamW: clip 1.0, linear decay, weight decay not on biases and LayerNorm; three rows a step, in turn."""
    random = numpy.random.RandomState(seed)
    rows = make_rows(case, random)
    weights = torch.tensor([0.75, 1.5])
    model = make_model(case, seed).train()
    plain = [p for n, p in model.named_parameters() if n.endswith("bias") or "norm" in n.lower()]
    decayed = [p for n, p in model.named_parameters() if not (n.endswith("bias") or "norm" in n.lower())]
    optimizer = torch.optim.AdamW([dict(params=decayed, weight_decay=0.01), dict(params=plain, weight_decay=0.0)], lr=5e-3)
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, 0, 10)
    losses, norms = [], []
    for step in range(10):
        chosen = [rows[(3 * step + i) % len(rows)] for i in range(3)]
        logits, _ = run_rows(model, chosen)
        loss = torch.nn.functional.cross_entropy(logits, torch.tensor([r["class_"] for r in chosen]), weights)
        optimizer.zero_grad()
        loss.backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)))
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
    out = batch_tensors(rows, True)
    out.update(losses=numpy.array(losses, dtype=numpy.float32), norms=numpy.array(norms, dtype=numpy.float32),
               class_weights=weights.numpy())
    for name, parameter in model.named_parameters():
        if name.endswith(("classifier.weight", "out_proj.weight", "word_embeddings.weight", "layer.0.attention.self.value.weight",
                          "layer.0.attention.v_lin.weight", "layer.1.output.LayerNorm.weight", "layer.1.output_layer_norm.weight",
                          "embeddings_project.weight", "rel_embeddings.weight", "encoder.LayerNorm.weight",
                          "layer.0.attention.self.key_proj.weight", "layer.1.attention.self.pos_query_proj.weight")):
            out["final." + name] = f32(parameter)
    save(f"{directory}/nn_{file}.safetensors", out, metadata(seed=seed, **case))


def clear_of_kinks(case, seed):
    """DistilBERT's head has a ReLU: no input of it so near to 0 that bf16 would see it on the other side."""
    random = numpy.random.RandomState(seed)
    model, kept = make_model(case, seed).double(), []
    rows = make_rows(case, random)
    model.pre_classifier.register_forward_hook(lambda module, args, out: kept.append(out.detach().abs()))
    run_rows(model, rows)
    inputs = torch.cat(kept)
    return float(inputs.min() / inputs.max()) > 0.01


def golden_family(directory, name, case, seed):
    while case["family"] == "distilbert" and not clear_of_kinks(case, seed):
        seed += 10
    golden_tiny(directory, name, case, seed)
    if case.get("dropout"):
        golden_dropout(directory, case, seed + 1000, name + "_dropout")
    if case.get("steps"):
        golden_steps(directory, case, seed + 2000, name + "_steps")


def golden_minilm(directory, model_folder):
    """Hidden states: every 19th token behind layers 0 and 4, first tokens behind the last; the classifier is made as above."""
    model = transformers.BertForSequenceClassification.from_pretrained(model_folder, num_labels=3,
                                                                       attn_implementation="eager").eval()
    with torch.no_grad():
        for name in ("classifier.weight", "classifier.bias"):
            parameter = model.get_parameter(name)
            parameter.copy_(made_weight(7, name, tuple(parameter.shape)))
        tokenizer = transformers.AutoTokenizer.from_pretrained(model_folder)
        rows = []
        for a, b in PAIRS:
            encoded = tokenizer(a, b, truncation=True, max_length=256)
            rows.append(dict(ids=encoded["input_ids"], types=encoded["token_type_ids"]))
        logits, hidden = run_rows(model, rows)
    out = batch_tensors(rows, False)
    out["logits"] = f32(logits)
    for i in (0, 4):
        out[f"hidden.{i}"] = f32(hidden[i][::19])
    out["hidden.5"] = f32(hidden[5])
    save(f"{directory}/nn_minilm.safetensors", out, metadata(seed=7, every=19))


def main():
    torch.manual_seed(0)
    directory = sys.argv[1]
    only = sys.argv[3:] if sys.argv[2:3] == ["--only"] else None
    for i, (name, case) in enumerate(FAMILIES.items()):
        if only is None or name in only:
            golden_family(directory, name, case, 400 + i)
    if only is not None:
        return
    for i, (name, case) in enumerate(CASES.items()):
        golden_tiny(directory, name, case, 100 + i)
    golden_dropout(directory, CASES["gelu"], 300)
    golden_steps(directory, CASES["gelu"], 200)
    if len(sys.argv) > 2:
        golden_minilm(directory, sys.argv[2])


if __name__ == "__main__":
    main()
