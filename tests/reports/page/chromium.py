"""A headless Chromium for tests, driven through its DevTools protocol by a pair of pipes; no package is needed.

The one that IRCTL_CHROMIUM names, else chromium, chromium-browser or google-chrome of the PATH.
Protocol: https://chromedevtools.github.io/devtools-protocol, messages end in a null byte.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome-headless-shell")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run")
KEYS = {"Escape": 27, "Enter": 13, "Tab": 9}


def find() -> str | None:
    """The program, or None where there is none."""
    given = os.environ.get("IRCTL_CHROMIUM")
    return shutil.which(given) if given else next(filter(None, map(shutil.which, NAMES)), None)


class Tab:
    """One page. problems: errors of its console, of its script, and requests that it made beside itself."""

    def __init__(self, process: subprocess.Popen[bytes], send: Any, receive: Any) -> None:
        self.process, self.send, self.receive = process, send, receive
        self.session: str | None = None
        self.count = 0
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send one command and wait for its answer; events that come meanwhile are kept."""
        self.count += 1
        message = {"id": self.count, "method": method, "params": params}
        message |= {"sessionId": self.session} if self.session else {}
        self.send.write(json.dumps(message).encode() + b"\0")
        self.send.flush()
        while True:
            answer = self._read()
            if answer.get("id") == self.count:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]
            self.events.append(answer)

    def _read(self) -> dict[str, Any]:
        content = bytearray()
        while (byte := self.receive.read(1)) != b"\0":
            assert byte, "the browser is gone"
            content += byte
        return json.loads(content)

    def open(self, path: Path, width: int = 1200) -> None:
        """Load a file at a width in CSS pixels."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        self.events.clear()
        self.call("Page.navigate", url=path.as_uri())
        while not any(e["method"] == "Page.loadEventFired" for e in self.events):
            self.events.append(self._read())

    def run(self, script: str) -> Any:
        """The value of an expression, awaited."""
        answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, script: str) -> None:
        """Until an expression is true; five seconds at most."""
        waiting = f"new Promise((done, fail) => {{ const until = Date.now() + 5000; (function look() {{ if ({script})"
        self.run(
            waiting + " done(true); else if (Date.now() > until) fail(new Error()); else setTimeout(look, 5); })() })"
        )

    def click(self, selector: str) -> None:
        """Press the mouse in the middle of the element, as a person would."""
        self.run(
            f"window.aim = document.querySelector({json.dumps(selector)}); aim.scrollIntoView({{block: 'center'}})"
        )
        box = self.run("aim.getBoundingClientRect().toJSON()")
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def press(self, key: str) -> None:
        more = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            given = more if kind == "keyDown" else {}
            self.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=KEYS[key], **given)

    @property
    def problems(self) -> list[str]:
        self.run("new Promise((done) => setTimeout(done, 20))")
        found = []
        for e in self.events:
            told = e.get("params", {})
            if e["method"] == "Runtime.exceptionThrown" or (
                e["method"] == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning")
            ):
                found.append(json.dumps(told))
            if e["method"] == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning"):
                found.append(json.dumps(told))
            if e["method"] == "Network.requestWillBeSent" and not told["request"]["url"].startswith(("file:", "blob:")):
                found.append(f"a request of {told['request']['url'][:80]}")
        return found


@contextmanager
def browser(program: str, folder: Path) -> Iterator[Tab]:
    """A browser with a profile in this folder, ended afterwards. It reads descriptor 3 and writes 4."""
    (into, commands), (answers, out) = os.pipe(), os.pipe()

    def connect() -> None:
        high = (os.dup(into), os.dup(out))  # one of them may be 3 or 4
        os.dup2(high[0], 3)
        os.dup2(high[1], 4)

    words = [program, *FLAGS, f"--user-data-dir={folder}", "--remote-debugging-pipe"]
    process = subprocess.Popen(words, preexec_fn=connect, close_fds=False, stderr=subprocess.DEVNULL)
    os.close(into)
    os.close(out)
    with os.fdopen(commands, "wb") as send, os.fdopen(answers, "rb") as receive:
        try:
            tab = Tab(process, send, receive)
            yield tab
            tab.session = None
            tab.call("Browser.close")
            process.wait(10)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
