#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tables and golden files of Unigram tokenisers and normalisers.

    golden_unigram.py --grapheme DIRECTORY    common/text/grapheme_table.c and tests/golden/text_graphemes.json from the crate
                   unicode-segmentation 1.13 (UCD 17, which `tokenizers` 0.23 uses) unpacked there: src/tables.rs, tests/testdata/mod.rs
    golden_unigram.py --table                 common/text/normal_form_table.c, read off from `tokenizers`; clang-format lays both tables out
"""
import argparse
import json
import os
import re

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")


def ranges(values):
    """Dictionary code -> value, as [first, last, value]."""
    found = []
    for c in sorted(values):
        if found and found[-1][1] == c - 1 and found[-1][2] == values[c]:
            found[-1][1] = c
        else:
            found.append([c, c, values[c]])
    return found


def write_rows(out, rows, width=128):
    line = "   "
    for row in rows:
        word = " {" + ", ".join(row) + "},"
        if len(line) + len(word) > width:
            out.write(line + "\n")
            line = "   "
        line += word
    out.write(line + "\n")


# Grapheme clusters.

def rust_table(text, name):
    body = re.search(r"const %s: [^=]*= &\[(.*?)\];" % name, text, re.S).group(1)
    for low, high, value in re.findall(r"\(\s*'\\u\{([0-9a-f]+)\}',\s*'\\u\{([0-9a-f]+)\}'(?:,\s*(\w+))?\s*\)", body):
        yield int(low, 16), int(high, 16), value


def rust_string(text):
    return re.sub(r"\\u\{([0-9a-f]+)\}", lambda m: chr(int(m.group(1), 16)), text)


def grapheme_table(directory):
    names = {"GC_CR": "CR", "GC_LF": "LF", "GC_Control": "CONTROL", "GC_Extend": "EXTEND", "GC_ZWJ": "ZWJ", "GC_SpacingMark": "SPACING", "GC_Prepend": "PREPEND",
             "GC_Regional_Indicator": "REGIONAL", "GC_L": "L", "GC_V": "V", "GC_T": "T", "GC_Extended_Pictographic": "PICTOGRAPHIC", "GC_InCB_Consonant": "CONSONANT"}
    text = open(f"{directory}/src/tables.rs").read()
    linkers = set(int(c, 16) for c in re.findall(r"'\\u\{([0-9A-F]+)\}'", re.search(r"fn is_incb_linker.*?\}\n", text, re.S).group(0)))
    extends = set(c for low, high, _ in rust_table(text, "InCB_Extend_table") for c in range(low, high + 1))
    values = {}
    for low, high, name in rust_table(text, "grapheme_cat_table"):
        for c in range(low, high + 1):
            if not 0xAC00 <= c <= 0xD7A3: # Hangul syllables: by arithmetic
                values[c] = names[name] + (" | LINKER" if c in linkers else " | CONJUNCT" if c in extends else "")
    with open(f"{ROOT}/common/text/grapheme_table.c", "w") as out:
        out.write("/* SPDX-License-Identifier: Apache-2.0 */\n/* Made by tools/golden_unigram.py --grapheme from UCD 17; not edited by hand. */\n")
        out.write('#include "common/text/grapheme.h"\n\n')
        short = {"CR": "CR", "LF": "LF"}
        for name in list(names.values()) + ["LINKER", "CONJUNCT"]:
            out.write("#define %s GRAPHEME_%s\n" % (short.get(name, name), name))
        out.write("\nconst struct grapheme_range grapheme_ranges[] = {\n")
        write_rows(out, [("0x%X" % low, "0x%X" % high, value) for low, high, value in ranges(values)])
        out.write("};\nconst size_t grapheme_range_count = sizeof grapheme_ranges / sizeof *grapheme_ranges;\n")


def grapheme_golden(directory):
    """GraphemeBreakTest.txt: each line a list of grapheme clusters, as lists of code points."""
    text = open(f"{directory}/tests/testdata/mod.rs").read()
    same = text[text.index("TEST_SAME"):text.index("TEST_DIFF")]
    diff = text[text.index("TEST_DIFF"):text.index("TEST_WORD")]
    rows = []
    for part in (same, diff): # ("whole", &["extended", ...]) or with a second list of legacy clusters
        for whole, clusters in re.findall(r'\(\s*"((?:\\u\{[0-9a-f]+\})*)",\s*&\[(.*?)\]', part, re.S):
            found = [rust_string(c) for c in re.findall(r'"((?:\\u\{[0-9a-f]+\})*)"', clusters)]
            assert "".join(found) == rust_string(whole)
            rows.append([[ord(c) for c in cluster] for cluster in found])
    with open(f"{ROOT}/tests/golden/text_graphemes.json", "w") as out:
        out.write('{"made": "tools/golden_unigram.py --grapheme, UCD 17.0.0 GraphemeBreakTest.txt as in unicode-segmentation 1.13", "rows": [\n')
        out.write(",\n".join(json.dumps(row, separators=(",", ":")) for row in rows) + "]}\n")
    print(len(rows), "rows")


# Normal forms.

def normal_form_table():
    from golden_text import CODES, utf8proc
    import ctypes
    import tokenizers
    from tokenizers import normalizers

    def decomposed(code):
        room, boundary = (ctypes.c_int32 * 32)(), ctypes.c_int(0)
        count = library.utf8proc_decompose_char(code, room, 32, 1 << 4 | 1 << 2, ctypes.byref(boundary))
        return "".join(map(chr, room[:count]))

    library, nfkd, strip = utf8proc(), normalizers.NFKD(), normalizers.StripAccents()
    undivided, mark = {}, {}
    for c in CODES:
        divided = nfkd.normalize_str(chr(c))
        if divided != decomposed(c):
            assert divided == chr(c), hex(c)
            undivided[c] = 0
        if not strip.normalize_str(chr(c)):
            mark[c] = 0
    with open(f"{ROOT}/common/text/normal_form_table.c", "w") as out:
        out.write("/* SPDX-License-Identifier: Apache-2.0 */\n/* Made by tools/golden_unigram.py --table with tokenizers %s; not edited by hand. */\n" % tokenizers.__version__)
        out.write('#include "common/text/normal_form.h"\n\n')
        out.write("#define TABLE(name) const struct unicode_table normal_form_##name = {name, sizeof name / sizeof *name}\n")
        for name, codes in (("undivided", undivided), ("mark", mark)):
            out.write("\nstatic const struct unicode_range %s[] = {\n" % name)
            write_rows(out, [("0x%X" % low, "0x%X" % high) for low, high, _ in ranges(codes)])
            out.write("};\nTABLE(%s);\n" % name)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--grapheme")
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    if given.table:
        normal_form_table()
    if given.grapheme:
        grapheme_table(given.grapheme)
        grapheme_golden(given.grapheme)
