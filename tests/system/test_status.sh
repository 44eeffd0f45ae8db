#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# muster status during a run: --watch to its end and as it ends, lines and JSON; a stopped, a killed, an absent and an empty run.
. "$(dirname "$0")/common.sh"
python3 "$here/tiny.py" "$scratch"
set_key job.json cluster '{"device": "fake", "threads": 1, "groups": 2}'

# start OUT: in the background; until its first trial is under way.
start() {
  MUSTER_FAKE_STEP=0.05 muster run job.json out="$scratch/$1" >ran 2>&1 &
  pid=$!
  wait_until 60 test -s "$1/trials/lr-0.005_epochs-3/metrics.jsonl"
}

say "watched to its end, in lines and in JSON"
start run
muster status run --watch --interval 0.5 --json >watched.jsonl &
json=$!
expect 0 'running; groups' muster status run --watch --interval 0.5
wait $json || fail "--watch --json ended with $?"
wait $pid || fail "the run under watch ended with $?"
grep -q ' done; groups 0; trials 4: 4 done$' out || fail "the last line is not of the end: $(tail -1 out)"
grep -qE 'lr-[^ ]* step [0-9]+ of [0-9]+ loss 0\.' out || fail "no line tells step and loss"
python3 - <<'PY' || fail "watched.jsonl does not tell the run"
import json
seen = [json.loads(line) for line in open("watched.jsonl")]
assert seen[0]["state"] == "running" and seen[-1]["state"] == "done", [s["state"] for s in seen]
assert seen[-1]["counts"] == {"queued": 0, "running": 0, "done": 4, "failed": 0, "pruned": 0}, seen[-1]["counts"]
assert any(t["state"] == "running" and t["steps"] > t["step"] > 0 and t["eta"] > 0 for s in seen for t in s["trials"].values()), seen
assert any(g["trial"] for s in seen for g in s["groups"])
PY

if python3 -c 'import os; os.openpty()' 2>/dev/null; then
say "watched on a terminal: redrawn from the top, never longer than it is high, the last picture is of the end"
start terminal
python3 - "$scratch/terminal" <<'PY' || fail "the terminal does not show it"
import fcntl, os, pty, re, struct, sys, termios
ROWS = 12
child, terminal = pty.fork()
if child == 0:
    fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, 80, 0, 0))
    os.execvp("muster", ["muster", "status", sys.argv[1], "--watch", "--interval", "0.3"])
seen = b""
while True:
    try:
        piece = os.read(terminal, 65536)
    except OSError:  # the other end is closed
        break
    if not piece:
        break
    seen += piece
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
first, *pictures = seen.decode().split("\x1b[?7l\x1b[H")
assert code == 0, (code, seen)
assert first == "\x1b[2J", first
assert len(pictures) >= 3, pictures
for picture in pictures:
    assert picture.endswith("\x1b[J\x1b[?7h"), picture
    lines = picture[: -len("\x1b[J\x1b[?7h")].split("\r\n")
    assert lines.pop() == "" and 3 <= len(lines) < ROWS, lines
    assert all(re.fullmatch(r"[^\x1b\r\n]*\x1b\[K", line) for line in lines), lines
assert "run: running" in pictures[0] and " step " in pictures[0], pictures[0]
assert pictures[-1].startswith("run: done") and "trials: 4: 4 done" in pictures[-1], pictures[-1]
PY
wait $pid || fail "the run under watch ended with $?"
else
  skipped "no terminals can be had here: --watch on one is not tried"
fi

say "stopped: --watch ends as the run did"
mkdir stopped
muster status stopped --watch --interval 0.2 >early 2>&1 &
early=$!
start stopped
kill -TERM $pid
expect -o 75 'stopped' muster status stopped --watch --interval 0.2
wait $pid || true
expect 0 'run: stopped' muster status stopped
wait $early && found=0 || found=$?
[ $found = 75 ] || fail "--watch on a directory without events yet ended with $found, expected 75"

say "killed: seen on its own host"
start killed
kill -9 $pid
wait $pid 2>/dev/null || true
expect 1 'disappeared without an end event' muster status killed --watch --interval 0.2
expect 0 'run: dead' muster status killed

say "no run, an empty one, a damaged one, a bad interval"
mkdir empty && : >empty/events.jsonl
expect 2 'no such run directory' muster status nowhere
expect 2 'holds no run' muster status empty
expect 2 'interval' muster status run --watch --interval 0
sed '2s/.*/{"time": /' run/events.jsonl >empty/events.jsonl
expect 1 'events.jsonl:2.*damaged' muster status empty
printf '%s' "$(head -c 300 run/events.jsonl)" >empty/events.jsonl
expect 0 'run: ' muster status empty
