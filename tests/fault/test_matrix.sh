#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What comes back after planned faults is what a clean run leaves. MUSTER_FAULT_ALL=1: every operation x step x rank; else each once.
. "$(dirname "$0")/../system/common.sh"
python3 "$here/tiny.py" "$scratch" 60
python3 "$(dirname "$0")/matrix.py" "$scratch" ${MUSTER_FAULT_ALL:+all}
