#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Files and processes as daemons, cron and limits have them.
. "$(dirname "$0")/../system/common.sh"
python3 "$here/../system/tiny.py" tiny 60 >/dev/null

say "standard descriptors that are closed"
muster run tiny/job.json out=closed cluster.device=fake <&- >&- 2>&- || fail "ended with $?"
python3 -c 'import json; [json.loads(line) for line in open("closed/events.jsonl")]' || fail "events.jsonl holds something else"
[ -d closed/bundle ] || fail "no bundle"

say "a limit of the file size is an error of a write"
(ulimit -f 2; expect 1 'cannot be written: File too large' muster run tiny/job.json out=limited cluster.device=fake)

say "-o on what is no regular file"
muster run tiny/job.json out=run >/dev/null 2>&1 || fail "no bundle to predict with"
head -3 tiny/rows.jsonl >three.jsonl
muster predict run/bundle three.jsonl -o plain.jsonl || fail "predict"
mkfifo pipe
cat pipe >piped.jsonl & reader=$!
muster predict run/bundle three.jsonl -o pipe || fail "predict into a pipe"
wait $reader
same_bytes plain.jsonl piped.jsonl
[ -p pipe ] || fail "the pipe is no pipe any more"
ln -s elsewhere.jsonl link
muster predict run/bundle three.jsonl -o link || fail "predict into a link"
[ -L link ] || fail "the link is no link any more"
same_bytes plain.jsonl elsewhere.jsonl
muster predict run/bundle three.jsonl -o /dev/null || fail "predict into /dev/null"
[ -c /dev/null ] || fail "/dev/null is no device any more"
