#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a user would pick instead, on the same rows: Hugging Face Trainer, a bare PyTorch loop with fused AdamW (`packed`: on rows back to
back, without padding, by flash attention of ragged rows), transformers' inference, OpenVINO's and ONNX Runtime's of the same model, the
`tokenizers` library. Prints one JSON line: tokens a second (padding not counted) and peak resident memory, or the GPU's.
`rows` prints the rows that both sides can take: `tokenizers` throws where text A alone is longer than the limit. `records` writes
their texts to standard output as bench_tokenizer reads them. `make` writes a model of another family.

Needs PyTorch, transformers, accelerate; openvino, onnxruntime and onnx for these two. Rows come from a JSON Lines file of pairs (fields as
the demo's), in file order; or, with --fixed N, rows of exactly N tokens.
"""
import argparse
import json
import os
import resource
import struct
import sys
import tempfile
import time

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("mode", choices=("trainer", "loop", "packed", "infer", "openvino", "onnxruntime", "tokenize", "rows", "records", "make"))
parser.add_argument("--model", required=True, help="Hugging Face model directory")
parser.add_argument("--weights", help="another model directory; only the tokenizer is --model's (`make` writes it)")
parser.add_argument("--family", choices=("distilbert", "roberta", "longformer", "modernbert"), help="make: base shape, random weights")
parser.add_argument("--rows", help="JSON Lines file of pairs")
parser.add_argument("--fixed", type=int, help="rows of exactly this many tokens instead")
parser.add_argument("--sort", type=int, metavar="COUNT", help="rows: the first COUNT only, sorted by length")
parser.add_argument("--base", action="store_true", help="BERT-base's shape, random weights, instead of the model's")
parser.add_argument("--max-length", type=int, default=256)
parser.add_argument("--batch", type=int, default=8)
parser.add_argument("--steps", type=int, default=24)
parser.add_argument("--warm", type=int, default=4, help="steps before the clock starts")
parser.add_argument("--checkpointing", action="store_true", help="trainer: activations are computed again in the backward pass")
parser.add_argument("--precision", choices=("f32", "bf16"), default="f32")
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
given = parser.parse_args()
os.environ.update(OMP_NUM_THREADS=str(given.threads), RAYON_NUM_THREADS=str(given.threads), HF_HUB_OFFLINE="1",
                  TRANSFORMERS_VERBOSITY="error", TOKENIZERS_PARALLELISM="true" if given.threads > 1 else "false")

import torch  # noqa: E402
import transformers  # noqa: E402

torch.set_num_threads(given.threads)
transformers.utils.logging.disable_progress_bar()
tokenizer = transformers.AutoTokenizer.from_pretrained(given.model)


def texts(lines=None):
    first, second, labels = [], [], []
    for line in lines or open(given.rows):
        row = json.loads(line)
        parts = (row["ref_paper_title"], row["ref_paper_authors"], row["ref_paper_text"])
        first.append(" ".join(row["sentence"].split()))
        second.append(". ".join(" ".join(part.split()) for part in parts if part and part.strip()))
        labels.append(row["label"])
    return first, second, labels


def rows(count):
    """`count` rows as dicts of lists, repeating the file where it is too short."""
    if given.fixed:
        generator = torch.Generator().manual_seed(0)
        ids = torch.randint(1000, 30000, (count, given.fixed), generator=generator).tolist()
        return [{"input_ids": r, "token_type_ids": [0] * len(r), "attention_mask": [1] * len(r), "labels": i % 2} for i, r in enumerate(ids)]
    first, second, labels = texts()
    first, second, labels = first[:count], second[:count], labels[:count]
    encoded = tokenizer(first, second, truncation="only_second", max_length=given.max_length)
    found = [{key: encoded[key][i] for key in ("input_ids", "token_type_ids", "attention_mask")} | {"labels": labels[i]}
             for i in range(len(first))]
    return [found[i % len(found)] for i in range(count)]


def load():
    if given.base:
        config = transformers.BertConfig(vocab_size=tokenizer.vocab_size, num_labels=2)
        return transformers.BertForSequenceClassification(config)
    return transformers.AutoModelForSequenceClassification.from_pretrained(given.weights or given.model, num_labels=2)


def make():
    of_roberta = {"max_position_embeddings": 514, "type_vocab_size": 1, "layer_norm_eps": 1e-5, "vocab_size": 50265}
    config = {"distilbert": lambda: transformers.DistilBertConfig(),
              "roberta": lambda: transformers.RobertaConfig(**of_roberta),
              "longformer": lambda: transformers.LongformerConfig(**of_roberta | {"max_position_embeddings": 4098}, attention_window=[512] * 12, pad_token_id=1,
                                                                  bos_token_id=0, eos_token_id=2, sep_token_id=2),
              "modernbert": lambda: transformers.ModernBertConfig()}[given.family]()
    transformers.AutoModelForSequenceClassification.from_config(config).save_pretrained(given.weights)


def mean_length(found):
    timed = found[given.warm * (len(found) // given.steps):]
    return round(sum(len(row["input_ids"]) for row in timed) / len(timed), 1)


def now():
    if given.device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def autocast():
    return torch.autocast(given.device, torch.bfloat16, enabled=given.precision == "bf16")


def report(tokens, seconds, **more):
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if given.device == "cuda": # all that is taken, the context too: the allocator keeps what it once had
        free, total = torch.cuda.mem_get_info()
        peak = (total - free) / 2**20
    print(json.dumps({"mode": given.mode, "precision": given.precision, "threads": given.threads, "tokens_per_second": round(tokens / seconds, 1),
                      "peak_MB": round(peak), "torch": torch.__version__, "transformers": transformers.__version__} | more))


def collate(batch):
    unused = ("labels", "token_type_ids") if given.weights else ("labels",) # the families of `make` have no types
    padded = tokenizer.pad([{k: v for k, v in row.items() if k not in unused} for row in batch], return_tensors="pt")
    padded["labels"] = torch.tensor([row["labels"] for row in batch])
    return padded


def trainer():
    sizes, clock = [], []

    def counting(batch):
        sizes.append(sum(len(row["input_ids"]) for row in batch))
        return collate(batch)

    class InOrder(transformers.Trainer):
        def _get_train_sampler(self, *_):
            return torch.utils.data.SequentialSampler(self.train_dataset)

    class Clock(transformers.TrainerCallback):
        def on_step_end(self, *_, **__):
            clock.append((now(), *os.times()[:2]))

    options = transformers.TrainingArguments(
        output_dir=tempfile.mkdtemp(), per_device_train_batch_size=given.batch, max_steps=given.steps, learning_rate=2e-5, weight_decay=0.01,
        max_grad_norm=1.0, bf16=given.precision == "bf16", use_cpu=given.device == "cpu", report_to=[], save_strategy="no", logging_strategy="no",
        disable_tqdm=True, gradient_checkpointing=given.checkpointing, seed=42)
    found = rows(given.batch * given.steps)
    InOrder(model=load(), args=options, train_dataset=found, data_collator=counting, callbacks=[Clock()]).train()
    seconds, user, system = (last - first for first, last in zip(clock[given.warm - 1], clock[-1]))
    report(sum(sizes[given.warm:given.steps]), seconds, user_seconds=round(user, 2), system_seconds=round(system, 2), mean_length=mean_length(found))


def ragged(found):
    """Rows back to back: what the model takes, and where rows begin."""
    flat = lambda key: torch.tensor([[token for row in found for token in row[key]]], device=given.device)  # noqa: E731
    lengths = [len(row["input_ids"]) for row in found]
    offsets = torch.tensor([0] + lengths, device=given.device).cumsum(0)
    places = torch.tensor([[i for n in lengths for i in range(n)]], device=given.device)
    return {"input_ids": flat("input_ids"), "token_type_ids": flat("token_type_ids"), "position_ids": places}, offsets, max(lengths)


rows_now = None  # offsets and the longest row, of the batch under way


def ragged_attention(module, query, key, value, mask, scaling=None, dropout=0.0, **_):
    offsets, longest = rows_now
    try:
        from flash_attn import flash_attn_varlen_func
        q, k, v = (x[0].transpose(0, 1).contiguous() for x in (query, key, value))
        cut = offsets.int()
        return flash_attn_varlen_func(q, k, v, cut, cut, longest, longest, dropout_p=dropout, softmax_scale=scaling)[None], None
    except ImportError:
        q, k, v = (torch.nested.nested_tensor_from_jagged(x[0].transpose(0, 1), offsets, max_seqlen=longest).transpose(1, 2) for x in (query, key, value))
        mixed = torch.nn.functional.scaled_dot_product_attention(q, k, v, dropout_p=dropout, scale=scaling)
        return mixed.transpose(1, 2).values()[None], None


def packed_loss(model, found):
    """As BertForSequenceClassification, of the first token of each row."""
    global rows_now
    inputs, offsets, longest = ragged(found)
    rows_now = offsets, longest
    first = model.bert(**inputs).last_hidden_state[0, offsets[:-1]]
    pooled = model.bert.pooler(first[:, None])
    logits = model.classifier(model.dropout(pooled))
    return torch.nn.functional.cross_entropy(logits.float(), torch.tensor([row["labels"] for row in found], device=given.device))


def padded_loss(model, found):
    return model(**collate(found).to(given.device)).loss


def train_loop(loss_of, model):
    decayed = [p for n, p in model.named_parameters() if not (n.endswith("bias") or "LayerNorm" in n)]
    others = [p for n, p in model.named_parameters() if n.endswith("bias") or "LayerNorm" in n]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0}], lr=2e-5, fused=True)
    found, tokens, start = rows(given.batch * given.steps), 0, 0
    for step in range(given.steps):
        if step == given.warm:
            tokens, start = 0, now()
        batch = found[step * given.batch:(step + 1) * given.batch]
        tokens += sum(len(row["input_ids"]) for row in batch)
        with autocast():
            loss = loss_of(model, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    report(tokens, now() - start, mean_length=mean_length(found))


def loop():
    train_loop(padded_loss, load().to(given.device).train())


def packed():
    transformers.AttentionInterface.register("ragged", ragged_attention)
    transformers.masking_utils.AttentionMaskInterface.register("ragged", lambda *_, **__: None)
    model = load().to(given.device).train()
    model.set_attn_implementation("ragged")
    train_loop(packed_loss, model)


def infer():
    model = load().to(given.device).eval()
    found, tokens, start = rows(32 * given.steps), 0, 0
    with torch.inference_mode(), autocast():
        for step in range(given.steps):
            if step == given.warm:
                tokens, start = 0, now()
            batch = found[step * 32:(step + 1) * 32]
            tokens += sum(len(row["input_ids"]) for row in batch)
            model(**{k: v for k, v in collate(batch).to(given.device).items() if k != "labels"})
    report(tokens, now() - start, mean_length=mean_length(found))


def example():
    batch = collate(rows(4))
    return {k: batch[k] for k in ("input_ids", "attention_mask", "token_type_ids") if k in batch}


def measure(run):
    """As infer, of a function that takes a batch of NumPy arrays."""
    found, tokens, start = rows(32 * given.steps), 0, 0
    for step in range(given.steps):
        if step == given.warm:
            tokens, start = 0, time.perf_counter()
        batch = found[step * 32:(step + 1) * 32]
        tokens += sum(len(row["input_ids"]) for row in batch)
        run({k: v.numpy() for k, v in collate(batch).items() if k != "labels"})
    return tokens, time.perf_counter() - start, mean_length(found)


def openvino():
    import openvino as ov
    model = ov.convert_model(load().eval(), example_input=example())
    core = ov.Core()
    options = {"INFERENCE_PRECISION_HINT": given.precision, "INFERENCE_NUM_THREADS": given.threads, "PERFORMANCE_HINT": "LATENCY"}
    compiled = core.compile_model(model, "CPU", options)
    names = [next(iter(port.get_names())) for port in compiled.inputs]
    request = compiled.create_infer_request()
    tokens, seconds, length = measure(lambda batch: request.infer({name: batch[name] for name in names}))
    report(tokens, seconds, mean_length=length, openvino=ov.__version__)


def onnxruntime():
    import onnxruntime as ort
    if given.precision != "f32":
        sys.exit("onnxruntime: its processor kernels of transformers are f32")
    inputs = example()
    path = os.path.join(tempfile.mkdtemp(), "model.onnx")
    axes = {name: {0: "rows", 1: "tokens"} for name in inputs}
    torch.onnx.export(load().eval(), (), path, kwargs=inputs, input_names=list(inputs), output_names=["logits"], dynamic_axes=axes, dynamo=False)
    options = ort.SessionOptions()
    options.intra_op_num_threads = given.threads
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [port.name for port in session.get_inputs()]
    tokens, seconds, length = measure(lambda batch: session.run(None, {name: batch[name] for name in names}))
    report(tokens, seconds, mean_length=length, onnxruntime=ort.__version__)


def tokenize():
    """Every text alone, not cut, as bench_tokenizer does it; the best of some passes, as there."""
    first, second, _ = texts()
    every, backend, best = first + second, tokenizer.backend_tokenizer, 1e9
    size = sum(len(t.encode()) for t in every)
    backend.no_truncation()
    backend.no_padding()
    for _ in range(7):
        start = time.perf_counter()
        encoded = backend.encode_batch(every)
        best = min(best, time.perf_counter() - start)
    report(sum(len(e.ids) for e in encoded), best, MB_per_second=round(size / best / 1e6, 2))


def usable_rows():
    kept = [line for line in open(given.rows) if len(tokenizer(" ".join(json.loads(line)["sentence"].split()))["input_ids"]) < given.max_length - 8]
    if given.sort:
        first, second, _ = texts(kept[:given.sort])
        lengths = [len(ids) for ids in tokenizer(first, second, truncation="only_second", max_length=given.max_length)["input_ids"]]
        kept = [kept[i] for i in sorted(range(len(lengths)), key=lengths.__getitem__)]
    print("".join(kept), end="")


def records():
    first, second, _ = texts()
    for text in first + second:
        data = text.encode()
        sys.stdout.buffer.write(struct.pack("<I", len(data)) + data)


{"rows": usable_rows, "records": records, "trainer": trainer, "loop": loop, "packed": packed, "infer": infer, "openvino": openvino,
 "onnxruntime": onnxruntime, "tokenize": tokenize, "make": make}[given.mode]()
