# SPDX-License-Identifier: Apache-2.0
"""Reads results.h5 with h5py, as a user would: python results_check.py RESULTS EXPECTED.json. Prints what differs; exit 1.

EXPECTED: {"split_sha256", "labels": [names], "rows": {part: {"id": [], "group": [], "label": []}},
           "trials": {key: {part: {epoch: {"loss", "metrics", "options", "logits": [[]]}}}}}
"""
import json
import sys

import h5py
import numpy as np

wrong = 0


def same(what, found, expected):
    global wrong
    if found != expected:
        wrong += 1
        print(f"{what}: expected {expected!r}, found {found!r}")


def texts(dataset):
    assert h5py.check_string_dtype(dataset.dtype).encoding == "utf-8", dataset
    return list(dataset.asstr()[...])


def main(path, expected_path):
    with open(expected_path, encoding="utf-8") as f:
        expected = json.load(f)
    with h5py.File(path, "r") as f:
        same("split_sha256", f.attrs["split_sha256"], expected["split_sha256"])
        same("labels", texts(f["label"]), expected["labels"])
        same("parts", sorted(f["rows"]), sorted(expected["rows"]))
        for part, columns in expected["rows"].items():
            same(f"{part} ids", texts(f[f"rows/{part}/id"]), columns["id"])
            same(f"{part} groups", texts(f[f"rows/{part}/group"]), columns["group"])
            same(f"{part} labels", f[f"rows/{part}/label"][...].tolist(), columns["label"])
        same("trials", sorted(f["trials"]), sorted(expected["trials"]))
        for key, parts in expected["trials"].items():
            for part, epochs in parts.items():
                for epoch, e in epochs.items():
                    place = f"trials/{key}/{part}/epoch-{epoch}/logits"
                    logits = f[place]
                    same(place + " type", logits.dtype, np.dtype("<f4"))
                    same(place, logits[...].tolist(), np.array(e["logits"], dtype=np.float32).tolist())
                    same(place + " loss", float(logits.attrs["loss"]), e["loss"])
                    same(place + " split", logits.attrs["split_sha256"], expected["split_sha256"])
                    same(place + " options", json.loads(logits.attrs["options"]), e["options"])
                    same(place + " metrics", json.loads(logits.attrs["metrics"]) if "metrics" in logits.attrs else None, e["metrics"])
                    same(place + " dimensions", [d.label for d in logits.dims], ["row", "label"])
                    same(place + " chunked", logits.chunks is not None, True)
                    same(place + " row scale", texts(logits.dims[0][0]), expected["rows"][part]["id"])
                    same(place + " label scale", texts(logits.dims[1][0]), expected["labels"])
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
