#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a user would serve a bundle with instead: FastAPI, uvicorn and transformers, with batches: requests wait up to 5 ms for others, up to 32
rows are padded together, one thread computes with all cores. Needs torch, transformers, fastapi, uvicorn.

usage: serve_peer.py BUNDLE PORT THREADS
"""
import asyncio
import concurrent.futures
import json
import sys

import fastapi
import torch
import transformers
import uvicorn

bundle, port, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
BATCH_ROWS, BATCH_WAIT = 32, 0.005
torch.set_num_threads(threads)
tokenizer = transformers.AutoTokenizer.from_pretrained(bundle)
model = transformers.AutoModelForSequenceClassification.from_pretrained(bundle).eval()
rule = json.load(open(f"{bundle}/inference_config.json"))
multi = model.config.problem_type == "multi_label_classification"
names = [model.config.id2label[i] for i in range(model.config.num_labels)]
thresholds = torch.tensor([rule.get("thresholds", {}).get(n, rule.get("threshold", 0.5)) for n in names])
app = fastapi.FastAPI()
computes = concurrent.futures.ThreadPoolExecutor(1)
queue = None


def score(texts):
    rows = tokenizer(texts, padding=True, truncation=True, max_length=rule["max_length"], return_tensors="pt")
    with torch.inference_mode():
        logits = model(**rows).logits / rule.get("temperature", 1)
    return torch.sigmoid(logits) if multi else torch.softmax(logits, -1)


async def batches():
    loop = asyncio.get_running_loop()
    while True:
        waiting = [await queue.get()]
        end = loop.time() + BATCH_WAIT
        while len(waiting) < BATCH_ROWS and (left := end - loop.time()) > 0:
            try:
                waiting.append(await asyncio.wait_for(queue.get(), left))
            except asyncio.TimeoutError:
                break
        scores = await loop.run_in_executor(computes, score, [text for text, _ in waiting])
        for (_, future), row in zip(waiting, scores):
            if not future.cancelled():
                future.set_result(row)


@app.on_event("startup")
async def start():
    global queue
    queue = asyncio.Queue()
    score(["warm up"])
    app.state.task = asyncio.create_task(batches())


@app.get("/health")
async def health():
    return {"status": "ready"}


@app.post("/classify/batch")
async def classify_batch(body: dict):
    return {"results": await asyncio.gather(*map(classify, body["items"]))}


@app.post("/classify")
async def classify(body: dict):
    future = asyncio.get_running_loop().create_future()
    await queue.put((body["text"], future))
    scores = await future
    labels = [n for n, p, t in zip(names, scores, thresholds) if p >= t] if multi else [names[int(scores.argmax())]]
    return {"labels": labels, "scores": dict(zip(names, scores.tolist()))}


uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")
