#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks a report's page against the files of its run, with nothing but Python's standard library: well-formed, nothing fetched,
nothing from data understood as markup, and the figures of table.json and inference_config.json in it.

usage: report_check.py REPORT.html RUN [--pictures N] [--text WORDS]... [--no-text WORDS]...
"""
import argparse
import html.parser
import json
import os
import re

VOID = {"meta", "link", "br", "hr", "img", "input", "col"}
arguments = argparse.ArgumentParser()
arguments.add_argument("page")
arguments.add_argument("run")
arguments.add_argument("--pictures", type=int)
arguments.add_argument("--text", action="append", default=[])
arguments.add_argument("--no-text", action="append", default=[])
given = arguments.parse_args()


class Page(html.parser.HTMLParser):
    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open, self.ids, self.names, self.text, self.scripts, self.styles = [], set(), {}, [], [], []

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.names[tag] = self.names.get(tag, 0) + 1
        for key, value in attributes:
            assert not key.startswith("on"), f"<{tag}> has a handler {key}"
            if key in ("src", "href", "data", "action", "xlink:href"):
                assert value.startswith(("#", "data:,")), f"<{tag} {key}={value}> leaves the page"
        if "id" in values:
            assert values["id"] not in self.ids, f"id {values['id']} twice"
            self.ids.add(values["id"])
        if tag == "svg":
            assert values.get("aria-label") or values.get("aria-hidden") == "true", "a picture without words"
        if tag == "html":
            assert values.get("lang") == "en"
        if tag not in VOID:
            self.open.append((tag, self.getpos()))

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open and self.open[-1][0] == tag, f"</{tag}> at {self.getpos()} closes {self.open[-1:]}"
        self.open.pop()

    def handle_data(self, data):
        inside = self.open[-1][0] if self.open else ""
        (self.scripts if inside == "script" else self.styles if inside == "style" else self.text).append(data)


source = open(given.page, encoding="utf-8").read()
page = Page()
page.feed(source)
page.close()
assert not page.open, f"left open: {page.open}"
text = re.sub(r"\s+", " ", " ".join(page.text))
for tag in ("html", "head", "body", "main", "h1", "title", "style", "script"):
    assert page.names.get(tag) == 1, f"{page.names.get(tag)} <{tag}>, expected 1"
assert page.names.get("table", 0) == page.names.get("caption", 0), "a table without a caption"
assert not {"iframe", "object", "embed", "base", "form"} & set(page.names)
assert not re.search(r"url\(|@import|expression", "".join(page.styles)), "the style fetches something"
assert not re.search(r"fetch|XMLHttpRequest|import|eval|innerHTML", "".join(page.scripts)), "the script does more than sort"
for anchor in re.findall(r'href="#([\w-]+)"', source):
    assert anchor in page.ids, f"#{anchor} leads nowhere"


def has(words):
    assert words in text, f"'{words}' is not in the page"


def read(name):
    path = os.path.join(given.run, name)
    return json.load(open(path)) if os.path.exists(path) else None


table = read("table.json")
for trial in (table or {}).get("trials", []):
    has(trial["trial"])
    if "failed" not in trial:
        has(f"{trial['validation_loss']:.4f}")
        has(f"{trial[table['ranked_by']]['score']:.4f}")
rule = read("bundle/inference_config.json")
if rule:
    for part in ("validation", "test"):
        for key in ("precision", "recall", "f1"):
            has(f"{rule['metrics'][part][key]:.4f}")
    if "threshold" in rule:
        has(f"{rule['threshold']:.4g}")
    has(rule["split_sha256"])
    for name in rule["label2id"]:
        has(re.sub(r"\s+", " ", name))
for words in given.text:
    has(words)
for words in given.no_text:
    assert words not in text, f"'{words}' is in the page"
pictures = source.count("<figure")
if given.pictures is not None:
    assert pictures == given.pictures, f"{pictures} pictures, expected {given.pictures}"
print(f"{given.page}: {len(source)} bytes, {page.names.get('table', 0)} tables, {pictures} pictures")
