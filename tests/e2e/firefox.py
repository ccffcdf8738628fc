"""Firefox, Debian's, over WebDriver BiDi: Playwright asks it for commands that it does not have."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import websocket

from tests.e2e.server import free_port
from tests.waiting import PATIENCE, wait_for

PREFERENCES = {
    "app.normandy.enabled": False,
    "app.update.enabled": False,
    "browser.safebrowsing.downloads.remote.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,",
    "toolkit.telemetry.enabled": False,
}


class Firefox:
    """One tab of a running Firefox.

    Args:
        port: of its remote agent.
    """

    def __init__(self, port: int) -> None:
        self._socket = websocket.create_connection(
            f"ws://127.0.0.1:{port}/session", timeout=PATIENCE, suppress_origin=True
        )
        self._number = 0
        self._send("session.new", capabilities={})
        self._tab = self._send("browsingContext.getTree")["contexts"][0]["context"]

    def _send(self, method: str, **parameters: Any) -> Any:
        """Send a command, and return its result."""
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while (answer := json.loads(self._socket.recv())).get("id") != self._number:
            pass  # an event
        assert answer["type"] == "success", answer
        return answer["result"]

    def visit(self, url: str) -> None:
        """Open a page, and wait until it is loaded."""
        self._send("browsingContext.navigate", context=self._tab, url=url, wait="complete")

    def run(self, script: str) -> Any:
        """Return what JavaScript returns, a plain value."""
        wrapped = f"(async () => JSON.stringify(await ({script})) ?? 'null')()"
        found = self._send(
            "script.evaluate", expression=wrapped, target={"context": self._tab}, awaitPromise=True, userActivation=True
        )
        assert found["type"] == "success", found
        return json.loads(found["result"]["value"])

    def wait(self, condition: str) -> None:
        """Wait until a JavaScript expression is true."""
        wait_for(lambda: self.run(f"Boolean({condition})"), said=lambda: f"not true: {condition}")

    def click(self, selector: str) -> None:
        """Click the middle of the first element that a selector finds, as a mouse does."""
        place = f"document.querySelector({json.dumps(selector)})"
        self.run(f"{place}.scrollIntoView({{block: 'center'}})")
        box = self.run(
            f"(({{x, y, width, height}}) => [x + width / 2, y + height / 2])({place}.getBoundingClientRect())"
        )
        moves = [
            {"type": "pointerMove", "x": round(box[0]), "y": round(box[1])},
            {"type": "pointerDown", "button": 0},
            {"type": "pointerUp", "button": 0},
        ]
        self._send(
            "input.performActions", context=self._tab, actions=[{"type": "pointer", "id": "mouse", "actions": moves}]
        )

    def press(self, keys: str) -> None:
        """Type."""
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self._send(
            "input.performActions", context=self._tab, actions=[{"type": "key", "id": "keys", "actions": actions}]
        )


@contextmanager
def firefox(folder: Path) -> Iterator[Firefox]:
    """Run Firefox with its profile in ``folder`` until the block ends; skips the test if none is installed."""
    path = shutil.which("firefox-esr")
    if path is None:
        pytest.skip("no firefox-esr here")
    lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in PREFERENCES.items()]
    (folder / "user.js").write_text("\n".join(lines))
    port = free_port()
    command = [path, "--headless", "--no-remote", "--profile", str(folder), "--remote-debugging-port", str(port)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={"HOME": str(folder), "PATH": "/usr/bin:/bin"})
    try:
        wait_for(lambda: b"WebDriver BiDi listening" in (folder / "log").read_bytes())
        yield Firefox(port)
    finally:
        process.terminate()
        process.wait(PATIENCE)
