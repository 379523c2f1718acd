"""The page in a real browser: it plays, scrubs, wipes, searches, and names what is damaged."""

import asyncio
import os

import pytest
from browser import CHROMIUM, browser

from realmaster_live.datasets.view.page import DatasetView

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium"),
]

TICK = "Number(document.querySelector('#stage')?.dataset.tick || NaN)"
KEEP = os.environ.get("REALMASTER_SCREENSHOTS")  # a folder to look at them


def chip(group, name):
    return f"[...document.querySelectorAll('{group} button')].find(b => b.textContent === '{name}')"


def pixel(canvas, x, y):
    """Return a script for the colour at a place of a canvas, in shares of its size."""
    return f"""(() => {{ const canvas = document.querySelector('{canvas}');
        return [...canvas.getContext('2d').getImageData(
            {x} * canvas.width, {y} * canvas.height, 1, 1).data]; }})()"""


def drawn(canvas):
    """Return a script for the share of a canvas that is drawn on."""
    return f"""(() => {{ const canvas = document.querySelector('{canvas}');
        const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
        let count = 0;
        for (let at = 3; at < pixels.length; at += 4) count += pixels[at] > 0;
        return 4 * count / pixels.length; }})()"""


async def click(page, canvas, x, y):
    """Press the mouse at a place of an element, in shares of its size."""
    await page.run(f"document.querySelector('{canvas}').scrollIntoView({{block: 'center'}})")
    left, top, width, height = await page.run(
        f"""(() => {{ const place = document.querySelector('{canvas}').getBoundingClientRect();
        return [place.left, place.top, place.width, place.height]; }})()"""
    )
    at = (left + x * width, top + y * height)
    await page.drag(at, at)


async def at_tick(page, tick):
    await page.until(f"{TICK} === {tick}")


def looked_at(view, tmp_path, look):
    async def run():
        async with browser(tmp_path) as page:
            await page.size(1360, 1250)
            await page.open(view.url)
            await page.until(f"{TICK} === 0")
            await look(page)

    asyncio.run(run())


def test_it_plays_scrubs_and_wipes(view, tmp_path):
    async def look(page):
        render, real = [
            await page.run(pixel(f".camera .{kind}", 0.5, 0.05))
            for kind in ("rendered", "realized")
        ]
        for channel, (share, more) in enumerate(((0.9, 10), (0.75, 20), (0.6, 30))):
            assert real[channel] == pytest.approx(render[channel] * share + more, abs=6)
        await page.run("document.querySelector('.divider').focus()")
        await page.call("Input.dispatchKeyEvent", type="keyDown", key="Home")
        wipe = "getComputedStyle(document.documentElement).getPropertyValue('--wipe')"
        assert float(await page.run(wipe)) == 0
        await page.run("document.querySelector('#play').click()")
        await page.until(f"{TICK} >= 3")
        await page.until("document.querySelector('#play').getAttribute('aria-pressed') === 'false'")
        assert await page.run(TICK) == 23, "it plays to the end of the last recording"
        await click(page, "#timeline", 0.3, 0.5)
        await at_tick(page, 7)
        assert "one · Town01" in await page.run("document.querySelector('#where').textContent")
        await page.run("document.querySelector('#on').click()")
        await at_tick(page, 8)
        await page.run(f"{chip('#drives', 'two')}.click()")
        await at_tick(page, 12)
        assert "two · Town02" in await page.run("document.querySelector('#where').textContent")
        assert page.errors == []

    looked_at(view, tmp_path, look)


def test_it_shows_labels_cameras_and_the_route(view, tmp_path):
    async def look(page):
        await page.run(f"{chip('#layers', 'classes')}.click()")
        await page.until(f"{drawn('.camera .layer')} === 1")
        sky = await page.run(pixel(".camera .layer", 0.5, 0.05))
        assert sky[:3] == pytest.approx([70, 130, 180], abs=4)
        shares = [await page.run(drawn(".camera .boxes"))]
        assert shares == [0]
        for kind in ("boxes", "space", "lanes"):
            await page.run(f"document.querySelector('#{kind}').click()")
            await page.until(f"{drawn('.camera .boxes')} > {shares[-1]}")
            shares.append(await page.run(drawn(".camera .boxes")))
        await page.run(f"{chip('#cameras', 'All')}.click()")
        await page.until("document.querySelectorAll('.camera').length === 2")
        await page.until(f"{drawn('.camera:last-child .realized')} === 1")
        await page.until(f"{drawn('#map')} > 0.02")
        await click(page, "#map", 0.9, 0.5)
        await page.until(f"{TICK} === 11")  # the end of the route of the first recording
        facts = "document.querySelector('#facts').textContent"
        await page.until(f"{facts}.includes('Trust (back)0.8')")
        if KEEP:
            await page.screenshot(f"{KEEP}/recordings.png")
        assert page.errors == []

    looked_at(view, tmp_path, look)


def test_it_finds_frames_and_shows_the_command(view, tmp_path):
    async def look(page):
        found = "document.querySelector('#found').textContent"
        buttons = "[...document.querySelectorAll('#weathers button')]"
        rain = f"{buttons}.find(button => /rain/i.test(button.textContent))"
        await page.run(f"{rain}.click()")
        await page.until(f"{found} === '8 of 24 frames found'")
        teal = [69, 207, 174]
        strip = [await page.run(pixel("#timeline", x, 0.95)) for x in (0.1, 0.27, 0.4, 0.77)]
        marked = [colour[:3] == pytest.approx(teal, abs=6) for colour in strip]
        assert marked == [False, True, False, True]
        await page.run("document.querySelector('#next').click()")
        await at_tick(page, 4)
        await page.run(f"{chip('#trust-side', 'At least')}.click()")
        await page.until(f"{found} === '0 of 24 frames found'")
        await page.run(f"{chip('#trust-side', 'Below')}.click()")
        await page.until(f"{found} === '8 of 24 frames found'")
        await page.run(f"{chip('#classes', 'car')}.click()")
        await page.run("document.querySelector('#begin').click()")
        await page.run("document.querySelector('#on').click()")
        await at_tick(page, 5)
        await page.run("document.querySelector('#end').click()")
        await page.until(f"{found} === '2 of 24 frames found'")
        await page.run("document.querySelector('#export').click()")
        await page.until("document.querySelector('#command').textContent")
        command = await page.run("document.querySelector('#command').textContent")
        assert command.startswith("realmaster dataset export ") and "two" not in command
        assert command.endswith(" --to coco --out data/coco --variant real --frames frames.toml")
        file = await page.run("document.querySelector('#file').textContent")
        assert file.endswith('one" = ["1004-1005"]\n')
        await page.run("document.querySelector('#export-dialog').close()")
        await page.run("document.querySelector('#clear').click()")
        await page.until(f"{found} === '24 frames'")
        await page.run(f"{rain}.click()")
        await page.until(f"{found} === '8 of 24 frames found'")
        assert page.errors == []

    looked_at(view, tmp_path, look)


def test_a_damaged_segment_is_named_and_passed_over(recorded, tmp_path):
    drive = recorded(tmp_path / "drive")
    film = drive / "segments/000001/front/real.mp4"
    film.write_bytes(film.read_bytes()[:-200] + bytes(200))

    async def look(page):
        await page.until("document.querySelector('#damaged').textContent.includes('real.mp4')")
        assert "segment 000001" in await page.run("document.querySelector('#damaged').textContent")
        await click(page, "#timeline", 0.4, 0.5)
        await page.until("!document.querySelector('#broken').hidden")
        assert str(film) in await page.run("document.querySelector('#broken').textContent")
        await click(page, "#timeline", 0.2, 0.5)
        await at_tick(page, 2)
        assert await page.run("document.querySelector('#broken').hidden")
        await page.run("document.querySelector('#play').click()")
        await at_tick(page, 11)
        assert all("422" in error for error in page.errors), page.errors

    with DatasetView([drive]) as view:
        looked_at(view, tmp_path, look)
