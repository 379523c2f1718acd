"""Paired clips: the same drive in the game look and path-traced, pixel for pixel.

`realmaster pairs render --out DIR --seeds 0:24 --frames 12` makes them;
`realmaster pairs render --out DIR --look B --truth-from PAIRS` draws them again in another look.

Each clip is `<clip>.sim.npy` and `<clip>.truth.npy`, both (T, H, W, 3) uint8, and `<clip>.json`
written last: a clip without it is not finished and is made again. The JSON says of every frame
where its camera looks and which traffic lights it shows. With --truth-from, the clips of another
folder are driven again and only their render is drawn: in another look, or to list the lights of
clips that have no such list.
With --showing, a drive starts where it shows most of a kind of thing (see `showing`).
With --with-labels, `<clip>.labels.npz` holds every frame's labels (see `pair_labels`). With
--truth-every N, only each N-th frame is path-traced: `truth` then holds those alone, and the JSON
lists their places as `truth_frames`. Such clips are for `realmaster evaluate perception`; keep
them in a folder of their own.

Training also needs a few towns with seeds 900:1000, to look at while it runs; towns from seed 1000
on are held out: nothing is ever trained on them.
"""

from __future__ import annotations

import json
import logging
import math
import os
import shutil
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import ConfigError, PairError
from realmaster_live.minitown.models.town import build_town
from realmaster_live.minitown.plan.network import make_network
from realmaster_live.minitown.raster.look import look_named
from realmaster_live.minitown.raster.rasteriser import Rasteriser
from realmaster_live.minitown.scene import CameraView, SceneState, Weather
from realmaster_live.minitown.truth.drives import Drive, Moment, drive, plan_drive
from realmaster_live.minitown.truth.lights_seen import lights_seen
from realmaster_live.minitown.truth.pair_labels import ClipLabels, written_whole
from realmaster_live.minitown.truth.pathtrace import EDITION, PathTracer
from realmaster_live.minitown.truth.prompts import AS_SIMULATED, PROMPTS, weather_for
from realmaster_live.minitown.truth.showing import KINDS, showing

logger = logging.getLogger(__name__)

MOST_DRIVES = 100  # tried of a town in search of things to show
SAME_DRIVE_LEVELS = 0.5  # a render of the same moment differs by rounding only


def save_array(path: Path, array: NDArray[np.uint8]) -> None:
    """Write an array as a whole file."""
    with written_whole(path) as file:
        np.save(file, array)


class Painters:
    """Both looks of one town, built once for all of its drives."""

    def __init__(self, seed: int, *, spp: int, look: str = "A") -> None:
        self.scene = build_town(make_network(seed))
        self.spp, self.look = spp, look
        self.rasteriser = Rasteriser(self.scene, look=look_named(look))
        self.tracers: dict[bool, PathTracer] = {}
        self._rasterisers = {look: self.rasteriser}

    def in_look(self, look: str) -> Rasteriser:
        """Return the town as one look draws it."""
        if look not in self._rasterisers:
            self._rasterisers[look] = Rasteriser(self.scene, look=look_named(look))
        return self._rasterisers[look]

    def truth(
        self, state: SceneState, view: CameraView, prompt: str
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return two photographs (H, W, 3) of a moment as a prompt wants it.

        The second shows it while no drop or flake is in the air.
        """
        snow = prompt == "snow"
        if snow not in self.tracers:
            self.tracers[snow] = PathTracer(self.scene, spp=self.spp, snow=snow)
        shown = replace(state, weather=weather_for(prompt, state.weather))
        tracer = self.tracers[snow]
        calm = tracer.calm(shown, view)
        return tracer.with_precipitation(calm, shown), calm


def yaw_deg(view: CameraView) -> float:
    """Return where a camera looks, degrees from the world's x towards its y."""
    x, y = view.cam_to_world[:2, 0]
    return math.degrees(math.atan2(y, x))


def write_facts(path: Path, facts: dict[str, Any]) -> None:
    """Write a clip's JSON: now the clip is finished."""
    with written_whole(path) as file:
        file.write(json.dumps(facts).encode())


def render_clip(
    plan: Drive,
    moments: Iterable[Moment],
    painters: Painters,
    out: Path,
    *,
    frames: int,
    width: int,
    height: int,
    dt: float,
    truth_every: int = 1,
    with_labels: bool = False,
) -> None:
    """Draw the `frames` moments of one drive in both looks and write the clip's files.

    The last of every `truth_every` frames is traced: frame 9, 19 and so on with 10.
    """
    started = time.monotonic()
    sim = np.empty((frames, height, width, 3), np.uint8)
    traced = range(truth_every - 1, frames, truth_every)
    truth = np.empty((len(traced), height, width, 3), np.uint8)
    calm = np.empty_like(truth)
    labels = ClipLabels(frames, height, width) if with_labels else None
    lights, yaws = [], []
    for index, (state, view) in enumerate(moments):
        drawn = painters.rasteriser.render(state, view)
        sim[index] = drawn.rgb
        yaws.append(round(yaw_deg(view), 2))
        lights.append(lights_seen(painters.scene.models, state, view, drawn.depth))
        if labels is not None:
            labels.put(index, drawn)
        if index in traced:
            place = traced.index(index)
            truth[place], calm[place] = painters.truth(state, view, plan.prompt)
    save_array(out / f"{plan.name}.sim.npy", sim)
    save_array(out / f"{plan.name}.truth.npy", truth)
    if not np.array_equal(truth, calm):
        save_array(out / f"{plan.name}.calm.npy", calm)
    if labels is not None:
        labels.save(out / f"{plan.name}.labels.npz")
    wall_s = time.monotonic() - started
    facts = asdict(plan) | {
        "frames": frames,
        "size": [width, height],
        "dt": dt,
        "spp": painters.spp,
        "look": painters.look,
        "truth_edition": EDITION,
        "camera_yaw_deg": yaws,
        "lights": lights,
        "wall_s": round(wall_s, 1),
        "complete": True,
    }
    if truth_every > 1:
        facts["truth_frames"] = list(traced)
    write_facts(out / f"{plan.name}.json", facts)
    logger.info("%s: %d frames, %.2f s a frame", plan.name, frames, wall_s / frames)


def redraw_clip(source: Path, painters: Painters, out: Path, *, with_labels: bool = False) -> None:
    """Drive the clip of a JSON file again and draw its render in the painters' look.

    The truth is shared by a hard link where that is possible. Raises PairError where the drive is
    no longer the one that the truth shows.
    """
    facts = json.loads(source.read_text())
    name, frames, (width, height) = source.stem, facts["frames"], facts["size"]
    plan = plan_drive(facts["seed"], facts["number"], facts.get("prompt", AS_SIMULATED))
    shown = {key: facts[key] for key in ("warm_up_s", "two_wheelers") if key in facts}
    plan = replace(plan, **shown)
    known = np.load(source.with_name(f"{name}.sim.npy"), mmap_mode="r")
    sim = np.empty((frames, height, width, 3), np.uint8)
    labels = ClipLabels(frames, height, width) if with_labels else None
    lights = []
    steps = drive(plan, frames=frames, width=width, height=height, dt=facts["dt"])
    for index, (state, view) in enumerate(steps):
        if index in (0, frames - 1):
            again = painters.in_look(facts["look"]).render(state, view).rgb
            off = float(np.abs(again.astype(np.int16) - known[index]).mean())
            if off > SAME_DRIVE_LEVELS:
                raise PairError(
                    f"expected frame {index} of {source} to be drawn as it was, got {off:.1f} "
                    "levels of difference: the town has changed since, make the pairs again"
                )
        drawn = painters.rasteriser.render(state, view)
        sim[index] = drawn.rgb
        lights.append(lights_seen(painters.scene.models, state, view, drawn.depth))
        if labels is not None:
            labels.put(index, drawn)
    save_array(out / f"{name}.sim.npy", sim)
    if labels is not None:
        labels.save(out / f"{name}.labels.npz")
    for kind in ("truth.npy", "calm.npy"):  # the latter of rain and snow
        if (shared := source.with_name(f"{name}.{kind}")).exists():
            share(shared, out / shared.name)
    write_facts(out / source.name, facts | {"look": painters.look, "lights": lights})
    logger.info("%s: %d frames in look %s", name, frames, painters.look)


def share(source: Path, target: Path) -> None:
    """Link a file, or copy it where it cannot be linked."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def parse_range(text: str) -> range:
    """Return the seeds of "a:b" or "a"."""
    first, _, last = text.partition(":")
    try:
        return range(int(first), int(last) if last else int(first) + 1)
    except ValueError:
        raise ConfigError(
            f"expected seeds as 3 or 0:24, got {text!r}: give whole numbers"
        ) from None


def parse_prompts(text: str) -> list[str]:
    """Return the prompts of "rain,snow" or "all"."""
    names = list(PROMPTS) if text == "all" else [name.strip() for name in text.split(",")]
    for name in names:
        weather_for(name, Weather())  # or its error
    return names


def parse_kinds(text: str | None) -> list[str]:
    """Return the kinds of things of "lights,walkers"; none of None."""
    names = [name.strip() for name in text.split(",")] if text is not None else []
    for name in names:
        if name not in KINDS:
            raise ConfigError(
                f"expected --showing with {', '.join(KINDS)}, got {name!r}: name those"
            )
    return names


def redraw(
    source: Path, out: Path, seeds: str | None, *, look: str, with_labels: bool = False
) -> None:
    """Draw the clips of a folder again that are not in `out` yet, town by town."""
    look_named(look)  # or its error, before a town is built
    if source.resolve() == out.resolve():
        raise ConfigError(f"expected --out beside --truth-from, got {out} for both: name another")
    wanted = parse_range(seeds) if seeds else None
    towns: dict[int, list[Path]] = {}
    for path in sorted(source.glob("*.json")):
        seed = int(json.loads(path.read_text())["seed"])
        if (wanted is None or seed in wanted) and not (out / path.name).exists():
            towns.setdefault(seed, []).append(path)
    if not towns and not any(out.glob("*.json")):
        raise PairError(f"expected finished clips in {source}, got none: name a folder of pairs")
    for seed, paths in towns.items():
        painters = Painters(seed, spp=0, look=look)
        for path in paths:
            redraw_clip(path, painters, out, with_labels=with_labels)


def render_pairs(
    out: Path,
    *,
    seeds: Iterable[int],
    drives: int,
    frames: int,
    size: tuple[int, int],
    dt: float,
    spp: int,
    look: str,
    prompts: Sequence[str],
    kinds: Sequence[str],
    truth_every: int,
    with_labels: bool,
) -> None:
    """Make every clip that is not there yet.

    The drives of a town take the prompts in turn, and the kinds of things that they are to show.

    Raises:
        ConfigError: a clip would have no path-traced frame.
    """
    look_named(look)  # or its error, before a town is built
    if not 1 <= truth_every <= frames:
        raise ConfigError(
            f"expected --truth-every from 1 to the {frames} frames of a clip, got {truth_every}: "
            "each clip needs a truth"
        )
    out.mkdir(parents=True, exist_ok=True)
    shape: dict[str, Any] = {"frames": frames, "width": size[0], "height": size[1], "dt": dt}
    for seed in seeds:
        painters, made = None, 0
        for number in range(MOST_DRIVES if kinds else drives):
            if made == drives:
                break
            plan = plan_drive(seed, number, prompts[(seed + number) % len(prompts)])
            if (out / f"{plan.name}.json").exists():
                made += 1
                continue
            painters = painters or Painters(seed, spp=spp, look=look)
            moments: Iterable[Moment] | None = drive(plan, **shape)
            if kinds:
                kind = kinds[made % len(kinds)]
                plan, moments = showing(
                    plan, kind, painters.scene.models, painters.rasteriser, **shape
                )
            if moments is None:
                logger.info("%s: shows no %s", plan.name, kind)
                continue
            render_clip(
                plan,
                moments,
                painters,
                out,
                **shape,
                truth_every=truth_every,
                with_labels=with_labels,
            )
            made += 1
