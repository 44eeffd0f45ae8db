#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Of bench/defaults.sh, in its working directory.
rows SET: one file of rows, as somebody would have it.
peer SET: Hugging Face's run_classification defaults on the rows and the split of the run in SET/, test F1 to SET.peer.json.
line SET: a line of the table."""
import argparse
import csv
import json
import os
import random
import sys
import time

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("mode", choices=("rows", "peer", "line"))
parser.add_argument("set")
parser.add_argument("--data")
parser.add_argument("--model")
parser.add_argument("--rows", type=int)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--run", help="peer: run directory with the split; default: SET")
given = parser.parse_args()
run_directory = given.run or given.set


def read(path):
    if path.endswith(".csv"):
        return list(csv.DictReader(open(path, newline="")))
    return [json.loads(line) for line in open(path)]


def numbered(path):
    """Rows with the line that each begins in, which is its id."""
    if not path.endswith(".csv"):
        yield from enumerate(read(path), 1)
        return
    with open(path, newline="") as file:
        reader = csv.DictReader(file)
        reader.fieldnames  # reads the header
        line = reader.line_num + 1
        for row in reader:
            yield line, row
            line = reader.line_num + 1


def write(path, rows):
    with open(path, "w", newline="") as file:
        if path.endswith(".csv"):
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        else:
            file.writelines(json.dumps(row) + "\n" for row in rows)


SETS = {"banking77": (("banking77-train.csv", "banking77-test.csv"), "csv"),
        "clinc150": (("clinc150-small-train.jsonl", "clinc150-small-val.jsonl", "clinc150-small-test.jsonl"), "jsonl"),
        "nlupp-banking": (("nlupp-banking.jsonl",), "jsonl"), "nlupp-hotels": (("nlupp-hotels.jsonl",), "jsonl")}


def make_rows():
    names, kind = SETS.get(given.set, (None, "jsonl"))
    rows = [row for name in names for row in read(os.path.join(given.data, name))] if names else read(f"{given.set}.raw.jsonl")
    if given.rows and len(rows) > given.rows:
        rows = random.Random(42).sample(rows, given.rows)
    write(f"{given.set}.{kind}", rows)
    print(f"{given.set}: {len(rows)} rows")


def run_rows():
    """Of the run in SET/: texts (a pair or one), labels as a list of names, by part, as Muster reads them."""
    job, split = json.load(open(f"{run_directory}/job.json")), json.load(open(f"{run_directory}/split.json"))
    data = job["data"]
    path = data["path"] if os.path.exists(data["path"]) else os.path.join(run_directory, data["path"])
    of_id = {}
    for number, row in numbered(path):
        text = lambda fields: data["joiner"].join(" ".join(str(row[f]).split()) for f in fields if row.get(f) and str(row[f]).strip())
        label = row[data["label"]]
        labels = label if isinstance(label, list) else [str(label)]
        of_id[str(row[data["id"]]) if data["id"] else str(number)] = (text(data["text_a"]), text(data["text_b"]), labels)
    names = [label["name"] for label in json.load(open(f"{run_directory}/check.json"))["labels"]]
    return job, names, {part: [of_id[id] for id in ids] for part, ids in split["parts"].items()}


def peer():
    os.environ.update(OMP_NUM_THREADS=str(given.threads), HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error")
    import numpy
    import torch
    import transformers
    from sklearn.metrics import f1_score
    torch.set_num_threads(given.threads)
    transformers.set_seed(42)
    job, names, parts = run_rows()
    multi = job["task"].startswith("multi")
    known = {name: i for i, name in enumerate(names)}
    tokenizer = transformers.AutoTokenizer.from_pretrained(given.model)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        given.model, num_labels=len(names), problem_type="multi_label_classification" if multi else "single_label_classification")

    def encode(rows):
        found = []
        for a, b, labels in rows:
            one = dict(tokenizer(a, b or None, truncation=True, max_length=128))
            if multi:
                one["labels"] = [float(name in labels) for name in names]
            else:
                one["labels"] = known[labels[0]] if labels[0] in known else int(labels[0])
            found.append(one)
        return found

    options = transformers.TrainingArguments(output_dir=f"{given.set}.peer", report_to=[], save_strategy="no", use_cpu=True, seed=42,
                                             disable_tqdm=True, logging_steps=50)  # lr 5e-5, 3 epochs, batch 8, linear decay are its defaults
    trainer = transformers.Trainer(model=model, args=options, train_dataset=encode(parts["train"]),
                                   data_collator=transformers.DataCollatorWithPadding(tokenizer))
    begun, cpu = time.time(), time.process_time()
    trainer.train()
    seconds, cpu = time.time() - begun, time.process_time() - cpu
    test = encode(parts["test"])
    logits = trainer.predict(test).predictions
    truth = numpy.array([row["labels"] for row in test])
    found = (logits > 0).astype(int) if multi else logits.argmax(1)
    scores = {f"{kind}_f1": float(f1_score(truth, found, average=kind, zero_division=0)) for kind in ("micro", "macro")}
    if not multi and len(names) == 2:
        positive = known[job["data"]["positive"] or names[-1]]
        scores |= {"f1": float(f1_score(truth == positive, found == positive, zero_division=0)), "accuracy": float((truth == found).mean())}
    json.dump(scores | {"seconds": seconds, "cpu_seconds": cpu, "versions": [torch.__version__, transformers.__version__]},
              open(f"{given.set}.peer.json", "w"))


def macro_of_two(f1, accuracy):
    """Mean F1 of both labels, from that of the positive one and the accuracy: true positives, negatives and errors as shares of the rows."""
    errors = 1 - accuracy
    positive = f1 * errors / (2 - 2 * f1) if f1 < 1 else 0
    negative = 1 - errors - positive
    return (f1 + (2 * negative / (2 * negative + errors) if negative + errors > 0 else 1)) / 2


def scores(value, two_labels):
    """Micro and macro F1; of two labels (whose micro F1 is the accuracy) after F1 of the positive one."""
    if not value:
        return "-"
    if not two_labels:
        return f"{value['micro_f1']:.3f} / {value['macro_f1']:.3f}"
    first = value["f1"] if "f1" in value else value["micro_f1"]  # evaluation.json: micro and macro over the positive label alone
    return f"{first:.3f}; {value['accuracy']:.3f} / {macro_of_two(first, value['accuracy']):.3f}"


def load(path):
    return json.load(open(path)) if os.path.exists(path) else None


def line():
    if not os.path.exists(f"{given.set}/evaluation.json"):
        print(f"| {given.set} | failed |")
        return
    split, job = load(f"{given.set}/split.json"), load(f"{given.set}/job.json")
    test = lambda path: (load(path) or {}).get("test", {}).get("rules", {}).get("tuned")
    base = ((load(f"{given.set}/baseline.json") or {}).get("baseline") or {}).get("test", {}).get("at_threshold")
    labels = len(load(f"{given.set}/check.json")["labels"])
    seconds = lambda path: round(float(open(path).read().split()[1])) if os.path.exists(path) else "-"
    trainer, two = load(f"{given.set}.peer.json"), labels == 2 and not job["task"].startswith("multi")
    print(f"| {given.set} | {split['rows']} | {labels} | {scores(test(f'{given.set}/evaluation.json'), two)} | {scores(base, two)} | {scores(trainer, two)} "
          f"| {scores(test(f'{given.set}.sweep/evaluation.json'), two)} | {seconds(f'{given.set}.time')} / {round(trainer['cpu_seconds']) if trainer else '-'} "
          f"/ {seconds(f'{given.set}.sweep.time')} "
          f"| lr {job['train']['lr']:g}, {job['train']['epochs']} epochs, batch {job['train']['batch']} |")


{"rows": make_rows, "peer": peer, "line": line}[given.mode]()
sys.exit(0)
