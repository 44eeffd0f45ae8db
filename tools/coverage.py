#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How many lines the tests reached: a line for each directory of the programs, from gcov's counts. Processes that were killed leave no counts.

usage: coverage.py BUILD [--files]    BUILD: a build directory of the preset `coverage` whose tests have run; --files: each file too
"""
import collections
import glob
import json
import os
import subprocess
import sys

root = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
PROGRAMS = ("common", "proto", "cluster", "coordinator", "worker")


def counts(build):
    """{source: {line: times}} of the programs' own files; a line of a header counts as reached if it was in any file that includes it."""
    files = [os.path.abspath(path) for path in glob.glob(f"{build}/CMakeFiles/*.dir/**/*.gcda", recursive=True)]
    if not files:
        sys.exit(f"{build}: no counts; build with --preset coverage and run the tests")
    found = collections.defaultdict(lambda: collections.defaultdict(int))
    for at in range(0, len(files), 50):
        text = subprocess.run(["gcov", "--json-format", "--stdout", *files[at:at + 50]], cwd=build, check=True, capture_output=True, text=True).stdout
        for line in text.splitlines():
            document = json.loads(line)
            for file in document["files"]:
                path = os.path.realpath(os.path.join(document["current_working_directory"], file["file"]))
                name = os.path.relpath(path, root)
                if name.split(os.sep)[0] in PROGRAMS:
                    for entry in file["lines"]:
                        found[name][entry["line_number"]] += entry["count"]
    return found


def main():
    found, rooms = counts(sys.argv[1]), collections.defaultdict(lambda: [0, 0])
    for name, lines in found.items():
        places = [os.path.dirname(name), "all"] + ([name] if "--files" in sys.argv[2:] else [])
        for place in places:
            rooms[place][0] += sum(times > 0 for times in lines.values())
            rooms[place][1] += len(lines)
    print("directory                       lines reached   of all")
    for place in sorted(rooms, key=lambda p: (p == "all", p)):
        reached, total = rooms[place]
        print(f"{place:<30} {reached:>7} / {total:<6} {100 * reached / total:6.1f} %")


main()
