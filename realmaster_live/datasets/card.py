"""The card of a data set: README.md in the form of Hugging Face's hub, beside each export.

The front matter names licence, size and tasks, as
https://huggingface.co/docs/hub/datasets-cards describes; its values are written as JSON, which YAML
contains.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from realmaster_live.datasets.options import SPLITS
from realmaster_live.datasets.selection import Drive, Selection
from realmaster_live.datasets.summary import Summary
from realmaster_live.errors import RecordingError

TASKS: Mapping[str, tuple[str, ...]] = {
    "coco": ("object-detection", "image-segmentation"),
    "panoptic": ("image-segmentation",),
    "cityscapes": ("image-segmentation",),
    "openlane": ("keypoint-detection",),
    "culane": ("keypoint-detection",),
    "webdataset": ("image-segmentation", "object-detection", "depth-estimation"),
    "kitti_odometry": ("other",),
    "mcap": ("other",),
    "lerobot": ("robotics",),
}
USUAL_TASKS = ("object-detection",)
# the hub's own names of licences, https://huggingface.co/docs/hub/repositories-licenses
HUB_LICENCES = frozenset(
    ("apache-2.0", "mit", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0")
)
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (10**6, "100K<n<1M"))
LARGEST = "1M<n<10M"
EMBEDDED_TOWN = "MiniTown"
IDENTITY = "identity"
# what is known of a simulator's pictures besides what a recording states
SIMULATORS: Mapping[str, str] = {
    "minitown": "realmaster_live's embedded town: Apache-2.0, code and shapes",
    "carla": "CARLA: code MIT, assets CC-BY 4.0 (https://github.com/carla-simulator/carla)",
    "gtav": "Grand Theft Auto V: Rockstar Games allows non-commercial use of footage",
}
FLAWS = (
    "Boxes, masks, depth and poses are the simulator's own. Where the engine moved, removed or "
    "invented something, they describe what was simulated and not what is seen.",
    "Labels at the borders of things may differ from the realized picture by a pixel or two, and "
    "most in things that are small, thin or far away.",
    "Pictures went through H.264 before they were exported, unless they were recorded without "
    "loss.",
)
RENDERED_FLAW = "Rendered pictures have the textures, light and noise of a simulator."
SHARED_FLAW = "Traffic, places and weather are a simulator's, not a sample of any real road."

SCORES = ("score", "edges", "depth_order", "semantics", "boxes", "lights")


def trust_lines(drives: Sequence[Drive], selection: Selection) -> Iterator[str]:
    """Yield how many frames were judged, their verdicts, and how their scores are distributed."""
    frames = 0
    verdicts: Counter[str] = Counter()
    scores: dict[str, list[float]] = {name: [] for name in SCORES}
    things: list[float] = []
    unread = []
    for drive in drives:
        for camera in drive.cameras:
            try:
                frames += len(drive.recording.table("frames", camera))
                table = drive.recording.table("trust", camera)
            except RecordingError:
                unread.append(drive.name)  # the summary names its damaged segments
                continue
            of_frame = table.filter(table["mask_id"].is_null())
            verdicts.update(filter(None, of_frame["verdict"].to_pylist()))
            for name in SCORES:
                scores[name] += of_frame[name].drop_null().to_pylist()
            things += table.filter(table["mask_id"].is_valid())["score"].drop_null().to_pylist()
    if unread:
        yield f"not read, because a table is damaged: {', '.join(dict.fromkeys(unread))}"
    judged = sum(verdicts.values())
    if not judged:
        yield (
            "no frame was judged: how far the realized pictures agree with the labels is not "
            "known (record with --fidelity)"
            if selection.variant != "sim"
            else "no frame was judged; that concerns realized pictures only"
        )
        return
    listed = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.most_common())
    yield f"{judged} of {frames} recorded frames were judged: {listed}"
    for name in SCORES:
        found = np.array(scores[name], np.float64)
        found = found[np.isfinite(found)]
        if len(found):
            low, middle = np.quantile(found, (0.05, 0.5))
            yield f"{name.replace('_', ' ')} of frames: median {middle:.2f}, 5 % below {low:.2f}"
    of_things = np.array(things, np.float64)
    of_things = of_things[np.isfinite(of_things)]
    if len(of_things):
        least = selection.rules.min_trust
        share = float((of_things < least).mean())
        yield f"{len(of_things)} things were judged; {share:.1%} of them score below {least:g}"


def card_of(summary: Summary, drives: Sequence[Drive], selection: Selection) -> str:
    """Return the card of an export that is complete.

    Args:
        summary: of the whole export, with recordings of earlier runs.
        drives: the recordings of this run's selection.
        selection: what was exported, with the rules.
    """
    parts = [
        _front_matter(summary),
        f"# {summary.out.absolute().name}",
        "Driving sequences of a simulator with exact labels, "
        + {
            "sim": "as it rendered them.",
            "real": "made photoreal by a neural network.",
            "paired": "as it rendered them and made photoreal, with one set of labels.",
        }[selection.variant],
        _section("Contents", _bullets(summary.lines())),
        _section("Splits", _split_table(summary)),
        _section("How it was made", _bullets(_making(drives))),
        _section("Recordings", _drive_table(summary, drives)),
        _section("Licence", _bullets(_licences(summary, drives, selection))),
        _section("Known flaws", _bullets(_flaws(summary, drives, selection))),
        _section("Trust", _bullets(trust_lines(drives, selection))),
        _section("Which labels are kept", _bullets(summary.rule)),
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(summary: Summary) -> str:
    licences = sorted({one for drive in summary.drives.values() for one in drive.licences})
    if not all(drive.licences for drive in summary.drives.values()):
        licences.append("not stated")
    size = next((name for most, name in SIZES if summary.frames < most), LARGEST)
    values: dict[str, Any] = {"pretty_name": summary.out.absolute().name}
    if len(licences) == 1 and licences[0].lower() in HUB_LICENCES:
        values["license"] = licences[0].lower()
    elif licences == ["not stated"]:
        values["license"] = "unknown"
    else:
        values |= {"license": "other", "license_name": ", ".join(licences)[:200]}
    values |= {
        "task_categories": list(TASKS.get(summary.export, USUAL_TASKS)),
        "size_categories": [size],
        "annotations_creators": ["machine-generated"],
        "source_datasets": ["original"],
        "tags": ["autonomous-driving", "synthetic", "simulation", "realmaster", summary.export],
    }
    if summary.export == "lerobot":
        values["tags"].append("LeRobot")
        data = {"config_name": "default", "data_files": "data/*/*.parquet"}
        values["configs"] = [data]
    lines = (f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in values.items())
    text = "\n".join(("---", *lines, "---"))
    return text.encode(errors="replace").decode()  # a folder's name need not be text


def _section(title: str, text: str) -> str:
    return f"## {title}\n\n{text}"


def _bullets(lines: Iterator[str] | Sequence[str]) -> str:
    return "\n".join(f"- {' '.join(line.split())}" for line in lines)


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(value: object) -> str:
    return " ".join(str(value).replace("|", "\\|").split()) or "-"


def _split_table(summary: Summary) -> str:
    rows = []
    for split in SPLITS:
        drives = [drive for drive in summary.drives.values() if drive.split == split]
        if drives:
            labels = sum(sum(drive.labels.values()) for drive in drives)
            rows.append((split, len(drives), sum(drive.frames for drive in drives), labels))
    return _table(("split", "recordings", "frames", "labels"), rows)


def _drive_table(summary: Summary, drives: Sequence[Drive]) -> str:
    opened = {drive.name: drive.recording.meta for drive in drives}
    rows = []
    for name, drive in summary.drives.items():
        meta = opened.get(name)
        about = None if meta is None else meta.about
        facts = ("", "", "", "") if about is None else (
            about.town, about.route, about.weather, "" if about.seed is None else about.seed
        )  # fmt: skip
        rows.append((name, drive.split, drive.frames, *facts))
    head = ("recording", "split", "frames", "town", "route", "weather", "seed")
    return _table(head, rows)


def _making(drives: Sequence[Drive]) -> Iterator[str]:
    """Yield with what, when and how the recordings were made."""
    metas = [drive.recording.meta for drive in drives]
    simulators: Counter[str] = Counter()
    engines: Counter[str] = Counter()
    cameras: Counter[str] = Counter()
    for drive in drives:
        source, about = drive.recording.meta.about.source, drive.recording.meta.about
        version = f" {source.server_version}" if source.server_version else ""
        simulators[f"{_simulator(drive)}{version}"] += 1
        digest = f" (sha256 {about.engine_sha256[:12]})" if about.engine_sha256 else ""
        engines[f"{about.engine or 'none'}{digest}"] += 1
        for name in drive.cameras:
            width, height = drive.size(name)
            streams = ", ".join(drive.recording.streams(name))
            cameras[f"{name} {width}x{height} ({streams})"] += 1
    for title, found in (("simulator", simulators), ("engine", engines), ("cameras", cameras)):
        listed = (f"{name} in {_counted(count)}" for name, count in found.items())
        yield f"{title}: {'; '.join(listed)}"
    rates = sorted({meta.spec.fps for meta in metas})
    yield f"frames a simulated second: {', '.join(f'{rate:g}' for rate in rates)}"
    towns = sorted({meta.about.town for meta in metas if meta.about.town})
    weathers = sorted({meta.about.weather for meta in metas if meta.about.weather})
    yield f"towns: {', '.join(towns) or 'not recorded'}"
    yield f"weather: {', '.join(weathers) or 'not recorded'}"
    days = sorted({meta.created[:10] for meta in metas})
    yield f"recorded: {' to '.join(dict.fromkeys((days[0], days[-1])))}" if days else "recorded: -"
    software = sorted({meta.software for meta in metas})
    yield f"recorded and exported with: {', '.join(software) or 'realmaster-live'}"


def _counted(recordings: int) -> str:
    return f"{recordings} recording{'' if recordings == 1 else 's'}"


def _simulator(drive: Drive) -> str:
    about = drive.recording.meta.about
    if about.town.startswith(EMBEDDED_TOWN):
        return "minitown"
    return about.source.simulator or "not recorded"


def _licences(summary: Summary, drives: Sequence[Drive], selection: Selection) -> Iterator[str]:
    """Yield what is stated of the licences of recordings, simulator and weights."""
    stated = sorted({drive.recording.meta.about.licence for drive in drives} - {""})
    yield f"of the recordings, as they state it: {', '.join(stated) or 'not stated'}"
    for name in sorted({_simulator(drive) for drive in drives}):
        yield f"of the simulator, {SIMULATORS.get(name, f'{name}: not known')}"
    if selection.variant != "sim":
        for engine, licence in sorted(
            {
                (drive.recording.meta.about.engine, drive.recording.meta.about.engine_licence)
                for drive in drives
            }
        ):
            if engine != IDENTITY:  # which has no weights
                yield (
                    f"of the weights of the engine {engine or 'none'}, as its manifest states it: "
                    f"{licence or 'not stated'}"
                )
    unstated = [name for name, drive in summary.drives.items() if not drive.licences]
    if unstated:
        listed = ", ".join(unstated[:5]) + (" and others" if len(unstated) > 5 else "")
        yield f"not stated for {_counted(len(unstated))} ({listed}): ask whoever recorded them"


def _flaws(summary: Summary, drives: Sequence[Drive], selection: Selection) -> Iterator[str]:
    """Yield what users should know before they train on it."""
    engines = {drive.recording.meta.about.engine for drive in drives}
    if selection.variant != "sim":
        yield from FLAWS
        if IDENTITY in engines:
            yield "Recordings of the engine identity hold the rendered pictures as realized ones."
    if selection.variant != "real":
        yield RENDERED_FLAW
    yield SHARED_FLAW
    lost = sum(drive.recording.meta.lost_frames for drive in drives)
    if lost:
        yield f"{lost} frames were lost while recording; sequences end there."
    unfinished = [drive.name for drive in drives if not drive.recording.meta.complete]
    if unfinished:
        yield f"Recordings that were interrupted and not repaired: {', '.join(unfinished)}."
    damaged = [name for name, drive in summary.drives.items() if drive.damaged]
    if damaged:
        yield f"Recordings with damaged segments, which are left out: {', '.join(damaged)}."
