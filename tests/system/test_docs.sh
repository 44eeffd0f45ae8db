#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The documentation says what is so: links, quoted messages, options, job keys, events and message fields.
. "$(dirname "$0")/common.sh"
programs=$(dirname "$(command -v muster)")
say "README.md and docs/ against the sources and --help"
expect 0 'pages agree with the sources' python3 "$here/docs_check.py" "$MUSTER_SOURCE" "$programs"

say "and what is not so is found"
mkdir copy
for part in CMakeLists.txt README.md docs bench common proto cluster coordinator worker; do
  cp -r "$MUSTER_SOURCE/$part" copy/
done
printf '\n**`no message of this program is like this one`**\n' >>copy/docs/troubleshooting.md
printf '\n[gone](gone.md) and [gone](faults.md#no-such-heading), `muster report RUN --wacth`, `train.learning`\n' >>copy/docs/cluster.md
sed -i 's/^| `group_died` |/| `group_dead` |/' copy/docs/formats.md
sed -i 's/`best_weights`/`weights`/' copy/docs/protocol.md
sed -i 's/^| 429 | `overloaded`/| 430 | `overloaded`/' copy/docs/serving.md
sed -i 's/<td>unavailable</<td>not_available</' copy/coordinator/serve/page/docs.html
seq 150 >>copy/README.md
! python3 "$here/docs_check.py" copy "$programs" >"$scratch/out" || fail "docs_check.py accepts pages that are wrong"
for words in 'README.md: ' 'no message of the sources is like `no message' 'the link gone.md leads nowhere' 'faults.md#no-such-heading: no such heading' \
  'muster report has no option --wacth' 'train.learning is no key of a job' 'the event group_died is not described' \
  'the field best_weights is not described' 'serving.md: the error overloaded is not as in' 'docs.html: the error unavailable is not as in'; do
  grep -qF "$words" "$scratch/out" || fail "docs_check.py does not find: $words"
done

say "formats.md has every file and key of a run, of one label and of many"
python3 "$here/tiny.py" tiny 120
python3 - <<'PY'
import json
rows = [json.loads(line) for line in open("tiny/rows.jsonl")]
with open("tiny/many.jsonl", "w") as file:
    for row in rows:
        words = row["b"].split()
        row["label"] = [name for name in ("linked", "apart") if name in words] + ["long"] * (len(words) > 8)
        file.write(json.dumps(row) + "\n")
job = json.load(open("tiny/job.json"))
job.update(out="many", task="multi_label_classification", tune={"calibrate": "vector"})
job["data"].update(path="many.jsonl", labels=[], positive=None)
job["train"]["select"] = "micro_f1"
job["sweep"].update(scheduler="median", startup_trials=1)
json.dump(job, open("tiny/many.json", "w"))
PY
MUSTER_FAULT="kill rank=0 step=7 op=forward" expect 0 'publish: done' muster run tiny/job.json cluster.metrics_port=0
expect 0 'publish: done' muster run tiny/many.json
expect 0 'threshold 0.3' muster rule tiny/run/bundle threshold=0.3
expect 0 'describes the [0-9]+ files' python3 "$here/docs_formats.py" "$MUSTER_SOURCE/docs/formats.md" tiny/run tiny/many
mkdir tiny/run/later
echo '{"a_key_that_is_new": 1}' >tiny/run/later/tune.json
! python3 "$here/docs_formats.py" "$MUSTER_SOURCE/docs/formats.md" tiny/run tiny/many >"$scratch/out" || fail "docs_formats.py accepts a new key"
grep -qF 'tune.json: a_key_that_is_new' "$scratch/out" || fail "docs_formats.py does not name the new key"
