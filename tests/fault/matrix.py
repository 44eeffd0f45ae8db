#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs a tiny job with one planned fault after the other (MUSTER_FAULT, common/base/fault.h), lets it come to its end as its user
would (the same command again where it stopped), and compares what it leaves with a run that nothing happened to: the weights, the
logits of every epoch (results.h5), the metrics and the table, byte for byte.

usage: matrix.py FOLDER [all]     programs on PATH; FOLDER has tiny.py's model, rows.jsonl and job.json
"""
import json
import os
import subprocess
import sys
import time

directory, everything = sys.argv[1], "all" in sys.argv[2:]
STEPS = 12  # two epochs of 42 rows by 8
IN_STEP, BESIDE = ["forward", "backward", "all_reduce", "optimizer"], ["load", "evaluate", "epoch_decision", "checkpoint"]
TIMED = {"tokens_per_second", "examples_per_second", "gflops", "peak_share"}


def cases():
    """(fault, exit codes that the faulty run may have, a word for it). Every operation on every rank at steps of both epochs."""
    for step in (1, 4, 6, 7, 12):
        for kind in ("kill", "stall", "stop"):
            for rank in (0, 1):
                for op in IN_STEP:
                    if rank and step in (6, 12) and op in ("forward", "backward"):
                        continue  # the last step of an epoch has 2 rows: one micro-batch, that of rank 0
                    yield f"{kind} rank={rank} step={step} op={op}", kind
    for kind in ("kill", "stall", "stop"):
        for rank in (0, 1):
            for op, steps in (("load", [0]), ("evaluate", [6, 12]), ("epoch_decision", [6, 12]), ("checkpoint", [4, 6, 10, 12])):
                for step in steps:
                    if kind == "stop" and (op, step) in (("epoch_decision", 12), ("checkpoint", 12)):
                        continue  # nothing is left to be stopped: the trial ends
                    yield f"{kind} rank={rank} step={step} op={op}", kind
    for message in ("hello", "welcome", "lease", "epoch", "epoch_decision", "result", "goodbye"):
        yield f"drop message={message}", "message"
        yield f"duplicate message={message}", "message"
    for message in ("stop", "stopped"):
        yield f"stop rank=1 step=5 op=forward; drop message={message}", "stop"
        yield f"stop rank=1 step=5 op=forward; duplicate message={message}", "stop"
    for kind in ("enospc", "read_only"):
        for op, step in (("checkpoint", 4), ("checkpoint", 6), ("epoch_decision", 6), ("epoch_decision", 12)):
            yield f"{kind} rank=0 step={step} op={op}", "disk"
        for op in ("split", "tune", "gather", "publish"):
            yield f"{kind} op={op}", "disk"
    for kind in ("flip", "cut"):
        for step, then in ((4, 5), (6, 7), (10, 12)):
            yield f"{kind} rank=0 step={step} op=checkpoint; kill rank=0 step={then} op=backward", "damage"
    for op in ("check", "split", "train", "epoch_end", "tune", "gather", "publish"):
        yield f"kill op={op}", "coordinator"
        yield f"stop op={op}", "stop"


def few(all_cases):
    """Every other kind, operation and message once, at changing ranks and steps."""
    seen, chosen = set(), []
    for i, (fault, kind) in enumerate(all_cases):
        words = dict(w.split("=") for w in fault.replace(";", " ").split() if "=" in w)
        place = (fault.split()[0], words.get("op"), words.get("message"))
        if place not in seen and (kind not in ("kill", "stall", "stop") or int(words.get("rank", 0)) == len(seen) % 2):
            seen.add(place)
            chosen.append((fault, kind))
    return chosen[::2]


def run(out, fault=None, seconds=300):
    environment = dict(os.environ)
    environment.pop("MUSTER_FAULT", None)
    if fault:
        environment["MUSTER_FAULT"] = fault
    with open(f"{directory}/said", "w") as said:
        code = subprocess.run(["muster", "run", f"{directory}/job.json", f"out={directory}/{out}"], env=environment, stdout=said,
                              stderr=subprocess.STDOUT, timeout=seconds).returncode
    return code, open(f"{directory}/said", errors="replace").read()


def metrics(path):
    return [{k: v for k, v in json.loads(line).items() if k not in TIMED} for line in open(path)]


def what_is_left(out):
    trial = f"{directory}/{out}/trials/lr-0.005_epochs-2"
    left = {name: open(f"{directory}/{out}/{name}", "rb").read() for name in ("bundle/model.safetensors", "results.h5", "table.md", "tune.json")}
    left["best"] = open(f"{trial}/best.safetensors", "rb").read()
    left["metrics"] = metrics(f"{trial}/metrics.jsonl")
    return left


def still_there(out):
    """Workers of this run that have outlived it."""
    found = []
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = open(f"/proc/{process}/cmdline").read()
        except OSError:
            continue
        if "muster-worker" in words and f"{directory}/{out}/" in words:
            found.append(process)
    return found


def events(out, name):
    path = f"{directory}/{out}/events.jsonl"
    lines = [json.loads(line) for line in open(path)] if os.path.exists(path) else []
    return [e for e in lines if e["event"] == name]


def wrong_with(fault, kind, out, clean):
    code, said = run(out, fault)
    expected = {"stop": [75], "disk": [1], "coordinator": [-9]}.get(kind, [0])
    if "planned fault" not in said:
        return f"the fault did not strike (exit {code}): {said[-600:]}"
    if code not in expected:
        return f"exit {code}, expected {expected}: {said[-900:]}"
    deaths = events(out, "group_died")
    rank = fault.split("rank=")[1][0] if "rank=" in fault else None
    if kind == "stall" and not any(str(d["rank"]) == rank and d["operation"] for d in deaths):
        return f"no death names rank {rank} and an operation: {deaths}"
    if kind == "kill" and not deaths:
        return "no death in events.jsonl"
    if kind == "stop" and deaths:
        return f"a stop is no death: {deaths}"
    if kind == "damage" and "falling back to the previous checkpoint" not in said:
        return "the damage was not said"
    for _ in range(300):
        if not still_there(out):
            break
        time.sleep(0.1)
    else:
        return f"workers are left: {still_there(out)}"
    if code != 0:
        code, said = run(out)
        if code != 0:
            return f"run again, it ended with {code}: {said[-900:]}"
    left = what_is_left(out)
    return "; ".join(f"{name} differs" for name in clean if left[name] != clean[name])


def main():
    job = json.load(open(f"{directory}/job.json"))
    job["train"].update(epochs=2, checkpoint_every="4 steps")
    job["report"] = {"baseline": False}
    job["cluster"].update(ranks_per_group=2, heartbeat_timeout=2, restarts=10)
    job.pop("sweep")
    json.dump(job, open(f"{directory}/job.json", "w"), indent=2)
    start = time.time()
    for out in ("clean", "again"):
        code, said = run(out)
        if code:
            sys.exit(f"the clean run ended with {code}: {said[-900:]}")
    clean = what_is_left("clean")
    if clean != what_is_left("again"):
        sys.exit("two clean runs differ: nothing can be compared")
    if len([m for m in clean["metrics"] if "loss" in m]) != STEPS:
        sys.exit(f"{STEPS} steps expected, found {len(clean['metrics'])}")
    todo = list(cases()) if everything else few(list(cases()))
    failed = 0
    for i, (fault, kind) in enumerate(todo):
        wrong = wrong_with(fault, kind, f"case{i}", clean)
        failed += bool(wrong)
        print(f"{'FAILED' if wrong else 'same  '} {fault}{': ' + wrong if wrong else ''}", flush=True)
        subprocess.run(["rm", "-rf", f"{directory}/case{i}"], check=True)
    print(f"{len(todo)} cases, {len(todo) - failed} identical with the clean run, {time.time() - start:.0f} s")
    sys.exit(failed > 0)


main()
