#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# /openapi.json is a valid description, and thousands of requests made from it find no answer that it does not describe; /metrics is what Prometheus reads.
. "$(dirname "$0")/common.sh"
. "$here/serve.sh"
api=$MUSTER_SOURCE/runs/api/bin
"$api/python" -c 'import openapi_spec_validator, prometheus_client, schemathesis' 2>/dev/null || skip "schemathesis, openapi-spec-validator and prometheus_client are not installed (test.sh does it)"
make_bundles
serve many=many/bundle pair=run/bundle

say "valid OpenAPI 3.1, with the fields and labels of both models"
curl -sS "$url/openapi.json" >openapi.json
"$api/python" - <<'PY' || fail "openapi.json"
import json
from openapi_spec_validator import OpenAPIV31SpecValidator
api = json.load(open("openapi.json"))
OpenAPIV31SpecValidator(api).validate()
assert set(api["paths"]) >= {"/classify", "/models/many/classify", "/models/pair/classify/batch", "/predict", "/info", "/ready", "/metrics", "/"}, sorted(api["paths"])
assert "security" not in api
schemas = api["components"]["schemas"]
single, pair = schemas["Request1"]["anyOf"][0], schemas["Request2"]["anyOf"][0]
assert single["required"] == ["text"] and set(pair["required"]) == set(json.load(open("pair.json"))["data"].get("required", [])), (single["required"], pair["required"])
assert set(schemas["Result1"]["properties"]["labels"]["items"]["enum"]) == {"joy", "<b>bold</b>", "a label of many words that is long", "anger"}
PY

say "requests made from it"
timeout 700 "$api/schemathesis" run "$url/openapi.json" --checks all --max-examples "${MUSTER_API_EXAMPLES:-100}" --workers 1 --generation-allow-x00 false --generation-database none --seed 1 \
  --phases examples,coverage,fuzzing --request-timeout 30 --suppress-health-check all --warnings off --no-color >ran 2>&1 || { cut -c1-300 ran | grep -vE '^\s*$' | head -150; fail "schemathesis finds something"; }
tail -15 ran
kill -0 "$server" || fail "the server is gone"
curl -sS "$url/classify" -H 'Content-Type: application/json' -d '{"text": "word1 linked"}' | has '"labels":' || fail "it does not answer any more"

say "metrics by Prometheus' own parser"
curl -sS "$url/metrics" >metrics
"$api/python" - <<'PY' || fail "metrics"
from prometheus_client.parser import text_string_to_metric_families
families = {f.name: f for f in text_string_to_metric_families(open("metrics").read())}
for name, kind in {"muster_serve_requests": "counter", "muster_serve_rows": "counter", "muster_serve_request_seconds": "histogram", "muster_serve_queue_rows": "gauge", "process_cpu_seconds": "counter"}.items():
    assert name in families and families[name].type == kind and families[name].documentation, (name, families.get(name))
for f in families.values():
    assert f.samples, f"{f.name} has no sample"
    if f.type == "histogram":
        buckets = [s.value for s in f.samples if s.name.endswith("_bucket")]
        assert buckets == sorted(buckets) and buckets[-1] == next(s.value for s in f.samples if s.name.endswith("_count")), f.name
total = sum(s.value for s in families["muster_serve_requests"].samples)
assert total > 1000, f"only {total:.0f} requests were made"
print(f"{total:.0f} requests")
PY
