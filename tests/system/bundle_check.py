#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Looks at a bundle from outside: transformers loads it with no missing, unexpected or mismatched key, its tokenizer loads, and
config.json and inference_config.json agree. With rows and what `muster predict` said of them, our logits must be those of
PyTorch.

usage: bundle_check.py BUNDLE [ROWS.jsonl PREDICTIONS.jsonl [TOLERANCE]]
Exit: 0 fine, 1 not, 77 transformers or torch is not there, or an older one than the family.
"""
import json
import math
import os
import sys

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", TRANSFORMERS_VERBOSITY="error")
try:
    import torch
    import transformers
    from transformers import AutoModelForSequenceClassification, AutoTokenizer
except ImportError as absent:
    print(f"skipped: {absent}")
    sys.exit(77)

FILES = ["README.md", "config.json", "inference_config.json", "model.safetensors", "special_tokens_map.json", "tokenizer.json",
         "tokenizer_config.json"]
faults = []


def expect(what, expected, found):
    if expected != found:
        faults.append(f"{what}: expected {expected!r}, found {found!r}")


def read_json(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def read_lines(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]


def check_files(bundle):
    wordpiece = read_json(f"{bundle}/tokenizer.json")["model"]["type"] == "WordPiece"
    for name in FILES + ["vocab.txt"] * wordpiece:
        if not os.path.isfile(os.path.join(bundle, name)):
            faults.append(f"{name} is not there")
    config, inference = read_json(f"{bundle}/config.json"), read_json(f"{bundle}/inference_config.json")
    expect("inference_config.json id2label", config["id2label"], inference.get("id2label"))
    expect("inference_config.json label2id", config["label2id"], inference.get("label2id"))
    expect("label2id against id2label", {name: int(i) for i, name in config["id2label"].items()}, config["label2id"])
    return inference


def check_model(bundle):
    model, info = AutoModelForSequenceClassification.from_pretrained(bundle, output_loading_info=True)
    for key in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"):
        expect(key, [], sorted(info.get(key, [])))
    expect("class", read_json(f"{bundle}/config.json")["architectures"], [type(model).__name__])
    expect("dtype", {torch.float32}, {p.dtype for p in model.parameters()})
    expect("names of labels", read_json(f"{bundle}/config.json")["id2label"], {str(i): n for i, n in model.config.id2label.items()})
    return model.eval()


def check_tokenizer(bundle, inference, model):
    tokenizer = AutoTokenizer.from_pretrained(bundle)
    expect("model_max_length", inference["max_length"], tokenizer.model_max_length)
    expect("size of the vocabulary", True, len(tokenizer) <= model.config.vocab_size)
    typed = getattr(model.config, "type_vocab_size", 0) > 1 # DistilBERT has none, and takes none
    one = tokenizer.unk_token # a token, in any tokenizer
    expect("token types", [0, 0, 0, 1, 1] if typed else None, tokenizer(one, one).get("token_type_ids"))
    return tokenizer


def compose(row, fields, joiner):
    parts = [" ".join(str(row.get(field) or "").split()) for field in fields]
    return joiner.join(part for part in parts if part)


def check_logits(model, tokenizer, inference, rows, predictions, tolerance):
    spec = inference["input"]
    expect("number of predictions", len(rows), len(predictions))
    for line, (row, prediction) in enumerate(zip(rows, predictions), 1):
        texts = [compose(row, spec["text_a"], spec.get("joiner") or ". ")]
        if spec.get("text_b"):
            texts.append(compose(row, spec["text_b"], spec.get("joiner") or ". "))
        tokens = tokenizer(*texts, truncation=inference.get("truncation", "only_second") if len(texts) == 2 else True,
                           max_length=inference["max_length"], return_tensors="pt")
        with torch.no_grad():
            wanted = model(**tokens).logits[0].double().tolist()
        worst = max(abs(a - b) for a, b in zip(wanted, prediction["logits"]))
        if len(wanted) != len(prediction["logits"]) or not worst <= tolerance:
            faults.append(f"row {line}: PyTorch's logits {wanted}, ours {prediction['logits']}: {worst:g} apart, more than {tolerance:g}")
        check_probabilities(line, prediction, inference, model.config.problem_type == "multi_label_classification")


def check_probabilities(line, prediction, inference, multi):
    """`probabilities` is a list in order of labels, or an object by label name."""
    found = prediction.get("probabilities")
    if found is None:
        return
    labels = [inference["id2label"][str(i)] for i in range(len(inference["id2label"]))]
    values = [found[label] for label in labels] if isinstance(found, dict) else found
    scaled = [v / inference.get("temperature", 1.0) for v in prediction["logits"]]
    if multi:
        wanted = [1 / (1 + math.exp(-v)) for v in scaled]
    else:
        powers = [math.exp(v - max(scaled)) for v in scaled]
        wanted = [p / sum(powers) for p in powers]
    if max(abs(a - b) for a, b in zip(wanted, values)) > 1e-5:
        faults.append(f"row {line}: probabilities should be {wanted}, found {values}")


def main(bundle, rows=None, predictions=None, tolerance="1e-4"):
    inference = check_files(bundle)
    family = read_json(f"{bundle}/config.json")["model_type"]
    if family not in transformers.CONFIG_MAPPING:
        print(f"skipped: transformers {transformers.__version__} has no {family}")
        return 77
    model = check_model(bundle)
    tokenizer = check_tokenizer(bundle, inference, model)
    if rows:
        check_logits(model, tokenizer, inference, read_lines(rows), read_lines(predictions), float(tolerance))
    for fault in faults:
        print(f"{bundle}: {fault}", file=sys.stderr)
    if not faults:
        print(f"{bundle}: loads in transformers {transformers.__version__} (torch {torch.__version__}) with all keys"
              + (f"; logits of {len(read_lines(rows))} rows within {tolerance}" if rows else ""))
    return 1 if faults else 0


if __name__ == "__main__":
    if len(sys.argv) not in (2, 4, 5):
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
