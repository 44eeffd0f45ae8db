#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The page of a server in a headless Chromium: Try, Evaluation, Models, at 1280 and 400 pixels, light and dark, by keyboard alone; nothing on the console,
nothing from elsewhere, nothing from data understood as markup.

usage: page_check.py URL CHROMIUM SCRATCH [--pictures DIRECTORY]    the first model: many labels, one of them <b>bold</b>; the second: two labels
       page_check.py URL CHROMIUM SCRATCH --key KEY                 of a server that asks for a key
"""
import json
import math
import sys
import urllib.request

from browser import Browser

url, program, scratch = sys.argv[1:4]
pictures = sys.argv[5] if sys.argv[4:5] == ["--pictures"] else None
key = sys.argv[5] if sys.argv[4:5] == ["--key"] else None


def get(path):
    return json.load(urllib.request.urlopen(url + path))


def post(path, body):
    return json.load(urllib.request.urlopen(urllib.request.Request(url + path, json.dumps(body).encode(), {"Content-Type": "application/json"})))


if not key:
    many, two = get("/models")["models"][:2]
b = Browser(program, scratch + "/profile")


def quiet(where):
    found = b.complaints()
    assert not found, f"{where}: the console has {found}"
    strangers = [r for r in b.requests if not r.startswith((url, "data:"))]
    assert not strangers, f"{where}: asked for {strangers}"


def focused():
    return b.eval("document.activeElement.id || document.activeElement.textContent")


def tab_to(what, most=40):
    for _ in range(most):
        if focused() == what:
            return
        b.key("Tab")
    raise AssertionError(f"Tab never gets to {what}; it is at {focused()}")


def fits(width, where):
    wide = b.eval("document.documentElement.scrollWidth")
    assert wide <= width, f"{where}: {wide} pixels wide on a screen of {width}"


def column(table, name):
    """The cells of a column, as text."""
    return b.eval(f"""(() => {{ const t = document.querySelector('#{table}'), i = [...t.tHead.rows[0].cells].findIndex((c) => c.textContent === {json.dumps(name)});
      return [...t.tBodies[0].rows].map((r) => r.cells[i].textContent); }})()""")


def bars():
    return b.eval("[...document.querySelectorAll('#bars .bar')].map((r) => [r.querySelector('.name').textContent.replace(' ✓', ''), r.classList.contains('yes'), r.querySelector('.value').textContent])")


def check_try():
    """By keyboard alone: a text, its answer, a threshold."""
    b.go(url + "/")
    b.wait("document.querySelector('#fields textarea')")
    fields = many["input"]["text_a"] + (many["input"].get("text_b") or [])
    assert b.eval("[...document.querySelectorAll('#fields textarea')].map((a) => a.name)") == fields
    tab_to("field-0")
    text = "word1 linked <img src=x onerror=\"document.title='broken'\"> <script>document.title='broken'</script>"
    b.type(text)
    b.key("Enter", control=True)
    b.wait("!document.querySelector('#answer').hidden")
    told = post(f"/models/{many['name']}/classify", {fields[0]: text})
    assert b.eval("[...document.querySelectorAll('#labels li')].map((l) => l.textContent)") == (told["labels"] or ["no label"])
    order = sorted(told["scores"], key=lambda n: -told["scores"][n])[:10]
    assert [(n, float(v)) for n, _, v in bars()] == [(n, round(told["scores"][n], 4)) for n in order], (bars(), told["scores"])
    assert {n for n, yes, _ in bars() if yes} == set(told["labels"]) & set(order)
    assert "<b>bold</b>" in [n for n, _, _ in bars()], "the label with markup is not shown as text"
    assert b.eval("document.querySelectorAll('#answer b, #answer img, #earlier img, main script').length") == 0 and b.eval("document.title") != "broken"
    assert f"{told['tokens']} tokens" in b.eval("document.querySelector('#facts').textContent")
    assert "Rule:" in b.eval("document.querySelector('#rule').textContent")
    quiet("Try")
    tab_to("own")
    b.key(" ")
    tab_to("threshold")
    b.key("Home")
    b.wait("document.querySelectorAll('#labels li').length === %d" % len(many["labels"]))
    b.key("End")
    b.wait("document.querySelector('#labels').textContent === 'no label'")
    assert "threshold 1 of this request" in b.eval("document.querySelector('#rule').textContent")
    tab_to("top")
    b.key("ArrowDown")
    b.wait("document.querySelectorAll('#bars .bar').length === %d" % (min(10, len(many["labels"])) - 1))
    assert text in b.eval("document.querySelector('#earlier-list').textContent")
    b.eval("document.querySelector('#field-0').value = ' '")
    b.eval("document.querySelector('#form').requestSubmit()")
    b.wait("!document.querySelector('#problem').hidden")
    quiet_but_refused = [c for c in b.complaints() if "422" not in c]
    assert not quiet_but_refused, quiet_but_refused


def f1_at(threshold, p, truth):
    hits = [(x >= threshold, t) for row, is_ in zip(p, truth) for x, t in zip(row, is_)]
    tp, said, true = sum(a and t for a, t in hits), sum(a for a, _ in hits), sum(t for _, t in hits)
    return 2 * tp / (said + true) if said + true else 0


def check_evaluation():
    evaluation = get(f"/models/{many['name']}/evaluation")
    b.go(url + "/#try")
    b.wait("document.querySelector('#fields textarea')")
    tab_to("tab-try")
    b.key("ArrowRight")
    b.wait("document.querySelector('#curve svg')")
    assert focused() == "tab-evaluation"
    assert column("overall", "micro F1")[-1] == f"{evaluation['test']['rules']['tuned']['micro_f1']:.4f}"
    each = {row["label"]: row for row in evaluation["test"]["labels"]}
    assert sorted(column("each", "label")) == sorted(each)
    assert column("each", "F1") == [f"{each[n]['tuned']['f1']:.4f}" for n in column("each", "label")]
    # The curve is that of the stored logits.
    outputs, rule = evaluation["validation_outputs"], many
    temperature = [(rule.get("temperatures") or {}).get(n, rule.get("temperature") or 1) for n in many["labels"]]
    p = [[1 / (1 + math.exp(-x / t)) for x, t in zip(row, temperature)] for row in outputs["logits"]]
    truth = [[c in row for c in range(len(many["labels"]))] for row in outputs["truth"]]
    b.eval("(() => { const s = document.querySelector('#what-if'); s.value = 0.3; s.dispatchEvent(new Event('input')); })()")
    words = b.eval("document.querySelector('#what-if-words').textContent")
    assert f"F1 {f1_at(0.3, p, truth):.4f} " in words, (words, f1_at(0.3, p, truth))
    best = max(f1_at(k / 100, p, truth) for k in range(1, 100))
    assert f"Highest F1 of 99 thresholds: {best:.4f}" in words, (words, best)
    count = sum(map(sum, truth))
    assert sum(int(x) for x in column("confusion", "true positive") + column("confusion", "false negative")) == count
    worst = [float(x) for x in column("worst", "probability of the error")]
    assert worst == sorted(worst, reverse=True)
    # Sorting, by keyboard.
    b.eval("document.querySelector('#each thead button').focus()")
    b.key("Enter")
    names = column("each", "label")
    assert names == b.eval(f"{json.dumps(names)}.slice().sort((a, b) => a.localeCompare(b))"), names
    assert b.eval("document.querySelector('#each th').getAttribute('aria-sort')") == "ascending"
    b.key("Enter")
    assert column("each", "label") == names[::-1]
    quiet("Evaluation")


def check_models():
    b.go(url + "/#models")
    b.wait("document.querySelector('#served tbody tr')")
    assert sorted(column("served", "model")) == sorted([many["name"], two["name"]])
    b.eval("[...document.querySelectorAll('#served thead button')][2].click()")
    assert column("served", "labels") == [str(len(many["labels"])), "2"]
    b.wait("document.querySelector('#heat tbody tr')")
    (table,) = get("/zoo")["tables"]
    models = {m["name"]: m for m in table["models"]}
    assert len(models) == 2 and column("zoo", "model") == [m["name"] for m in table["models"]], column("zoo", "model")
    assert column("zoo", "validation micro F1") == [f"{m['validation']['micro_f1']:.4f}" for m in table["models"]]
    b.eval("[...document.querySelectorAll('#zoo thead button')].at(-1).click()")
    assert column("zoo", "MB")[0] == f"{max(m.get('bytes', 0) for m in table['models']) / 1e6:.1f}"
    of = dict(zip(column("heat", "label"), column("heat", table["models"][0]["name"] + (", " + table["models"][0]["fields"] if table["models"][0].get("baseline") else ""))))
    assert of == {label: f"{f1:.2f}" for label, f1 in zip(table["labels"], table["models"][0]["validation"]["label_f1"])}, of
    cells = b.eval("[...document.querySelectorAll('#heat td.heat')].map((c) => [Number(c.textContent), getComputedStyle(c).backgroundColor])")
    assert len(cells) == 2 * len(many["labels"]) and len({f1 for f1, _ in cells}) == len({colour for _, colour in cells}) > 1, cells
    b.eval("document.querySelector('#model').value = '1'; document.querySelector('#model').dispatchEvent(new Event('change'))")
    b.eval("document.querySelector('#tab-evaluation').click()")
    b.wait("document.querySelectorAll('#confusion tbody td.n').length === 4")
    evaluation = get(f"/models/{two['name']}/evaluation")
    counts = b.eval("[...document.querySelectorAll('#confusion tbody td.n')].map((c) => Number(c.textContent))")
    assert sum(counts) == len(evaluation["validation_outputs"]["truth"])
    right = (counts[0] + counts[3]) / sum(counts)
    assert abs(right - evaluation["validation"]["rules"]["tuned"]["accuracy"]) < 1e-9, (right, evaluation["validation"]["rules"]["tuned"])
    b.eval("document.querySelector('#tab-try').click()")
    b.wait("document.querySelectorAll('#fields textarea').length === %d" % len(set(two["input"]["text_a"] + two["input"]["text_b"])))
    quiet("Models")


def check_screens():
    for width in (1280, 400):
        for dark in (False, True):
            b.size(width, dark=dark)
            b.go(url + "/docs")
            b.wait("document.querySelector('#routes td')")
            fits(width, "/docs")
            b.go(url + "/#try")
            b.wait("document.querySelector('#fields textarea')")
            b.eval("document.querySelector('#field-0').value = 'word1 linked'; document.querySelector('#form').requestSubmit()")
            b.wait("!document.querySelector('#answer').hidden")
            for view, there in (("try", "#bars .bar"), ("evaluation", "#curve svg"), ("models", "#heat td")):
                b.eval(f"document.querySelector('#tab-{view}').click()")
                b.wait(f"document.querySelector('{there}')")
                fits(width, view)
                ground = b.eval("getComputedStyle(document.body).backgroundColor")
                assert (sum(map(int, ground[4:-1].split(","))) < 300) == dark, f"dark {dark}: the ground is {ground}"
                if pictures:
                    b.picture(f"{pictures}/{view}-{width}-{'dark' if dark else 'light'}.png")
            quiet(f"{width} pixels, dark {dark}")


def check_key():
    """It is asked for, and used."""
    b.go(url + "/")
    b.wait("!document.querySelector('#key-form').hidden")
    assert focused() == "key" and b.eval("document.querySelectorAll('#fields textarea').length") == 0
    b.type("a wrong key that is long enough")
    b.key("Enter")
    b.wait("document.querySelector('#problem').textContent.includes('key')")
    b.eval("document.querySelector('#key').value = ''")
    b.type(key)
    b.key("Enter")
    b.wait("document.querySelector('#fields textarea') && document.querySelector('#key-form').hidden && document.querySelector('#problem').hidden")
    b.eval("document.querySelector('#field-0').value = 'word1 linked'; document.querySelector('#form').requestSubmit()")
    b.wait("!document.querySelector('#answer').hidden")
    assert key not in b.eval("document.querySelector('main').textContent"), "the key is shown"
    b.eval("location.hash = '#models'")
    b.wait("!document.querySelector('#models').hidden && document.querySelector('#zoo-all').hidden")
    found = [c for c in b.complaints() if "401" not in c]
    assert not found, found


try:
    b.size(1280)
    if key:
        check_key()
    else:
        check_try()
        check_evaluation()
        check_models()
        check_screens()
finally:
    b.close()
