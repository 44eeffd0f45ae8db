#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Tokenizer files as people have them, each of which was read wrongly once: ids equal transformers', a disagreement is told, and the
# bundle's files give the same ids in transformers.
. "$(dirname "$0")/../system/common.sh"
python=${PYTHON:-python3}
build=${MUSTER_BIN:-$MUSTER_SOURCE/build/dev}
cmake --build "$build" --target bench_tokenizer >said 2>&1 || fail "bench_tokenizer does not build"

python3 - "$here/../field/cases/tokenizers.json" "$build/bench/bench_tokenizer" <<'PY' || fail "token ids differ"
import json, os, struct, subprocess, sys
cases = json.load(open(sys.argv[1]))["cases"]
assert len(cases) == 12
wrong = 0
for case in cases:
    directory = "models/" + case["name"]
    os.makedirs(directory)
    for name, text in case["files"].items():
        open(f"{directory}/{name}", "w", newline="").write(text)
    with open("texts", "wb") as out:
        for text in case["texts"]:
            out.write(struct.pack("<I", len(text.encode())) + text.encode())
    ran = subprocess.run([sys.argv[2], directory, "texts", "--ids"], capture_output=True, text=True)
    found = [[int(i) for i in line.split()] for line in ran.stdout.splitlines()]
    if found != case["ids"]:
        wrong += 1
        print(f"{case['name']}: {ran.stderr or [(e, f) for e, f in zip(case['ids'], found) if e != f][:1]}")
sys.exit(wrong > 0)
PY

if "$python" -c 'import sys, transformers; sys.exit(int(transformers.__version__.split(".")[0]) < 5)' 2>/dev/null; then
  say "the ids kept in tokenizers.json are still those of transformers"
  "$python" - "$here/../field/cases/tokenizers.json" <<'PY' || fail "transformers gives other ids now"
import json, sys, transformers
for case in json.load(open(sys.argv[1]))["cases"]:
    t = transformers.AutoTokenizer.from_pretrained("models/" + case["name"])
    assert [t(text, add_special_tokens=False)["input_ids"] for text in case["texts"]] == case["ids"], case["name"]
PY
fi

say "check tells which file holds"
python3 "$here/../system/tiny.py" tiny 60 >said
python3 - <<'PY'
import json
words = open("tiny/model/vocab.txt").read().split("\n")[:-1]
json.dump({"added_tokens": [], "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": False},
           "pre_tokenizer": {"type": "BertPreTokenizer"}, "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
           "max_input_chars_per_word": 100, "vocab": {w: i for i, w in enumerate(words)}}}, open("tiny/model/tokenizer.json", "w"))
PY
says='tokenizer: .*tiny/model: lowercase is false in tokenizer.json, do_lower_case is true in tokenizer_config.json; the latter holds, as transformers 5 reads BertTokenizer'
for again in 1 2; do expect -o 0 "^$says" muster check tiny/job.json; done
rm -r tiny/run
expect -e 0 "^muster: ${says#tokenizer: }" muster check tiny/job.json

say "the bundle's files: further special tokens, a repeated word, a blank line"
rm -r tiny/run tiny/model/tokenizer.json
sed -i 's/^word58$/word57/; s/^word56$/[E1]/; s/^word54$//' tiny/model/vocab.txt
cat >tiny/model/tokenizer_config.json <<'JSON'
{"tokenizer_class": "BertTokenizer", "do_lower_case": true}
JSON
cat >tiny/model/special_tokens_map.json <<'JSON'
{"additional_special_tokens": ["[E1]", "word1 word2"]}
JSON
muster run tiny/job.json 'sweep={"lr":[0.005]}' >said 2>&1 || fail "the run ends with $?"
printf '\x16\0\0\0[E1]word57 word1 word2' >text
"$build/bench/bench_tokenizer" tiny/model text --ids >before
"$build/bench/bench_tokenizer" tiny/run/bundle text --ids >after
[ -s before ] && cmp before after || fail "the bundle gives $(cat after), the model $(cat before)"
if "$python" -c 'import transformers' 2>/dev/null; then
  "$python" - "$(cat before)" <<'PY' || fail "transformers reads the bundle otherwise"
import sys, transformers
ids = transformers.AutoTokenizer.from_pretrained("tiny/run/bundle")("[E1]word57 word1 word2", add_special_tokens=False)["input_ids"]
assert " ".join(map(str, ids)) == sys.argv[1], f"expected {sys.argv[1]}, found {ids}"
PY
else
  skipped "$python has no transformers: the bundle is not read by it"
fi
