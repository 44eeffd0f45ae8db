# SPDX-License-Identifier: Apache-2.0
# A bundle of a tiny random BERT, as the library writes it, is loaded by transformers with no missing, unexpected or mismatched key.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
python=${PYTHON:-python3}
bundle=$scratch/bundle
MUSTER_KEEP_BUNDLE=$bundle "${MUSTER_BIN:-$MUSTER_SOURCE/build/dev}/tests/test_bundle" >"$scratch/said" 2>&1 || fail "test_bundle"
code=0
"$python" "$here/bundle_check.py" "$bundle" >"$scratch/said" 2>&1 || code=$?
[ $code = 77 ] && skip "$(tail -1 "$scratch/said" | sed 's/^skipped: //')"
[ $code = 0 ] || fail "transformers does not load the bundle"
cat "$scratch/said"

say "the check sees a missing tensor and labels that disagree"
cp -r "$bundle" broken
"$python" - broken/model.safetensors <<'PY'
import json, struct, sys
data = open(sys.argv[1], "rb").read()
size, = struct.unpack("<Q", data[:8])
header = json.loads(data[8:8 + size])
header["classifier.extra"] = header.pop("classifier.bias")
text = json.dumps(header).encode()
open(sys.argv[1], "wb").write(struct.pack("<Q", len(text)) + text + data[8 + size:])
PY
sed -i 's/"NOT_CITATION"/"NO_CITATION"/' broken/inference_config.json
expect -e 1 "missing_keys: expected .*classifier.bias" "$python" "$here/bundle_check.py" broken
grep -q "inference_config.json id2label" "$scratch/said" || fail "labels that disagree were not seen"
