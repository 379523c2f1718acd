"""What the view answers: its page, the run's state, snapshots, and what people change."""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from realmaster_live.errors import ConfigError, MissingDependency, RealMasterError
from realmaster_live.frames.controls import Controls
from realmaster_live.frames.run_info import RunInfo
from realmaster_live.optional import require
from realmaster_live.sinks.viewer.access import Access, add_headers
from realmaster_live.sinks.viewer.layers import layers_of
from realmaster_live.sinks.viewer.recordings import RecordingSwitch
from realmaster_live.sinks.viewer.screen import Screen
from realmaster_live.sinks.viewer.streams import Streams, watch_of

web = require("aiohttp.web", extra="live")

STATIC = Path(__file__).parent / "static"
FILES = {"style.css": "text/css", **{f"{name}.js": "text/javascript" for name in (
    "app", "charts", "controls", "stage", "streams", "strip")}}  # fmt: skip
MOST_BODY = 64 * 1024  # bytes of a request; an offer is about 4 KiB
LONGEST_FADE_S = 60.0
LARGEST_STRENGTH = 4.0
ANSWER_S = 5.0  # that a change may wait for the next chunk before the page is told to be patient


class Routes:
    """The answers of one view.

    Args:
        screen: what is shown. recordings: what the page starts and stops.
        stats: returns the view's figures.
    """

    def __init__(
        self,
        screen: Screen,
        recordings: RecordingSwitch,
        access: Access,
        stats: Callable[[], dict[str, Any]],
    ) -> None:
        self._run: RunInfo | None = None
        self._facts: dict[str, Any] | None = None
        self._screen, self._recordings, self._access = screen, recordings, access
        self._stats = stats
        self._peers: Any = None

    def begin(self, run: RunInfo) -> None:
        """Tell of a run, and let the page control it, from now on."""
        info, spec = run.source_info, run.spec
        self._facts = {
            "engine": run.engine.name,
            "source": info.simulator,
            "town": info.town,
            "policy": run.policy,
            "chunk_s": spec.frames / spec.fps,
        }
        self._run = run

    def application(self) -> Any:
        """Return the aiohttp application."""
        application = web.Application(
            middlewares=[self._access.middleware], client_max_size=MOST_BODY
        )
        streams = Streams(self._screen, self.state)
        add = application.router.add_route
        for path, answer in {
            "/": self._page,
            "/static/{name}": self._file,
            "/state.json": self._state,
            "/stats.json": self._figures,
            "/live.mjpg": streams.pictures,
            "/events": streams.events,
            "/snapshot.png": self._snapshot,
        }.items():
            add("GET", path, answer)
        for path, change in {
            "/offer": self._offer,
            "/prompt": self._prompt,
            "/strength": self._strength,
            "/seed": self._seed,
            "/recording": self._recording,
        }.items():
            add("POST", path, _answering(change))
        application.on_response_prepare.append(add_headers)
        application.on_cleanup.append(self._end)
        return application

    def state(self) -> dict[str, Any]:
        """Return all that the page says besides pictures, as JSON values."""
        return {
            "cameras": [
                {
                    "name": name,
                    "size": shot.size,
                    "layers": layers_of(shot.chunk.labels),
                    "boxes": bool(shot.objects) or "instance" in shot.chunk.labels,
                }
                for name, shot in self._screen.now.items()
            ],
            "run": self._facts,
            "shows": self._shown(),
            "controls": self._offered(),
            "recording": self._recordings.state(),
            "stats": self._stats(),
            "number": self._screen.number,
        }

    def _shown(self) -> dict[str, Any]:
        """Return what the present picture shows, as its chunk says."""
        shot = next(iter(self._screen.now.values()), None)
        if shot is None:
            return {}
        sources = shot.chunk.sources
        return {
            "prompt": shot.chunk.prompt,
            "weight": shot.chunk.prompt_weight,
            "seed": shot.chunk.seed,
            "weather": sources[shot.row].weather_words if sources else "",
        }

    def _offered(self) -> dict[str, Any] | None:
        if self._run is None or self._run.controls is None:
            return None
        offer = self._run.controls.offer
        return {
            "prompts": offer.prompts,
            "strength": offer.strength,
            "seed": offer.seed,
            "lacks": dict(offer.lacks),
        }

    async def _page(self, request: Any) -> Any:
        return _file(STATIC / "index.html", "text/html")

    async def _file(self, request: Any) -> Any:
        name = request.match_info["name"]
        if name not in FILES:
            raise web.HTTPNotFound(text=f"expected one of the view's files, got {name}")
        return _file(STATIC / name, FILES[name])

    async def _state(self, request: Any) -> Any:
        return web.json_response(self.state())

    async def _figures(self, request: Any) -> Any:
        return web.json_response(self._stats())

    async def _snapshot(self, request: Any) -> Any:
        """Answer with the present render and realized picture of some cameras, as a PNG file."""
        watch = watch_of(request, layer="", strip="", full=True)
        shots = [shot for shot in watch.shots(self._screen.now) if shot is not None]
        if not shots:
            raise web.HTTPNotFound(text="expected a picture, got none yet: wait for the first")
        names = re.sub(r"[^\w-]+", "-", "-".join(shot.chunk.camera for shot in shots))
        disposition = f'attachment; filename="{names}-{shots[0].frame_id:06d}.png"'
        body = await self._screen.png(watch)
        headers = {"Content-Disposition": disposition}
        return web.Response(body=body, content_type="image/png", headers=headers)

    async def _offer(self, values: dict[str, Any]) -> Any:
        if self._peers is None:
            from realmaster_live.sinks.viewer.peers import Peers

            self._peers = Peers(self._screen)
        return await self._peers.answer(values)

    async def _prompt(self, values: dict[str, Any]) -> Any:
        prompt, fade_s = values.get("prompt"), values.get("fade_s", 0)
        if not isinstance(prompt, str) or not _is_number(fade_s, 0, LONGEST_FADE_S):
            raise ConfigError(
                f"expected a prompt and a fade of 0 to {LONGEST_FADE_S:g} s, got {prompt!r} and "
                f"{fade_s!r}: choose one on the page"
            )
        controls, run = self._controls()
        chunks = round(fade_s * run.spec.fps / run.spec.frames)
        return await _done(controls.set_prompt(prompt, chunks))

    async def _strength(self, values: dict[str, Any]) -> Any:
        strength = values.get("strength")
        if not _is_number(strength, -LARGEST_STRENGTH, LARGEST_STRENGTH):
            raise ConfigError(
                f"expected a strength from {-LARGEST_STRENGTH:g} to {LARGEST_STRENGTH:g}, got "
                f"{strength!r}: 1 is the adapter as it was trained"
            )
        return await _done(self._controls()[0].set_strength(float(strength or 0)))

    async def _seed(self, values: dict[str, Any]) -> Any:
        seed = values.get("seed")
        if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**63:
            raise ConfigError(f"expected a seed of 0 or more, got {seed!r}: give a whole number")
        return await _done(self._controls()[0].set_seed(seed))

    async def _recording(self, values: dict[str, Any]) -> Any:
        if not isinstance(values.get("on"), bool):
            raise ConfigError(f"expected on: true or false, got {values.get('on')!r}: say which")
        if values["on"]:
            await asyncio.to_thread(self._recordings.start, self._run)
        else:
            await asyncio.to_thread(self._recordings.stop)
        return self._recordings.state()

    def _controls(self) -> tuple[Controls, RunInfo]:
        run = self._run
        if run is None or run.controls is None:
            raise ConfigError("expected a run with controls, got none: wait until it begins")
        return run.controls, run

    async def _end(self, application: Any) -> None:
        if self._peers is not None:
            await self._peers.close()


def _answering(change: Callable[[dict[str, Any]], Awaitable[Any]]) -> Callable[[Any], Any]:
    """Return a handler that gives a request's JSON object to `change` and answers with JSON."""

    async def handler(request: Any) -> Any:
        if request.content_type != "application/json":  # forms of other pages cannot send it
            raise web.HTTPUnsupportedMediaType(text="expected application/json: send an object")
        try:
            values = json.loads(await request.text())
        except ValueError as error:
            return _refused(f"expected a JSON object, got {error}: send one")
        if not isinstance(values, dict):
            return _refused(f"expected a JSON object, got {type(values).__name__}: send one")
        try:
            return web.json_response(await change(values))
        except MissingDependency as error:
            return _refused(str(error), status=501)
        except RealMasterError as error:
            return _refused(str(error))

    return handler


def _refused(sentence: str, status: int = 400) -> Any:
    return web.json_response({"error": sentence}, status=status)


async def _done(future: Future[bool]) -> dict[str, Any]:
    """Wait for a change, and say whether it was made, left out for a later one, or is to come."""
    try:
        async with asyncio.timeout(ANSWER_S):
            changed = await asyncio.shield(asyncio.wrap_future(future))
    except TimeoutError:
        return {"is_waiting": True, "changed": False}
    return {"is_waiting": False, "changed": changed}


def _file(path: Path, content_type: str) -> Any:
    return web.Response(body=path.read_bytes(), content_type=content_type, charset="utf-8")


def _is_number(value: Any, least: float, most: float) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and least <= value <= most
