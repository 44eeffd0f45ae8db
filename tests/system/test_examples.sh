#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The demo's data is what it says: three non-links a link, of other source packages, and the same bytes for the same seed.
. "$(dirname "$0")/common.sh"
python3 - "$MUSTER_SOURCE/examples" <<'PY' || fail "examples/debian.py"
import json, sys
sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
import debian

known = {f"p{i}": {"source": f"s{i // 2}", "maintainer": "m", "description": f"text {i}",
                   "targets": [f"p{(i * 7 + k) % 60}" for k in range(3)] + ["absent"], "tags": ["a", "b"][: i % 3]} for i in range(60)}
rows = list(debian.make_pairs(known, 40, 42))
assert [row["label"] for row in rows] == [1, 0, 0, 0] * 40, "one link, then three that are none"
for at in range(0, len(rows), 4):
    a = next(name for name in known if known[name]["description"] == rows[at]["sentence"])
    assert len({row["ref_paper_id"] for row in rows[at:at + 4]}) == 4, "a text has the same package twice"
    for row in rows[at:at + 4]:
        assert row["sentence"] == known[a]["description"] and row["original_paper_id"] == known[a]["source"], row
        assert (row["ref_paper_id"] in known[a]["targets"]) == (row["label"] == 1), row
        assert known[row["ref_paper_id"]]["source"] != known[a]["source"], row
again, other = list(debian.make_pairs(known, 40, 42)), list(debian.make_pairs(known, 40, 43))
assert json.dumps(again) == json.dumps(rows) and json.dumps(other) != json.dumps(rows), "the seed decides"
tags = list(debian.make_tags(known, 100, 42))
assert len(tags) == 40 and all(row["tags"] == known[row["id"]]["tags"] and row["tags"] for row in tags), "packages with tags, all of them"
PY
for job in "$MUSTER_SOURCE"/examples/*.json; do
  python3 -m json.tool "$job" >/dev/null || fail "$job is no JSON"
done
