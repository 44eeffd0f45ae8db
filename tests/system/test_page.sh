#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The page of muster serve, in a headless Chromium against a server of two bundles.
. "$(dirname "$0")/common.sh"
. "$here/serve.sh"
make_bundles
muster zoo many -o many/zoo.json
serve many=many/bundle/ pair=run/bundle

say "files: types, a strict policy, nothing to fetch from elsewhere"
head_of() { curl -sSI "$url$1" | tr -d '\r'; }
for path in / /docs; do
  head_of $path | has "^Content-Type: text/html" || fail "$path is no page"
  head_of $path | has "^Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self';" || fail "$path has no strict policy"
  head_of $path | has "^X-Content-Type-Options: nosniff" || fail "$path may be sniffed"
done
for path in / /page.css /page.js /docs /docs.js; do
  curl -sS "$url$path" >file
  if grep -nE "(src|href)=[\"']?(https?:)?//|@import|url\(|innerHTML|outerHTML|insertAdjacent|document\.write|eval\(| on[a-z]+=" file; then fail "$path: markup from data, or something from elsewhere"; fi
  same_bytes file "$MUSTER_SOURCE/coordinator/serve/page/$(case $path in /) echo index.html ;; /docs) echo docs.html ;; *) basename "$path" ;; esac)"
done
[ "$(curl -sS -o /dev/null -w '%{http_code}' "$url/page.js" -X POST)" = 405 ] || fail "a file takes POST"

say "evaluation"
curl -sS "$url/evaluation" >file && same_bytes file many/bundle/evaluation.json
curl -sS "$url/models/pair/evaluation" >file && same_bytes file run/bundle/evaluation.json
mv run/bundle/evaluation.json kept
[ "$(curl -sS -o file -w '%{http_code}' "$url/models/pair/evaluation")" = 404 ] && grep -q "the bundle of 'pair' has no evaluation.json" file || fail "a bundle without evaluation is not told"
mv kept run/bundle/evaluation.json

say "models compared"
curl -sS "$url/zoo" >file && same_bytes file many/zoo.json
[ "$(curl -sS -o file -w '%{http_code}' "$url/models/pair/zoo")" = 404 ] && grep -q "no zoo.json lies by the bundle of 'pair'" file || fail "a bundle without a table is not told"

browser=$(command -v chromium || command -v chromium-browser || true)
[ -n "$browser" ] || { skipped "chromium is not installed: how the page behaves is not tested"; exit 0; }
say "in a browser"
python3 "$here/page_check.py" "$url" "$browser" "$scratch" || fail "the page is not as promised"

say "a key is asked for where one is needed"
kill "$server"
wait "$server" || fail "the server ended with $?"
echo 0123456789abcdef0123456789abcdef >keys && chmod 600 keys
rm many/zoo.json # and without a table the page asks for none
serve many=many/bundle --api-key-file keys
[ "$(curl -sS -o /dev/null -w '%{http_code}' "$url/evaluation")" = 401 ] || fail "/evaluation asks for no key"
curl -sS "$url/openapi.json" | has '"security": *\[' || fail "/openapi.json does not say that a key is needed"
python3 "$here/page_check.py" "$url" "$browser" "$scratch" --key "$(cat keys)" || fail "the page does not ask for a key"
