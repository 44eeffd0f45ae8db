#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Median ratios with their spread, as a Markdown table, from the lines that compare.sh collects (one JSON object a run)."""
import json
import statistics
import sys

# what ours / theirs has to reach at least, by the words of a case and the other side
MARKS = [({"train", "cuda"}, "trainer", 3.0), ({"train", "cuda"}, "packed", 1.5), ({"infer", "cuda"}, "transformers", 4.0),
         ({"train", "f32"}, "trainer", 3.0), ({"train", "bf16"}, "trainer", 4.5), ({"train", "f32"}, "loop", 2.0), ({"train", "bf16"}, "loop", 2.6),
         ({"infer"}, "transformers", 2.5), ({"infer", "f32"}, "openvino", 2.2), ({"infer", "bf16"}, "openvino", 3.0),
         ({"tokenizer"}, "tokenizers", 8.0), ({"ranks"}, "1 rank", 0.95)]

runs = [json.loads(line) for line in open(sys.argv[1])]


def speed(run):
    return run.get("MB_per_second") or run["tokens_per_second"]


def median(values):
    values = [v for v in values if v is not None]
    return statistics.median(values) if values else None


def shown(value, form):
    return "" if value is None else form.format(value)




def steps(group):
    """Milliseconds a step, and the host's part of it."""
    whole, asking = (median(run.get(key) for run in group.values()) for key in ("step_ms", "asking_ms"))
    return f"{shown(whole, '{:.1f}')}{f' ({asking:.1f})' if asking else ''}"


print("| case | against | ours | theirs | ratio (spread) | mark | GEMM share | peak MB | tokens a row | ms a step (host) |")
print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
for case in dict.fromkeys(run["case"] for run in runs):
    ours = {run["round"]: run for run in runs if run["case"] == case and run["side"] == "muster"}
    if all(run["side"] == "muster" for run in runs if run["case"] == case):
        print(f"| {case} | nobody | {median(map(speed, ours.values())):.0f} tok/s | | | | {shown(median(run.get('peak_share') for run in ours.values()), '{:.0%}')} | "
              f"{shown(median(run.get('peak_MB') for run in ours.values()), '{:.0f}')} | {shown(median(run.get('mean_length') for run in ours.values()), '{:.0f}')} | {steps(ours)} |")
    for side in dict.fromkeys(run["side"] for run in runs if run["case"] == case and run["side"] != "muster"):
        theirs = {run["round"]: run for run in runs if run["case"] == case and run["side"] == side}
        ratios = [speed(ours[r]) / speed(theirs[r]) for r in sorted(theirs) if r in ours]
        mark = next((m for words, other, m in MARKS if other == side and words <= set(case.split())), None)
        unit = " MB/s" if "tokenizer" in case else " tok/s"
        form = "{:.1f}" if "tokenizer" in case else "{:.0f}"
        verdict = "" if mark is None else f"{mark:g} {'reached' if median(ratios) >= mark else 'short'}"
        peaks = [median(run.get("peak_MB") for run in group.values()) for group in (ours, theirs)]
        lengths = [median(run.get("mean_length") for run in group.values()) for group in (ours, theirs)]
        print(f"| {case} | {side} | {form.format(median(map(speed, ours.values())))}{unit} | {form.format(median(map(speed, theirs.values())))}{unit} | "
              f"{median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f}, {len(ratios)} round{'' if len(ratios) == 1 else 's'}) | {verdict} | "
              f"{shown(median(run.get('peak_share') for run in ours.values()), '{:.0%}')} | "
              f"{f'{peaks[0]:.0f} / {peaks[1]:.0f} = {peaks[0] / peaks[1]:.2f}' if all(peaks) else ''} | "
              f"{' / '.join(shown(n, '{:.0f}') for n in lengths) if any(lengths) else ''} | {steps(ours)} |")
