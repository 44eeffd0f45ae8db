#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Golden files of the tokenizer pipeline (byte-level BPE and others), and the table of character classes.

    golden_pipeline.py --table FILE                common/text/character_class_table.c, read off from `tokenizers`

`tokenizers` 0.23.3."""
import argparse

import tokenizers
from tokenizers import Regex, pre_tokenizers

CATEGORIES = "Cn Cc Cf Co Cs Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp".split()
SPACE, NUMERIC, WORD = 0x20, 0x40, 0x80


def characters():
    return [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]


def members(split, codes, text):
    """The characters that are pieces or parts of pieces of a pre-tokenizer which removes all others."""
    found = set()
    for _, (start, stop) in split.pre_tokenize_str(text):
        found.update(codes[start:stop])
    return found


def write_table(path):
    codes = characters()
    text = "".join(map(chr, codes))
    value = dict.fromkeys(range(0x110000), 0)

    def matching(pattern):
        return members(pre_tokenizers.Split(Regex(pattern), "removed", invert=True), codes, text)

    seen = set()
    for i, name in enumerate(CATEGORIES):
        if name in ("Cs", "Cn"):
            continue
        for c in matching(r"\p{%s}+" % name):
            assert c not in seen
            seen.add(c)
            value[c] |= i
    for c in set(codes) - members(pre_tokenizers.WhitespaceSplit(), codes, text):
        value[c] |= SPACE
    for piece, (start, stop) in pre_tokenizers.Digits(True).pre_tokenize_str("x" + "x".join(map(chr, codes)) + "x"):
        if stop - start == 1 and piece != "x":
            value[ord(piece)] |= NUMERIC
    # \w of the regex crate: with "a" in front such a character does not start a piece of its own
    words = pre_tokenizers.Whitespace()
    joined = " ".join("a" + chr(c) for c in codes)
    for piece, _ in words.pre_tokenize_str(joined):
        if len(piece) == 2 and piece[0] == "a":
            value[ord(piece[1])] |= WORD
    rows = [(0, value[0])]
    for c in range(1, 0x110000):
        if value[c] != rows[-1][1]:
            rows.append((c, value[c]))
    with open(path, "w") as out:
        out.write("/* SPDX-License-Identifier: Apache-2.0 */\n")
        out.write("/* Made by tools/golden_pipeline.py --table with tokenizers %s; not edited by hand. */\n" % tokenizers.__version__)
        out.write('#include "common/text/character_class.h"\n\n')
        out.write("const struct character_run character_runs[] = {\n")
        for at in range(0, len(rows), 8):
            out.write("    " + " ".join("{0x%X, 0x%X}," % r for r in rows[at : at + 8]) + "\n")
        out.write("};\nconst size_t character_run_count = sizeof character_runs / sizeof *character_runs;\n")
    print(len(rows), "runs")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--table")
    a = p.parse_args()
    if a.table:
        write_table(a.table)


if __name__ == "__main__":
    main()
