#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# muster serve of several adapters of one base: the base is held once, and every answer is that of a server of its own, byte for byte.
. "$(dirname "$0")/common.sh"
. "$here/serve.sh"
stop() {
  local code=0
  kill -TERM "$server"
  wait "$server" || code=$?
  server=''
  [ "$code" = 0 ] || { cat log; fail "muster serve ended with $code"; }
}
workers() { pgrep -P "$server" -f 'muster-worker score'; }
# resident: megabytes of all workers
resident() { for pid in $(workers); do grep VmRSS "/proc/$pid/status"; done | awk '{ sum += $2 } END { print int(sum / 1024) }'; }

python3 "$here/tiny.py" "$scratch" 120 320
base_mb=$(($(stat -c %s model/model.safetensors) / 1048576))
lora=(sweep=null report.baseline=false train.epochs=1 train.method=lora train.lora_r=2 publish.adapter=separate)
python3 - <<'PY'
import json
rows = [json.loads(line) for line in open("rows.jsonl")]
with open("many.jsonl", "w") as file:
    for row in rows:
        words = row["b"].split()
        file.write(json.dumps({**row, "label": [name for name in ("linked", "apart") if name in words] + ["long"] * (len(words) > 8)}) + "\n")
job = json.load(open("job.json"))
job["data"].update(path="many.jsonl", labels=[], positive=None)
job.update(name="many", task="multi_label_classification", tune={})
job["train"]["select"] = "micro_f1"
json.dump(job, open("many.json", "w"))
PY
head -20 rows.jsonl | python3 -c 'import json, sys; [print(json.dumps({k: v for k, v in json.loads(line).items() if k not in ("group", "label")})) for line in sys.stdin]' >some.jsonl

say "two labels and many, other maps and ranks, in f32 and bf16"
run() { muster run "$@" >ran 2>&1 || { cat ran; fail "the run $*"; }; }
run job.json "${lora[@]}" out=pair name=pair 'train.lora_targets=["attention.output.dense"]'
run many.json "${lora[@]}" out=many name=many train.lora_r=4 'train.lora_targets=["query", "value"]' train.lora_bias=all
run job.json "${lora[@]}" out=pair16 name=pair16 train.precision=bf16 train.dropout=0.2
run many.json "${lora[@]}" out=many16 name=many16 train.precision=bf16

# ask NAME...: answers.NAME, of the server that runs
ask() {
  for name in "$@"; do
    while read -r row; do curl -sS "$url/models/$name/classify" -H 'Content-Type: application/json' -d "${row%\}}, \"logits\": true}" && echo; done <some.jsonl >"answers.$name"
  done
}
for name in pair many pair16 many16; do
  serve $name/bundle
  ask $name
  grep -q '"logits"' answers.$name || fail "$(head -1 answers.$name)"
  mv answers.$name alone.$name
  stop
done
say "all by one server: a worker for each precision, answers in turn"
serve pair/bundle many/bundle pair16/bundle many16/bundle
[ "$(workers | wc -l)" = 2 ] || fail "$(workers | wc -l) workers, not 2: $(cat log)"
for names in 'pair, many' 'pair16, many16'; do
  grep -q "^muster: $names: loaded .*; they share the weights of their base$" log || fail "no '$names' in the log: $(cat log)"
done
ask pair many pair16 many16
for name in pair many pair16 many16; do same_bytes answers.$name alone.$name; done
say "at the same time"
for name in pair many pair16 many16; do ask $name & done
wait $(jobs -p | grep -v "^$server$")
for name in pair many pair16 many16; do same_bytes answers.$name alone.$name; done

say "one of them is deleted and their worker dies: it alone is refused"
mv pair gone
kill -9 "$(workers | head -1)"
curl -s -o body -w '%{http_code}' "$url/models/pair/classify" -H 'Content-Type: application/json' -d "$(head -1 some.jsonl)" | has '^503$' || fail "what is gone is served: $(cat body)"
grep -q 'has been deleted' body || fail "$(cat body)"
curl -s -o body -w '%{http_code}' "$url/ready" | has '^200$' || fail "the others are not ready: $(cat body)"
ask many many16
for name in many many16; do same_bytes answers.$name alone.$name; done
mv gone pair
stop
say "a file of a bundle that a new worker needs is gone: 503, and the rows are not blamed"
serve pair/bundle
mv pair/bundle/inference_config.json kept.json
kill -9 "$(workers)"
curl -s -o body -w '%{http_code}' "$url/classify" -H 'Content-Type: application/json' -d "$(head -1 some.jsonl)" | has '^503$' || fail "$(cat body)"
curl -s -o body -w '%{http_code}' "$url/ready" | has '^200$' || fail "the next request may start a worker: $(cat body)"
mv kept.json pair/bundle/inference_config.json
curl -s "$url/classify" -H 'Content-Type: application/json' -d "$(head -1 some.jsonl)" | has '"labels"' || fail "it does not come back"
stop

say "memory: eight adapters take less than a third of eight bases ($base_mb MB each) more than one"
export ASAN_OPTIONS=$ASAN_OPTIONS:quarantine_size_mb=1 # what was freed is not memory of a worker
serve pair/bundle
one=$(resident)
stop
copies=()
for i in 1 2 3 4 5 6 7; do
  cp -r pair/bundle copy$i
  copies+=("copy$i=copy$i")
done
serve pair/bundle "${copies[@]}"
eight=$(resident)
[ "$(workers | wc -l)" = 1 ] || fail "$(workers | wc -l) workers, not 1"
echo "one adapter $one MB, eight $eight MB"
[ $((eight - one)) -lt $((7 * base_mb / 3)) ] || fail "eight adapters take $eight MB, one $one MB: the base was held more than once"
stop
