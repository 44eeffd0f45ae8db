#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Requests at a fixed rate, whatever the server answers (open loop), and what a server's processes have taken. Python's standard library.

usage: serve_load.py rate URL RATE SECONDS BODIES    p50, p95 and p99 in milliseconds from when a request was due, as JSON
       serve_load.py cost PID                        CPU seconds and peak resident megabytes of a process and its children, as JSON
"""
import asyncio
import json
import os
import sys
import urllib.parse


def percentile(values, p):
    return values[min(len(values) - 1, int(len(values) * p / 100))]


async def one(url, body, due, loop, times, failed):
    try:
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        writer.write(b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        answer = await reader.read()
        writer.close()
        (times if answer.startswith(b"HTTP/1.1 200") else failed).append(loop.time() - due)
    except OSError:
        failed.append(loop.time() - due)


async def rate(url, per_second, seconds, bodies):
    loop = asyncio.get_running_loop()
    times, failed, tasks, start = [], [], [], loop.time()
    for i in range(int(per_second * seconds)):
        due = start + i / per_second
        await asyncio.sleep(max(0, due - loop.time()))
        tasks.append(asyncio.create_task(one(url, bodies[i % len(bodies)], due, loop, times, failed)))
    await asyncio.gather(*tasks)
    times.sort()
    return {"requests": len(times), "failed": len(failed), **{f"p{p}_ms": round(percentile(times, p) * 1e3, 1) for p in (50, 95, 99)}}


def tree(pid):
    yield pid
    for task in os.listdir(f"/proc/{pid}/task"):
        for child in open(f"/proc/{pid}/task/{task}/children").read().split():
            yield from tree(int(child))


def cost(pid):
    cpu = peak = 0
    for one in tree(pid):
        fields = open(f"/proc/{one}/stat").read().rsplit(")", 1)[1].split()
        cpu += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        peak += next(int(line.split()[1]) for line in open(f"/proc/{one}/status") if line.startswith("VmHWM")) / 1024
    return {"cpu_seconds": round(cpu, 2), "peak_mb": round(peak)}


if sys.argv[1] == "rate":
    bodies = [line.encode() for line in open(sys.argv[5]).read().splitlines()]
    print(json.dumps(asyncio.run(rate(urllib.parse.urlparse(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]), bodies))))
else:
    print(json.dumps(cost(int(sys.argv[2]))))
