#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The clients of serve.sh and serve_hold.sh, and what a server's processes have taken. Python's standard library.

usage: serve_load.py bodies TEXTS SIDE ROWS          bodies of requests of so many texts, one a line, in the form of muster, fastapi or infinity
       serve_load.py scores URL BODIES               every label's score for the first body's text, as JSON
       serve_load.py closed URL/ROUTE CLIENTS REQUESTS BODIES    so many requests, each client's next one behind its answer (closed loop): requests a
                                                     second, p50, p95 and p99 in milliseconds, as JSON
       serve_load.py rate URL RATE SECONDS BODIES    requests at a fixed rate, whatever the server answers (open loop): p50, p95 and p99 in milliseconds
                                                     from when a request was due, as JSON
       serve_load.py hold URL PID IDLE SLOW SECONDS BODIES    so many connections that do nothing and so many that send a byte a second, for so long: times
                                                     of five requests a second beside them, memory of the server's processes, as JSON
       serve_load.py unruly URL BODIES               until it is killed: requests that are wrong, too large, or given up by their client, ten a second
       serve_load.py cost PID                        CPU seconds, resident and peak resident megabytes of a process and its children, as JSON
       serve_load.py table RESULTS                   serve.sh's lines of results as a Markdown table: medians over the rounds
"""
import asyncio
import itertools
import json
import os
import resource
import statistics
import sys
import urllib.parse
import urllib.request


def bodies(texts, side, rows):
    texts = [json.loads(line)["text"] for line in open(texts)]
    for first in range(0, len(texts) - rows + 1, rows):
        some = texts[first:first + rows]
        if side == "infinity":
            yield {"model": "bundle", "input": some}
        else:
            yield {"text": some[0]} if rows == 1 else {"items": [{"text": text} for text in some]}


def scores(url, body):
    with urllib.request.urlopen(urllib.request.Request(f"{url}/classify", body, {"Content-Type": "application/json"})) as answer:
        said = json.load(answer)
    return said["scores"] if "scores" in said else {one["label"]: one["score"] for one in said["data"][0]}


def percentile(values, p):
    return values[min(len(values) - 1, int(len(values) * p / 100))]


def summary(times, failed, seconds):
    times.sort()
    return {"requests": len(times), "failed": failed, "requests_per_second": round(len(times) / seconds, 2), **{f"p{p}_ms": round(percentile(times, p) * 1e3, 1) for p in (50, 95, 99)}}


async def ask(reader, writer, path, body):
    """Whether the answer is 200; it is read whole."""
    writer.write(b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (path.encode(), len(body)) + body)
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    await reader.readexactly(int(length.split(b":")[1]))
    return head.startswith(b"HTTP/1.1 200")


async def closed(url, clients, requests, bodies):
    loop = asyncio.get_running_loop()
    todo, times, failed = iter(range(requests)), [], []

    async def client():
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        for number in todo:
            begin = loop.time()
            (times if await ask(reader, writer, url.path, bodies[number % len(bodies)]) else failed).append(loop.time() - begin)
        writer.close()

    start = loop.time()
    await asyncio.gather(*(client() for _ in range(clients)))
    return summary(times, len(failed), loop.time() - start)


async def rate(url, per_second, seconds, bodies):
    loop = asyncio.get_running_loop()
    times, failed, tasks, start = [], [], [], loop.time()

    async def client(body, due):
        try:
            reader, writer = await asyncio.open_connection(url.hostname, url.port)
            (times if await ask(reader, writer, "/classify", body) else failed).append(loop.time() - due)
            writer.close()
        except OSError:
            failed.append(loop.time() - due)

    for i in range(int(per_second * seconds)):
        due = start + i / per_second
        await asyncio.sleep(max(0, due - loop.time()))
        tasks.append(asyncio.create_task(client(bodies[i % len(bodies)], due)))
    await asyncio.gather(*tasks)
    return {"rate": per_second, **summary(times, len(failed), loop.time() - start)}


async def rest(url):
    """A connection that does nothing."""
    return await asyncio.open_connection(url.hostname, url.port)


async def trickle(url, number, seconds):
    """A byte a second, of a head that does not end or of a body."""
    connection = await asyncio.open_connection(url.hostname, url.port)
    head = b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    connection[1].write(head + (b"X-Slow: " if number % 2 else b"Content-Length: 100000\r\n\r\n"))

    async def send():
        for _ in range(int(seconds) + 60):
            connection[1].write(b"x")
            await asyncio.sleep(1)

    return (*connection, asyncio.create_task(send()))


async def hold(url, pid, idle, slow, seconds, bodies):
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    before = cost(pid)
    held = []
    for first in range(0, idle + slow, 200):
        held += await asyncio.gather(*(rest(url) if n < idle else trickle(url, n, seconds) for n in range(first, min(first + 200, idle + slow))))
    times = await rate(url, 5, seconds, bodies)
    during = cost(pid)
    still = sum(not reader.at_eof() for reader, *_ in held)
    for _, writer, *sends in held:
        [task.cancel() for task in sends]
        writer.close()
    await asyncio.sleep(3)
    return {"idle": idle, "slow": slow, "still_open": still, **times, "before_mb": before["resident_mb"], "during_mb": during["resident_mb"], "after_mb": cost(pid)["resident_mb"]}


async def unruly(url, bodies):
    head = b"POST /classify/batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    many = json.dumps({"items": [json.loads(body) for body in bodies]}).encode()
    sent = (b"{", b'{"items": [{"txt": 1}]}', b"[" * 1000, b'{"items": ["' + b"a" * 3000000 + b'"]}', many)
    for number in itertools.count():
        body = sent[number % len(sent)]
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        writer.write(head % len(body) + body)
        if body is not many:
            await reader.read()
        elif number % 2:
            await asyncio.sleep(0.05)
        writer.close()
        await asyncio.sleep(0.1)


def tree(pid):
    yield pid
    for task in os.listdir(f"/proc/{pid}/task"):
        for child in open(f"/proc/{pid}/task/{task}/children").read().split():
            yield from tree(int(child))


def cost(pid):
    cpu, kilobytes = 0, {"VmRSS": 0, "VmHWM": 0}
    for one in tree(pid):
        fields = open(f"/proc/{one}/stat").read().rsplit(")", 1)[1].split()
        cpu += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        for line in open(f"/proc/{one}/status"):
            name = line.split(":")[0]
            if name in kilobytes:
                kilobytes[name] += int(line.split()[1])
    return {"cpu_seconds": round(cpu, 2), "resident_mb": round(kilobytes["VmRSS"] / 1024, 1), "peak_mb": round(kilobytes["VmHWM"] / 1024, 1)}


def check_same(rows):
    """All sides give the first text the same scores: they do the same work."""
    sides = {r["side"]: r for r in rows if r["what"] == "scores"}
    for side, found in sides.items():
        off = max(abs(found[name] - value) for name, value in sides["muster"].items() if isinstance(value, float))
        if off > 1e-3:
            sys.exit(f"serve_load.py: the scores of {side} differ from those of muster by up to {off:.3g}: no comparison (infinity knows no temperature)")


def table(rows):
    peers = [side for side in ("fastapi", "infinity") if any(r["side"] == side for r in rows)]

    def middle(side, what, of):
        return statistics.median(of(r) for r in rows if (r["side"], r["what"]) == (side, what))

    def line(name, what, of, digits):
        values = [middle(side, what, of) for side in ["muster"] + peers]
        print(f"| {name} | " + " | ".join([f"{v:.{digits}f}" for v in values] + [f"{values[0] / v:.2f}" if v else "-" for v in values[1:]]) + " |")

    def texts_a_second(r):
        return r["requests_per_second"] * r["rows"]

    print("| | " + " | ".join(["muster"] + peers + [f"muster / {p}" for p in peers]) + " |\n" + "|---" * (2 + 2 * len(peers)) + "|")
    for what in ("1 client", "8 clients", "64 clients", "8 clients, 8 texts a request"):
        line(f"{what}: texts/s", what, texts_a_second, 1)
        line(f"{what}: texts a CPU second of the server", what, lambda r: r["requests"] * r["rows"] / (r["after"]["cpu_seconds"] - r["before"]["cpu_seconds"]), 1)
        line(f"{what}: p50 ms", what, lambda r: r["p50_ms"], 1)
        line(f"{what}: p95 ms", what, lambda r: r["p95_ms"], 1)
    for peer in peers:
        what = f"half of {peer}"
        for p in ("p50", "p95"):
            ours, theirs = (middle(side, what, lambda r: r[f"{p}_ms"]) for side in ("muster", peer))
            cells = [f"{theirs:.1f}" if side == peer else "" for side in peers] + [f"{ours / theirs:.2f}" if side == peer else "" for side in peers]
            print(f"| {p} ms at half of {peer}'s highest rate ({middle(peer, what, lambda r: r['rate']):.1f}/s) | {ours:.1f} | " + " | ".join(cells) + " |")
    line("time to the first answer, s", "ready", lambda r: r["seconds"], 2)
    line("peak memory, MB", "memory", lambda r: r["peak_mb"], 0)
    print("rounds:", sum(r["side"] == "muster" and r["what"] == "ready" for r in rows), "failed requests:", {s: sum(r.get("failed", 0) for r in rows if r["side"] == s) for s in ["muster"] + peers})


what, arguments = sys.argv[1], sys.argv[2:]
if what == "bodies":
    for body in bodies(arguments[0], arguments[1], int(arguments[2])):
        print(json.dumps(body))
elif what == "scores":
    print(json.dumps(scores(arguments[0], open(arguments[1], "rb").readline())))
elif what in ("closed", "rate", "hold", "unruly"):
    url, *numbers, file = arguments
    lines = [line.encode() for line in open(file).read().splitlines()]
    program = {"closed": closed, "rate": rate, "hold": hold, "unruly": unruly}[what]
    print(json.dumps(asyncio.run(program(urllib.parse.urlparse(url), *(float(n) if what == "rate" else int(n) for n in numbers), lines))))
elif what == "cost":
    print(json.dumps(cost(int(arguments[0]))))
else:
    lines = [json.loads(line) for line in open(arguments[0])]
    check_same(lines)
    table(lines)
