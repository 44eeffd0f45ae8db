#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tests/golden/tensors_*: small files of PyTorch and safetensors with what they hold, as text.

Usage: golden_tensors.py OUT_FOLDER   (needs torch and safetensors)
"""
import sys, os, struct, zipfile
from collections import OrderedDict
import torch
import safetensors
from safetensors.torch import save_file

out = sys.argv[1]
g = torch.Generator().manual_seed(7)
base = torch.randn(5, 7, generator=g)
tied = torch.randn(3, 4, generator=g)


def state():
    s = OrderedDict()
    s["f32"] = base.clone()
    s["f16"] = torch.tensor([0.0, -0.0, 1.0, -2.5, 65504.0, 6e-8, 6.1e-5, 0.333], dtype=torch.float16)
    s["bf16"] = torch.tensor([1.0, -3.14159, 1e30, 1e-40, 0.0], dtype=torch.bfloat16)
    s["f64"] = torch.tensor([[1.0 / 3.0, -1e-300], [12345678.9, 2.0]], dtype=torch.float64)
    s["i64"] = torch.arange(6, dtype=torch.int64).reshape(1, 6)
    s["i32"] = torch.tensor([-1, 2**31 - 1], dtype=torch.int32)
    s["u8"] = torch.tensor([0, 255, 7], dtype=torch.uint8)
    s["flag"] = torch.tensor([True, False, True])
    s["transposed"] = base.t()
    s["sliced"] = base[1:4, 2:6]
    s["expanded"] = torch.tensor([4.0, 5.0]).expand(3, 2)
    s["tied.a"] = tied
    s["tied.b"] = tied
    s["scalar"] = torch.tensor(2.75)
    s["empty"] = torch.zeros(0, 4)
    s["parameter"] = torch.nn.Parameter(torch.tensor([1.5, -1.5]))
    s["Слой.вес"] = torch.tensor([8.0])
    s._metadata = OrderedDict({"": {"version": 1}, "a.b": {"version": 2}})
    return s


def element_bytes(t):
    t = t.detach().contiguous()
    return bytes(t.flatten().view(torch.uint8).tolist()) if t.numel() else b""


NAMES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.float64: "F64", torch.int64: "I64",
         torch.int32: "I32", torch.uint8: "U8", torch.bool: "other"}


def describe(path, s):
    """One line a tensor: name, type, shape, the row-major bytes, and the values as f32 bits (or -)."""
    with open(path, "w") as f:
        f.write(f"# torch {torch.__version__}, safetensors {safetensors.__version__}; tools/golden_tensors.py\n")
        for name in sorted(s, key=lambda n: n.encode()):
            t = s[name].detach()
            shape = ",".join(map(str, t.shape)) or "scalar"
            floats = "-"
            if t.is_floating_point():
                floats = t.contiguous().float().flatten()
                floats = "".join(struct.pack(">f", v).hex() for v in floats.tolist()) or "none"
            f.write(f"{name} {NAMES[t.dtype]} {shape} {element_bytes(t).hex() or 'none'} {floats}\n")


def name(n):
    return os.path.join(out, "tensors_" + n)


s = state()
describe(name("expected.txt"), s)
torch.save(s, name("zip.bin"))
torch.save(s, name("legacy.bin"), _use_new_zipfile_serialization=False)
# safetensors refuses views that share memory: whole copies
save_file({k: v.detach().clone().contiguous() for k, v in s.items()}, name("all.safetensors"), metadata={"format": "pt", "note": "ä"})
# the same archive, deflated, as other zip programs repack it
with zipfile.ZipFile(name("zip.bin")) as a, zipfile.ZipFile(name("deflated.bin"), "w", zipfile.ZIP_DEFLATED) as b:
    for i in a.infolist():
        b.writestr(zipfile.ZipInfo(i.filename), a.read(i), zipfile.ZIP_DEFLATED)
# a training script's checkpoint: the tensors are one level down
torch.save({"epoch": 3, "state_dict": s}, name("nested.bin"))


class Evil:
    def __reduce__(self):
        return (os.system, ("echo executed >&2",))


for legacy in (False, True):
    torch.save({"weight": torch.ones(2), "x": Evil()}, name("evil_legacy.bin" if legacy else "evil_zip.bin"),
               _use_new_zipfile_serialization=not legacy)
