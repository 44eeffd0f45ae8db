#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Real labelled text for the demo, made from the Debian package index.

  debian.py pairs OUT.jsonl   citation-style pairs (W1): does the package described in text A depend on, recommend or suggest
                              the package B (of another source package)? Three random non-links for each link. Group = source of A.
  debian.py tags  OUT.jsonl   description -> debtags, a multi-label job (W3). Group = source package. With --parts it is not `text` but
                              its first line, `title`, and the rest, `snippet`.
  debian.py documents OUT.jsonl   the same with long texts (W5): all descriptions of a source package's packages, and all their tags.

The index is fetched with apt-get into --index (no rights needed), or reused if it is there. Descriptions are English, or those that
--language names (as far as they are translated). The same state of the archive, seed and options give the same bytes; the last line
printed is their SHA-256.
"""
import argparse
import hashlib
import json
import os
import random
import re
import subprocess
import sys

APT_SETTINGS = """\
#clear Acquire::Languages;
Acquire::Languages {{ "en"; "{language}"; }};
Dir::State::lists "{index}/lists";
Dir::Cache "{index}/cache";
"""


def run(*command):
    try:
        return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    except FileNotFoundError:
        sys.exit(f"debian.py: {command[0]} not found: this program needs a Debian system")
    except subprocess.CalledProcessError as failure:
        sys.exit(f"debian.py: {' '.join(command)} failed with exit code {failure.returncode}")


def fetch(index, language):
    """Paths of the release's Packages and Translation files in `index`, fetched first if they are not there."""
    for directory in ("lists/partial", "lists/auxfiles", "cache/archives/partial"):
        os.makedirs(f"{index}/{directory}", exist_ok=True)
    settings = f"{index}/apt.conf"
    with open(settings, "w") as file:
        file.write(APT_SETTINGS.format(index=index, language=language))
    codename = re.search(r"^VERSION_CODENAME=(\S+)", open("/etc/os-release").read(), re.M).group(1)
    listing = ["apt-get", "-c", settings, "indextargets", "--format", "$(CREATED_BY) $(CODENAME) $(COMPONENT) $(FILENAME)"]

    def present():
        found = [line.split(" ", 3) for line in run(*listing).decode().splitlines()]
        return {kind: path for kind, name, component, path in found if name == codename and component == "main"
                and (kind != "Translations" or re.search(rf"_Translation-{language}\b", path))}

    if not {"Packages", "Translations"} <= present().keys():
        run("apt-get", "-c", settings, "-o", "APT::Sandbox::User=", "-qq", "update")
    files = present()
    for kind in ("Packages", "Translations"):
        if kind not in files:
            sys.exit(f"debian.py: the package index of {codename} main has no {kind} ({language}); is there a line for it in /etc/apt/sources.list.d?")
    return files["Packages"], files["Translations"]


def stanzas(path):
    """Each paragraph of a control file as a dict of its fields."""
    text = run("/usr/lib/apt/apt-helper", "cat-file", path).decode("utf-8", "replace")
    for paragraph in text.split("\n\n"):
        fields, name = {}, None
        for line in paragraph.splitlines():
            if line[:1] in (" ", "\t"):
                fields[name] += "\n" + line[1:]
            else:
                name, _, value = line.partition(":")
                fields[name] = value.strip()
        if "Package" in fields:
            yield fields


def plain(description):
    """Synopsis and long description as running text: ' .' lines are paragraph breaks."""
    return " ".join(word for word in description.split() if word != ".")


def packages(index, language="en"):
    binary, translation = fetch(index, language)
    field = f"Description-{language}"
    descriptions = {s["Description-md5"]: s[field] for s in stanzas(translation) if field in s}
    result = {}
    for s in stanzas(binary):
        title, _, rest = descriptions.get(s.get("Description-md5"), "").partition("\n")
        description = plain(f"{title} {rest}")
        if not description or s["Package"] in result:
            continue
        targets = ",".join(s.get(field, "") for field in ("Depends", "Recommends", "Suggests"))
        result[s["Package"]] = {
            "source": s.get("Source", s["Package"]).split()[0],
            "maintainer": re.sub(r"\s*<[^>]*>", "", s.get("Maintainer", "")),
            "description": description,
            "title": plain(title),
            "snippet": plain(rest),
            "targets": [re.split(r"[\s:(|]", target.strip())[0] for target in targets.split(",") if target.strip()],
            "tags": [tag for tag in re.split(r",\s*", s.get("Tag", "")) if tag],
        }
    return result


def pair(known, a, b, label):
    return {
        "original_paper_id": known[a]["source"],
        "sentence": known[a]["description"],
        "ref_paper_id": b,
        "ref_paper_title": b,
        "ref_paper_authors": known[b]["maintainer"],
        "ref_paper_text": known[b]["description"],
        "label": label,
    }


def make_pairs(known, links, seed):
    chance, names = random.Random(seed), sorted(known)
    candidates = sorted({(a, b) for a in names for b in known[a]["targets"] if b in known and known[b]["source"] != known[a]["source"]})
    for a, b in chance.sample(candidates, min(links, len(candidates))):
        yield pair(known, a, b, 1)
        linked, left = set(known[a]["targets"]), 3
        while left:
            other = names[chance.randrange(len(names))]
            if other not in linked and known[other]["source"] != known[a]["source"]:
                yield pair(known, a, other, 0)
                linked.add(other)
                left -= 1


def make_tags(known, count, seed, parts=False):
    tagged = [name for name in sorted(known) if known[name]["tags"]]
    for name in random.Random(seed).sample(tagged, min(count, len(tagged))):
        package = known[name]
        texts = {"title": package["title"], "snippet": package["snippet"]} if parts else {"text": package["description"]}
        yield {"id": name, "source": package["source"], **texts, "tags": package["tags"]}


def make_documents(known, count, seed):
    sources = {}
    for name in sorted(known):
        sources.setdefault(known[name]["source"], []).append(known[name])
    tagged = [source for source in sorted(sources) if any(package["tags"] for package in sources[source])]
    for source in random.Random(seed).sample(tagged, min(count, len(tagged))):
        texts = dict.fromkeys(package["description"] for package in sources[source]) # once each, in order
        yield {"id": source, "text": " ".join(texts), "tags": sorted({tag for package in sources[source] for tag in package["tags"]})}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("form", choices=("pairs", "tags", "documents"))
    parser.add_argument("out")
    parser.add_argument("--index", default="runs/debian-index", help="directory of the package index (default: %(default)s)")
    parser.add_argument("--links", type=int, default=500, help="pairs: number of links; rows = 4 times that (default: %(default)s)")
    parser.add_argument("--packages", type=int, default=30000, help="tags, documents: number of packages, of sources (default: %(default)s)")
    parser.add_argument("--parts", action="store_true", help="tags: title and snippet in place of text")
    parser.add_argument("--language", default="en", help="of the descriptions, as the archive names it, such as ru (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=42, help="default: %(default)s")
    given = parser.parse_args()
    known = packages(os.path.abspath(given.index), given.language)
    if given.form == "pairs":
        rows = list(make_pairs(known, given.links, given.seed))
    elif given.form == "tags":
        rows = list(make_tags(known, given.packages, given.seed, given.parts))
    else:
        rows = list(make_documents(known, given.packages, given.seed))
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    with open(given.out + ".tmp", "wb") as file:
        file.write(text)
    os.replace(given.out + ".tmp", given.out)
    if given.form != "pairs":
        print(f"{len({tag for row in rows for tag in row['tags']})} tags")
    print(f"{given.out}: {len(rows)} rows of {len(known)} packages, sha256 {hashlib.sha256(text).hexdigest()}")


if __name__ == "__main__":
    main()
