#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tests/golden/csv_*: tables as Python's csv module writes them, with the rows it reads back; the same compressed by gzip (two
members) and zstd (two frames). usage: golden_csv.py [FOLDER]"""
import csv
import gzip
import io
import json
import os
import platform
import random
import subprocess
import sys

directory = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "../tests/golden")
chance = random.Random(11)
pieces = ["a", "word", '"', '""', ",", ";", "\t", "\n", "\r\n", " ", "é", "語", "\U0001f600", "'", "\\", "0", "x" * 300]


def cell():
    return "".join(chance.choice(pieces) for _ in range(chance.randint(0, 6)))


def table(separator, end, quoting, bom):
    columns = ["id", "text"] + [f"c {i}{separator}x" for i in range(chance.randint(0, 3))]
    rows = [[str(i + 1)] + [cell() for _ in columns[1:]] for i in range(chance.randint(1, 40))]
    out = io.StringIO()
    writer = csv.writer(out, delimiter=separator, lineterminator=end, quoting=quoting)
    writer.writerow(columns)
    writer.writerows(rows)
    text = out.getvalue()
    back = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator))
    assert back == [columns] + rows
    return {"separator": separator, "text": ("\ufeff" if bom else "") + text, "columns": columns, "rows": [[c or None for c in r] for r in rows]}


tables = [table(s, e, q, bom) for s in ",\t;" for e in ("\n", "\r\n") for q in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL) for bom in (False, True)]
with open(f"{directory}/csv_tables.json", "w") as f:
    json.dump({"made_by": f"golden_csv.py, Python {platform.python_version()} csv", "tables": tables}, f)
    f.write("\n")
rows = "id,text\n" + "".join(f"{i},\"row {i} says \"\"{chance.randint(0, 9)}\"\"\"\n" for i in range(1, 9001))
half = len(rows) // 2
halves = rows[:half].encode(), rows[half:].encode()
with open(f"{directory}/csv_rows.csv.gz", "wb") as f:
    for part in halves:
        f.write(gzip.compress(part, mtime=0))
with open(f"{directory}/csv_rows.csv.zst", "wb") as f:
    for part in halves:
        f.write(subprocess.run(["zstd", "-q", "-19", "-c"], input=part, capture_output=True, check=True).stdout)
