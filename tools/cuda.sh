#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# CUDA 13.0's compiler, cuBLASLt and NCCL out of PyPI's wheels into a folder, 1.2 GB, for machines that have no CUDA toolkit. Needs no root, no
# driver and no GPU; NVIDIA's licences hold, which the wheels carry.
#
# usage: bash tools/cuda.sh DIR        afterwards: cmake --preset cuda -D MUSTER_CUDA_ROOT=DIR
set -euo pipefail
. "$(dirname "$0")/install.sh"
[ $# -eq 1 ] || { sed -n '6s/^# //p' "$0" >&2; exit 2; }
directory=$1

# name version sha256, of linux x86-64
wheels="nvidia-cuda-nvcc==13.0.88 56fe502eb77625a12f25172caa3cdddb4e4c8ba2c8c17dba44b164761b380f03
nvidia-nvvm==13.0.88 c5f41ffeb6466944a026dfa5317d7d85355c119bbec279205d22f1869d1054e0
nvidia-cuda-crt==13.0.88 2c8043c7c9e02492716426e9919fc78d2c5b3b2a7a768a88e952676b08aa55a4
nvidia-cuda-runtime==13.0.96 7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548
nvidia-cuda-cccl==13.0.85 e0da7ad981f3a8aff08241b5bfc1af868742a63e2762f53a5171c492ef242649
nvidia-cublas==13.1.0.3 ee8722c1f0145ab246bccb9e452153b5e0515fd094c3678df50b2a0888b8b171
nvidia-nccl-cu13==2.28.9 e4553a30f34195f3fa1da02a6da3d6337d28f2003943aa0a3d247bbc25fefc42"
made=$(printf '%s\n' "$wheels" | sha256sum)
if [ -f "$directory/made" ] && [ "$(cat "$directory/made")" = "$made" ]; then
  echo "$directory: is there"
  exit
fi
[ ! -e "$directory" ] || [ -f "$directory/made" ] || { echo "$directory: exists and is not of tools/cuda.sh; name another folder" >&2; exit 3; }
[ "$(uname -sm)" = "Linux x86_64" ] || { echo "tools/cuda.sh: has wheels for x86-64 Linux alone; install NVIDIA's toolkit and name it: -D MUSTER_CUDA_ROOT=DIR" >&2; exit 3; }
need_packages g++ python3 python3-pip ca-certificates

new=$directory.new
rm -rf "$new" && mkdir -p "$new"
printf '%s\n' "$wheels" | sed 's/ / --hash=sha256:/' >"$new/wheels.txt"
python3 -m pip install -q --disable-pip-version-check --no-deps --require-hashes --target "$new/wheels" -r "$new/wheels.txt"
# One root, as of a toolkit: bin, nvvm, include, lib64, with the names that a linker asks for.
mv "$new"/wheels/nvidia/cu13/* "$new"
mv "$new"/wheels/nvidia/nccl/include/* "$new/include"
mv "$new"/wheels/nvidia/nccl/lib/* "$new/lib"
ln -s lib "$new/lib64"
chmod +x "$new"/bin/* "$new"/nvvm/bin/*
for library in "$new"/lib/lib*.so.*; do
  name=$(basename "$library")
  [ -e "$new/lib/${name%%.so.*}.so" ] || ln -s "$name" "$new/lib/${name%%.so.*}.so"
done
rm -rf "$new/wheels"
printf '%s\n' "$made" >"$new/made"
rm -rf "$directory" && mv "$new" "$directory"
"$directory/bin/nvcc" --version | tail -2 | head -1
