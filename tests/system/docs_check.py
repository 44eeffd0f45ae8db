#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares the documentation with the sources and with what the programs say of themselves. Python's standard library alone.

usage: docs_check.py SOURCE MUSTER-DIRECTORY

  - README.md has fewer than 150 lines; every relative link of every .md file leads to a file, and its #anchor to a heading.
  - Every message that docs/troubleshooting.md quotes (**`...`** at the start of a line; "..." stands for what varies) is a string of the sources.
  - Every `muster VERB --option` of a page is an option of that verb's --help, and every job key is in `muster run --help`.
  - Every event that is written, and every field of a message, is described in docs/formats.md and docs/protocol.md; every operation
    of the fault plan is in docs/faults.md; every room, with what it links, in docs/architecture.md.
  - The tables of errors in docs/serving.md and of the page /docs, and the error types of openapi.json, are those of refusal.c.
"""
import pathlib
import re
import subprocess
import sys

source, programs = pathlib.Path(sys.argv[1]), sys.argv[2]
pages = [p for p in sorted(source.glob("*.md")) + sorted(source.glob("docs/*.md")) + sorted(source.glob("bench/*.md"))]
code = [p for room in ("common", "proto", "cluster", "coordinator", "worker") for p in sorted((source / room).rglob("*.[ch]*"))]
problems = []


def complain(page, text):
    problems.append(f"{page.relative_to(source)}: {text}")


LITERAL = r'"(?:\\.|[^"\\\n])*"'
TOKEN = re.compile(rf"/\*.*?\*/|//[^\n]*|'(?:\\.|[^'\\])+'|({LITERAL}(?:(?:\s|\b[A-Z][A-Z0-9_]*\b|\bPRI[a-z0-9]+\b)*{LITERAL})*)", re.S)


def strings(path):
    """The string literals of a C file, those that stand side by side as one; what a macro between them adds varies, as does %."""
    for match in TOKEN.finditer(path.read_text()):
        if match.group(1):
            text = re.sub(rf"{LITERAL}|\S+", lambda m: m.group(0)[1:-1] if m.group(0)[0] == '"' else "%s", re.sub(r'"\s+"', "", match.group(1)))
            yield re.sub(r"\\(.)", lambda m: " " if m.group(1) == "n" else m.group(1), text)


def headings(text):
    """Anchors as GitHub makes them."""
    plain = re.sub(r"```.*?```", "", text, flags=re.S)
    for title in re.findall(r"^#+ +(.*)$", plain, re.M):
        yield re.sub(r"[^\w\- ]", "", re.sub(r"&\w+;|`", "", title).lower()).replace(" ", "-")


def check_links(page, text):
    plain = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", plain):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists():
            complain(page, f"the link {target} leads nowhere")
        elif anchor and file.suffix == ".md" and anchor not in set(headings(file.read_text())):
            complain(page, f"the link {target}: no such heading")


def check_messages(page):
    known = sorted({text for path in code for text in strings(path)})
    quotes = re.findall(r"^\*\*`(.+?)`\*\*", page.read_text(), re.M)
    if len(quotes) < 40:
        complain(page, f"only {len(quotes)} messages are quoted: has their form changed?")
    for quote in quotes:
        parts = [part.strip() for part in re.split(r"\.\.\.(?!\.)", quote) if part.strip()]
        if sum(map(len, parts)) < 12:
            complain(page, f"`{quote}` is too short to be told from others")
        wanted = re.compile(".*".join(map(re.escape, parts)))
        if not any(wanted.search(text) for text in known):
            complain(page, f"no message of the sources is like `{quote}`")


def help_of(*words):
    done = subprocess.run([f"{programs}/muster", *words, "--help"], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"muster {' '.join(words)} --help ended with {done.returncode}: {done.stderr}")
    return done.stdout


FILES = {"json", "jsonl", "html", "csv", "tsv", "md", "c", "h", "py", "sh", "h5", "txt"}  # split.json is no job key
verbs = dict.fromkeys(re.findall(r"^  muster (\w+)", help_of(), re.M))
keys = set(re.findall(r"^  ([a-z_]+(?:\.[a-z_]+)?) ", help_of("run"), re.M))
keys |= {"sweep." + key.split(".")[-1] for key in keys if key.startswith("train.")} | {"sweep.seed"}


def check_commands(page, text):
    for verb, rest in re.findall(r"\bmuster +([a-z]+)\b([^`|\n;&#]*)", " ".join(re.findall(r"```.*?```|`[^`]*`|^    .*$", text, re.S | re.M)) + text):
        options = re.findall(r"(?<![\w-])--([a-z][a-z0-9-]*)", rest)
        if not options or verb not in verbs:
            continue
        verbs[verb] = verbs[verb] or set(re.findall(r"--([a-z][a-z0-9-]*)", help_of(verb)))
        for option in set(options) - verbs[verb]:
            complain(page, f"muster {verb} has no option --{option}")
    for key in set(re.findall(r"(?<![\w./-])((?:data|split|train|sweep|tune|report|cluster)\.[a-z_]+)\b(?![./(])", text)):
        if key.split(".")[1] not in FILES and key not in keys:
            complain(page, f"{key} is no key of a job")


def check_tables():
    formats, protocol = source / "docs/formats.md", source / "docs/protocol.md"
    written = {name for path in code for name in re.findall(r'(?:event_log_append|dispatch_\w*log_event|note_event)\([^;]*?"([a-z_]+)"', path.read_text())}
    if len(written) < 8:
        complain(formats, f"only {len(written)} events are found in the sources: has the call changed its name?")
    for event in sorted(written):
        if f"| `{event}` |" not in formats.read_text():
            complain(formats, f"the event {event} is not described")
    fields = {name for file in ("message.c", "trial.c") for name in re.findall(r"_?FIELD\((?:\w+, )?(\w+),", (source / "proto" / file).read_text())}
    for field in sorted(fields - {"body", "member"}):
        if f"`{field}`" not in protocol.read_text():
            complain(protocol, f"the field {field} is not described")

    faults = source / "docs/faults.md"
    names = re.search(r"names\[\] = \{(.*?)\};", (source / "common/base/operation.c").read_text(), re.S).group(1)
    listed = re.search(r"^Operations: (.*?)\.\s", faults.read_text(), re.M | re.S).group(1)
    for operation in re.findall(r'"([a-z_]+)"', names):
        if not re.search(rf"\b{operation}\b", listed):
            complain(faults, f"the operation {operation} is not listed")


def check_rooms():
    """The table of rooms in architecture.md has the rooms of CMakeLists.txt, and what each links."""
    page = source / "docs/architecture.md"
    rows = {path: {name.strip() for name in links.split(",") if name.strip()} for path, links in re.findall(r"^\| `([a-z/]+)` \|.*\| *([a-z, ]*)\|$", page.read_text(), re.M)}
    rooms = re.findall(r'^muster_room\(([a-z/]+) (\w+)\s+LINKS ([^)]*)\)', (source / "CMakeLists.txt").read_text(), re.M)
    names = {name for _, name, _ in rooms}
    if len(rooms) < 15:
        complain(page, f"only {len(rooms)} rooms are found in CMakeLists.txt: has the call changed its name?")
    for path, name, links in rooms:
        linked = names & set(links.split())
        if path not in rows:
            complain(page, f"the room {path} is not in the table")
        elif rows[path] != linked:
            complain(page, f"the room {path} links {', '.join(sorted(linked))}; the table says {', '.join(sorted(rows[path]))}")


def check_errors():
    serve = source / "coordinator/serve"
    kinds = {(status, name) for status, name in re.findall(r'= \{(\d{3}), "(\w+)"\}', (serve / "refusal.c").read_text())}
    if len(kinds) < 10:
        complain(serve / "refusal.c", f"only {len(kinds)} errors are found: has the table changed its form?")
    for page, row in (source / "docs/serving.md", r"^\| (\d{3}) \| (`[^|]*`) \|"), (serve / "page/docs.html", r"^<tr><td>(\d{3})</td><td>([\w, ]+)</td>"):
        told = {(status, name) for status, names in re.findall(row, page.read_text(), re.M) for name in names.replace("`", "").split(", ")}
        for name in sorted({name for _, name in kinds ^ told}):
            complain(page, f"the error {name} is not as in coordinator/serve/refusal.c")
    api = serve / "page/openapi.json"
    listed = set(re.findall(r'"(\w+)"', re.search(r'"error_type": \{ "enum": \[(.*?)\]', api.read_text()).group(1)))
    for name in sorted({name for _, name in kinds} ^ listed):
        complain(api, f"the error {name} is not as in coordinator/serve/refusal.c")


for page in pages:
    text = page.read_text()
    check_links(page, text)
    if page.name != "CHANGELOG.md":  # it may name what is gone
        check_commands(page, text)
if (count := len((source / "README.md").read_text().splitlines())) >= 150:
    complain(source / "README.md", f"{count} lines; fewer than 150 are to be read")
check_messages(source / "docs/troubleshooting.md")
check_tables()
check_rooms()
check_errors()
print("\n".join(problems) or f"{len(pages)} pages agree with the sources")
sys.exit(bool(problems))
