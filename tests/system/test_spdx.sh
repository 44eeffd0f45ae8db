#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every source file names its license in its first line, or in its second behind "#!".
. "$(dirname "$0")/common.sh"
cd "$MUSTER_SOURCE"
count=0
while read -r file; do
  count=$((count + 1))
  head -2 "$file" | grep -vE '^#!' | head -1 | grep -qE '^(/\*|#|//) SPDX-License-Identifier: Apache-2\.0( \*/)?$' ||
    { echo "$file"; touch "$scratch/missing"; }
done < <(find . \( -path ./build -o -path ./runs -o -path ./.git \) -prune -o -type f \
  \( -name '*.[ch]' -o -name '*.h.in' -o -name '*.sh' -o -name '*.py' -o -name '*.cmake' -o -name CMakeLists.txt -o -name '*.sbatch' \) -print)
[ "$count" -ge 300 ] || fail "no more than $count source files found in $MUSTER_SOURCE"
[ ! -e "$scratch/missing" ] || fail "the files above do not begin with their license, SPDX-License-Identifier: Apache-2.0"
