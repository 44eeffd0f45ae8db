#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reads TensorBoard event files of trials with code of its own (frames, CRC32C, the wire format), compares them with the
metrics.jsonl beside them, and then with what the `tensorboard` package reads, where it is installed.

usage: tensorboard_check.py TRIAL ...
"""
import glob
import json
import struct
import sys

TABLE = []
for i in range(256):
    for _ in range(8):
        i = i >> 1 ^ (0x82F63B78 if i & 1 else 0)
    TABLE.append(i)


def masked(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = TABLE[(crc ^ byte) & 255] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def frames(data):
    at = 0
    while at < len(data):
        (size,) = struct.unpack_from("<Q", data, at)
        assert struct.unpack_from("<I", data, at + 8) == (masked(data[at:at + 8]),), f"bad CRC of a length at {at}"
        body = data[at + 12:at + 12 + size]
        assert len(body) == size and struct.unpack_from("<I", data, at + 12 + size) == (masked(body),), f"bad CRC at {at}"
        yield body
        at += 16 + size


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value, shift, at = value | (byte & 127) << shift, shift + 7, at + 1
        if byte < 128:
            return value, at


def fields(data):
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        if key & 7 == 0:
            value, at = varint(data, at)
        else:
            size, at = {1: lambda: (8, at), 2: lambda: varint(data, at), 5: lambda: (4, at)}[key & 7]()
            value, at = data[at:at + size], at + size
        yield key >> 3, value


def scalars(path):
    """tag -> [(step, value)]"""
    found = {}
    for number, event in enumerate(frames(open(path, "rb").read())):
        event = dict(fields(event))
        if number == 0:
            assert event[3] == b"brain.Event:2", event
        for _, value in fields(event.get(5, b"")):
            value = dict(fields(value))
            if 2 in value:
                found.setdefault(value[1].decode(), []).append((event[2], struct.unpack("<f", value[2])[0]))
    return found


def single(value):
    return struct.unpack("<f", struct.pack("<f", value))[0]


def expected(trial):
    lines = [json.loads(line) for line in open(f"{trial}/metrics.jsonl")]
    steps = [line for line in lines if "train_loss" not in line]
    epochs = [line for line in lines if "train_loss" in line]
    assert [line["step"] for line in steps] == list(range(1, len(steps) + 1)), "metrics.jsonl has a step twice, or misses one"
    want = {f"train/{key}": [(line["step"], single(line[key])) for line in steps] for key in ("loss", "lr", "grad_norm", "tokens_per_second")}
    want["validation/loss"] = [(line["step"], single(line["validation_loss"])) for line in epochs]
    want["train/epoch_loss"] = [(line["step"], single(line["train_loss"])) for line in epochs]
    for key in epochs[0]["validation"] if epochs else ():
        if key not in ("epoch", "train_loss", "validation_loss"):
            want[f"validation/{key}"] = [(line["step"], single(line["validation"][key])) for line in epochs]
    return want


def same(found, want, where):
    assert found.keys() == want.keys(), (where, found.keys() ^ want.keys())
    for tag in want:
        assert [s for s, _ in found[tag]] == [s for s, _ in want[tag]], (where, tag, found[tag], want[tag])
        for (_, a), (_, b) in zip(found[tag], want[tag]):
            assert abs(a - b) <= 1e-6 * max(1, abs(b)) or tag.endswith("per_second") and abs(a - b) < 0.06, (where, tag, a, b)


def by_package(trial):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import plugin_data_pb2
    reader = EventAccumulator(trial, size_guidance={"scalars": 0})
    reader.Reload()
    (content,) = reader.PluginTagToContent("hparams").values()
    options = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info.hparams
    assert options["epochs"].number_value >= 1 and options["precision"].string_value == "f32" and options["lr"].number_value > 0, options
    return {tag: [(e.step, e.value) for e in reader.Scalars(tag)] for tag in reader.Tags()["scalars"]}


try:
    import tensorboard
except ImportError:
    tensorboard = None
for directory in sys.argv[1:]:
    files = glob.glob(f"{directory}/events.out.tfevents.*")
    assert len(files) == 1, files
    wanted = expected(directory)
    same(scalars(files[0]), wanted, files[0])
    if tensorboard:
        same(by_package(directory), wanted, f"{directory} by the tensorboard package")
print(f"{len(sys.argv) - 1} trials agree,", f"tensorboard {tensorboard.__version__} too" if tensorboard else "no tensorboard package here")
