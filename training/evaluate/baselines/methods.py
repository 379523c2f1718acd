"""The table of methods, and the films that some of them make of drives.

A method that cannot run here is left out with its reason and what to do; the others are made.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from realmaster_live.errors import ConfigError, MissingDependency, PairError, reason
from realmaster_live.training.evaluate.baselines.baseline import Baseline, PaidBaseline
from realmaster_live.training.evaluate.baselines.films import Plan, Render, make, plan
from realmaster_live.training.evaluate.drives.films import (
    COLOUR_TRANSFER,
    REALIZED,
    RENDER,
    OtherFilm,
    method_of,
)
from realmaster_live.training.evaluate.drives.sources import DriveSource
from realmaster_live.training.recipe_tables import build, near, read_table

OWN = {"raw": RENDER, "histogram": COLOUR_TRANSFER, "realmaster": REALIZED}
BASELINES = ("pipeline", "lucyedit", "decart", "editto", "aleph", "vace", "cosmos", "perframe")
KNOWN = (*OWN, *BASELINES)


@dataclass(frozen=True, kw_only=True)
class Bill:
    """What one vendor is about to be paid.

    Attributes:
        method: its name here. vendor: who is paid, and gets the frames.
        pieces: how many are ordered. seconds: of film. usd: by its list price.
    """

    method: str
    vendor: str
    pieces: int
    seconds: float
    usd: float

    def __str__(self) -> str:
        """Return the bill as a line."""
        return (
            f"{self.method}: {self.pieces} pieces, {self.seconds:.1f} s of the render, sent to "
            f"{self.vendor} for about ${self.usd:.2f} (list price)"
        )


@dataclass(frozen=True, kw_only=True)
class Made:
    """The films that methods made.

    Attributes:
        films: of the drives.
        facts: method -> its frames, and the seconds and dollars that they once took.
        skipped: method -> why it has no film, and what to do.
    """

    films: tuple[OtherFilm, ...] = ()
    facts: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)


def check_names(names: Sequence[str], given: Sequence[OtherFilm] = ()) -> None:
    """Raise ConfigError for a name of no method, or one that a given film has."""
    for name in names:
        if name in {method_of(film.name) for film in given}:
            raise ConfigError(
                f"expected one film of {name}, got one that is given and one to be made: leave it "
                "out of --methods, or give the film another name"
            )
        if name not in KNOWN:
            raise ConfigError(
                f"expected methods among {', '.join(KNOWN)}, got {name!r}: {near(name, KNOWN)}"
            )


def films_folder() -> Path:
    """Return where films are kept by default: with the user's data, as some were paid for."""
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "realmaster-live" / "films"


def load(name: str, table: Mapping[str, Any]) -> Baseline:
    """Return a method with the options of its table; loads no network."""
    module = importlib.import_module(f"{__package__}.{name}")
    config = build(getattr(module, f"{name.capitalize()}Config"), table, f"[{name}]")
    made: Baseline = module.make(config)
    return made


def read_tables(path: Path | None) -> Mapping[str, Mapping[str, Any]]:
    """Return the tables of a file with the methods' options; ConfigError for another one."""
    if path is None:
        return {}
    tables = read_table(path, "start from methods.toml of realmaster_live.training's recipes")
    for name, content in tables.items():
        if name not in BASELINES or not isinstance(content, dict):
            raise ConfigError(
                f"expected tables of methods in {path}, got {name!r}: {near(name, BASELINES)}"
            )
    return tables


def make_films(
    sources: Sequence[DriveSource],
    names: Sequence[str],
    out: Path,
    *,
    tables: Mapping[str, Mapping[str, Any]],
    kept: Path,
    allow: Callable[[Sequence[Bill]], bool],
    seconds: float | None = None,
    report: Callable[[str], object] = lambda line: None,
) -> Made:
    """Make the films of some methods of drives.

    Args:
        sources: the drives.
        names: of methods out of BASELINES; others are left alone.
        out: folder for the films.
        tables: method -> its options.
        kept: where the pieces of films are kept between runs.
        allow: whether bills may be paid; asked once, before anything is spent, and only where
            something is to be paid.
        seconds: only the first ones of each drive.
        report: is told what is being made.
    """
    if not all(map(len, sources)):
        return Made()  # which drive has no frames is said where drives are measured
    skipped: dict[str, str] = {}
    plans: dict[str, list[Plan]] = {}
    for name in dict.fromkeys(each for each in names if each in BASELINES):
        try:
            baseline = load(name, tables.get(name, {}))
            baseline.check()
            renders = [Render.of(source, seconds) for source in sources]
            plans[name] = [plan(name, baseline, render, kept) for render in renders]
        except (ConfigError, MissingDependency) as error:
            skipped[name] = str(error)
    bills = [bill for name, each in plans.items() if (bill := _bill(name, each)).pieces]
    if bills and not allow(bills):
        for bill in bills:
            skipped[bill.method] = (
                f"it costs about ${bill.usd:.2f} at {bill.vendor}: answer yes, or give --yes"
            )
            del plans[bill.method]
    films: list[OtherFilm] = []
    facts: dict[str, Mapping[str, float]] = {}
    for name, each in plans.items():
        paths = _paths(name, sources, out)
        try:
            found = [make(one, path, report) for one, path in zip(each, paths, strict=True)]
        except (PairError, ConfigError, MissingDependency) as error:
            skipped[name] = str(error)
            continue
        except OSError as error:
            raise PairError(
                f"expected to write films in {kept} and {out}, got {reason(error)}: free some "
                "space, or choose other folders with --kept and --out"
            ) from error
        facts[name] = {key: sum(one[key] for one in found) for key in found[0]}
        films += [
            OtherFilm(name=name, path=path, drive=number if len(paths) > 1 else None)
            for number, path in enumerate(paths)
        ]
    return Made(films=tuple(films), facts=facts, skipped=skipped)


def _paths(name: str, sources: Sequence[DriveSource], out: Path) -> list[Path]:
    """Return where the films of a method are written, one of each drive."""
    if len(sources) == 1:
        return [out / f"{name}.mp4"]
    return [out / f"{name}-{index:02d}-{each.name}.mp4" for index, each in enumerate(sources)]


def _bill(name: str, plans: Sequence[Plan]) -> Bill:
    """Return what the plans of a method cost, of no pieces where it costs nothing."""
    baseline = plans[0].baseline
    parts = [part for each in plans for part in each.to_order]
    return Bill(
        method=name,
        vendor=baseline.vendor if isinstance(baseline, PaidBaseline) else "",
        pieces=len(parts),
        seconds=sum(part.seconds for part in parts),
        usd=sum(each.usd for each in plans),
    )
