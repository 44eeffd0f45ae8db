#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# cmake --install gives a copy that works elsewhere: muster finds its worker beside itself.
. "$(dirname "$0")/common.sh"
python3 "$here/tiny.py" "$scratch" 60
cmake --install "${MUSTER_BIN:-$MUSTER_SOURCE/build/dev}" --prefix "$scratch/usr" >/dev/null
PATH=$(tr : '\n' <<<"$PATH" | while read -r directory; do [ -e "$directory/muster" ] || printf '%s:' "$directory"; done)
command -v muster >/dev/null && fail "the build directory is still in PATH"
expect 0 'lr-0.005_epochs-1|F1|f1' "$scratch/usr/bin/muster" train job.json train.epochs=1
expect 0 'worker' "$scratch/usr/bin/muster" doctor
expect 0 '  GPU  *CUDA(:| [0-9]+\.[0-9])' "$scratch/usr/bin/muster" doctor
