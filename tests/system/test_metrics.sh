#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Prometheus text of a coordinator at work: every line of the format, figures that fit the run, loopback only, other requests refused.
. "$(dirname "$0")/common.sh"
python3 "$here/tiny.py" "$scratch"
directory="$scratch/a\"run"
set_key job.json cluster '{"device": "fake", "threads": 1, "groups": 2, "metrics_port": 0}'

say "read while trials are under way"
MUSTER_FAKE_STEP=0.1 muster run job.json out="$directory" >ran 2>&1 &
pid=$!
wait_until 60 test -s "$directory/trials/lr-0.005_epochs-3/metrics.jsonl"
expect 0 'metrics at http://127.0.0.1:[0-9]+/metrics' muster status "$directory"
port=$(muster status "$directory" --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["coordinator"]["metrics_port"])')
python3 - "$port" "$directory" <<'PY' || fail "the metrics are not as promised"
import http.client, re, sys, time, urllib.error, urllib.request
port, directory = int(sys.argv[1]), sys.argv[2]
url = f"http://127.0.0.1:{port}/metrics"
LINE = re.compile(r'([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (\S+)')
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\\n]|\\["\\n])*)"')

def read():
    answer = urllib.request.urlopen(url, timeout=20)
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4"), answer.headers
    types, samples, last = {}, {}, None
    for line in answer.read().decode().splitlines():
        if line.startswith("# HELP "):
            last = line.split()[2]
            assert last not in types, f"{last} is there twice"
            continue
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            assert name == last and (kind == "counter") == name.endswith("_total"), line
            types[name] = kind
            continue
        match = LINE.fullmatch(line)
        assert match and match[1] == last, line
        labels = tuple((k, re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], v)) for k, v in LABEL.findall(match[2] or ""))
        assert (match[1], labels) not in samples, line
        samples[match[1], labels] = float(match[3])
    return samples

for _ in range(300):  # the first beats come within a second, the figures a second later
    found = read()
    steps = {labels: value for (name, labels), value in found.items() if name == "muster_trial_step" and value > 0}
    if steps and found.get(("muster_groups", (("state", "busy"),))):
        break
    time.sleep(0.1)
assert steps, found
assert found["muster_run_info", (("folder", directory),)] == 1, [k for k in found if k[0] == "muster_run_info"]
for labels, step in steps.items():
    assert dict(labels)["trial"].startswith("lr-") and dict(labels)["group"] and dict(labels)["host"], labels
    assert step <= found["muster_trial_steps", labels] and 0 < found["muster_trial_loss", labels] < 5
    assert found["muster_trial_epoch", labels] in (1, 2, 3) and found["muster_trial_tokens_per_second", labels] > 0
assert found["muster_messages_total", (("message", "hello"),)] >= 1 and found["muster_leases_total", ()] >= 1
assert found["process_cpu_seconds_total", ()] > 0 and abs(found["muster_updated_timestamp_seconds", ()] - time.time()) < 30
again = read()
assert all(again[key] >= value for key, value in found.items() if key[0].endswith("_total")), "a counter went back"

def status(method, path):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    c.request(method, path, body=b"x" * 100000 if method == "POST" else None)
    return c.getresponse().status
assert status("GET", "/") == 404 and status("GET", "/metrics/..") == 404 and status("HEAD", "/metrics") == 200
assert status("POST", "/metrics") == 405 and status("DELETE", "/metrics") == 405
PY
python3 - "$port" "$pid" <<'PY' || fail "something listens beyond the loopback interface"
import os, sys
port, pid = int(sys.argv[1]), sys.argv[2]
mine = {os.stat(f"/proc/{pid}/fd/{fd}").st_ino for fd in os.listdir(f"/proc/{pid}/fd") if os.path.exists(f"/proc/{pid}/fd/{fd}")}
listening = [line.split() for table in ("tcp", "tcp6") for line in open(f"/proc/net/{table}").readlines()[1:]]
places = [row[1] for row in listening if row[3] == "0A" and int(row[9]) in mine]
assert f"0100007F:{port:04X}" in places and all(place.startswith("0100007F:") for place in places), places
PY

say "a port that is taken is said before anything is trained"
expect 2 "metrics_port: cannot listen at 127.0.0.1:$port.*in use" muster run job.json out="$scratch/other" cluster.metrics_port="$port"
wait $pid || fail "the run that was read from ended with $?"
expect 2 'metrics_port' muster run job.json out="$scratch/third" cluster.metrics_port=65536
expect 0 'run: done; coordinator on host [^;]*$' muster status "$directory"
