#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Counts what a run of test.sh did: tests passed, failed and skipped, the reason of each skip, and the slowest tests.

A line `skipped: REASON` in a test's output, or cmocka's `[  SKIPPED ] NAME`, is a skip of that part, whatever the rest of the test did.
Where CI is "true" a skip that tests/skips.txt does not allow is a failure.

usage: summary.py RESULTS...    *.xml: of ctest --output-junit; others: lines "passed|failed|skipped<TAB>name<TAB>seconds<TAB>reason"
       summary.py --self-test
"""
import os
import re
import sys
import xml.etree.ElementTree as xml

SLOWEST = 8
SAID = re.compile(r"^(?:--- )?skipped: (.*)$", re.M)
CMOCKA = re.compile(r"^\[  SKIPPED \] (?!\d+ test)(\w+)$", re.M)


def skips_in(name, output):
    """[(place, reason)]: a reason that was printed stands for the cmocka skip behind it."""
    found, said = [], None
    for line in output.splitlines():
        if match := SAID.match(line):
            if said is not None:
                found.append((name, said))
            said = match[1]
        elif match := CMOCKA.match(line):
            place = f"{name}: {match[1]}"
            if not any(place == other for other, _ in found):  # cmocka lists them once more at its end
                found.append((place, said if said is not None else "no reason given"))
                said = None
    return found + ([(name, said)] if said is not None else [])


def read_junit(path):
    for case in xml.parse(path).getroot().iter("testcase"):
        status, name, output = case.get("status"), case.get("name"), case.findtext("system-out") or ""
        seconds = float(case.get("time") or 0)
        skips = skips_in(name, output)
        if status == "run":
            yield "passed", name, seconds, skips
        elif status in ("notrun", "disabled"):
            reason = case.find("skipped").get("message") if case.find("skipped") is not None else status
            if not skips and "SKIP_RETURN_CODE" not in (reason or ""):  # a program that is not there, not a test that skips itself
                yield "failed", f"{name} ({reason})", seconds, []
            else:
                yield "skipped", name, seconds, skips or [(name, "no reason given")]
        else:
            yield "failed", name, seconds, skips


def read_lines(path):
    for line in open(path):
        status, name, seconds, reason = (line.rstrip("\n").split("\t") + ["", "", ""])[:4]
        yield status, name, float(seconds or 0), [(name, reason or "no reason given")] if status == "skipped" else []


def allowed(skips_file):
    for line in open(skips_file):
        line = line.split("#")[0].strip()
        if line:
            place, reason = line.split(None, 1)
            yield re.compile(place), re.compile(reason)


def summarize(results, permitted, strict):
    """Lines to print, the last one the counts; and whether all is well."""
    passed = [name for status, name, _, _ in results if status == "passed"]
    failed = [name for status, name, _, _ in results if status == "failed"]
    skips = [skip for _, _, _, of_test in results for skip in of_test]
    lines = ["== summary", f"slowest: " + ", ".join(f"{name} {seconds:.0f} s" for _, name, seconds, _ in sorted(results, key=lambda r: -r[2])[:SLOWEST])]
    for place, reason in skips:
        known = any(p.search(place) and r.search(reason) for p, r in permitted)
        lines.append(f"skipped {place}: {reason}")
        if strict and not known:
            lines.append("  CI is true and tests/skips.txt does not allow this skip: it is a failure")
            failed.append(place)
    lines += [f"FAILED {name}" for name in failed]
    return lines + [f"{len(passed)} passed, {len(failed)} failed, {len(skips)} skipped"], bool(passed) and not failed


def self_test():
    output = "\x1b[0m[==========] Running 2 test(s).\n[ RUN      ] test_a\nskipped: no h5py\n[  SKIPPED ] test_a\n[ RUN      ] test_b\n[  SKIPPED ] test_b\n" \
        "[  PASSED  ] 0 test(s).\n[  SKIPPED ] 2 test(s), listed below:\n[  SKIPPED ] test_a\n[  SKIPPED ] test_b\n"
    assert skips_in("x", output) == [("x: test_a", "no h5py"), ("x: test_b", "no reason given")], skips_in("x", output)
    assert skips_in("x", "--- one\nskipped: a tmpfs\nmore\nskipped: two\n") == [("x", "a tmpfs"), ("x", "two")]
    one = [("passed", "a", 1, []), ("passed", "b", 2, [("b", "no namespaces")])]
    permitted = [(re.compile("^b$"), re.compile("namespaces"))]
    assert summarize(one, permitted, True)[0][-1] == "2 passed, 0 failed, 1 skipped" and summarize(one, permitted, True)[1]
    assert summarize(one, [], False)[1] and not summarize(one, [], True)[1]
    assert summarize(one, [], True)[0][-1] == "2 passed, 1 failed, 1 skipped"
    assert not summarize(one + [("failed", "c", 0, [])], permitted, False)[1] and not summarize([], [], False)[1]


def main():
    if sys.argv[1:] == ["--self-test"]:
        self_test()
        return
    results = []
    for path in sys.argv[1:]:
        results += read_junit(path) if path.endswith(".xml") else read_lines(path)
    permitted = list(allowed(os.path.join(os.path.dirname(os.path.abspath(__file__)), "skips.txt")))
    lines, well = summarize(results, permitted, os.environ.get("CI") == "true")
    print("\n".join(lines))
    sys.exit(not well)


main()
