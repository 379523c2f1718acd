"""Makes the gallery of the documentation from reports: pictures, short films, figures.

    python benchmarks/gallery.py --drive evaluation/gallery --looks looks --weather weather \
        --ablations ablations

takes what `realmaster evaluate recording --gallery DIR`, `evaluate looks`, `evaluate weather` and
`benchmarks/ablations.py` wrote. It writes small pictures and animations to docs/gallery/ and puts
the text with the reports' figures between the marks of docs/gallery.md. A section whose report is
not given stays as it is. All files together stay under 1.5 MB, which a git repository can hold; the
reports' own films do not belong there.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pages import put

from realmaster_live.replay import video_files
from realmaster_live.system.pictures import read_picture, write_picture
from realmaster_live.training.evaluate.drives.shown import named
from realmaster_live.training.evaluate.weather.films import BAND

Picture = NDArray[np.uint8]  # (H, W, 3) RGB
PAGE = Path(__file__).parent.parent / "docs" / "gallery.md"
MOST_BYTES = 1_500_000  # of all files
FILM_BYTES, SHEET_BYTES = 350_000, 160_000  # of an animation, and of a picture
FILM_S, FILM_FPS, FILM_WIDTH = 3.0, 10.0, 1080
TILE_WIDTH, GAP = 420, 6  # pixels of a picture in a sheet, and between two
MOST_ACROSS = 3  # pictures in a row: more are too small for their names
QUALITIES = range(80, 14, -5)  # tried from the first on, until a file is small enough
LOOK_FIGURES = (
    "flicker ratio", "warp ratio", "seam ratio", "edge F1", "structure distance", "mIoU",
    "depth SI-RMSE", "thing recall",
)  # fmt: skip
VARIANTS = (  # of the ablations, by the beginning of their names
    "shipped", "2 steps", "8 steps", "ring 0", "one frame a chunk", "plain decoder", "steadied",
)  # fmt: skip
VARIANT_COLUMNS = ("flicker", "warp", "warp seam", "edge F1", "semantics", "PSNR, dB", "time")


def drive(report: Path, out: Path) -> list[str]:
    """Return the section of one drive: a film of all methods, stills, and their figures."""
    facts = _read(report / "gallery.json")
    frames, fps = film(report / facts["film"])
    animate(out / "drive.avif", frames, fps)
    pairs = [[(one["film"], read_picture(report / one["file"])) for one in pair]
             for pair in facts["wipes"]]  # fmt: skip
    sheet(out / "drive.jpg", [tile for pair in pairs for tile in pair], most_across=2)
    methods = facts["methods"]
    rows = [
        [f"{figure['name']}, {figure['better']}"]
        + [_cell(figure["values"].get(method)) for method in methods]
        for figure in facts["figures"]
    ]
    return [
        "## A drive, and other methods",
        "",
        "The same seconds of a drive by every method: `realmaster evaluate recording DRIVE "
        f"--gallery DIR`. {'; '.join(facts['drives'])}.",
        "",
        "![A film of all methods beside each other](gallery/drive.avif)",
        "",
        "![Render and result, two moments](gallery/drive.jpg)",
        "",
        *table(["", *methods], rows),
        "",
        "In brackets are 95 % intervals; bold figures are better than the render's.",
    ]


def looks(report: Path, out: Path) -> list[str]:
    """Return the section of other simulators: a pair of pictures of each, and their figures."""
    found = _read(report / "looks.json")
    tiles = []
    for name in found:
        folder = report / name.split()[0].lower()
        [before, after] = _read(folder / "gallery.json")["wipes"][0]
        tiles += [(f"{name}: {one['film']}", read_picture(folder / one["file"]))
                  for one in (before, after)]  # fmt: skip
    sheet(out / "looks.jpg", tiles, most_across=2)
    figures = dict.fromkeys(f for each in found.values() for f in each["methods"]["realized"])
    rows = [[name, *(_against(each["methods"], name) for each in found.values())]
            for name in figures if name in LOOK_FIGURES]  # fmt: skip
    frames = sum(each["frames"] for each in next(iter(found.values()))["drives"])
    return [
        "## Other simulators",
        "",
        "One model, four simulators: `realmaster evaluate looks`. It was trained on look A alone; "
        f"the last look was drawn at random by the command. {frames} frames of each.",
        "",
        "![Render and realized picture in four looks](gallery/looks.jpg)",
        "",
        *table(["realized (render)", *found], rows),
    ]


def _realized(frame: Picture) -> Picture:
    """Return the right half of a film's frame, without the band of names below."""
    return frame[:-BAND, frame.shape[1] // 2 :]


def weather(report: Path, out: Path) -> list[str]:
    """Return the section of weathers: a film of a change, the last pictures, and their figures."""
    facts = _read(report / "weather.json")
    films = {
        prompt: film(
            report / "films" / f"{prompt.replace(' ', '-')}.mp4", seconds=math.inf, fps=4.0
        )[0]
        for prompt in facts["prompts"]
    }
    ends = {prompt: [_realized(frames[n]) for n in (0, -1)] for prompt, frames in films.items()}
    fade = max(films, key=lambda prompt: float(np.ptp(ends[prompt], 0).mean()))  # changes most
    frames = films[fade]
    animate(out / "weather.avif", frames[:: max(1, len(frames) // 30)], FILM_FPS)
    tiles = [(prompt, last) for prompt, (_, last) in ends.items()]
    sheet(out / "weather.jpg", tiles)
    rows = []
    for prompt, each in facts["prompts"].items():
        beyond = facts.get("beyond_the_truth", {}).get(prompt, {}).get("beyond", {})
        rows.append(
            [
                prompt, f"{100 * each['recognised']:.0f} %", f"{100 * each['before']:.0f} %",
                _largest(each["loss"]),
                _largest({name: found["value"] for name, found in beyond.items()}),
                f"{each['seam']:.2f}", f"{each['ordinary']:.2f}",
            ]
        )  # fmt: skip
    heads = ["prompt", "recognised", "falsely before", "largest loss of a label's score"]
    heads += ["beyond the truth's", "largest seam of the change", "largest ordinary seam"]
    return [
        f"The change to {fade} in mid-drive, and the end of each drive: `realmaster evaluate "
        f"weather`. {facts['frames']} frames.",
        "",
        f"![Render and realized film, changing to {fade}](gallery/weather.avif)",
        "",
        "![The realized picture under every prompt](gallery/weather.jpg)",
        "",
        *table(heads, rows),
        "",
        "[Weather](evaluation.md#weather) says what has to be reached, and what is.",
    ]


def ablations(report: Path, out: Path) -> list[str]:
    """Return the section of ablations: the same frame by several variants, and their figures."""
    found = _read(report / "ablations.json")
    chosen = [n for start in VARIANTS for n in found if n.startswith(start)]
    tiles = []
    for name in chosen:
        stem = name.replace(" ", "-").replace(":", "").replace(",", "")
        path = report / "films" / f"{stem}.mp4"
        if path.is_file():
            frames, _ = film(path, seconds=math.inf, fps=2.0)
            tiles.append((name.partition(":")[0], frames[len(frames) // 2]))
    sheet(out / "ablations.jpg", tiles)
    columns = [name for name in VARIANT_COLUMNS if any(name in found[each] for each in chosen)]
    rows = [[name, *(_plain(found[name].get(column, "")) for column in columns)] for name in chosen]
    return [
        "## Without a part",
        "",
        "The same frame by variants of the shipped model: `benchmarks/ablations.py`; nothing is "
        "trained for them.",
        "",
        "![One frame by each variant](gallery/ablations.jpg)",
        "",
        *table(["variant", *columns], rows),
        "",
        "All variants, and what they say: [Ablations](ablations.md).",
    ]


SECTIONS: Mapping[str, Callable[[Path, Path], list[str]]] = {
    "drive": drive, "looks": looks, "weather": weather, "ablations": ablations,
}  # fmt: skip


def film(
    path: Path, *, seconds: float = FILM_S, fps: float = FILM_FPS
) -> tuple[list[Picture], float]:
    """Return the frames of a film's first seconds at about `fps`, and their own rate."""
    facts = video_files.describe(path)
    every = max(1, round(facts.fps / fps))
    count = len(facts.times) if math.isinf(seconds) else round(seconds * facts.fps)
    return list(islice(video_files.pictures(path), 0, count, every)), facts.fps / every


def animate(path: Path, frames: Sequence[Picture], fps: float) -> None:
    """Write an animation of at most FILM_BYTES, as good as fits."""
    shown = cv2.Animation()
    shown.frames = [cv2.cvtColor(scaled(each, FILM_WIDTH), cv2.COLOR_RGB2BGR) for each in frames]
    shown.durations = [round(1000 / fps)] * len(frames)
    for quality in QUALITIES:
        how = [cv2.IMWRITE_AVIF_QUALITY, quality, cv2.IMWRITE_AVIF_SPEED, 6]
        if not cv2.imwriteanimation(str(path), shown, how):
            raise SystemExit(f"expected to write {path}, got nothing: OpenCV needs AVIF")
        if path.stat().st_size <= FILM_BYTES:
            return
    raise SystemExit(f"expected {path} under {FILM_BYTES} bytes, got more: shorten the film")


def sheet(
    path: Path, tiles: Iterable[tuple[str, Picture]], *, most_across: int = MOST_ACROSS
) -> None:
    """Write pictures with their names in rows, of at most SHEET_BYTES."""
    drawn = [named(scaled(picture, TILE_WIDTH), name) for name, picture in tiles]
    height = max(each.shape[0] for each in drawn)
    drawn = [cv2.copyMakeBorder(each, 0, height - len(each) + GAP, 0, GAP, cv2.BORDER_CONSTANT,
                                value=(255, 255, 255)) for each in drawn]  # fmt: skip
    # rows as long as fit and as full as can be
    columns = min(range(most_across, 1, -1), key=lambda n: (-len(drawn) % n, -n))
    drawn += [np.full_like(drawn[0], 255)] * (-len(drawn) % columns)
    whole = np.concatenate(
        [np.concatenate(drawn[n : n + columns], 1) for n in range(0, len(drawn), columns)]
    )
    for quality in QUALITIES:
        write_picture(path, np.asarray(whole[:-GAP, :-GAP], np.uint8), quality=quality)
        if path.stat().st_size <= SHEET_BYTES:
            return
    raise SystemExit(f"expected {path} under {SHEET_BYTES} bytes, got more: show fewer pictures")


def scaled(picture: Picture, most: int) -> Picture:
    """Return a picture of at most this width, both sides even."""
    height, width = picture.shape[:2]
    across = min(width, most) // 2 * 2
    size = across, round(height * across / width / 2) * 2
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table of Markdown."""
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    return [*lines, *(f"| {' | '.join(row)} |" for row in rows)]


def _read(path: Path) -> Any:
    if not path.is_file():
        raise SystemExit(f"expected a report's {path.name} in {path.parent}, got none: make it")
    return json.loads(path.read_text(encoding="utf-8"))


def _cell(value: Mapping[str, Any] | None) -> str:
    if value is None:
        return ""
    bounds = "" if value["interval"] is None else " [{:.3g}, {:.3g}]".format(*value["interval"])
    mark = "**" if value["verdict"] == "better" else ""
    return f"{mark}{value['value']:.3g}{mark}{bounds}"


def _against(methods: Mapping[str, Any], figure: str) -> str:
    """Return a figure of the realized film, and the render's in brackets."""
    realized, render = (methods.get(name, {}).get(figure) for name in ("realized", "render"))
    if realized is None:
        return ""
    return f"{realized['value']:.3g}" + ("" if render is None else f" ({render['value']:.3g})")


def _largest(scores: Mapping[str, float | None]) -> str:
    """Return the largest score with its name; nothing where none is known."""
    known = {name: value for name, value in scores.items() if value is not None}
    worst = max(known, key=lambda name: known[name], default="")
    return f"{known[worst]:.2f} ({worst.replace('_', ' ')})" if worst else ""


def _plain(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.3g}"


def main() -> None:
    """Make the sections whose reports are given."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    for name in SECTIONS:
        parser.add_argument(f"--{name}", type=Path, metavar="DIR")
    parser.add_argument("--page", type=Path, default=PAGE, help="the page with the marks")
    options = parser.parse_args()
    out = options.page.parent / "gallery"
    out.mkdir(exist_ok=True)
    for name, make in SECTIONS.items():
        report = getattr(options, name)
        if report is not None:
            put(options.page, f"gallery {name}", make(report, out))
    total = sum(path.stat().st_size for path in out.iterdir() if path.is_file())
    print(f"{total / 1e6:.2f} MB in {out}")
    if total > MOST_BYTES:
        raise SystemExit(f"expected at most {MOST_BYTES} bytes in {out}, got {total}: delete some")


if __name__ == "__main__":
    main()
