#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A headless Chromium for tests, driven by the DevTools protocol over a pipe, with nothing but Python's standard library."""
import base64
import fcntl
import json
import os
import select
import subprocess
import time


class Browser:
    def __init__(self, program, profile):
        self.messages, self.number, self.rest, self.session = [], 0, b"", None
        here_read, there_write = os.pipe()
        there_read, here_write = os.pipe()

        # High numbers first, so that neither end is overwritten when they are moved to 3 and 4.
        moved = [fcntl.fcntl(fd, fcntl.F_DUPFD, 20) for fd in (there_read, there_write)]

        def place():
            os.dup2(moved[0], 3, inheritable=True)
            os.dup2(moved[1], 4, inheritable=True)

        self.process = subprocess.Popen(
            [program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-extensions", f"--user-data-dir={profile}",
             "--remote-debugging-pipe", "about:blank"], preexec_fn=place, close_fds=False, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for fd in (there_read, there_write, *moved):
            os.close(fd)
        self.read_end, self.write_end = here_read, here_write
        target = next(t for t in self.call("Target.getTargets")["targetInfos"] if t["type"] == "page")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(domain + ".enable")

    def receive(self, seconds):
        """The next message, or None."""
        end = time.monotonic() + seconds
        while b"\0" not in self.rest:
            if not select.select([self.read_end], [], [], max(0, end - time.monotonic()))[0]:
                return None
            bytes_read = os.read(self.read_end, 1 << 20)
            assert bytes_read, "chromium has ended"
            self.rest += bytes_read
        message, self.rest = self.rest.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.write_end, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.receive(60)
            assert answer, f"chromium does not answer to {method}"
            if answer.get("id") == self.number:
                assert "error" not in answer, (method, answer)
                return answer["result"]
            self.messages.append(answer)

    def complaints(self):
        """What was written to the console, thrown, or refused by the content security policy, since the last call."""
        while (message := self.receive(0.2)) is not None:
            self.messages.append(message)
        found = []
        for m in self.messages:
            if m["method"] == "Runtime.consoleAPICalled" and m["params"]["type"] in ("error", "warning", "assert"):
                found.append(str(m["params"]["args"]))
            elif m["method"] == "Runtime.exceptionThrown":
                found.append(str(m["params"]["exceptionDetails"].get("exception", m["params"]["exceptionDetails"]).get("description", m)))
            elif m["method"] == "Log.entryAdded" and m["params"]["entry"]["level"] in ("error", "warning"):
                found.append(f"{m['params']['entry']['text']} {m['params']['entry'].get('url', '')}")
        self.requests = [m["params"]["request"]["url"] for m in self.messages if m["method"] == "Network.requestWillBeSent"]
        self.messages = []
        return found

    def go(self, url):
        self.call("Page.navigate", url=url)
        self.wait("document.readyState === 'complete'")

    def eval(self, expression):
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, (expression, answer["exceptionDetails"])
        return answer["result"].get("value")

    def wait(self, condition, seconds=20):
        end = time.monotonic() + seconds
        while not self.eval(f"Boolean({condition})"):
            assert time.monotonic() < end, f"waited {seconds} s: {condition} never came true; the page: {self.eval('document.body.innerText')[:1500]}"
            time.sleep(0.05)

    def size(self, width, height=900, dark=False):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def key(self, key, code=None, number=0, control=False):
        """One key, pressed and released: "Tab", "Enter", "ArrowRight", " "."""
        numbers = {"Tab": 9, "Enter": 13, "ArrowLeft": 37, "ArrowRight": 39, "ArrowUp": 38, "ArrowDown": 40, " ": 32, "End": 35, "Home": 36}
        text = {"text": "\r"} if key == "Enter" and not control else {"text": " "} if key == " " else {}
        common = dict(key=key, code=code or ("Space" if key == " " else key), windowsVirtualKeyCode=number or numbers.get(key, 0), modifiers=2 if control else 0)
        self.call("Input.dispatchKeyEvent", type="keyDown", **common, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def type(self, text):
        self.call("Input.insertText", text=text)

    def picture(self, path):
        with open(path, "wb") as file:
            file.write(base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]))

    def close(self):
        try:
            self.session = None
            self.call("Browser.close")
        except (AssertionError, OSError):
            pass
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
