-- SPDX-License-Identifier: Apache-2.0
-- wrk: the lines of the file BODIES as bodies, in turn.
local bodies, at = {}, 0
for line in io.lines(os.getenv("BODIES")) do bodies[#bodies + 1] = line end
wrk.method, wrk.headers["Content-Type"] = "POST", "application/json"
function request()
  at = at % #bodies + 1
  return wrk.format(nil, nil, nil, bodies[at])
end
function done(summary, latency)
  local errors = summary.errors
  io.write(string.format('{"requests_per_second": %.1f, "p50_ms": %.1f, "p95_ms": %.1f, "failed": %d}\n', summary.requests / summary.duration * 1e6,
    latency:percentile(50) / 1e3, latency:percentile(95) / 1e3, errors.status + errors.connect + errors.read + errors.write + errors.timeout))
end
