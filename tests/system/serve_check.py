#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Speaks to a running `muster serve` and checks every route, every refusal and every number. Python's standard library alone.

usage: serve_check.py routes|bad|metrics|load|idle|slow URL ...
    routes URL ROWS PREDICTED TASK    rows (JSON Lines) and what `muster predict` said of them; task: binary, classes or labels
    bad URL MAX-BODY MAX-ITEMS        requests that are wrong, each with its status
    metrics URL                       Prometheus text
    load URL ROWS PREDICTED FILE      six clients until FILE is there, whatever happens to the server: the numbers of muster predict, 503, or a connection that ends
    idle URL COUNT                    holds so many connections, and is answered on another
    slow URL COUNT                    so many clients that send a byte now and then: closed, and others are answered meanwhile
"""
import http.client
import json
import os
import re
import socket
import sys
import threading
import time
import urllib.parse

what, url = sys.argv[1], urllib.parse.urlparse(sys.argv[2])
JSON = {"Content-Type": "application/json"}


def ask(method, path, body=None, headers=JSON):
    """Status, headers and the parsed body; every answer that is no page is one JSON value on one line."""
    c = http.client.HTTPConnection(url.hostname, url.port, timeout=60)
    if body is not None and not isinstance(body, (bytes, type(iter([])))):  # an iterator: in chunks, of no length that is told
        body = json.dumps(body).encode()
    c.request(method, path, body, headers)
    r = c.getresponse()
    text = r.read()
    c.close()
    assert b"\n" not in text or not r.headers["Content-Type"].startswith("application/json"), text[:200]
    return r.status, r.headers, json.loads(text) if text and r.headers["Content-Type"].startswith("application/json") else text


def expect(status, kind, words, *request, **named):
    found, headers, body = ask(*request, **named)
    said = body if isinstance(body, dict) else {}
    assert (found, said.get("error_type")) == (status, kind) and re.search(words, said.get("error", "")), (status, kind, words, found, body, request[:2])
    return headers, body


def routes():
    rows = [json.loads(line) for line in open(sys.argv[3])]
    predicted = [json.loads(line) for line in open(sys.argv[4])]
    task = sys.argv[5]
    assert ask("GET", "/health")[0] == 200 and ask("GET", "/ready")[0] == 200 and ask("HEAD", "/health")[0] == 200
    info = ask("GET", "/info")[2]
    names = list(predicted[0]["probabilities"])
    assert info["labels"] == names and info["multi_label"] == (task == "labels") and re.fullmatch("[0-9a-f]{64}", info["sha256"]["model"]), info
    assert info["limits"]["max_items"] > 0 and info["device"] and info["changed_on_disk"] is False
    models = ask("GET", "/models")[2]
    name = models["default"]
    assert name == info["name"] and models["models"][0]["labels"] == names

    def same(answer, row):
        assert answer["scores"] == row["probabilities"] and answer["logits"] == row["logits"], (answer, row)
        assert answer["labels"] == (row["labels"] if task == "labels" else [row["label"]]), (answer, row)
        assert answer["tokens"] > 2 and answer["truncated"] in (True, False)

    say("each row alone, and all in one batch: the numbers of muster predict")
    for row, wanted in zip(rows[:20], predicted):
        status, headers, answer = ask("POST", "/classify", {**row, "logits": True})
        assert status == 200 and answer["model"] == name and answer["rule"], answer
        assert list(answer["scores"]) == names and float(headers["X-Inference-Time"]) >= 0
        same(answer, wanted)
    status, _, answer = ask("POST", "/classify/batch", {"items": rows, "logits": True})
    assert status == 200 and len(answer["results"]) == len(rows)
    for one, wanted in zip(answer["results"], predicted):
        same(one, wanted)
    for path in ("/classify/batch", f"/models/{name}/classify/batch"):
        mixed = ask("POST", path, {"items": [rows[0], {"nothing": 1}, rows[1]], "logits": True})[2]["results"]
        same(mixed[0], predicted[0])
        same(mixed[2], predicted[1])
        assert mixed[1]["error_type"] == "validation" and "nothing" in mixed[1]["error"]

    say("from many threads")
    wrong = []

    def client(number):
        for turn in range(8):
            first = (number * 31 + turn * 7) % (len(rows) - 5)
            answer = ask("POST", "/classify/batch", {"items": rows[first : first + 1 + turn % 5], "logits": True})[2]
            for i, one in enumerate(answer["results"]):
                if one["logits"] != predicted[first + i]["logits"]:
                    wrong.append((first + i, one))

    threads = [threading.Thread(target=client, args=(n,)) for n in range(16)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert not wrong, wrong[:3]

    say("options")
    answer = ask("POST", "/classify", {**rows[0], "top_k": 1})[2]
    highest = max(predicted[0]["probabilities"].items(), key=lambda pair: pair[1])
    assert answer["scores"] == dict([highest]) and "logits" not in answer, answer
    if task == "classes":
        expect(422, "validation", "threshold", "POST", "/classify", {**rows[0], "threshold": 0.5})
    else:
        every, none = (ask("POST", "/classify", {**rows[0], "threshold": t})[2]["labels"] for t in (0, 1))
        assert (every, none) == ((names, []) if task == "labels" else ([info["positive"]], [n for n in names if n != info["positive"]])), (every, none)

    say("text-embeddings-inference's form")
    composed = [compose(row, info["input"]) for row in rows[:5]]
    many = ask("POST", "/predict", {"inputs": composed})[2]
    raw = ask("POST", "/predict", {"inputs": composed, "raw_scores": True, "truncate": True})[2]
    for one, logits, wanted in zip(many, raw, predicted):
        assert all(set(p) == {"score", "label"} for p in one)
        assert {p["label"]: p["score"] for p in one} == wanted["probabilities"]
        assert [p["score"] for p in one] == sorted((p["score"] for p in one), reverse=True)
        assert {p["label"]: p["score"] for p in logits} == dict(zip(names, wanted["logits"]))
    assert ask("POST", "/predict", {"inputs": composed[0] if len(composed[0]) == 2 else composed[0][0]})[2] == many[0]
    same(ask("POST", "/classify/batch", {"items": composed, "logits": True})[2]["results"][3], predicted[3])


def compose(row, spec):
    """[text] or [text, second text], as the bundle joins its fields."""
    parts = [spec["text_a"]] + ([spec["text_b"]] if spec["text_b"] else [])
    return [spec["joiner"].join(" ".join(str(row[f]).split()) for f in part if str(row.get(f) or "").strip()) for part in parts]


def raw(data, most=65536, timeout=20):
    """What comes back for bytes as they are, until the connection is closed."""
    with socket.create_connection((url.hostname, url.port), timeout=timeout) as s:
        try:
            s.sendall(data)
            got = b""
            while True:
                piece = s.recv(most)
                if not piece:
                    return got
                got += piece
        except (ConnectionResetError, BrokenPipeError):
            return got
        except socket.timeout:
            return got + b"(open)"


def bad():
    body_most, items_most = int(sys.argv[3]), int(sys.argv[4])
    spec = ask("GET", "/info")[2]["input"]
    fields = spec["text_a"] + spec["text_b"]
    good = {f: "word1 word2 linked" for f in fields}
    field = spec["required"][0] if spec["required"] else fields[0]
    post = lambda *a, **n: expect(*a[:3], "POST", "/classify", *a[3:], **n)

    say("bodies")
    post(400, "bad_request", "empty", b"")
    for text in (b"{", b"nothing", b"{'a': 1}", b'{"a": 1} x', b'{"a": NaN}', b'{"a": 01}', b'\xff\xfe{}', b'{"a": "\xc3\x28"}', b'{"a": "\\u0000"}',
                 b'{"a": "\x00"}', b'{"a": 1, "a": 2}', b"[" * 1000 + b"]" * 1000, b'{"a":' * 65 + b"1" + b"}" * 65, b'{"a": "\\ud800"}'):
        post(400, "bad_request", "^body", text)
    for value in (b"[]", b'"text"', b"5", b"null", b" true "):
        post(422, "validation", "an object was expected", value)
    post(422, "validation", f"field '{field}' is missing", {k: v for k, v in good.items() if k != field})
    for blank in ("", " \n\t ", "\u3000", None):
        post(422, "validation", f"field '{field}' is missing or blank", {**good, field: blank})
    for value in ({"a": 1}, True, [1, 2]):
        post(422, "validation", f"field '{field}'", {**good, field: value})
    post(422, "validation", f"'{field}x' is not known; did you mean '{field}'", {**good, f"{field}x": "x"})
    post(422, "validation", "'treshold' is not known; did you mean 'threshold'", {**good, "treshold": 0.5})
    for option, values in {"threshold": ("0.5", -0.1, 1.1, True, []), "top_k": (0, 1.5, "1", -1), "logits": (1, "true"), "truncate": (0, "no", {})}.items():
        for value in values:
            post(422, "validation", f"^{option}: ", {**good, option: value})
    post(422, "validation", "more than [0-9]+ tokens", {**good, fields[-1]: "word1 " * 5000, "truncate": False})
    post(413, "too_large", "bytes", {**good, field: "x" * (body_most - 1000)})
    post(413, "too_large", "bytes", {**good, field: "x" * (10 << 20)})
    post(413, "too_large", "bytes", iter([b'{"a": "' + b"x" * (body_most + 1) + b'"}']))
    markup = {**good, field: "<script>alert(1)</script> \u202e \U0001f600 word1"}
    assert ask("POST", "/classify", markup)[0] == 200

    say("batches")
    many = lambda *a: expect(*a[:3], "POST", "/classify/batch", *a[3:])
    many(422, "validation", "items: is missing", {})
    many(422, "validation", "items: a string", {"items": "x"})
    many(400, "empty", "items", {"items": []})
    many(413, "too_large", f"100000 items.* {items_most} ", {"items": [1] * 100000})
    many(422, "validation", "'item' is not known; did you mean 'items'", {"item": []})
    results = ask("POST", "/classify/batch", {"items": [good, 1, None, [], ["a", "b", "c"], ["a", 1], {field: ""}, {}, good]})[2]["results"]
    assert [("error" in r) for r in results] == [False] + 7 * [True] + [False], results
    tei = lambda *a: expect(*a[:3], "POST", "/predict", *a[3:])
    tei(422, "validation", "inputs: is missing", {})
    tei(400, "empty", "inputs", {"inputs": []})
    tei(422, "validation", "expected a string", {"inputs": 5})
    tei(422, "validation", r"inputs\[1\]: ", {"inputs": [["a", "b"] if spec["text_b"] else ["a"], [1]]})
    tei(422, "validation", "did you mean 'inputs'", {"input": "x"})
    tei(422, "validation", "raw_scores", {"inputs": "x", "raw_scores": 1})

    say("heads")
    for path, near in (("/clasify", "/classify"), ("/", ""), ("/models/none", ""), ("/models/", ""), ("/../etc/passwd", ""), ("/%2e%2e/x", ""), ("/classify/", "")):
        if path != "/" or ask("GET", "/")[0] != 200:  # the page
            expect(404, "not_found", f"no such.*{re.escape(near)}", "GET", path)
    expect(404, "not_found", "did you mean '/classify'", "POST", "/clasify", good)
    for method, path, allowed in (("GET", "/classify", "POST"), ("PUT", "/classify", "POST"), ("POST", "/health", "GET, HEAD"), ("DELETE", "/info", "GET, HEAD"), ("OPTIONS", "/classify", "POST")):
        headers, _ = expect(405, "method_not_allowed", "not allowed", method, path, b"{}" if method in ("PUT", "POST") else None)
        assert headers["Allow"] == allowed, headers["Allow"]
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/jsonx", "application/json; charset=latin1", "multipart/form-data; boundary=x"):
        post(415, "unsupported_media_type", "Content-Type", good, headers={"Content-Type": kind})
    post(415, "unsupported_media_type", "Content-Encoding", good, headers={**JSON, "Content-Encoding": "gzip"})
    for kind in ("application/json", "application/json; charset=utf-8", 'Application/JSON;charset="UTF-8"'):
        assert ask("POST", "/classify", good, {"Content-Type": kind})[0] == 200

    say("requests that are smuggled, broken or never end: an answer with 4xx or a closed connection, and nothing behind it is answered")
    text = json.dumps(good).encode()
    head = f"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n".encode()
    inner = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
    length = b"Content-Length: %d\r\n" % len(text)
    for data in (head + length + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + inner,
                 head + b"Transfer-Encoding: chunked\r\n" + length + b"\r\n0\r\n\r\n" + inner,
                 head + length + b"Content-Length: 0\r\n\r\n" + text + inner,
                 head + b"Transfer-Encoding: xchunked\r\n\r\n" + text + inner,
                 head + b"Transfer-Encoding: chunked\r\n\r\nZZZ\r\n" + inner,
                 head + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n" + inner,
                 head + b"Content-Length: -5\r\n\r\n" + inner,
                 head + b"Content-Length: 99999999999999999999999\r\n\r\n" + inner,
                 head + b"Content-Length: 5x\r\n\r\n" + inner,
                 b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64), b"GET\r\n\r\n", b"\r\n" * 2000 + b"x",
                 b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
                 b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % i for i in range(20000)) + b"\r\n"):
        got = raw(data, timeout=6)
        answers = re.findall(rb"^HTTP/1\.[01] (\d+)", got, re.M)
        whole = b"\n" in data.lstrip(b"\r\n")  # without the end of a line it is waited for, until --timeout
        assert all(a[:1] in b"45" for a in answers) and not (whole and got.endswith(b"(open)")), (data[:200], got[:400])
        body = got.partition(b"\r\n\r\n")[2].removesuffix(b"(open)")
        assert not answers or (set(json.loads(body)) == {"error", "error_type"} and b"\n" not in body), (data[:200], got[:600])
    assert ask("GET", "/ready")[0] == 200 and ask("POST", "/classify", good)[0] == 200


def metrics():
    line_form = re.compile(r'([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (\S+)')

    def read():
        status, headers, text = ask("GET", "/metrics")
        assert status == 200 and headers["Content-Type"].startswith("text/plain; version=0.0.4"), headers
        types, samples, last = {}, {}, None
        for line in text.decode().splitlines():
            if line.startswith("# HELP "):
                last = line.split()[2]
                assert last not in types, f"{last} is there twice"
            elif line.startswith("# TYPE "):
                _, _, name, kind = line.split()
                assert name == last and (kind == "counter") == name.endswith("_total"), line
                types[name] = kind
            else:
                match = line_form.fullmatch(line)
                base = re.sub("_(bucket|sum|count)$", "", match[1]) if types[last] == "histogram" else match[1]
                assert match and base == last and (match[1], match[2]) not in samples, line
                samples[match[1], match[2]] = float(match[3])
        for name in (n for n, kind in types.items() if kind == "histogram"):
            buckets = [(float(re.search('le="([^"]*)"', labels)[1]), v) for (n, labels), v in samples.items() if n == f"{name}_bucket"]
            assert buckets == sorted(buckets) and [v for _, v in buckets] == sorted(v for _, v in buckets), name
            assert buckets[-1] == (float("inf"), samples[f"{name}_count", None]), name
        return samples

    first = read()
    row = some_text()
    for _ in range(3):
        assert ask("POST", "/classify", row)[0] == 200
    assert ask("POST", "/classify", {**row, "x": 1})[0] == 422
    second = read()
    grown = lambda name, labels=None: second[name, labels] - first.get((name, labels), 0)
    assert grown("muster_serve_requests_total", 'route="/classify",status="200"') == 3
    assert grown("muster_serve_requests_total", 'route="/classify",status="422"') == 1
    assert grown("muster_serve_refusals_total", 'error_type="validation"') == 1
    assert grown("muster_serve_rows_total") == 3 and grown("muster_serve_tokens_total") >= 12 and grown("muster_serve_request_seconds_count") == 3
    assert 1 <= grown("muster_serve_batch_rows_count") <= 3 and grown("muster_serve_batch_rows_sum") == 3
    assert second["muster_serve_ready", None] == 1 and second["muster_serve_queue_rows", None] == 0
    assert all(second[k] >= v for k, v in first.items() if k[0].endswith("_total")), "a counter went back"


def load():
    rows, wanted = ([json.loads(line) for line in open(path)] for path in sys.argv[3:5])
    counts, wrong, last = {}, [], [None] * 6

    def client(n):
        while not (os.path.exists(sys.argv[5]) and last[n] == 200):  # in the end all is well again
            first = (n * 13) % (len(rows) - 10)
            try:
                status, _, answer = ask("POST", "/classify/batch", {"items": rows[first:first + 10], "logits": True})
                if status == 200 and [r["logits"] for r in answer["results"]] != [w["logits"] for w in wanted[first:first + 10]]:
                    wrong.append(first)
            except (OSError, http.client.HTTPException):  # refused, reset, or ended before or within the answer
                status = "closed"
                time.sleep(0.02)
            counts[status] = counts.get(status, 0) + 1
            last[n] = status

    threads = [threading.Thread(target=client, args=(n,)) for n in range(len(last))]
    [t.start() for t in threads]
    [t.join() for t in threads]
    print(counts)
    assert not wrong and set(counts) <= {200, 503, "closed"} and counts[200] > 10, (counts, wrong)


def some_text():
    """The body of a request, of the fields that the bundle has."""
    fields = ask("GET", "/info")[2]["input"]
    return {name: "word1 linked" for name in fields["text_a"] + fields["text_b"]}


def idle():
    text = some_text()
    held = [socket.create_connection((url.hostname, url.port), timeout=20) for _ in range(int(sys.argv[3]))]
    start = time.monotonic()
    assert ask("POST", "/classify", text)[0] == 200
    took = time.monotonic() - start
    assert took < 5, f"an answer took {took:.1f} s with {len(held)} idle connections open"
    print(f"{len(held)} idle connections; with them open, an answer took {took * 1e3:.0f} ms")
    [s.close() for s in held]


def slow():
    """Their heads never end."""
    text = some_text()
    held = [socket.create_connection((url.hostname, url.port), timeout=20) for _ in range(int(sys.argv[3]))]
    start, left, closed = time.monotonic(), set(held), 0
    [s.sendall(b"POST /classify HTTP/1.1\r\nHost: x\r\n") for s in held]
    while left and time.monotonic() - start < 60:
        for s in list(left):
            try:
                s.sendall(b"X")
                s.setblocking(False)
                if not s.recv(1000):
                    left.discard(s)
            except BlockingIOError:
                pass
            except OSError:
                left.discard(s)
            finally:
                try:
                    s.setblocking(True)
                except OSError:
                    pass
        assert ask("POST", "/classify", text)[0] == 200
        time.sleep(0.3)
    assert not left, f"{len(left)} of {len(held)} slow clients are still connected after {time.monotonic() - start:.0f} s"
    print(f"{len(held)} slow clients were closed within {time.monotonic() - start:.0f} s")


def say(text):
    print(f"--- {text}", flush=True)


{"routes": routes, "bad": bad, "metrics": metrics, "load": load, "idle": idle, "slow": slow}[what]()
