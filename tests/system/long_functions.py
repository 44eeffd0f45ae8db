#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Functions of more than LIMIT lines, from their opening to their closing brace; clang-format puts both in the first column.
Prints those that are not among the exceptions, and exceptions that are none any more; exits with 1 if there are any."""
import re
import sys

LIMIT = 45
EXCEPTIONS = set()  # "file:function", each with its reason


def functions(lines):
    start = None
    for at, line in enumerate(lines):
        if line == "{":
            start = at
        elif line == "}" and start is not None:
            name = "?"
            for above in reversed(lines[max(0, start - 8):start]):
                found = re.match(r"[A-Za-z_][^=;]*?\b(\w+)\(", above)
                if found:
                    name = found.group(1)
                    break
            yield name, at - start + 1
            start = None


def main(paths):
    bad, unused, seen = [], set(EXCEPTIONS), 0
    for path in paths:
        with open(path, encoding="utf-8") as source:
            for name, size in functions(source.read().split("\n")):
                seen += 1
                if size > LIMIT and f"{path}:{name}" not in EXCEPTIONS:
                    bad.append(f"{path}: {name} has {size} lines, the most are {LIMIT}: divide it")
                elif size > LIMIT:
                    unused.discard(f"{path}:{name}")
    bad += [f"{name}: is not longer than {LIMIT} lines; take it out of EXCEPTIONS" for name in sorted(unused)]
    example = ["static int long_one(int x)", "{"] + ["    x++;"] * LIMIT + ["}"]
    if list(functions(example)) != [("long_one", LIMIT + 2)] or (paths and not seen):
        bad.append(f"finds no functions ({seen} in {len(paths)} files)")
    print("\n".join(bad), end="\n" if bad else "")
    return bool(bad)


sys.exit(main(sys.argv[1:]))
