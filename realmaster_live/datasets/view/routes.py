"""What the page about recordings is answered: its files, timelines, pictures, marks, commands."""

from __future__ import annotations

import asyncio
import json
import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from realmaster_live.datasets.formats import FORMATS
from realmaster_live.datasets.selection import Drive
from realmaster_live.datasets.view import marks
from realmaster_live.datasets.view.export_command import export_command
from realmaster_live.datasets.view.roads import road_map_of_part, roads_of
from realmaster_live.datasets.view.tick_reader import TickReader, layers_of
from realmaster_live.datasets.view.timeline import Timeline, read_timeline
from realmaster_live.errors import RealMasterError, RecordingError
from realmaster_live.frames.trust import trust_facts
from realmaster_live.optional import require
from realmaster_live.recording.random_access import RandomAccess
from realmaster_live.recording.sample import Sample
from realmaster_live.sinks.drawing import jpeg_bytes
from realmaster_live.sinks.viewer.access import Access, add_headers
from realmaster_live.sinks.viewer.mosaic import Watch, compose
from realmaster_live.sinks.viewer.routes import STATIC as LIVE_STATIC

web = require("aiohttp.web", extra="live")
cv2 = require("cv2", extra="live")

log = logging.getLogger(__name__)
Result = TypeVar("Result")
STATIC = Path(__file__).parent / "static"
FILES = {
    **{name: (STATIC / name, "text/javascript") for name in (
        "recordings.js", "player.js", "timeline.js", "search.js", "route.js")},
    **{name: (LIVE_STATIC / name, "text/javascript") for name in (
        "controls.js", "stage.js", "streams.js", "strip.js")},
    "style.css": (LIVE_STATIC / "style.css", "text/css"),
    "recordings.css": (STATIC / "recordings.css", "text/css"),
}  # fmt: skip
MARKS = ("boxes", "space", "lanes")
THUMB_PX = 160  # width
MOST_BODY = 1024 * 1024  # bytes of a request: spans of a search
QUALITY = 85


class DatasetRoutes:
    """The answers about some recordings.

    Pictures are decoded on one thread in the order in which they are asked for, and everything that
    takes longer on another.

    Args:
        drives: the recordings. access: who is answered.
    """

    def __init__(self, drives: Sequence[Drive], access: Access) -> None:
        self._drives, self._access = drives, access
        self._films = RandomAccess()
        self._timelines: dict[int, Timeline] = {}
        self._reader = ThreadPoolExecutor(1, "rm-view-pictures")
        self._aside = ThreadPoolExecutor(1, "rm-view-tables")
        self._is_checked = False
        self._is_closed = False

    def application(self) -> Any:
        """Return the aiohttp application."""
        application = web.Application(
            middlewares=[self._access.middleware], client_max_size=MOST_BODY
        )
        add = application.router.add_route
        drive = "/drives/{drive:\\d{1,6}}"
        tick = "{tick:\\d{1,9}}"
        for path, answer in {
            "/": self._page,
            "/static/{name}": self._file,
            "/drives.json": self._list,
            "/damaged.json": self._damaged,
            f"{drive}/timeline.json": self._timeline_facts,
            f"{drive}/roads.json": self._roads,
            f"{drive}/ticks/{tick}.jpg": self._picture,
            f"{drive}/ticks/{tick}.json": self._facts,
            f"{drive}/thumbs/{tick}.jpg": self._thumb,
        }.items():
            add("GET", path, _answering(answer))
        add("POST", "/export", _answering(self._export))
        application.on_response_prepare.append(add_headers)
        application.on_cleanup.append(self._end)
        return application

    async def check(self) -> None:
        """Compare all files with their hashes, so that the page names what is damaged."""
        for number, drive in enumerate(self._drives):
            timeline = await self._timeline(number)
            for part in timeline.parts:
                if self._is_closed:
                    return
                try:
                    await self._run(self._aside, part.segment.check, drive.recording.cameras)
                except RecordingError as error:
                    timeline.damaged.setdefault(part.segment.folder.name, str(error))
        self._is_checked = True

    async def _page(self, request: Any) -> Any:
        return _file(STATIC / "index.html", "text/html")

    async def _file(self, request: Any) -> Any:
        name = request.match_info["name"]
        if name not in FILES:
            raise web.HTTPNotFound(text=f"expected one of the page's files, got {name}")
        return _file(*FILES[name])

    async def _list(self, request: Any) -> Any:
        """Answer with what is known without reading tables."""
        drives = []
        for drive in self._drives:
            meta = drive.recording.meta
            drives.append(
                {
                    "name": drive.name,
                    "town": meta.about.town,
                    "engine": meta.about.engine,
                    "cameras": list(drive.cameras),
                    "fps": meta.spec.fps,
                    "complete": meta.complete,
                }
            )
        formats = {name: one.contents for name, one in FORMATS.items()}
        return web.json_response({"drives": drives, "formats": formats})

    async def _timeline_facts(self, request: Any) -> Any:
        drive, timeline = await self._of(request)
        cameras = []
        for name in drive.cameras:
            streams = drive.recording.streams(name)
            cameras.append(
                {
                    "name": name,
                    "size": drive.size(name),
                    "layers": layers_of(timeline, name),
                    "realized": "real" in streams,
                    "lanes": "depth" in streams and bool(drive.recording.meta.road_maps),
                }
            )
        return web.json_response({**timeline.facts(), "cameras": cameras})

    async def _damaged(self, request: Any) -> Any:
        damaged = [
            {"drive": number, "segment": name, "reason": why}
            for number, timeline in sorted(self._timelines.items())
            for name, why in timeline.damaged.items()
        ]
        return web.json_response({"checked": self._is_checked, "damaged": damaged})

    async def _roads(self, request: Any) -> Any:
        _, timeline = await self._of(request)
        return web.json_response(await self._run(self._aside, roads_of, timeline))

    async def _picture(self, request: Any) -> Any:
        """Answer with the mosaic of some cameras at a tick: render, realized picture, layer."""
        drive, timeline = await self._of(request)
        tick = int(request.match_info["tick"])
        layer = request.query.get("layer", "")
        cameras = _cameras(request, drive)
        watch = Watch(cameras=cameras, layer=layer, strip=True)

        def draw() -> bytes:
            shots = TickReader(timeline=timeline, access=self._films).shots(tick, cameras, layer)
            return jpeg_bytes(compose(shots, watch, tick), quality=QUALITY)

        body = await self._decoded(timeline, tick, self._reader, draw)
        return web.Response(body=body, content_type="image/jpeg")

    async def _thumb(self, request: Any) -> Any:
        drive, timeline = await self._of(request)
        tick = int(request.match_info["tick"])

        def draw() -> bytes:
            reader = TickReader(timeline=timeline, access=self._films)
            shots = reader.shots(tick, drive.cameras[:1], "")
            if not shots:
                raise IndexError(tick)
            picture = next(iter(shots.values())).realized
            height = max(1, round(THUMB_PX * picture.shape[0] / picture.shape[1]))
            return jpeg_bytes(
                cv2.resize(picture, (THUMB_PX, height), interpolation=cv2.INTER_AREA), quality=70
            )

        body = await self._decoded(timeline, tick, self._aside, draw)
        return web.Response(body=body, content_type="image/jpeg")

    async def _facts(self, request: Any) -> Any:
        """Answer with the marks over a tick's pictures, by camera, and what is known of it."""
        drive, timeline = await self._of(request)
        tick = int(request.match_info["tick"])
        cameras = _cameras(request, drive)
        kinds = [kind for kind in MARKS if kind in request.query.getall("kind", [])]

        def read() -> dict[str, Any]:
            reader = TickReader(timeline=timeline, access=self._films)
            streams = ("depth",) if "lanes" in kinds else ()
            samples = reader.samples(tick, cameras, streams)
            return {
                camera: {
                    "marks": [
                        mark
                        for kind in kinds
                        for mark in _marks(kind, sample, drive.size(camera), timeline)
                    ],
                    "facts": _about(sample),
                }
                for camera, sample in samples.items()
            }

        return web.json_response(await self._decoded(timeline, tick, self._reader, read))

    async def _export(self, request: Any) -> Any:
        if request.content_type != "application/json":  # forms of other pages cannot send it
            raise web.HTTPUnsupportedMediaType(text="expected application/json: send an object")
        try:
            asked = json.loads(await request.text())
        except ValueError as error:
            return _refused(f"expected a JSON object, got {error}: send one")
        if not isinstance(asked, dict):
            return _refused(f"expected a JSON object, got {type(asked).__name__}: send one")
        timelines = [await self._timeline(number) for number in range(len(self._drives))]
        return web.json_response(asdict(export_command(timelines, asked)))

    async def _of(self, request: Any) -> tuple[Drive, Timeline]:
        number = int(request.match_info["drive"])
        if number >= len(self._drives):
            raise web.HTTPNotFound(text=f"expected one of {len(self._drives)} drives, got {number}")
        return self._drives[number], await self._timeline(number)

    async def _timeline(self, number: int) -> Timeline:
        def read() -> Timeline:
            if number not in self._timelines:
                self._timelines[number] = read_timeline(self._drives[number].recording)
            return self._timelines[number]

        found = self._timelines.get(number)
        return await self._run(self._aside, read) if found is None else found

    async def _decoded(
        self, timeline: Timeline, tick: int, where: ThreadPoolExecutor, work: Callable[[], Result]
    ) -> Result:
        """Return what a tick's files give; note the segment as damaged where they do not."""
        try:
            return await self._run(where, work)
        except IndexError:
            raise web.HTTPNotFound(
                text=f"expected one of {len(timeline)} ticks, got {tick}"
            ) from None
        except RecordingError as error:
            part, _ = timeline.at(tick)
            timeline.damaged.setdefault(part.segment.folder.name, str(error))
            raise

    async def _run(
        self, where: ThreadPoolExecutor, work: Callable[..., Result], *arguments: Any
    ) -> Result:
        return await asyncio.get_running_loop().run_in_executor(where, work, *arguments)

    async def _end(self, application: Any) -> None:
        self._is_closed = True
        for pool in (self._reader, self._aside):
            pool.shutdown(wait=True, cancel_futures=True)


def _answering(handler: Callable[[Any], Awaitable[Any]]) -> Callable[[Any], Awaitable[Any]]:
    """Return a handler that answers with a sentence where something is wrong."""

    async def answer(request: Any) -> Any:
        try:
            return await handler(request)
        except RecordingError as error:
            return _refused(str(error), status=422)
        except RealMasterError as error:
            return _refused(str(error))

    return answer


def _refused(sentence: str, status: int = 400) -> Any:
    return web.json_response({"error": sentence}, status=status)


def _cameras(request: Any, drive: Drive) -> tuple[str, ...]:
    """Return the cameras that are asked for and there, or the first one."""
    asked = [name for name in request.query.getall("camera", []) if name in drive.cameras]
    return tuple(asked) or drive.cameras[:1]


def _marks(
    kind: str, sample: Sample, size: tuple[int, int], timeline: Timeline
) -> list[marks.Mark]:
    if kind == "boxes":
        return marks.boxes(sample, size)
    if kind == "space":
        return marks.boxes_in_space(sample, size)
    source = sample.frame.source
    try:
        roads = None if source is None else road_map_of_part(timeline, source.town)
    except RealMasterError as error:
        log.debug("%s", error)  # the map says it
        return []
    return [] if roads is None or "depth" not in sample.labels else marks.lanes(sample, roads, size)


def _about(sample: Sample) -> dict[str, Any]:
    trust = None if sample.trust is None else trust_facts(sample.trust)
    known = {} if trust is None else {k: v for k, v in trust.items() if v is not None}
    return {
        "things": len(sample.annotations),
        "prompt": sample.prompt,
        "trust": {k: round(v, 3) if isinstance(v, float) and math.isfinite(v) else v
                  for k, v in known.items()},
    }  # fmt: skip


def _file(path: Path, content_type: str) -> Any:
    return web.Response(body=path.read_bytes(), content_type=content_type, charset="utf-8")
