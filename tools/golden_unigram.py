#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tables and golden files of Unigram tokenisers and normalisers.

    golden_unigram.py --grapheme DIRECTORY    common/text/grapheme_table.c and tests/golden/text_graphemes.json from the crate
                   unicode-segmentation 1.13 (UCD 17, which `tokenizers` 0.23 uses) unpacked there: src/tables.rs, tests/testdata/mod.rs
    golden_unigram.py --table                 common/text/normal_form_table.c, read off from `tokenizers`; clang-format lays both tables out
    golden_unigram.py --golden                tests/golden/{sentencepiece.model,text_normalizers.json,text_unigram.json}, made with `tokenizers`,
                   transformers 5.24 (its converters of sentencepiece models) and sentencepiece
    golden_unigram.py --real DIRECTORY        tests/golden/text_e5.json: ids of multilingual-e5-small's tokenizer.json there (tools/install.sh, fetch_e5)
    golden_unigram.py --random COUNT --model DIRECTORY --ids PROGRAM [--seed N]    ids of PROGRAM (bench_tokenizer) against `tokenizers`
                   on random Unicode and the traps of golden_text.py
    golden_unigram.py --texts FILE... --model DIRECTORY --ids PROGRAM    the same on the descriptions of Debian's Translation-* files
                   (.bz2), and the speed of one thread of both by CPU time: the best of 7 passes of ours, of 3 of theirs
"""
import argparse
import importlib
import json
import os
import re
import sys
import unicodedata

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


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


# Golden files.

SENTENCES = """
The quick brown fox jumps over the lazy dog, and the dog doesn't mind at all.
Don't stop: it's the 3rd of May 2021, 10:45 a.m.; e-mail me at someone@example.org!
A library of functions that read and write files in many formats, with tools for the command line.
This package contains the development files, the headers and the static library.
Wir hören die Vögel über den Dächern; Straße, Größe und Maß sind deutsche Wörter.
Dieses Paket enthält die Entwicklungsdateien und die Bibliothek für die Kommandozeile.
Ёлка и йод: съешь же ещё этих мягких французских булок, да выпей чаю.
Этот пакет содержит файлы для разработки и статическую библиотеку.
敏捷的棕色狐狸跳过了懒狗。这个软件包包含开发文件和静态库。
今天天气很好，我们去公园散步吧！价格是１２３元。
素早い茶色の狐がのろまな犬を飛び越える。ﾊﾝｶｸとカタカナ、ひらがな。
このパッケージは開発用のファイルと静的ライブラリを含みます。
다람쥐 헌 쳇바퀴에 타고파. 이 꾸러미에는 개발 파일이 들어 있습니다.
هذه الحزمة تحتوي على ملفات التطوير والمكتبة الثابتة.
यह पैकेज विकास फ़ाइलें और स्थिर पुस्तकालय रखता है।
นี่คือแพ็กเกจสำหรับการพัฒนาและไลบรารีแบบคงที่
Cafe\u0301 nai\u0308ve coo\u0308perate; ﬁnd ﬂow ½ cup ㈱ ™ Ｆｕｌｌｗｉｄｔｈ
\U0001f468\u200d\U0001f469\u200d\U0001f467 family, \U0001f44d\U0001f3fd thumbs, ❤️ heart, \U0001f1e9\U0001f1ea flag
""".strip().split("\n")

UNICODE_TRAPS = [
    "e\u0301 e\u0301\u0323 \u0301 a\u0301\u0302", "\uff21\u0301\uff22", "\ufb01\u0301 \ufb01\u200d \ufb03", "\u200b \u200bx\u200b", "\r\n\r \n\t\r\u0301",
    "\u2581 \u2581\u2581x \u2581", "  two  spaces   three ", " lead", "trail ", "\u00a0nb\u00a0\u3000ideo\u3000", "\u0600a \u06001 \U000110bd\uff21", "\u00a9\u200d \u00a9\u200d\u00a9 \u00ae\ufe0f",
    "\u1100\u1161\u11a8\uac01\u11a8", "\u0915\u094d\u0937 \u0928\u093f \u0e33\u0e4d", "<unk> <s> </s> <pad> <mask> [MASK] [CLS] [SEP]", "a<unk>b\u2603<unk>\u2603", "\u2603\u2604\u2605 \u2603", "\u0000\u0001a\u007f\u008f",
    "\uac00\u0301 \u0308\u0301\u0323", "\u03a3\u03a3 \u0130 \u1e9e", "\U00011935\U00011930 \U00011938", "\u08d4\u0301\u0323 o\u0897\u0301", "x" * 700, "\u4e2d\u6587" * 400, "\u2603" * 600, ""]


def sample_texts(count):
    import random
    from golden_text import random_text, traps
    rng = random.Random(12)
    texts = [t for t in traps() if len(t) < 400 and "\0" not in t] + [t.replace("\0", " ") for t in UNICODE_TRAPS] + SENTENCES
    for _ in range(count):
        characters = list(random_text(rng))
        for _ in range(rng.randrange(5)):
            characters.insert(rng.randrange(len(characters) + 1), rng.choice(UNICODE_TRAPS[:20]) if rng.random() < 0.3 else rng.choice(SENTENCES)[:rng.randrange(1, 30)])
        texts.append("".join(characters).replace("\0", " "))
    return texts


def normalization_rules(path):
    rules = {chr(0xFF01 + i): chr(0x21 + i) for i in range(0x5E)}
    rules.update({chr(c): unicodedata.normalize("NFKC", chr(c)) for c in (*range(0xFB00, 0xFB07), 0xBD, 0x2122, 0x3231, 0x2460, 0x1E9B, 0x2126, *range(0xFF66, 0xFF9E))})
    rules.update({base + mark: unicodedata.normalize("NFC", base + mark) for base in "aeiouAEIOU" for mark in "\u0301\u0308\u0302"})
    rules.update({"\t": " ", "\n": " ", "\r": " ", "\u00a0": " ", "\u3000": " ", "\u200b": "", "\u200d": " ", "\u0001": "", "\uff76\uff9e": "\u30ac", "\uff8a\uff9f": "\u30d1", "e\u0301\u0323": "E"})
    with open(path, "w", encoding="utf-8") as out:
        for source, target in sorted(rules.items()):
            out.write(" ".join("%X" % ord(c) for c in source) + "\t" + " ".join("%X" % ord(c) for c in target) + "\n")


def train(directory, name, **options):
    """A sentencepiece model of the sentences and words mixed from them."""
    import random
    import sentencepiece
    rng = random.Random(5)
    words = [w for s in SENTENCES for w in s.split()]
    with open(f"{directory}/corpus.txt", "w", encoding="utf-8") as out:
        for s in SENTENCES * 3 + [" ".join(rng.choice(words) for _ in range(12)) for _ in range(300)]:
            out.write(s + "\n")
    normalization_rules(f"{directory}/rules.tsv")
    before = os.getcwd()
    os.chdir(directory)
    sentencepiece.SentencePieceTrainer.train(
        input="corpus.txt", model_prefix=name, normalization_rule_tsv="rules.tsv", hard_vocab_limit=False, # the model remembers these names
        num_threads=1, minloglevel=2, **options)
    os.chdir(before)
    return f"{directory}/{name}.model"


def converted(kind, model, **settings):
    """The tokenizer that transformers' converter of slow tokenizers makes of a sentencepiece model."""
    import types
    from tokenizers import AddedToken
    convert_slow_tokenizer = importlib.import_module("transformers.convert_slow_tokenizer")
    converter = {"xlm": convert_slow_tokenizer.XLMRobertaConverter, "deberta": convert_slow_tokenizer.DebertaV2Converter}[kind]
    slow = types.SimpleNamespace(vocab_file=model, add_prefix_space=True, **settings)
    special = {"xlm": ["<s>", "<pad>", "</s>", "<unk>"], "deberta": ["[PAD]", "[CLS]", "[SEP]", "[UNK]"]}[kind]
    slow.convert_tokens_to_ids = lambda word, words=tuple(special): words.index(word)
    fast = converter(slow).converted()
    if kind == "deberta":
        special[3] = AddedToken("[UNK]", normalized=True, special=True)
    fast.add_special_tokens(special + [AddedToken("<mask>", lstrip=True, special=True) if kind == "xlm" else "[MASK]"])
    return fast


def rows(tokenizer, texts):
    return [[text, encoding.ids] for text, encoding in zip(texts, tokenizer.encode_batch(texts, add_special_tokens=False))]


def dump(path, made, key, values):
    with open(f"{ROOT}/tests/golden/{path}", "w", encoding="utf-8") as out:
        out.write('{"made": "%s", "%s": [\n' % (made, key))
        out.write(",\n".join(json.dumps(v, ensure_ascii=True, separators=(",", ":")) for v in values) + "]}\n")


def normalizer_golden(charsmap, made):
    from tokenizers import Tokenizer, models
    texts = sample_texts(20)
    kinds = [{"type": t} for t in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt")]
    kinds += [{"type": "Strip", "strip_left": left, "strip_right": right} for left in (False, True) for right in (False, True)]
    kinds += [{"type": "Prepend", "prepend": "\u2581"}, {"type": "Precompiled", "precompiled_charsmap": charsmap}]
    kinds += [{"type": "Replace", "pattern": pattern, "content": content} for pattern, content in (
        ({"String": " "}, "\u2581"), ({"String": "``"}, '"'), ({"Regex": " {2,}"}, " "), ({"Regex": r"\s{2,}|[\n\r\t]"}, " "), ({"Regex": r"\A +| +\z"}, ""),
        ({"Regex": "\\A\u2581"}, "\u2581\u2581"), ({"Regex": r"\s+"}, "_"), ({"Regex": r"[e\s]{2,3}"}, "<>"), ({"Regex": r"ab|b+|\."}, "$0"))]
    kinds += [{"type": "Sequence", "normalizers": [{"type": "NFKC"}, {"type": "Lowercase"}, {"type": "StripAccents"}]}]
    found = []
    for kind in kinds:
        t = Tokenizer(models.WordLevel({"x": 0}, unk_token="x"))
        t = Tokenizer.from_str(json.dumps({**json.loads(t.to_str()), "normalizer": kind}))
        results = [t.normalizer.normalize_str(text) for text in texts]
        found.append({"normalizer": kind, "results": [None if result == text else result for text, result in zip(texts, results)]})
    dump("text_normalizers.json", made, "kinds", [{"texts": texts}] + found)


def with_pre_tokenizer(base, pre_tokenizer, normalizer=None, scores=None):
    t = json.loads(base.to_str())
    t.update(pre_tokenizer=pre_tokenizer, normalizer=normalizer)
    if scores:
        t["model"]["vocab"] = [[word, scores(i, score)] for i, (word, score) in enumerate(t["model"]["vocab"])]
    return t


def golden():
    import tempfile
    import tokenizers
    import transformers
    import sentencepiece
    from tokenizers import Tokenizer
    made = "tools/golden_unigram.py --golden with tokenizers %s, transformers %s, sentencepiece %s" % (
        tokenizers.__version__, transformers.__version__, sentencepiece.__version__)
    texts = sample_texts(20)
    with tempfile.TemporaryDirectory() as directory:
        xlm = train(directory, "xlm", vocab_size=420, character_coverage=0.985)
        deberta = train(directory, "deberta", vocab_size=380, character_coverage=0.985, pad_id=0, bos_id=1, eos_id=2, unk_id=3, pad_piece="[PAD]", bos_piece="[CLS]",
                        eos_piece="[SEP]", unk_piece="[UNK]", user_defined_symbols=["<usr>"])
        fallback = train(directory, "bytes", vocab_size=600, character_coverage=0.985, byte_fallback=True)
        for name, path in (("xlm", xlm), ("deberta", deberta)):
            with open(path, "rb") as source, open(f"{ROOT}/tests/golden/sentencepiece_{name}.model", "wb") as out:
                out.write(source.read())
        fast = converted("xlm", xlm)
        charsmap = json.loads(fast.to_str())["normalizer"]["normalizers"][0]["precompiled_charsmap"]
        normalizer_golden(charsmap, made)
        models = [["xlm", None, {}, rows(fast, texts)]]
        for settings in ({"do_lower_case": False, "split_by_punct": False}, {"do_lower_case": True, "split_by_punct": True}):
            models.append(["deberta", None, settings, rows(converted("deberta", deberta, **settings), texts)])
        precompiled = {"type": "Precompiled", "precompiled_charsmap": charsmap}
        always = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True}
        old = {"type": "Metaspace", "replacement": "\u2581", "add_prefix_space": True}
        json_models = [json.loads(fast.to_str()), with_pre_tokenizer(fast, old, precompiled),
                       with_pre_tokenizer(fast, {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, always]}, precompiled),
                       with_pre_tokenizer(fast, {**old, "add_prefix_space": False, "prepend_scheme": "never"}), with_pre_tokenizer(fast, {**always, "prepend_scheme": "first"}),
                       with_pre_tokenizer(fast, {**always, "prepend_scheme": "first", "split": False}), with_pre_tokenizer(fast, {**always, "split": False}),
                       with_pre_tokenizer(fast, None), with_pre_tokenizer(fast, always, None, lambda i, score: -float(i % 3)), # ties everywhere
                       with_pre_tokenizer(fast, always, None, lambda i, score: score + 0.123456789 * (i % 7)), with_pre_tokenizer(fast, always, None, lambda i, score: 0.0)]
        with open(fallback, "rb"):
            spm = sentencepiece.SentencePieceProcessor(model_file=fallback)
            vocabulary = [(spm.id_to_piece(i), spm.get_score(i)) for i in range(spm.get_piece_size())]
        t = Tokenizer(tokenizers.models.Unigram(vocabulary, unk_id=0, byte_fallback=True))
        json_models.append(with_pre_tokenizer(t, always, precompiled))
        for j in json_models:
            models.append(["json", j, {}, rows(Tokenizer.from_str(json.dumps(j)), texts)])
    shared = json.dumps(json_models[0]["model"]["vocab"])
    for j in json_models[1:]:
        if json.dumps(j["model"]["vocab"]) == shared:
            j["model"]["vocab"] = None  # that of the first
        if j["normalizer"] == precompiled:
            j["normalizer"] = "precompiled"
    dump("text_unigram.json", made, "models", [{"texts": texts, "precompiled": precompiled}] + [
        {"kind": kind, "settings": settings, "tokenizer": j, "ids": [ids for _, ids in found]} for kind, j, settings, found in models])


def real(directory):
    import tokenizers
    t = tokenizers.Tokenizer.from_file(f"{directory}/tokenizer.json")
    dump("text_e5.json", f"tools/golden_unigram.py --real with tokenizers {tokenizers.__version__}", "rows", rows(t, sample_texts(100)))


def compare(texts, model, program):
    import struct
    import subprocess
    import tempfile
    from tokenizers import Tokenizer
    t = Tokenizer.from_file(f"{model}/tokenizer.json")
    t.no_truncation()
    t.no_padding()
    with tempfile.NamedTemporaryFile() as records:
        records.write(b"".join(struct.pack("<I", len(b)) + b for b in (text.encode() for text in texts)))
        records.flush()
        lines = subprocess.run([program, model, records.name, "--ids"], check=True, capture_output=True, text=True).stdout.split("\n")
    bad = 0
    for text, line, expected in zip(texts, lines, t.encode_batch(texts, add_special_tokens=False)):
        found = [int(i) for i in line.split()]
        if found != expected.ids:
            bad += 1
            if bad <= 10:
                print(ascii(text[:300]), "expected", expected.ids[:40], "found", found[:40])
    print(len(texts), "texts,", sum(len(t.encode()) for t in texts), "bytes,", bad, "differences")
    return bad


def speed(texts, model, program):
    import struct
    import subprocess
    import tempfile
    import time
    from tokenizers import Tokenizer
    size, best = sum(len(text.encode()) for text in texts), 1e9
    t = Tokenizer.from_file(f"{model}/tokenizer.json")
    t.no_truncation()
    t.no_padding()
    with tempfile.NamedTemporaryFile() as records:
        records.write(b"".join(struct.pack("<I", len(b)) + b for b in (text.encode() for text in texts)))
        records.flush()
        said = subprocess.run([program, model, records.name], check=True, capture_output=True, text=True).stdout
    ours = float(re.search(r"of CPU time ([0-9.]+) MB/s", said).group(1))
    for _ in range(3):
        start = time.process_time()
        for text in texts:
            t.encode(text, add_special_tokens=False)
        best = min(best, time.process_time() - start)
    theirs = size / best / 1e6
    print(f"  ours {ours:.1f} MB/s, tokenizers {theirs:.2f} MB/s, ratio {ours / theirs:.1f}")


def random_texts(count, seed):
    import random
    from golden_text import random_text, traps
    rng = random.Random(seed)
    yield from traps()
    yield from UNICODE_TRAPS
    knots = "\u302e\u1bf2\u0301\u0308\u200d\ufe0f\u0345 \u2581\u3000\r\n\t\u200b\ufb01\uff21\u00bd\u3231\u1e9b\u0323"
    words = ["<mask>", "<s>", "</s>", "<unk>", " <pad> ", "[MASK]", "  ", "the  quick"] + [w for s in SENTENCES for w in s.split()]
    for _ in range(count):
        characters = list(random_text(rng))
        for _ in range(rng.randrange(8)):
            characters.insert(rng.randrange(len(characters) + 1), rng.choice(knots) if rng.random() < 0.7 else rng.choice(words))
        yield "".join(characters)


def descriptions(path):
    import bz2
    found = None
    for line in bz2.open(path, "rt", encoding="utf-8") if path.endswith(".bz2") else open(path, encoding="utf-8"):
        if line.startswith("Description-") and not line.startswith("Description-md5"):
            found = [line.split(": ", 1)[-1]]
        elif line.startswith(" ") and found is not None:
            found.append(line[1:])
        elif found:
            yield "".join(found)
            found = None
    if found:
        yield "".join(found)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--grapheme")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--golden", action="store_true")
    parser.add_argument("--random", type=int)
    parser.add_argument("--real")
    parser.add_argument("--texts", nargs="+", default=[])
    parser.add_argument("--model")
    parser.add_argument("--ids")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    if given.golden:
        golden()
    if given.real:
        real(given.real)
    if given.random is not None:
        every, differences = list(random_texts(given.random, given.seed)), 0
        for start in range(0, len(every), 100000):
            differences += compare(every[start:start + 100000], given.model, given.ids)
        sys.exit(differences > 0)
    for path in given.texts:
        print(os.path.basename(path), end=": ")
        every = list(descriptions(path))
        compare(every, given.model, given.ids)
        speed(every, given.model, given.ids)
    if given.table:
        normal_form_table()
    if given.grapheme:
        grapheme_table(given.grapheme)
        grapheme_golden(given.grapheme)
