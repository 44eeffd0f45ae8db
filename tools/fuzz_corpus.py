#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tests/fuzz/corpus: what each fuzzer starts from. Small sound inputs and inputs with a known fault, from tests/golden, tests/fixtures and
examples/, and a few written here. Deterministic; under 300 KB together. tests/fuzz/run.sh reads it.

usage: tools/fuzz_corpus.py
"""
import glob
import json
import os
import shutil
import struct

root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
corpus = f"{root}/tests/fuzz/corpus"
golden, fixture = f"{root}/tests/golden", sorted(glob.glob(f"{root}/tests/fixtures/*/"))[0]


def read(path):
    with open(path, "rb") as file:
        return file.read()


def add(fuzzer, name, data):
    os.makedirs(f"{corpus}/{fuzzer}", exist_ok=True)
    with open(f"{corpus}/{fuzzer}/{name}", "wb") as file:
        file.write(data if isinstance(data, bytes) else data.encode())


def dump(value):
    return json.dumps(value, ensure_ascii=False)


def csv():
    for i, table in enumerate(json.load(open(f"{golden}/csv_tables.json"))["tables"]):
        add("fuzz_csv", f"table_{i:02d}", table["text"][:2500])


def edits():
    """Of the sound file that these two fuzzers make for themselves: place (2 bytes) and value."""
    for fuzzer in ("fuzz_dataset", "fuzz_results"):
        add(fuzzer, "none", b"\0")
        for place in (0, 4, 8, 16, 24, 40, 64, 96, 200, 512, 1000):
            add(fuzzer, f"at_{place}", struct.pack("<HB", place, 0xff) + struct.pack("<HB", place + 1, 1))
    add("fuzz_dataset", "labels_above_int32", struct.pack("<HB", 19, 0x80) + struct.pack("<HB", 20, 0))


def jobs():
    for path in sorted(glob.glob(f"{root}/examples/*.json")) + [f"{fixture}job.json", f"{fixture}run/job.json"]:
        add("fuzz_job", path.replace(fixture, "fixture_").replace("/", "_").rsplit("examples_")[-1], read(path))
    add("fuzz_job", "empty_key", '{"name": "a", "data": {"": "x", "a.": 1}}')


def texts():
    lines = read(f"{fixture}rows.jsonl").splitlines(keepends=True)
    add("fuzz_jsonl", "rows", b"".join(lines[:8]))
    add("fuzz_jsonl", "cut", b"".join(lines[:2])[:-5])
    add("fuzz_jsonl", "nan_and_crlf", b'{"a": NaN, "b": [1, -0.5e-3, null, true]}\r\n\r\n{"a": "\\ud83d\\ude00", "b": {}}\n')
    repeated = "{" + ", ".join(f'"{key}": {value}' for value in range(3) for key in "abcdefghi") + "}\n"
    add("fuzz_jsonl", "repeated_keys", repeated)
    add("fuzz_json", "repeated_keys", repeated)
    add("fuzz_json", "row", lines[0])
    add("fuzz_json", "config", read(f"{fixture}model/config.json"))
    add("fuzz_json", "nested", '{"a": [[[[{"b": [1e308, -0, 5e-324, 9007199254740993]}]]]], "\\u00e9": "\\ud834\\udd1e"}')
    for i, row in enumerate(json.load(open(f"{golden}/csv_tables.json"))["tables"][10:12]):
        add("fuzz_json", f"table_{i}", dump(row)[:2000])
    for i, (text, _) in enumerate(json.load(open(f"{golden}/text_traps.json"))["rows"][::6]):
        add("fuzz_tokenizer", f"trap_{i:02d}", b"\x80\x10" + bytes.fromhex(text)[:300])
    for case in json.load(open(f"{golden}/text_pipelines.json"))["cases"]:
        tokenizer = json.loads(case["tokenizer"])
        if len(tokenizer["model"]["vocab"]) and case["name"] in ("gpt2", "roberta_prefix", "modernbert", "llama", "clip", "gemma_gaps", "continuing", "digits", "split_isolated_1"):
            shrink(tokenizer)
            add("fuzz_tokenizer_json", case["name"], json.dumps(tokenizer))
        if case["name"] == "gpt2":
            for i, text in enumerate(json.load(open(f"{golden}/text_pipelines.json"))["texts"][-12:]):
                add("fuzz_tokenizer", f"pipeline_{i:02d}", b"\x80\x10" + bytes.fromhex(text)[:300])


def shrink(tokenizer):
    """The same kind of tokenizer, with the few words that its merges and special tokens need."""
    model = tokenizer["model"]
    kept = {a["content"] for a in tokenizer["added_tokens"]} | {model.get("unk_token")}
    if "merges" in model:
        model["merges"] = model["merges"][:12]
        prefix = len(model.get("continuing_subword_prefix") or "")
        kept |= {w for a, b in model["merges"] for w in (a, b, a + b[prefix:])}
    words = [w for w in model["vocab"] if w in kept]
    words += [w for w in model["vocab"] if w not in kept][:24]
    model["vocab"] = {w: i for i, w in enumerate(words)}
    after = [a["content"] for a in tokenizer["added_tokens"] if a["content"] not in model["vocab"]]
    for a in tokenizer["added_tokens"]:
        a["id"] = model["vocab"][a["content"]] if a["content"] in model["vocab"] else len(words) + after.index(a["content"])


TRIAL = {
    "kind": "train", "key": "lr-0.005_epochs-3", "directory": "run/trials/lr-0.005_epochs-3", "dataset": "run/tokens/a.rows", "split": "run/split.json",
    "model": "model", "score_train": False, "score_validation": True, "score_test": False, "multi": False, "labels": 2,
    "weights_by_class": [0.5, 1.5], "seed": 42, "lr": 0.005, "weight_decay": 0.01, "clip": 1.0, "warmup": 0.0, "dropout": -1, "epochs": 3, "batch": 8,
    "micro_batch": 2, "max_length": 32, "precision": "f32", "resume": 0, "checkpoint_steps": 0, "checkpoint_minutes": 0}
MESSAGES = {
    "hello": {"version": "0.1.0", "host": "n1", "device": "cpu", "pid": 12, "ranks": 2, "threads": 1, "group": "1-a", "rank": 0, "build": "0123", "places": "n1 n2"},
    "beat": {"lease": 1, "step": 3, "steps": 12, "epoch": 1, "epochs": 3, "loss": 0.7, "lr": 1e-5, "grad_norm": None, "tokens_per_second": 10.5,
             "examples_per_second": 1, "peak_share": None, "operation": "forward"},
    "epoch": {"lease": 1, "epoch": 1, "train_loss": 0.5, "logits": "run/logits.h5"},
    "result": {"lease": 1, "epochs_done": 3, "best_epoch": 2, "steps": 12, "tokens": 999, "seconds": 1.5, "best_weights": "best.safetensors"},
    "failed": {"lease": 1, "kind": 1, "words": "no space left", "healthy": True},
    "stopped": {"lease": 0, "leaving": True},
    "welcome": {"version": "0.1.0", "heartbeat_timeout": 30, "time": 1795886070.5},
    "refused": {"words": "version 9"},
    "lease": {"lease": 1, "attempt": 1, "trial": TRIAL},
    "verdict": {"lease": 1, "epoch": 1, "best": True, "stop": False, "metrics": {"f1": 0.5}},
    "stop": {},
    "goodbye": {"exit_code": 0},
}


def messages():
    for name, fields in MESSAGES.items():
        add("fuzz_message", name, json.dumps({"message": name, **fields}))


def tensors():
    for path in sorted(glob.glob(f"{golden}/tensors_*.bin")):
        add("fuzz_pickle", os.path.basename(path), read(path))
    for name in ("tensors_zip.bin", "tensors_deflated.bin", "tensors_evil_zip.bin"):
        add("fuzz_zip", name, read(f"{golden}/{name}"))
    add("fuzz_zip", "bundle.zip", read(f"{fixture}run/tiny.zip"))
    add("fuzz_zip", "empty.zip", b"PK\5\6" + bytes(18))
    add("fuzz_safetensors", "tensors_all", read(f"{golden}/tensors_all.safetensors"))
    header = b'{"a":{"dtype":"F32","shape":[2,0],"data_offsets":[0,0]},"b":{"dtype":"U8","shape":[],"data_offsets":[0,1]}}'
    add("fuzz_safetensors", "empty_and_scalar", struct.pack("<Q", len(header)) + header + b"x")


def events():
    for run in ("run", "stopped"):
        add("fuzz_events", run, read(f"{fixture}{run}/events.jsonl"))
    lines = read(f"{fixture}run/events.jsonl").splitlines(keepends=True)
    add("fuzz_events", "cut", b"".join(lines[:3])[:-20])
    add("fuzz_events", "damaged", lines[0] + b'{"event": \n' + lines[1])
    add("fuzz_events", "deaths", "".join(json.dumps({"time": "2026-11-28T17:13:37.690Z", **e}) + "\n" for e in (
        {"event": "run_started", "host": "n1", "pid": 1, "version": "0.1.0"},
        {"event": "group_started", "group": "1-a", "host": "n1", "pid": 2, "device": "cpu", "ranks": 2, "threads": 1},
        {"event": "lease", "trial": "lr-1e-05", "group": "1-a", "attempt": 1, "lease": 1},
        {"event": "epoch", "trial": "lr-1e-05", "epoch": 1, "metrics": {"validation_loss": 0.5}, "stop": False, "decision": None},
        {"event": "group_died", "group": "1-a", "host": "n1", "rank": 1, "step": 7, "operation": "all_reduce", "trial": "lr-1e-05", "why": "signal 9"},
        {"event": "trial_pruned", "trial": "lr-1e-05", "why": "asha", "epochs_done": 1},
        {"event": "trial_failed", "trial": "lr-2e-05", "why": "given up"},
        {"event": "run_ended", "exit_code": 75, "why": "stopped"})))


def clusters():
    for name, text in {
        "open_mpi": "# a comment\n\n n1.cluster  slots=4   # the first\r\nn2\tslots=2 max_slots=8\nn3\nn2 max-slots=9 slots=3\nn3",
        "typo": "n1 slots=2\nn2 slot=2\n", "large": "n1 slots=99999999999\n", "list": "n1,n2:4\n", "address": "10.77.0.1 slots=1\nfe80::1\n"}.items():
        add("fuzz_hostfile", name, text)
    killed = "mpirun noticed that process rank 1 with PID 0 on node n7 exited on signal 9 (Killed).\n"
    lost = "ORTE has lost communication with a remote daemon.\n\n  HNP daemon   : [[15,0],0] on node n1\n  Remote daemon: [[15,0],1] on node n7\n\n"
    for name, text in {"killed": killed, "lost": lost, "both": "muster-worker: step 7\n" + lost + killed, "long": "x" * 5000 + "\n" + killed,
                       "cut": killed[:-30]}.items():
        add("fuzz_output", name, "\1" + text)


def splits():
    ids = [f"row-{i}" for i in range(10)]
    parts = {"train": ids[:6], "validation": ids[6:9], "test": ids[9:]}
    add("fuzz_split", "sound", json.dumps({"version": 1, "method": "numpy", "parts": parts}))
    add("fuzz_split", "bare", json.dumps({"parts": parts}))
    add("fuzz_split", "twice", json.dumps({"parts": {**parts, "test": ids[8:]}}))
    add("fuzz_split", "unknown", json.dumps({"parts": {**parts, "test": ["row-x"]}}))
    add("fuzz_split", "fixture", read(f"{fixture}run/split.json"))


def dates():
    for i, text in enumerate(("2026-11", "2026-11-22", "2026-11-22T04:01:48.250+02:30", "1969-12-31 23:59:60Z", "0001-01-01", "2026-02-30", "22.11.2026")):
        add("fuzz_date", f"date_{i}", text)


def rules():
    for name in ("inference_config.json", "config.json"):
        add("fuzz_inference", name, read(f"{fixture}run/bundle/{name}"))
    labels = ["red", "green", "blue"]
    rule = {"max_length": 32, "id2label": dict(enumerate(labels)), "label2id": {n: i for i, n in enumerate(labels)}}
    add("fuzz_inference", "multi", json.dumps({**rule, "problem_type": "multi_label_classification", "thresholds": dict.fromkeys(labels, 0.4),
                                                "temperatures": dict.fromkeys(labels, 1.5)}))
    add("fuzz_inference", "global", json.dumps({**rule, "threshold": 0.5, "temperature": 2, "positive": "red"}))


def sentencepiece():
    for name in ("xlm", "deberta"):
        model = read(f"{golden}/sentencepiece_{name}.model")
        add("fuzz_sentencepiece", name, model)
        add("fuzz_sentencepiece", f"{name}_cut", model[:1000])
    add("fuzz_sentencepiece", "bpe", b"".join(b"\x0a\x03\x0a\x01" + c for c in (b"a", b"b", b"c")) + b"\x12\x02\x18\x02")
    charsmap = struct.pack("<III", 8, 1 << 8 | 1 << 10, 1 << 31 | 99) + b"a\0"
    add("fuzz_sentencepiece", "far", b"\x0a\x03\x0a\x01a" + b"\x1a%c\x12%c" % (len(charsmap) + 2, len(charsmap)) + charsmap)


def requests():
    """To muster serve: the form (and limits) as the first byte, then the body."""
    row = {"a": "word1 linked", "title": "word2", "b": "word3 apart"}
    bodies = {0: [row, {**row, "threshold": 0.3, "top_k": 1, "logits": True, "truncate": False}, {**row, "b": "word1 " * 60, "truncate": False},
                  {"text": "word1", "text_b": "word2"}, {"a": 5, "b": ["word1", "word2"], "id": "x", "label": "YES"}, {"a": "x", "c": "y"}, {**row, "b": None}],
              1: [{"items": [row, ["word1", "word2"], "word1", 5, {}, {"a": " "}], "top_k": 2, "logits": True}, {"items": []}, {"item": [row]}],
              2: [{"inputs": ["word1", "word2"]}, {"inputs": [["word1", "word2"], ["linked", "apart"]], "raw_scores": True, "truncate": True}, {"inputs": "word1"}]}
    for form, values in bodies.items():
        for i, value in enumerate(values):
            add("fuzz_classify", f"{form}_{i}", bytes([form]) + dump(value).encode())


def http():
    host, body, chunked = "Host: x\r\n", '{"text": "word1"}', "Transfer-Encoding: chunked\r\n"
    post, length = "POST /classify HTTP/1.1\r\n" + host + "Content-Type: application/json\r\n", f"Content-Length: {len(body)}\r\n"
    for name, text in {
        "get": f"GET / HTTP/1.1\r\n{host}\r\n", "head": f"HEAD /health HTTP/1.1\r\n{host}\r\n", "old": "GET / HTTP/1.0\r\n\r\n",
        "two": f"GET /a?b=c%20d HTTP/1.1\r\n{host}\r\nGET /ready HTTP/1.1\r\n{host}Connection: close\r\n\r\n", "post": f"{post}{length}\r\n{body}",
        "expect": f"{post}{length}Expect: 100-continue\r\n\r\n{body}", "chunks": f"{post}{chunked}\r\n5\r\n{body[:5]}\r\n{len(body) - 5:x};a=b\r\n{body[5:]}\r\n0\r\nX: y\r\n\r\n",
        "both": f"{post}{length}{chunked}\r\n0\r\n\r\nGET / HTTP/1.1\r\n{host}\r\n", "twice": f"{post}{length}Content-Length: 0\r\n\r\n{body}",
        "folded": f"GET / HTTP/1.1\r\n{host}X: a\r\n b\r\n\r\n", "bad_chunk": f"{post}{chunked}\r\nZZZ\r\n", "far": f"{post}Content-Length: 99999999999999999999\r\n\r\n",
        "large": f"{post}Content-Length: 500\r\n\r\n{'x' * 500}", "no_host": "GET / HTTP/1.1\r\n\r\n", "version": f"GET / HTTP/9.9\r\n{host}\r\n", "tls": "\x16\x03\x01\x02\0\x01\0",
    }.items():
        add("fuzz_http", name, text)


shutil.rmtree(corpus, ignore_errors=True)
for make in (csv, edits, jobs, texts, messages, tensors, events, clusters, splits, dates, rules, sentencepiece, requests, http):
    make()
sizes = [os.path.getsize(path) for path in glob.glob(f"{corpus}/*/*")]
print(f"{len(sizes)} inputs, {sum(sizes)} bytes")
assert sum(sizes) < 300_000, "too large to be committed"
