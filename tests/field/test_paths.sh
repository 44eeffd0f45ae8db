#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Relative paths of a job file are those of its directory, wherever muster is started; those on the command line are of the current one. A run knows its
# files again from elsewhere, after a move, and where an older version stored them.
. "$(dirname "$0")/../system/common.sh"
mkdir -p project/jobs elsewhere
python3 "$here/../system/tiny.py" project/data 60 >/dev/null
mv project/data/job.json project/jobs/tiny.json
for pair in 'sweep DELETE' 'train.epochs 1' 'report {"baseline":false}' 'out "../runs/tiny"' 'model "../data/model"' 'data.path "../data/rows.jsonl"'; do
  set_key project/jobs/tiny.json ${pair%% *} "${pair#* }"
done
jobs=$scratch/project/jobs

say "from another directory"
(cd elsewhere && expect -o 0 'bundle +.*project/runs/tiny/bundle' muster run "$jobs/tiny.json")
[ -f project/runs/tiny/bundle/model.safetensors ] || fail "the run is not at the job file's out"
[ -z "$(ls elsewhere)" ] || fail "something is in the current directory: $(ls elsewhere)"
python3 - <<'PY' || fail "the stored job depends on the current directory"
import json
job = json.load(open("project/runs/tiny/job.json"))
assert (job["out"], job["model"], job["data"]["path"]) == (".", "../../data/model", "../../data/rows.jsonl"), (job["out"], job["model"], job["data"]["path"])
PY

done_again() {
  expect 0 'bundle' "$@"
  [ "$(grep -c "\"event\": *\"lease\"" "$run/events.jsonl")" = 2 ] || fail "$*: trained or scored again"
}
run=project/runs/tiny
say "the finished run from other directories, by other names of the same files"
(cd project && run=runs/tiny done_again muster run jobs/tiny.json)
(cd project/jobs && run=../runs/tiny done_again muster run tiny.json)
(cd / && run=$scratch/$run done_again muster run "$jobs/tiny.json")
done_again muster run project/runs/tiny/job.json
(cd elsewhere && run=$scratch/$run done_again muster run "$jobs/tiny.json" data.path="$scratch/project/data/rows.jsonl" model=../project/data/model)
ln -s project linked
done_again muster run linked/jobs/tiny.json

say "the project is moved"
mv project moved
run=moved/runs/tiny done_again muster run moved/jobs/tiny.json
mv moved project

say "other data is another job"
cp project/data/rows.jsonl elsewhere/rows.jsonl
(cd elsewhere && expect 2 'holds the run of another job: data.path is' muster run "$jobs/tiny.json" data.path=rows.jsonl)

say "a run whose job.json has paths of the directory that an older version was started in"
(cd project && python3 - <<'PY'
import json
job = json.load(open("runs/tiny/job.json"))
job.update(out="runs/tiny", model="data/model")
job["data"]["path"] = "data/rows.jsonl"
json.dump(job, open("runs/tiny/job.json", "w"))
PY
run=runs/tiny done_again muster run jobs/tiny.json)

say "what is only in the current directory is taken, and told"
cp project/jobs/tiny.json project/jobs/old.json
set_key project/jobs/old.json data.path '"data/rows.jsonl"'
set_key project/jobs/old.json model '"data/model"'
(cd project && run=runs/tiny && expect -e 0 'model data/model, data.path data/rows.jsonl: taken from the current directory' muster run jobs/old.json)
(cd elsewhere && expect 3 'data/rows.jsonl' muster check "$jobs/old.json" model=../project/data/model out=x)

say "files that are needed later are looked for first"
(cd elsewhere && expect 2 'split.file: .*jobs/frozen.json does not exist' muster check "$jobs/tiny.json" split.file="$jobs/frozen.json" out=x)
(cd elsewhere && expect 2 'cluster.hostfile: hosts does not exist' muster run "$jobs/tiny.json" cluster.launcher=mpirun cluster.hostfile=hosts out=x)
(cd elsewhere && expect 3 "no field 'txt'|'txt'" muster check "$jobs/tiny.json" data.text_a='["txt"]' data.required='[]' out=x)

say "init writes paths as its job file has to call them"
expect 0 'wrote project/jobs/new.json' muster init project/data/rows.jsonl --model project/data/model -o project/jobs/new.json
python3 - <<'PY' || fail "paths of the written job"
import json
job = json.load(open("project/jobs/new.json"))
assert (job["model"], job["data"]["path"]) == ("../data/model", "../data/rows.jsonl"), (job["model"], job["data"]["path"])
PY
(cd elsewhere && expect 0 'rows' muster check "$jobs/new.json")
