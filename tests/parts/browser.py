"""A real, headless Chromium, driven by its own DevTools protocol."""

import asyncio
import base64
import contextlib
import json
import re
import shutil
import subprocess
import threading
from pathlib import Path

import aiohttp

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
LISTENING = re.compile(r"DevTools listening on (ws://\S+)")
OPTIONS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
    "--remote-debugging-port=0", "--autoplay-policy=no-user-gesture-required", "--mute-audio",
)  # fmt: skip


class Page:
    """One tab.

    Attributes:
        errors: what the page's console and scripts complained of.
    """

    def __init__(self, socket):
        self._socket = socket
        self._count = 0
        self._answers = {}
        self.errors = []
        self._reader = asyncio.ensure_future(self._read())

    async def call(self, method, **parameters):
        """Return what a DevTools method answers."""
        self._count += 1
        answer = self._answers[self._count] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": self._count, "method": method, "params": parameters})
        return await asyncio.wait_for(answer, 30)

    async def run(self, script):
        """Return the value of an expression, awaited."""
        answer = await self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def until(self, condition, seconds=45):
        """Wait until an expression, awaited, is true."""
        for _ in range(int(seconds * 10)):
            if await self.run(f"(async () => Boolean(await ({condition})))()"):
                return
            await asyncio.sleep(0.1)
        raise AssertionError(f"never true: {condition}; {self.errors}")

    async def size(self, width, height, *, phone=False):
        """Give the page a screen."""
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=2 if phone else 1, mobile=phone,
        )  # fmt: skip
        await self.call("Emulation.setTouchEmulationEnabled", enabled=phone)

    async def open(self, address):
        """Load a page."""
        await self.call("Page.navigate", url=address)

    async def drag(self, start, end, *, touch=False):
        """Drag from one point to another, CSS pixels, by a mouse or a finger."""
        steps = [
            (start[0] + (end[0] - start[0]) * k / 8, start[1] + (end[1] - start[1]) * k / 8)
            for k in range(9)
        ]
        for number, (x, y) in enumerate(steps):
            if touch:
                kind = "touchMove" if number else "touchStart"
                await self.call(
                    "Input.dispatchTouchEvent", type=kind, touchPoints=[{"x": x, "y": y}]
                )
            else:
                kind = "mouseMoved" if number else "mousePressed"
                await self.call(
                    "Input.dispatchMouseEvent",
                    type=kind, x=x, y=y, button="left", buttons=1, clickCount=1,
                )  # fmt: skip
        if touch:
            await self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
        else:
            await self.call(
                "Input.dispatchMouseEvent", type="mouseReleased", x=end[0], y=end[1], button="left"
            )

    async def screenshot(self, path=None, *, whole=False):
        """Return the page as PNG; `whole` beyond the screen."""
        answer = await self.call(
            "Page.captureScreenshot", format="png", captureBeyondViewport=whole
        )
        png = base64.b64decode(answer["data"])
        if path is not None:
            Path(path).write_bytes(png)
        return png

    async def _read(self):
        async for message in self._socket:
            content = json.loads(message.data)
            if "id" in content:
                future = self._answers.pop(content["id"])
                if "error" in content:
                    future.set_exception(RuntimeError(content["error"]["message"]))
                else:
                    future.set_result(content["result"])
            elif content["method"] == "Runtime.exceptionThrown":
                details = content["params"]["exceptionDetails"]
                self.errors.append(details.get("exception", {}).get("description", details))
            elif content["method"] == "Log.entryAdded":
                entry = content["params"]["entry"]
                if entry["level"] == "error":
                    self.errors.append(f"{entry['text']} {entry.get('url', '')}")


@contextlib.asynccontextmanager
async def browser(folder):
    """Run Chromium with its profile in `folder`; gives its page."""
    process = subprocess.Popen(
        [CHROMIUM, *OPTIONS, f"--user-data-dir={folder}/profile", "about:blank"],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    try:
        address = await asyncio.wait_for(asyncio.to_thread(_listening, process), 60)
        drain = threading.Thread(target=process.stderr.read, daemon=True)
        drain.start()
        port = re.search(r":(\d+)/", address)[1]
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json") as answer:
                tabs = await answer.json()
            tab = next(tab for tab in tabs if tab["type"] == "page")
            async with session.ws_connect(tab["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                page = Page(socket)
                for domain in ("Page", "Runtime", "Log"):
                    await page.call(f"{domain}.enable")
                yield page
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stderr.close()


def _listening(process):
    for line in process.stderr:
        if found := LISTENING.search(line):
            return found[1]
    raise RuntimeError("chromium ended")
