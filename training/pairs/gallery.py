"""An HTML page of every judged clip: source above result, metrics and reasons.

One HTML file that loads nothing from anywhere but the pictures and previews beside it.
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template

import cv2
import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import PairError
from realmaster_live.training.pairs import sources, videos
from realmaster_live.training.pairs.chain import Chain
from realmaster_live.training.pairs.manifest import read_clips
from realmaster_live.training.pairs.rules import RULES, Verdict
from realmaster_live.training.pairs.stage import Clip
from realmaster_live.training.pairs.verdicts import read_verdicts

PAGE, MEDIA = "index.html", "media"
WIDTH = 384  # pixels of a picture
QUALITY = 85  # of its JPEG
SHOWN_FRAMES = ("first", "middle", "last")


@dataclass(frozen=True, kw_only=True)
class GalleryConfig:
    """What a gallery shows.

    Attributes:
        most: clips at most; rejected ones come first.
        preview_s: seconds of the moving preview, 0 for none.
    """

    most: int = 200
    preview_s: float = 2.0


def gallery(dataset: Path, out: Path, config: GalleryConfig | None = None) -> Path:
    """Write the gallery of a dataset into the folder `out` and return the page.

    Raises:
        PairError: the gate has judged no clip yet.
    """
    config = config or GalleryConfig()
    verdicts, made = read_verdicts(dataset), Chain(dataset).finished("propagate")
    judged = [c for c in read_clips(dataset) if c.clip_id in verdicts and c.clip_id in made]
    if not judged:
        raise PairError(
            f"expected verdicts in {dataset}, got none: run realmaster pairs gate {dataset}"
        )
    shown = sorted(judged, key=lambda clip: verdicts[clip.clip_id].passed)[: config.most]
    (out / MEDIA).mkdir(parents=True, exist_ok=True)
    articles = [
        _article(
            clip,
            verdicts[clip.clip_id],
            _write_media(out, clip, videos.read_video(made[clip.clip_id]), config.preview_s),
        )
        for clip in shown
    ]
    passed = sum(verdicts[clip.clip_id].passed for clip in judged)
    metrics = sorted({name for clip in shown for name in verdicts[clip.clip_id].metrics})
    broken = {key for clip in shown for key in verdicts[clip.clip_id].failed}
    page = Template(files(__package__).joinpath("gallery.html").read_text(encoding="utf-8"))
    text = page.substitute(
        title=html.escape(f"Pairs of {dataset.resolve().name}"),
        summary=f"{passed} accepted, {len(judged) - passed} rejected, {len(shown)} shown here",
        columns=len(SHOWN_FRAMES) + bool(config.preview_s),
        rules="".join(
            _option(rule.key, f"rejected by {rule.key}") for rule in RULES if rule.key in broken
        ),
        metrics="".join(_option(name, name) for name in metrics),
        clips="\n".join(articles),
    )
    path = out / PAGE
    path.write_text(text, encoding="utf-8")
    return path


def _write_media(
    out: Path, clip: Clip, made: NDArray[np.uint8], preview_s: float
) -> Mapping[str, Sequence[str]]:
    """Write pictures and preview of a clip; returns row -> addresses relative to the page."""
    rows = {"source": sources.read_frames(clip), "photoreal": made}
    scale = min(1.0, WIDTH / clip.width)
    size = [2 * round(side * scale / 2) for side in (clip.width, clip.height)]
    written: dict[str, list[str]] = {}
    for name, frames in rows.items():
        stem = f"{MEDIA}/{clip.clip_id}.{name}"
        written[name] = []
        indices = (0, len(frames) // 2, len(frames) - 1)
        for which, index in zip(SHOWN_FRAMES, indices, strict=True):
            picture = cv2.resize(frames[index], size, interpolation=cv2.INTER_AREA)
            address = f"{stem}.{which}.jpg"
            bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
            ok, coded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
            assert ok, "JPEG takes every uint8 picture"
            (out / address).write_bytes(coded.tobytes())
            written[name].append(address)
        if preview_s:
            few = frames[: max(1, round(preview_s * clip.fps))]
            small = [cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in few]
            preview = out / f"{stem}.mp4"
            videos.write_video(preview, np.stack(small), clip.fps, pixel_format="yuv420p")
            written[name].append(f"{stem}.mp4")
    return written


def _article(clip: Clip, verdict: Verdict, media: Mapping[str, Sequence[str]]) -> str:
    state = " ".join(["accepted" if verdict.passed else "rejected", *verdict.failed])
    about = [clip.town, clip.route, clip.weather, f"{clip.frames} frames at {clip.fps:g} fps"]
    facts = " · ".join(x for x in [*about, clip.prompt] if x)
    figures = json.dumps({**verdict.metrics, "weight": verdict.weight})
    text = f"{clip.clip_id} {facts}".lower()
    failed = {rule.metric for rule in RULES if rule.key in verdict.failed}
    cells = [_figure(row, address) for row, addresses in media.items() for address in addresses]
    numbers = [("weight", verdict.weight), *verdict.metrics.items()]
    definitions = [
        f"<div><dt>{html.escape(name)}</dt>"
        f"<dd{' class=failed' if name in failed else ''}>{value:.4g}</dd></div>"
        for name, value in numbers
    ]
    reasons = "".join(f"<li>{html.escape(reason)}</li>" for reason in verdict.reasons)
    return "\n".join(
        [
            f'<article class="{html.escape(state)}" data-state="{html.escape(state)}" '
            f'data-text="{html.escape(text)}" data-metrics="{html.escape(figures)}">',
            f"<h2>{html.escape(clip.clip_id)}</h2>",
            f'<div class="facts">{html.escape(facts)}</div>',
            f'<ul class="reasons">{reasons}</ul>' if reasons else "",
            f'<div class="pictures">{"".join(cells)}</div>',
            f"<dl>{''.join(definitions)}</dl>",
            "</article>",
        ]
    )


def _figure(row: str, address: str) -> str:
    which = address.rsplit(".", 2)[1]
    label, place = html.escape(row), html.escape(address)
    if address.endswith(".mp4"):
        tag = f'<video src="{place}" autoplay loop muted playsinline></video>'
        return f"<figure>{tag}<figcaption>{label}, moving</figcaption></figure>"
    tag = f'<img src="{place}" alt="{label}, {which} frame" loading="lazy">'
    return f"<figure>{tag}<figcaption>{label}, {which}</figcaption></figure>"


def _option(value: str, words: str) -> str:
    return f'<option value="{html.escape(value)}">{html.escape(words)}</option>'
