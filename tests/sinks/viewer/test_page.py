"""The page in a real browser: it moves, is wiped, changes the run, and fits a phone."""

import asyncio
import contextlib
import os
import threading
import time

import cv2
import numpy as np
import pytest
from aiohttp import ClientSession, ClientTimeout, web
from browser import CHROMIUM, browser
from street import street

from realmaster_live import Frame, load_engine
from realmaster_live.live.pipeline import run
from realmaster_live.sinks.viewer.live_view import LiveView

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")

SIZE = (128, 64)
SKY, REALIZED = (120, 160, 220), (135, 95, 35)
MIDDLE = """(() => { const place = document.querySelector('.camera').getBoundingClientRect();
    return [place.left + place.width / 2, place.top + place.height / 2, place.width]; })()"""
NUMBER = "document.querySelector('[data-figure=frame_id]').textContent"
KIND = "document.querySelector('#transport')?.textContent"
KEEP = os.environ.get("REALMASTER_SCREENSHOTS")  # a folder to look at them


def chip(group, name):
    return f"[...document.querySelectorAll('{group} button')].find(b => b.textContent === '{name}')"


async def picture_of(page, name=None):
    """Return a screenshot of the first camera's cell alone."""
    x, y, width, height = await page.run(
        """(() => { const place = document.querySelector('.camera').getBoundingClientRect();
        return [place.left, place.top, place.width, place.height]; })()"""
    )
    whole = await page.screenshot(KEEP and name and f"{KEEP}/{name}.png")
    image = cv2.imdecode(np.frombuffer(whole, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    ratio = image.shape[1] / await page.run("innerWidth")
    left, top, right, bottom = (round(ratio * side) for side in (x, y, x + width, y + height))
    return image[top:bottom, left:right].astype(int)


async def shown(page, is_so, name=None):
    """Wait until the first camera's cell shows something; return its screenshot."""
    for _ in range(200):
        image = await picture_of(page, name)
        if is_so(image):
            return image
        await asyncio.sleep(0.1)
    raise AssertionError("the page never shows it")


def columns(image, colour):
    """Return the shares of the columns, from the left, that hold a colour."""
    held = np.flatnonzero((abs(image - colour).max(axis=2) < 16).any(axis=0))
    return (held.min() / image.shape[1], held.max() / image.shape[1]) if held.size else (1.0, 0.0)


@pytest.mark.parametrize("kind", ["MJPEG", "WebRTC"])
def test_the_page_moves_and_is_wiped(feeding, tmp_path, kind):
    async def look():
        async with browser(tmp_path) as page:
            await page.size(1280, 800)
            await page.call(
                "Page.addScriptToEvaluateOnNewDocument",
                source=f"localStorage.setItem('video', '{kind.lower()}')",
            )
            await page.open(feeding.url)
            await page.until("document.querySelectorAll('.camera canvas').length >= 4")
            await page.until(f"{KIND} === '{kind}'")
            for _ in range(3):
                await page.until(f"{NUMBER} !== '{await page.run(NUMBER)}'")
            first = await picture_of(page, f"desktop-{kind}")
            assert columns(first, SKY)[1] <= 0.52 <= columns(first, REALIZED)[0] + 0.04
            await shown(page, lambda image: abs(first - image).max() > 60)  # it moves
            x, y, width = await page.run(MIDDLE)
            await page.drag((x, y), (x + 0.3 * width, y))
            image = await shown(page, lambda image: columns(image, SKY)[1] > 0.7)
            assert columns(image, SKY)[1] == pytest.approx(0.8, abs=0.03)
            assert columns(image, REALIZED)[0] == pytest.approx(0.8, abs=0.03)
            await page.run("document.querySelector('.divider').focus()")
            await page.call("Input.dispatchKeyEvent", type="keyDown", key="Home")
            await shown(page, lambda image: columns(image, SKY) == (1.0, 0.0))
            assert page.errors == []

    asyncio.run(look())


def test_a_phone_shows_all_of_it(feeding, tmp_path):
    async def look():
        async with browser(tmp_path) as page:
            await page.size(360, 740, phone=True)
            await page.open(feeding.url)
            await page.until(KIND)
            assert await page.run("document.documentElement.scrollWidth <= innerWidth")
            x, y, width = await page.run(MIDDLE)
            assert width == 360  # the whole screen's
            await page.drag((x, y), (x - 0.3 * width, y), touch=True)
            image = await shown(page, lambda image: columns(image, REALIZED)[0] < 0.3, "phone")
            assert columns(image, REALIZED)[0] == pytest.approx(0.2, abs=0.03)
            small = await page.run(
                "[...document.querySelectorAll('#tools button, .chips button')]"
                ".filter(b => b.offsetHeight && b.offsetHeight < 38).length"
            )
            assert small == 0  # fingers need room
            if KEEP:
                await page.screenshot(f"{KEEP}/phone-whole.png", whole=True)
            assert page.errors == []

    asyncio.run(look())


def test_labels_and_every_camera_are_shown(feeding, tmp_path):
    async def look():
        async with browser(tmp_path) as page:
            await page.size(1280, 800)
            await page.open(feeding.url)
            await page.until(chip("#cameras", "All"))
            await page.run(f"{chip('#cameras', 'All')}.click()")
            await page.run(f"{chip('#layers', 'classes')}.click()")
            await page.run("document.querySelector('#boxes').click()")
            await page.run("document.querySelector('#opacity').value = 100")
            await page.run("document.querySelector('#opacity').dispatchEvent(new Event('input'))")
            assert await page.run("document.querySelectorAll('.camera').length") == 2
            drawn = """[...document.querySelectorAll('canvas.boxes')].every(canvas =>
                canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)
                .data.some(value => value > 0))"""
            await page.until(drawn)
            sky, road = (70, 130, 180), (128, 64, 128)  # CARLA's colours of the classes

            def has_colours(image):
                return columns(image, sky)[1] > 0.9 and columns(image, road)[1] > 0.9

            await shown(page, has_colours, "grid")
            await page.run(f"{chip('#layers', 'None')}.click()")
            await page.run("document.querySelector('#boxes').click()")
            await page.until(f"!({drawn})")
            assert page.errors == []

    asyncio.run(look())


class Street:
    """The street as a source, until it is stopped."""

    def __init__(self):
        self.stopped = threading.Event()

    def frames(self):
        number = 0
        while not self.stopped.wait(0.03):
            image, labels = street(number, SIZE)
            yield Frame(
                camera="front", frame_id=number, timestamp=number / 20, labels=labels,
                captured_at=time.monotonic(), image=image, intrinsics=np.eye(3),
                cam_to_world=np.eye(4),
            )  # fmt: skip
            number += 1

    def close(self):
        self.stopped.set()


def test_the_run_is_changed_and_recorded_from_the_page(tmp_path):
    source, view = Street(), LiveView(recordings=tmp_path / "drives", token="a-token-for-tests")

    def drive():
        with load_engine("embedded", width=SIZE[0], height=SIZE[1]) as engine:
            run(source, engine, [view])

    async def use():
        async with browser(tmp_path) as page:
            await page.size(1280, 800)
            await page.open(view.url)
            await page.until("document.querySelector('.pill.live')")
            assert "token" not in await page.run("location.href")
            await page.run("document.querySelector('#fade').value = 0.5")
            await page.until(chip("#prompts", "night"))
            await page.run(f"{chip('#prompts', 'night')}.click()")
            await page.until(
                "fetch('state.json').then(a => a.json())"
                ".then(s => s.shows.prompt === 'night' && s.shows.weight === 1)"
            )
            await page.until(f"{chip('#prompts', 'night')}.ariaPressed === 'true'")
            await page.run("document.querySelector('#dice').click()")
            await page.until("fetch('state.json').then(a => a.json()).then(s => s.shows.seed > 0)")
            await page.run("document.querySelector('#record').click()")
            said = "document.querySelector('#recording').textContent"
            await page.until(f"/[1-9][0-9]* frames/.test({said})")
            await picture_of(page, "controls")
            await page.run("document.querySelector('#record').click()")
            await page.until(f"{said}.startsWith('Saved')")
            assert "no adapter" in await page.run(
                "document.querySelector('[data-lacks=strength]').textContent"
            )
            await page.run("document.querySelector('#pause').click()")
            held = await picture_of(page)
            await asyncio.sleep(0.5)
            assert np.array_equal(held, await picture_of(page))
            await page.run("document.querySelector('#pause').click()")
            assert page.errors == []
            source.stopped.set()
            await page.until("document.querySelector('.pill.ended')")

    thread = threading.Thread(target=drive)
    thread.start()
    try:
        while not view.shown:
            assert thread.is_alive()
            time.sleep(0.05)
        asyncio.run(use())
    finally:
        source.stopped.set()
        thread.join()
    (folder,) = (tmp_path / "drives").iterdir()
    assert (folder / "meta.json").is_file()


@contextlib.asynccontextmanager
async def path_proxy(view, below):
    """Serve a view below a path of another address, as Jupyter's server proxy does."""
    target = view.url.rstrip("/")
    host = target.removeprefix("http://")

    async def forward(request):
        path = request.raw_path.removeprefix(below)
        headers = {k: v for k, v in request.headers.items() if k not in ("Host", "Connection")}
        async with session.request(
            request.method, f"{target}/{path}", data=await request.read(),
            headers=headers | {"Host": host},
        ) as answer:  # fmt: skip
            response = web.StreamResponse(status=answer.status)
            for name in ("Content-Type", "Content-Security-Policy", "Set-Cookie"):
                if name in answer.headers:
                    response.headers[name] = answer.headers[name]
            await response.prepare(request)
            async for piece in answer.content.iter_any():
                await response.write(piece)
        return response

    application = web.Application()
    application.router.add_route("*", below + "{path:.*}", forward)
    runner = web.AppRunner(application, shutdown_timeout=0.1, handler_cancellation=True)
    async with ClientSession(timeout=ClientTimeout(total=None)) as session:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}{below}"
        finally:
            await runner.cleanup()


def test_below_a_proxys_path_it_is_the_same_page(feeding, tmp_path):
    async def look():
        async with (
            path_proxy(feeding, "/user/somebody/proxy/8000/") as address,
            browser(tmp_path) as page,
        ):
            await page.size(1280, 800)
            await page.open(address)
            await page.until(KIND)
            await page.until(f"Number({NUMBER}) > 1000")
            first = await page.run(NUMBER)
            await page.until(f"{NUMBER} !== '{first}'")
            status = await page.run(
                "fetch('seed', {method: 'POST', headers: {'Content-Type': 'application/json'},"
                " body: '{\"seed\": 1}'}).then(a => a.json()).then(a => a.error)"
            )
            assert "expected a run with controls" in status  # it came through
            await page.until("[...performance.getEntriesByType('resource')].length > 5")
            loaded = await page.run("performance.getEntriesByType('resource').map(e => e.name)")
            assert all(one.startswith((address, "data:")) for one in loaded), loaded

    asyncio.run(look())
