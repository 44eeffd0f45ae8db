#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Static analysis of the programs' sources: cppcheck and clang-tidy, on the compile commands of build/dev. Any finding fails.
# usage: tools/lint.sh [FILE.c ...]; without files all of them
set -euo pipefail
cd "$(dirname "$0")/.."
rooms=(common proto cluster coordinator worker)
[ -f build/dev/compile_commands.json ] || { echo "build/dev is not configured: cmake --preset dev" >&2; exit 1; }
if [ $# -gt 0 ]; then files=("$@"); else mapfile -t files < <(find "${rooms[@]}" -name '*.c' ! -path 'worker/device/kernels/*' | sort); fi

echo "cppcheck: ${#files[@]} files"
cppcheck --quiet --error-exitcode=1 -j "$(nproc)" --std=c11 --enable=warning,performance,portability --library=posix -D_GNU_SOURCE \
  -I. -Ibuild/dev/generated --suppress=missingIncludeSystem --suppressions-list=tools/cppcheck.suppressions "${files[@]}"

echo "clang-tidy: ${#files[@]} files"
printf '%s\0' "${files[@]}" | xargs -0 -P "$(nproc)" -n 4 clang-tidy -p build/dev --quiet 2>/dev/null
