#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Tables and labels as people have them: what `muster check` reads of each case file, against a plain reading of it.
. "$(dirname "$0")/../system/common.sh"
cases=$here/../field/cases
python3 "$here/../system/tiny.py" tiny 20 >/dev/null

# reads FILE FORMAT LABELS [key=value ...]: the format as check tells it, and the labels with their rows, "neg=30 pos=30"
reads() {
  local file=$1 format=$2 labels=$3
  shift 3
  say "$file"
  cat >job.json <<JOB
{"name": "t", "model": "$scratch/tiny/model", "data": {"path": "$cases/$file", "text_a": ["text"], "accept": ["leaks", "conflicting_duplicates"]},
 "train": {"max_length": 32}, "cluster": {"threads": 1}, "report": {"baseline": false}}
JOB
  rm -rf run
  muster check job.json out=run "$@" >checked 2>&1 || fail "$file: $(cat checked)"
  grep -qF "$file: $format" checked || fail "$file is not told to be $format: $(grep -F "$file" checked)"
  python3 - "$labels" <<'PY' || fail "$file: wrong labels"
import json, sys
check = json.load(open("run/check.json"))
found = " ".join(f"{l['name']}={l['count']:.0f}" for l in check["labels"])
assert found == sys.argv[1], f"expected {sys.argv[1]}, found {found}"
PY
}

# refuses FILE WORDS [key=value ...]
refuses() {
  local file=$1 words=$2
  shift 2
  say "$file is refused"
  expect 3 "$words" muster check job.json out=refused data.path="$cases/$file" "$@"
}

multi=task=multi_label_classification
reads multihot.jsonl "JSON Lines" "0=30 1=30 2=28 3=28" $multi data.label=labels
reads multihot.csv "CSV" "0=30 1=30 2=28 3=28" $multi data.label=labels
reads multihot.csv "CSV" "a=30 b=30 c=28 d=28" $multi data.label=labels 'data.labels=["a","b","c","d"]'
refuses multihot.csv 'every row is a list of 4 values of 0 and 1, data.labels names 3 labels' $multi data.label=labels 'data.labels=["a","b","c"]'
reads python_lists.csv "CSV" "all=60 neg=30 pos=30" $multi data.label=labels
reads plain_quotes.tsv "TSV (quotes are text)" "neg=30 pos=30"
reads sep_line.csv "CSV (separator ';')" "neg=30 pos=30"
reads semicolon.csv "CSV (separator ';')" "neg=30 pos=30" 'data.text_a=["text (free, any)"]'
reads tab.csv "CSV (separator tab)" "neg=30 pos=30" 'data.text_a=["text, as written"]'
reads cr.csv "CSV (CR line ends)" "neg=30 pos=30"
reads crcrlf.csv "CSV" "neg=30 pos=30"
reads sms.csv "CSV" "ham=30 spam=30" 'data.text_a=["v2"]' data.label=v1
refuses sms1252.csv 'sms1252.csv:2: cell 2 is not valid UTF-8; set data.encoding' 'data.text_a=["v2"]' data.label=v1
reads sms1252.csv "CSV (encoding cp1252)" "ham=30 spam=30" 'data.text_a=["v2"]' data.label=v1 data.encoding=cp1252
refuses sms.csv 'ends within a character|holds what is no character' 'data.text_a=["v2"]' data.label=v1 data.encoding=utf-16
expect 2 'data.encoding: "klingon" is not known' muster check job.json out=refused data.path="$cases/sms.csv" data.encoding=klingon
for file in columns data_key one_line pretty; do reads $file.json "JSON" "neg=30 pos=30"; done
for file in numbers_codes.csv numbers_codes.jsonl; do reads $file "" "200=30 404=30"; done
grep -q 'the numbers 200 .. 404 are read as 2 names' checked || fail "numbers with gaps are not told"
reads numbers_float.csv "CSV" "0=30 1=24"
reads numbers_stars.jsonl "JSON Lines" "1=12 2=12 3=12 4=12 5=12"
reads labels_a.jsonl "JSON Lines" "NA=43 NaN=49 None=71 null=77"
reads labels_c.jsonl "JSON Lines" "false=92 true=148"
reads labels_d.jsonl "JSON Lines" "1=148 2=92"
reads labels_g.jsonl "JSON Lines" "Pos=77 pos=163"
grep -q '92 labels had blanks around them' checked || fail "blanks are not told"
grep -q 'differ only in case, blanks or how their characters are written, as "Pos" and "pos"' checked || fail "cases are not told"
reads booleans.jsonl "JSON Lines" "True=29 False=211" data.label=spam 'data.labels=["True","False"]'
reads booleans.jsonl "JSON Lines" "True=29 False=211 Maybe=0" data.label=spam 'data.labels=["True","False","Maybe"]'
grep -q "no row has label 'Maybe'" checked || fail "a label without rows is not told"
refuses stars.jsonl 'is 0 an index into data.labels\? .*set data.label_form' data.label=stars 'data.labels=["1","2","3"]'
refuses rows.parquet 'is a Parquet file; convert it: python3 -c'
refuses excel.csv 'is a ZIP archive or an Excel workbook; unpack it'
refuses rows.jsonl.bz2 'is bzip2 data; unpack it: bunzip2 -k'
refuses rows.jsonl.xz 'is xz data; unpack it: unxz -k'

say "a quoted cell that swallows rows is told"
{ echo text,label; for i in {1..20}; do echo "word$i,neg"; echo "word$((i + 20)),pos"; done; } >swallow.csv
sed -i '5s/^/"/; 9s/,/",/' swallow.csv
sed "s|$cases/[a-z0-9_.]*|swallow.csv|" job.json >swallow.json
expect -o 0 'swallow.csv' muster check swallow.json out=swallow
grep -qE 'line 5' out said || fail "not told: $(cat out said)"
