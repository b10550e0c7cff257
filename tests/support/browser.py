"""A headless Chromium, driven by its DevTools protocol: what a page logs, requests and looks like.

Needs a Chromium on the PATH and the `websockets` package; tests that ask for one are skipped where
either is missing.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from waiting import PATIENCE, until

NAMES = ("chromium", "chromium-browser", "google-chrome")
# Nothing that talks to the network on its own; the sandbox needs rights that containers lack.
SWITCHES = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--hide-scrollbars", "--remote-debugging-port=0",
)  # fmt: skip
KEYS = {
    "Tab": 9, "Enter": 13, "Escape": 27, " ": 32, "End": 35, "Home": 36,
    "ArrowLeft": 37, "ArrowRight": 39,
}  # fmt: skip
TYPED = {"Enter": "\r", " ": " "}


class Tab:
    """One page in the browser."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self._count = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **arguments: Any) -> dict[str, Any]:
        """Ask the browser; what else it tells meanwhile is kept in `events`."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": arguments}
        if self._session is not None:
            message["sessionId"] = self._session
        self._socket.send(json.dumps(message))
        while (answer := self._read()).get("id") != self._count:
            self.events.append(answer)
        assert "error" not in answer, f"{method}: {answer['error']}"
        return dict(answer["result"])

    def _read(self) -> dict[str, Any]:
        return dict(json.loads(self._socket.recv(timeout=PATIENCE)))

    def open(self, page: Path, width: int = 1280, height: int = 900, *, dark: bool = False) -> None:
        """Load a file, as a screen of that size shows it, and wait until it has loaded."""
        phone = width < 600
        scale = 2 if phone else 1
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=scale, mobile=phone,
        )  # fmt: skip
        self.call("Emulation.setTouchEmulationEnabled", enabled=phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.events.clear()
        self.call("Page.navigate", url=page.as_uri())
        while not self.told("Page.loadEventFired"):
            self.events.append(self._read())

    def told(self, method: str) -> list[dict[str, Any]]:
        """What the events of one kind say."""
        return [event["params"] for event in self.events if event.get("method") == method]

    def run(self, script: str) -> Any:
        """The value of an expression, in the page."""
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def shows(self, script: str, expected: Any = True) -> None:
        """The value of an expression is this, once the page has answered."""
        with suppress(AssertionError):
            until(lambda: self.run(script) == expected)
        assert self.run(script) == expected

    def says(self, script: str, part: str) -> None:
        """Likewise a text, which contains this."""
        self.shows(f"{script}.includes({json.dumps(part)})")

    def settle(self) -> None:
        """Wait until the page has dealt with what it was told, and is drawn again."""
        frames = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
        self.call("Runtime.evaluate", expression=frames, awaitPromise=True)

    def press(self, key: str) -> None:
        """Press a key and let it go."""
        code = {"key": key, "code": "Space" if key == " " else key}
        code |= {"windowsVirtualKeyCode": KEYS[key]}  # type: ignore[dict-item]
        text = {"text": TYPED[key]} if key in TYPED else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", **code, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **code)
        self.settle()

    def point(self, selector: str, *, click: bool = False) -> None:
        """Move the mouse over the first such element, and click it if so asked."""
        element = f"document.querySelector({json.dumps(selector)})"
        self.run(f"{element}.scrollIntoView({{ block: 'nearest' }})")
        at = self.run(f"{element}.getClientRects()[0].toJSON()")
        place = {"x": at["x"] + at["width"] / 2, "y": at["y"] + at["height"] / 2}
        self.call("Input.dispatchMouseEvent", type="mouseMoved", **place)
        if click:
            pressed = {"button": "left", "clickCount": 1, **place}
            self.call("Input.dispatchMouseEvent", type="mousePressed", **pressed)
            self.call("Input.dispatchMouseEvent", type="mouseReleased", **pressed)

    @contextmanager
    def inside(self) -> Generator[Tab]:
        """Speak to the frame in the page that has a process of its own, for a while."""
        while not (frames := self.told("Target.attachedToTarget")):
            self.events.append(self._read())
        outside, self._session = self._session, frames[-1]["sessionId"]
        try:
            yield self
        finally:
            self._session = outside

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """Save what is seen, or the whole page."""
        data = self.call("Page.captureScreenshot", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(data))

    def complaints(self) -> list[str]:
        """Errors and warnings of the page, and the policy's refusals."""
        logged = [
            entry["entry"]["text"]
            for entry in self.told("Log.entryAdded")
            if entry["entry"]["level"] in ("error", "warning")
        ]
        thrown = [str(one["exceptionDetails"]) for one in self.told("Runtime.exceptionThrown")]
        return logged + thrown + [str(one) for one in self.told("Runtime.consoleAPICalled")]

    def requests(self) -> list[str]:
        """What left the page: no data that is part of it, and nothing that its policy blocked."""
        failed = self.told("Network.loadingFailed")
        blocked = {one["requestId"] for one in failed if one.get("blockedReason") == "csp"}
        return [
            one["request"]["url"]
            for one in self.told("Network.requestWillBeSent")
            if not one["request"]["url"].startswith("data:") and one["requestId"] not in blocked
        ]


def _is_written(port_file: Path) -> bool:
    return port_file.exists() and "\n" in port_file.read_text()


@contextmanager
def chromium(folder: Path) -> Generator[Tab]:
    """A tab of a new browser whose profile is in the folder."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip(f"no browser found: none of {', '.join(NAMES)} is on the PATH")
    client = pytest.importorskip("websockets.sync.client")
    profile = folder / "profile"
    port_file = profile / "DevToolsActivePort"
    process = subprocess.Popen(
        [program, *SWITCHES, f"--user-data-dir={profile}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: process.poll() is not None or _is_written(port_file))
        assert process.poll() is None, f"{program} ended with {process.returncode}"
        port, path = port_file.read_text().split("\n")[:2]
        with client.connect(f"ws://127.0.0.1:{port}{path}", max_size=None, proxy=None) as socket:
            tab = Tab(socket)
            yield tab
    finally:
        process.terminate()
        process.wait(PATIENCE)
