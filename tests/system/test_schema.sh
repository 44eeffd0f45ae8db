#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `muster schema`: a JSON Schema that takes and refuses what muster does; checked by PyPI's jsonschema.
. "$(dirname "$0")/common.sh"
python=${PYTHON:-python3}
"$python" -c "import jsonschema" 2>/dev/null || skip "$python has no jsonschema"
python3 "$here/tiny.py" "$scratch" 60
muster schema >schema.json
mkdir jobs

say "the job of a run, as muster resolved it"
expect 0 '' muster check job.json train.class_weights='[1,2]' data.word_limits='{"a":5}' sweep='{"sample":"random","count":2,"lr":{"from":1e-4,"to":1e-3}}'
cp run/job.json resolved.json
muster init rows.jsonl -o guessed.json --model model >/dev/null 2>&1 || fail "muster init"
set_key job.json out null
"$python" -W ignore "$here/schema_check.py" schema.json job.json jobs resolved.json guessed.json "$MUSTER_SOURCE"/examples/*.json || fail "the schema and muster differ"

say "\$schema is no key of the job"
set_key job.json '$schema' '"https://example.org/job.schema.json"'
expect 0 '' muster check job.json name=other out="$scratch/other"
! grep -q 'schema' other/job.json || fail "\$schema is in the resolved job"
