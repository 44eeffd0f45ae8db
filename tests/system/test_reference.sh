#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Manual pages and completion have every verb, every option and every key of a job that the programs themselves name; the pages
# are clean man(7).
. "$(dirname "$0")/common.sh"
reference=${MUSTER_BIN:-$MUSTER_SOURCE/build/dev}/reference
[ -f "$reference/muster.1" ] || fail "no manual pages in $reference: build the target reference"

say "version: stated once, and the same in both programs"
version=$(sed -nE 's/^project\(muster VERSION ([0-9.]+) .*/\1/p' "$MUSTER_SOURCE/CMakeLists.txt")
expect 0 "^muster ${version//./\\.}( \(git [^)]+\))?$" muster --version
expect 0 "^muster-worker ${version//./\\.}( \(git [^)]+\))?$" muster-worker --version
[ "$(muster --version | cut -d' ' -f2-)" = "$(muster-worker --version | cut -d' ' -f2-)" ] || fail "two versions"
if git -C "$MUSTER_SOURCE" rev-parse HEAD >/dev/null 2>&1 && [ -e "$MUSTER_SOURCE/.git" ]; then
  expect 0 '\(git .*[0-9a-f]{7}' muster --version
fi

say "pages and completion against --help and the schema"
muster schema >schema.json
python3 - "$reference" <<'PY' || fail "incomplete reference"
import json, re, subprocess, sys

reference, missing, counts = sys.argv[1], [], {"verbs": 0, "options": 0, "keys": 0}


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def page(name):
    text = open(f"{reference}/{name}", encoding="utf-8").read()
    return text.replace("\\-", "-").replace("\\&", "").replace("\\fB", "").replace("\\fR", "").replace("\\fI", "")


def options_of(help_text):
    return re.findall(r"^\s+(?:-\w, +)?--([a-z][a-z0-9-]*)", help_text, re.M)


def need(condition, what):
    if not condition:
        missing.append(what)


completion = open(f"{reference}/muster").read()
completed = dict(re.findall(r'^  \[([a-z]+)\]="(--[^"]*)"', completion, re.M))
verbs = re.findall(r"^  muster ([a-z]+)", output("muster", "--help"), re.M)
overview = page("muster.1")
for verb in verbs:
    counts["verbs"] += 1
    text = page(f"muster-{verb}.1")
    need(re.search(rf"^{verb}\b", overview, re.M), f"{verb} in muster.1")
    need(f"muster-{verb}\n" in overview or f"muster-{verb}(1)" in overview, f"muster-{verb} under SEE ALSO of muster.1")
    need(verb in completed, f"{verb} in the completion")
    options = options_of(output("muster", verb, "--help"))
    need(options, f"options in muster {verb} --help")
    need(output("muster", "help", verb) == output("muster", verb, "--help"), f"muster help {verb} as muster {verb} --help")
    for option in options:
        counts["options"] += 1
        need(re.search(rf"^(-\w, )?--{option}( |$)", text, re.M), f"--{option} in muster-{verb}.1")
        need(f"--{option}" in completed.get(verb, "").split(), f"--{option} of {verb} in the completion")
own = re.search(r'^_muster_worker_options="([^"]*)"', completion, re.M).group(1).split()
for option in options_of(output("muster-worker", "--help")):
    counts["options"] += 1
    need(re.search(rf"^(-\w, )?--{option}( |$)", page("muster-worker.1"), re.M), f"--{option} in muster-worker.1")
    need(f"--{option}" in own, f"--{option} of muster-worker in the completion")
schema = json.load(open("schema.json"))
keys = set(re.findall(r'^_muster_keys="([^"]*)"', completion, re.M)[0].split())
described = page("muster-job.5")
listed = re.findall(r"^  ([a-z_]+(?:\.[a-z_0-9]+)?) ", re.split(r"(?mi)^.*\bkeys\b.*:$", output("muster", "run", "--help"))[-1], re.M)
in_schema = []
for name, value in schema["properties"].items():
    if name == "sweep":
        in_schema += [name] + [f"sweep.{key}" for key in value["anyOf"][0]["properties"] if f"sweep.{key}" in listed]
    elif name != "$schema":
        for key, inner in value.get("properties", {"": value}).items():  # "lora": {"r": 8} is lora_r
            in_schema += [] if "properties" in inner else [f"{name}.{key}" if key else name]
            nested = [f"{name}.{key}_{part}" for part in inner["properties"]] if key and "properties" in inner else []
            need(all(part in listed for part in nested), f"the schema's keys of {name}.{key}: {nested}")
need(sorted(in_schema) == sorted(listed), f"the schema's keys: {sorted(set(in_schema) ^ set(listed))}")
for key in listed:
    counts["keys"] += 1
    need(re.search(rf"^{re.escape(key)}$", described, re.M), f"{key} in muster-job.5")
    need(key in keys, f"{key} in the completion")
need(counts["verbs"] >= 17 and counts["options"] >= 60 and counts["keys"] >= 60, f"no more than {counts}")
print(counts)
for what in missing:
    print("missing:", what)
sys.exit(bool(missing))
PY

say "completion at work"
cat >complete.sh <<'SH'
. "$1"
shift
program=$1 COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
"_${program//-/_}"
printf '%s\n' "${COMPREPLY[@]}"
SH
completes() { # WORD-THAT-MUST-COME WORD-THAT-MUST-NOT-OR-"" COMMAND LINE AS BASH SPLITS IT
  local word=$1 other=$2
  shift 2
  bash complete.sh "$reference/muster" "$@" >words
  grep -qxF -e "$word" words || fail "'$*' is not completed to '$word' but to: $(tr '\n' ' ' <words)"
  [ -z "$other" ] || ! grep -qxF -e "$other" words || fail "'$*' is completed to '$other'"
}
touch rows.jsonl
completes evaluate predict muster ev
completes train.lr= train.epochs= muster run job.json train.l
completes sweep.lr= "" muster run job.json sweep.l
completes bf16 f32 muster run job.json train.precision = b
completes train.precision=bf16 "" muster run job.json train.precision=b
completes f32 "" muster run job.json train.precision =
completes rows.jsonl "" muster run job.json data.path = ro
completes rows.jsonl "" muster predict bundle ro
completes rows.jsonl "" muster predict bundle data --output ro
completes --min-f1 --output muster evaluate bundle --m
completes --steps "" muster bench --s
completes --connection "" muster-worker --conn
completes rows.jsonl "" muster-worker --connection r

say "pages without a warning"
command -v mandoc >/dev/null || skip "mandoc is missing"
mandoc -Tlint "$reference"/*.[15] >lint || { cat lint; fail "mandoc -Tlint"; }
[ ! -s lint ] || { cat lint; fail "mandoc -Tlint has remarks"; }
