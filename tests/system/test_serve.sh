#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# muster serve: every route against muster predict, every bad request with its status, keys, limits, signals, workers that die, idle and slow clients.
. "$(dirname "$0")/common.sh"
. "$here/serve.sh"
# stop [SIGNAL]: exit 0, and everything of it is gone.
stop() {
  kill -"${1:-TERM}" "$server"
  local code=0
  wait "$server" || code=$?
  server=''
  [ "$code" = 0 ] || { cat log; fail "muster serve ended with $code"; }
  grep -q '^muster: stopped' log || fail "the log does not say that it has stopped"
}
check() { python3 "$here/serve_check.py" "$@" >"$scratch/out" 2>"$scratch/said" || { cat "$scratch/out"; fail "serve_check.py $1"; }; }
# some FILE: some.jsonl, its first 60 rows with what a bundle reads: an unknown field is refused
some() { head -60 "$1" | python3 -c 'import json, sys; [print(json.dumps({k: v for k, v in json.loads(line).items() if k != "group"})) for line in sys.stdin]' >some.jsonl; }
curl_json() { curl -sS -H 'Content-Type: application/json' "$@"; }

python3 "$here/tiny.py" "$scratch"
set_key job.json sweep null
muster run job.json >ran 2>&1 || fail "the run"
some rows.jsonl
muster predict run/bundle some.jsonl -o predicted.jsonl 2>/dev/null

say "a pair, one label of two"
serve run/bundle
grep -q 'listening at http://127.0.0.1:' log || fail "it does not listen at loopback"
check routes "$url" some.jsonl predicted.jsonl binary
check metrics "$url"
say "muster predict --url: the same bytes as by the bundle here"
python3 - <<'PY'
import csv, json
rows = [json.loads(line) for line in open("rows.jsonl")]
with open("rows.csv", "w", newline="") as file:
    table = csv.DictWriter(file, list(rows[0]))
    table.writeheader()
    table.writerows(rows)
PY
for end in jsonl csv tsv; do
  for data in rows.jsonl rows.csv; do
    muster predict run/bundle $data -o here.$end 2>/dev/null && expect -e 0 "there.$end: 240 rows" muster predict --url "$url/" $data -o there.$end
    same_bytes here.$end there.$end
  done
done
muster predict run/bundle - <rows.jsonl >here 2>/dev/null
muster predict --url "$url/models/tiny" - <rows.jsonl | cmp - here || fail "standard input and output, by a model's URL"
{ head -3 rows.jsonl; echo '{"a": ""}'; head -5 rows.jsonl | tail -2; } >holes.jsonl
expect 3 'holes.jsonl:4: field' muster predict run/bundle holes.jsonl
expect 3 'holes.jsonl:4: field' muster predict --url "$url" holes.jsonl
muster predict run/bundle holes.jsonl --skip-bad >here 2>/dev/null
muster predict --url "$url" holes.jsonl --skip-bad 2>/dev/null | cmp - here || fail "--skip-bad"
expect 1 'no answer' muster predict --url http://127.0.0.1:1 rows.jsonl
expect 2 'url: expected http' muster predict --url 127.0.0.1 rows.jsonl
expect 2 'there is no BUNDLE' muster predict --url "$url" run/bundle rows.jsonl
expect 2 'is missing' muster predict --url "$url"
expect 2 'url writes .jsonl' muster predict --url "$url" rows.jsonl -o there.h5
expect 1 'answers 404' muster predict --url "$url/health" rows.jsonl
say "bad requests"
check bad "$url" 8388608 1024

say "the rule is read again at SIGHUP; what is not a rule is refused and the old one stays"
before=$(curl -sS "$url/info" | python3 -c 'import json, sys; print(json.load(sys.stdin)["threshold"])')
cp -r run/bundle kept
muster rule run/bundle threshold=0.123 >/dev/null
kill -HUP "$server"
wait_until 20 grep -q 'rule read again.*0.123' log
[ "$before" != 0.123 ] && curl -sS "$url/info" | has '"threshold": 0.123' || fail "/info has not the new threshold"
echo '{' >run/bundle/inference_config.json
kill -HUP "$server"
wait_until 20 grep -q 'its rule stays as it was' log
curl_json "$url/classify" -d "$(head -1 some.jsonl)" | has '"threshold": 0.123' || fail "the rule did not stay"
cp kept/inference_config.json run/bundle/

say "a worker that is killed is started again, and the answers are right"
# children of the server that score
worker() { pgrep -P "$server" -f 'muster-worker score'; }
first=$(worker)
kill -9 "$first"
muster rule run/bundle threshold=0.5 >/dev/null && cp kept/inference_config.json run/bundle/ # the rule's file may change, the weights have not
curl_json "$url/classify" -d "$(head -1 some.jsonl)" | has '"labels"' || fail "no answer after the worker was killed"
[ "$(worker)" != "$first" ] || fail "the same worker"
grep -q 'started again' log || fail "the log does not tell of it"
curl -sS "$url/metrics" | has '^muster_serve_worker_restarts_total 1$' || fail "the restart was not counted"

say "weights that change under it are named, served on, and not loaded by a new worker"
cp run/bundle/model.safetensors kept.safetensors
cat kept.safetensors >run/bundle/model.safetensors # as it was, written anew
wait_until 20 grep -q 'model.safetensors: has changed since it was loaded' log
curl -sS "$url/info" | has '"changed_on_disk": true' || fail "/info does not tell"
curl_json "$url/classify" -d "$(head -1 some.jsonl)" | has '"labels"' || fail "what was loaded is not served on"
rm run/bundle/model.safetensors
wait_until 20 grep -q 'model.safetensors: has been deleted' log
kill -9 "$(worker)"
curl_json -o body -w '%{http_code}' "$url/classify" -d "$(head -1 some.jsonl)" | has '^503$' || fail "without weights: $(cat body)"
grep -q '"unavailable"' body && ! grep -q 'is served' body || fail "$(cat body)"
grep -q 'its scoring worker has ended, and .*model.safetensors: has been deleted' log || fail "the log does not tell that nothing is served any more"
curl -sS -o body -w '%{http_code}' "$url/ready" | has '^503$' && grep -q 'no worker computes, and .*has been deleted' body || fail "it says that it is ready: $(cat body)"
curl -sS -o body -w '%{http_code}' "$url/health" | has '^200$' || fail "it is not alive: $(cat body)"
cp kept.safetensors run/bundle/model.safetensors
stop

say "a bundle with a temperature, and one with a temperature for each label"
for key in temperature temperatures; do
  cp -r run/bundle warm
  python3 - $key <<'PY'
import json, sys
read = json.load(open("warm/inference_config.json"))
read[sys.argv[1]] = 1.7 if sys.argv[1] == "temperature" else {label: 1.5 + i for i, label in enumerate(read["label2id"])}
json.dump(read, open("warm/inference_config.json", "w"))
PY
  muster predict warm some.jsonl -o warm.jsonl 2>/dev/null
  ! cmp -s warm.jsonl predicted.jsonl || fail "$key changes nothing"
  serve warm
  check routes "$url" some.jsonl warm.jsonl binary
  stop
  rm -r warm
done

say "kill -9 of workers under load: the numbers of muster predict, or 503; never another answer"
serve run/bundle
load() { rm -f enough && timeout 300 python3 "$here/serve_check.py" load "$url" some.jsonl predicted.jsonl enough >out 2>said; }
load &
load=$!
for _ in 1 2 3 4; do
  sleep 1
  kill -9 "$(worker)" || true
done
touch enough
wait "$load" || fail "workers killed under load"
cat out
! grep -q closed out || fail "a connection ended with its worker"

say "kill -9 of the server under load, started again at the same port: the numbers of muster predict, 503, or a closed connection"
load &
load=$!
for _ in 1 2 3; do
  sleep 1
  kill -9 "$server"
  wait "$server" 2>/dev/null || true
  serve run/bundle --port "${url##*:}"
done
touch enough
wait "$load" || fail "the server killed under load"
cat out
workers() { [ "$(pgrep -fc "muster-worker score .*-- $scratch/run/bundle")" = "$1" ]; }
wait_until 60 workers 1 # those of the killed ones have ended

say "SIGTERM while a worker hangs: what it has is refused after 30 s, exit 0"
hung=$(worker)
kill -STOP "$hung"
curl_json -o body -w '%{http_code}' "$url/classify" -d "$(head -1 some.jsonl)" >refused &
asked=$!
sleep 1
SECONDS=0
stop
[ "$SECONDS" -lt 45 ] || fail "it took $SECONDS s to stop"
wait "$asked"
grep -q '^503$' refused || fail "the request ended with $(cat refused): $(cat body)"
! kill -0 "$hung" 2>/dev/null || fail "the worker that hangs is left"
serve run/bundle

say "SIGTERM under load: what was taken is answered, exit 0"
answered=$(curl -sS "$url/metrics" | awk '/route="\/classify\/batch",status="200"/ { print $2 }')
for i in 1 2 3 4; do
  python3 - "$url" <<'PY' >"drained.$i" 2>&1 &
import http.client, json, sys, urllib.parse
u = urllib.parse.urlparse(sys.argv[1])
rows = [json.loads(l) for l in open("some.jsonl")] * 15
c = http.client.HTTPConnection(u.hostname, u.port, timeout=60)
c.request("POST", "/classify/batch", json.dumps({"items": rows}), {"Content-Type": "application/json"})
print("sent", flush=True)
print(c.getresponse().status)
PY
done
clients=$(jobs -p | grep -v "^$server$" || true)
# taken: read by the server and in its queue, or answered already
taken() { [ "$(curl -sS "$url/metrics" | awk '/^muster_serve_queue_requests / { n += $2 } /route="\/classify\/batch",status="200"/ { n += $2 } END { print n }')" -ge "$1" ]; }
wait_until 60 taken $((answered + 4))
stop
for pid in $clients; do wait "$pid" || true; done
for i in 1 2 3 4; do [ "$(tail -1 "drained.$i")" = 200 ] || fail "a request that was taken was not answered: $(cat "drained.$i")"; done

say "idle and slow clients"
serve run/bundle --timeout 2 --max-connections 700
check idle "$url" 500
cat out
check slow "$url" 200
cat out
say "more connections than are allowed"
check idle "$url" 500
stop INT

say "keys"
printf '# of the test\n\n%s\n  %s  \n' "$(printf 'a%.0s' {1..32})" "another-key-of-some-length" >keys
chmod 600 keys
serve run/bundle --api-key-file keys --cors https://page.example
status() { curl -s -o body -w '%{http_code}' "$@"; }
for path in /info /models /metrics; do
  [ "$(status "$url$path")" = 401 ] || fail "$path without a key"
  grep -q unauthorized body || fail "$(cat body)"
done
for key in 'Bearer x' "Bearer $(printf 'a%.0s' {1..31})" "$(printf 'a%.0s' {1..32})" 'Basic YTph' 'Bearer' "Bearer $(printf 'a%.0s' {1..33})"; do
  [ "$(status "$url/info" -H "Authorization: $key")" = 401 ] || fail "'$key' was accepted"
done
for key in "$(printf 'a%.0s' {1..32})" another-key-of-some-length; do
  [ "$(status "$url/info" -H "Authorization: Bearer $key")" = 200 ] || fail "a key of the file was refused"
done
expect 2 'answers 401.*api-key-file' muster predict --url "$url" some.jsonl
expect 0 '"label"' muster predict --url "$url" --api-key-file keys some.jsonl
[ "$(status "$url/health")" = 200 ] && [ "$(status "$url/ready")" = 200 ] || fail "probes need a key"
[ "$(status "$url/classify" -H 'Content-Type: application/json' -d '{}')" = 401 ] || fail "/classify without a key"
curl -sS -D - -o /dev/null -H 'Origin: https://page.example' "$url/health" | has '^Access-Control-Allow-Origin: https://page.example' || fail "CORS"
curl -sS -D - -o /dev/null -H 'Origin: https://other.example' "$url/health" | has '^Access-Control' && fail "CORS of another origin"
curl -sS -D - -o /dev/null -X OPTIONS -H 'Origin: https://page.example' -H 'Access-Control-Request-Method: POST' "$url/classify" | has '^HTTP/1.1 204' || fail "preflight"
stop

say "too much at once"
serve run/bundle --max-queue-tokens 1 --max-items 5000
python3 - "$url" <<'PY' || fail "429"
import http.client, json, sys, threading, urllib.error, urllib.request
rows = [json.loads(l) for l in open("some.jsonl")] * 40
found = {}
def ask():
    try:
        r = urllib.request.urlopen(urllib.request.Request(sys.argv[1] + "/classify/batch", json.dumps({"items": rows}).encode(), {"Content-Type": "application/json"}))
        found.setdefault(r.status, []).append(None)
    except urllib.error.HTTPError as e:
        found.setdefault(e.code, []).append((e.headers["Retry-After"], json.load(e)["error_type"]))
    except (OSError, http.client.HTTPException) as e:
        found.setdefault(repr(e), []).append(None)
threads = [threading.Thread(target=ask) for _ in range(30)]
[t.start() for t in threads]
[t.join() for t in threads]
assert set(found) == {200, 429} and all(int(after) >= 1 and kind == "overloaded" for after, kind in found[429]), found
PY
stop

say "clients that go while their rows wait: what waits is not scored"
serve run/bundle --max-batch-tokens 200 --max-items 5000 --threads 1
python3 - "$url" <<'PY' || fail "clients that go"
import json, re, socket, sys, time, urllib.parse, urllib.request
u = urllib.parse.urlparse(sys.argv[1])
rows = [json.loads(l) for l in open("some.jsonl")] * 60
body = json.dumps({"items": rows}).encode()
def metric(name):
    return float(re.search(f"^{name} (.*)$", urllib.request.urlopen(sys.argv[1] + "/metrics").read().decode(), re.M)[1])
for _ in range(3):
    with socket.create_connection((u.hostname, u.port)) as s:
        s.sendall(b"POST /classify/batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
end = time.monotonic() + 60
while metric("muster_serve_clients_left_total") < 3 and time.monotonic() < end:
    time.sleep(0.1)
scored = metric("muster_serve_rows_total") # of 3 * len(rows): those before the server saw the end of the connection
assert metric("muster_serve_clients_left_total") == 3 and metric("muster_serve_queue_rows") == 0 and scored < len(rows), scored
r = urllib.request.urlopen(urllib.request.Request(sys.argv[1] + "/classify", json.dumps(rows[0]).encode(), {"Content-Type": "application/json"}))
assert r.status == 200 and metric("muster_serve_rows_total") == scored + 1
PY
stop

say "several bundles"
cp -r kept other
serve first=run/bundle second=other
for model in first second; do
  curl -sS "$url/models/$model" | has "\"name\": \"$model\"" || fail "/models/$model"
  curl_json "$url/models/$model/classify" -d "$(head -1 some.jsonl)" | has "\"model\": \"$model\"" || fail "/models/$model/classify"
done
curl -sS "$url/models/secnd" | has "did you mean 'second'" || fail "no hint"
say "a port that is taken"
expect 2 "port: cannot listen at 127.0.0.1 port ${url##*:}" muster serve run/bundle --port "${url##*:}"
stop

say "what it does not start with"
expect 2 'BUNDLE' muster serve
expect '[13]' 'nowhere' muster serve nowhere
expect 3 'inference_config|bundle' muster serve model
expect 2 'is called|are called' muster serve run/bundle other
expect 2 '--host 0.0.0.0: others could use the server; give --api-key-file' muster serve run/bundle --host 0.0.0.0
expect 2 '--host: "nohost" is no IP address' muster serve run/bundle --host nohost --open
expect 2 '--host: 198.51.100.9 is no address of this machine' muster serve run/bundle --host 198.51.100.9 --open
expect 3 'empty: has no key' bash -c ': >empty; chmod 600 empty; muster serve run/bundle --api-key-file empty'
expect 3 'short: a key has fewer than 16' bash -c 'echo abc >short; chmod 600 short; muster serve run/bundle --api-key-file short'
expect 3 'absent' muster serve run/bundle --api-key-file absent
expect 2 '--device' muster serve run/bundle --device gpu
expect 2 '--port' muster serve run/bundle --port 70000
cp -r kept broken && head -c 5000 kept/model.safetensors >broken/model.safetensors
expect '[123]' 'model.safetensors' muster serve broken --port 0
say "what others may not read"
other() { setpriv --reuid 65534 --regid 65534 --clear-groups muster "$@"; }
if [ "$(id -u)" = 0 ] && other --version >/dev/null 2>&1; then
  chmod 755 "$scratch"
  cp -r kept locked
  chmod 700 locked
  expect 3 'locked: cannot be read: Permission denied' other serve locked
  chmod 755 locked
  for file in model.safetensors tokenizer.json inference_config.json; do
    chmod 000 "locked/$file"
    expect 3 "locked/$file: cannot be read: Permission denied" other serve locked
    chmod 644 "locked/$file"
  done
  chmod 600 keys
  expect 3 'keys: cannot be read: Permission denied' other serve locked --api-key-file keys
  [ "$(cat /proc/sys/net/ipv4/ip_unprivileged_port_start)" -le 80 ] ||
    expect 2 'port: cannot listen at 127.0.0.1 port 80; .*: Permission denied' other serve locked --port 80
else
  skipped "no other user can run muster here: bundles that one may not read"
fi
no_process 'muster-worker score --device auto --threads [0-9]+ -- '"$scratch" || fail "a worker is left"

say "many labels a row, and one of many"
python3 - <<'PY'
import json
rows = [json.loads(line) for line in open("rows.jsonl")]
job = json.load(open("job.json"))
with open("many.jsonl", "w") as many, open("classes.jsonl", "w") as classes:
    for row in rows:
        words = row["b"].split()
        names = [name for name in ("linked", "apart") if name in words] + ["long"] * (len(words) > 8)
        many.write(json.dumps({**row, "label": names}) + "\n")
        classes.write(json.dumps({**row, "label": "linked" if "linked" in words else "long" if len(words) > 8 else "short"}) + "\n")
for name, task in (("many", "multi_label_classification"), ("classes", None)):
    own = json.loads(json.dumps(job))
    own["name"] = own["out"] = name
    own["data"].update(path=f"{name}.jsonl", labels=[], positive=None)
    if task:
        own["task"] = task
        own["train"]["select"] = "micro_f1"
    else:
        own["train"]["select"] = "loss"
    own["tune"] = {}
    json.dump(own, open(f"{name}.json", "w"))
PY
for name in many classes; do
  muster run $name.json >ran 2>&1 || { cat ran; fail "the run $name"; }
done
serve many/bundle
some many.jsonl
muster predict many/bundle some.jsonl -o predicted.jsonl 2>/dev/null
check routes "$url" some.jsonl predicted.jsonl labels
stop
serve classes/bundle
some classes.jsonl
muster predict classes/bundle some.jsonl -o predicted.jsonl 2>/dev/null
check routes "$url" some.jsonl predicted.jsonl classes
stop

say "a bundle of an adapter alone: with the weights of its base"
muster run job.json report.baseline=false train.method=lora train.lora_r=4 publish.adapter=separate out=apart >ran 2>&1 || { cat ran; fail "the run with LoRA"; }
serve apart/bundle
some rows.jsonl
muster predict apart/bundle some.jsonl -o predicted.jsonl 2>/dev/null
check routes "$url" some.jsonl predicted.jsonl binary
stop
