# SPDX-License-Identifier: Apache-2.0
# Sourced by tests of muster serve: a server, and two bundles to serve.
server=''
clean_up() { [ -z "$server" ] || kill -9 "$server" 2>/dev/null; }

# A bundle of many labels, one of them with markup in its name, in many/bundle; one of pairs and two labels in run/bundle. Trained for one epoch.
make_bundles() {
  python3 "$here/tiny.py" "$scratch"
  python3 - <<'PY'
import json, random
chance = random.Random(3)
with open("many.jsonl", "w") as file:
    for i in range(240):
        labels = [name for k, name in enumerate(["joy", "<b>bold</b>", "a label of many words that is long", "anger"]) if chance.random() < 0.6 / (k + 1)]
        file.write(json.dumps({"id": i, "text": " ".join(["linked" if "joy" in labels else "apart", f"word{i % 50}", f"word{i % 7}"]), "tags": labels}) + "\n")
job = json.load(open("job.json"))
job.pop("sweep")
json.dump(job, open("pair.json", "w"))
job.update(name="many", task="multi_label_classification", out="many",
           data={"path": "many.jsonl", "id": "id", "label": "tags", "text_a": ["text"], "required": ["text"], "accept": ["leaks", "conflicting_duplicates"]})
job["train"]["max_length"] = 60
job.pop("split", None), job["data"].pop("positive", None)
json.dump(job, open("many.json", "w"))
PY
  muster run many.json train.epochs=1 'train.select="micro_f1"' >ran 2>&1 || fail "the run of many labels"
  muster run pair.json train.epochs=1 out=run >ran 2>&1 || fail "the run of pairs"
}

# serve ARGUMENTS...: starts, waits until it is ready; `server` is its process, `url` where it is.
serve() {
  : >log
  muster serve --port 0 "$@" >served 2>log &
  server=$!
  wait_until 60 grep -qE '^muster: ready|^muster: .*(--help|refused)' log
  url=$(grep -oE 'http://[][0-9.:a-f]+' log | head -1)
}
