#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The page of a run: of a finished one, of many labels with hostile names, of one that has only begun; in a browser where there is one.
. "$(dirname "$0")/common.sh"
python3 "$here/tiny.py" "$scratch"
drawn=0
if command -v gnuplot >/dev/null; then drawn=1; else skipped "gnuplot is not installed: plots are not tested"; fi
check() { python3 "$here/report_check.py" "$@" || fail "the report is not as promised"; }
pictures() { [ $drawn = 0 ] || echo "--pictures $1"; }

say "a run ends with its report"
expect 0 'report  .*report.html' muster run job.json
check run/report.html run $(pictures 7) --text 'Difference to 0.5' --text 'Of the temperatures 1 to 15 by thresholds 0.2 to 1.0' --no-text 'not finished' --text 'Rows of test are not shown'
if [ $drawn = 1 ]; then
  for picture in loss trials threshold precision_recall reliability; do
    python3 - "run/pictures/$picture" <<'PY' || fail "run/pictures/$picture is no picture"
import sys, xml.dom.minidom
xml.dom.minidom.parse(sys.argv[1] + ".svg")
assert open(sys.argv[1] + ".png", "rb").read(8) == b"\x89PNG\r\n\x1a\n"
PY
  done
  [ -z "$(find run/pictures -name '*.tmp')" ] || fail "a draft directory is left"
fi

say "many labels; names, ids and texts that would like to be markup"
python3 - <<'PY'
import json, random
chance = random.Random(3)
names = ["<script>alert(1)</script>", "x' y `touch owned` \"z\" & $(touch owned)", "</title><b>bold", "a long name " * 8, "rare"]
words = [f"word{i}" for i in range(60)]
with open("many.jsonl", "w") as file:
    for i in range(160):
        text = [chance.choice(words) for _ in range(8)] + ["<img src=x onerror=alert(2)>"]
        tags = [n for k, n in enumerate(names[:4]) if f"word{k}" in text or chance.random() < 0.3] + (names[4:] if i % 40 == 0 else [])
        file.write(json.dumps({"id": f"<i>{i}</i>", "a": " ".join(text), "tags": tags}) + "\n")
job = json.load(open("job.json"))
job.update(name="many", out="many", task="multi_label_classification",
           data={"path": "many.jsonl", "id": "id", "label": "tags", "text_a": ["a"], "labels": names})
job["train"].update(epochs=2)
del job["sweep"]
json.dump(job, open("many.json", "w"))
PY
expect 0 'report  .*report.html' muster run many.json
rm -rf many/pictures
expect 0 'page.html' muster report many -o page.html --with-test
[ ! -e many/pictures ] || fail "the pictures of page.html went into the run's directory"
if [ $drawn = 1 ]; then
  [ -s page_pictures/loss.svg ] || fail "page.html has no pictures beside it"
fi
expect 0 'report' muster report many
check many/report.html many --text 'Global threshold' --text '<script>alert(1)</script>' --text '<img src=x onerror=alert(2)>' --text 'Rows of test are not shown'
check page.html many --text 'Test: the surest errors'
[ ! -e owned ] && [ ! -e many/pictures/owned ] || fail "a label's name was run as a command"
if [ $drawn = 1 ]; then
  [ -s many/pictures/threshold_label_0.svg ] || fail "no picture for a label"
fi

say "a run that has not come far; no gnuplot; damage; no run"
mkdir begun
cp run/job.json run/check.json run/events.jsonl begun
expect 0 'begun/report.html' muster report begun
check begun/report.html begun --text 'not finished' --text 'No trial has been chosen yet'
mkdir begun/trials
cp -r run/trials/lr-0.005_epochs-3 begun/trials
cp run/split.json begun
cp -r run/tokens begun
expect 0 'begun/report.html' muster report begun
check begun/report.html begun $(pictures 3) --text 'not finished' --text 'lr-0.005_epochs-3'
mv many.jsonl moved.jsonl
expect -e 0 'apt-get install gnuplot-nox' env PATH="${MUSTER_BIN:-$MUSTER_SOURCE/build/dev}" muster report many -o bare.html
check bare.html many --pictures 0 --text 'apt-get install gnuplot-nox' --text 'The texts of these rows are left out: many.jsonl'
mv moved.jsonl many.jsonl
expect 2 'no such run directory' muster report nowhere
mkdir empty
expect 2 'holds no run' muster report empty
echo '{"trials": [' >begun/tune.json
expect 3 'tune.json' muster report begun
expect 1 'nowhere' muster report run -o nowhere/page.html

browser=$(command -v chromium || command -v chromium-browser || true)
[ -n "$browser" ] || { skipped "chromium is not installed: how the page renders is not tested"; exit 0; }
say "in a browser, 1280 and 400 pixels wide: no errors, nothing wider than the screen, sorting works"
# A window is never as narrow as a phone: the page stands in a frame of that width. Chromium's own switches: files may look at each other.
look() {
  cat >frame.html <<HTML
<!DOCTYPE html><body style="margin:0"><iframe id="f" src="$1" style="border:0;width:$2px;height:4000px"></iframe><pre id="found"></pre><script>
document.getElementById("f").addEventListener("load", function () {
  var page = this.contentWindow.document, table = page.querySelector("#labels table.sortable"), found = { wide: page.documentElement.scrollWidth };
  var column = table.tHead.querySelector("th.n"), place = column.cellIndex;
  column.querySelector("button").click();
  found.sorted = Array.prototype.map.call(table.tBodies[0].rows, function (row) { return Number(row.cells[place].dataset.v); });
  document.getElementById("found").textContent = JSON.stringify(found);
});
</script></body>
HTML
  timeout 120 "$browser" --headless --no-sandbox --disable-gpu --allow-file-access-from-files --enable-logging=stderr --v=0 \
    --user-data-dir="$scratch/profile" --virtual-time-budget=5000 --window-size=1400,4000 --dump-dom "file://$scratch/frame.html" >dom 2>console || fail "chromium ends with $?"
  if grep -q 'CONSOLE' console; then grep CONSOLE console >&2; fail "$1 writes to the console at $2 pixels"; fi
  python3 - "$2" <<'PY' || fail "$1 is not as promised at $2 pixels"
import json, re, sys
found = json.loads(re.search(r'<pre id="found">(.*?)</pre>', open("dom").read(), re.S).group(1))
assert found["wide"] <= int(sys.argv[1]), f"the page is {found['wide']} pixels wide, the screen {sys.argv[1]}"
assert len(found["sorted"]) > 1 and found["sorted"] == sorted(found["sorted"], reverse=True), found
PY
}
for width in 1280 400; do
  for page in run/report.html many/report.html; do
    look "$page" $width
  done
done
# The check sees what it looks for.
sed 's|<main>|<main><div style="width:900px">wide</div>|' run/report.html >wide.html
if (look wide.html 400) >/dev/null 2>&1; then fail "a page that is too wide was not noticed"; fi
sed 's|</script>|;nothing()</script>|' run/report.html >broken.html
if (look broken.html 1280) >/dev/null 2>&1; then fail "an error on the console was not noticed"; fi
