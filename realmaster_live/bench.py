"""Measures the whole chain: simulator in its own process, capture, engine, recording."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from realmaster_live.host import describe_host
from realmaster_live.live import about_run, run_with_progress
from realmaster_live.local_town import local_town, pick_ego
from realmaster_live.protocols import Engine
from realmaster_live.recording import Recorder
from realmaster_live.stats import Stats

VEHICLES, WALKERS = 24, 24


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What to measure.

    Attributes:
        sizes: (width, height) of the pictures, one run each. seconds: of simulated driving.
        engine: its name. seed: which town. fps: simulated frames a second.
        compare: also run the same engine with its reference recomputed at every step.
    """

    sizes: Sequence[tuple[int, int]] = ((512, 288),)
    seconds: float = 10.0
    engine: str = "embedded"
    seed: int = 7
    fps: float = 20.0
    compare: bool = True


@dataclass(frozen=True, kw_only=True)
class Result:
    """One size.

    Attributes:
        stats: of the run as it is used. recomputed: of the same run without the reference cache;
            None where the engine has none.
    """

    width: int
    height: int
    stats: Stats
    recomputed: Stats | None

    @property
    def engine_ratio(self) -> float | None:
        """How many times longer the engine takes without its cache, by the median chunk."""
        if self.recomputed is None:
            return None
        return self.recomputed.latency_ms["engine"].p50 / self.stats.latency_ms["engine"].p50

    @property
    def fps_ratio(self) -> float | None:
        """How many times more frames a second the whole chain gives with the cache."""
        return None if self.recomputed is None else self.stats.fps / self.recomputed.fps

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            **asdict(self),
            "fps": self.stats.fps,
            "fps_ratio": self.fps_ratio,
            "engine_ratio": self.engine_ratio,
            "host": describe_host(),
        }


def run_bench(bench: Bench) -> Iterator[Result]:
    """Yield one result a size, all from the same town."""
    with local_town(seed=bench.seed, vehicles=VEHICLES, walkers=WALKERS) as port:
        ego = pick_ego(port)
        for width, height in bench.sizes:
            stats = _measure(bench, port, ego, _load(bench, width, height), "realizing")
            recomputed = None
            if bench.compare and bench.engine != "identity":
                engine = _load(bench, width, height, recompute_reference=True)
                recomputed = _measure(bench, port, ego, engine, "without the reference cache")
            yield Result(width=width, height=height, stats=stats, recomputed=recomputed)


def _load(bench: Bench, width: int, height: int, *, recompute_reference: bool = False) -> Engine:
    from realmaster_live.engines.load import load_engine

    if not recompute_reference:
        return load_engine(bench.engine, width=width, height=height, fps=bench.fps)
    from realmaster_live.engines.onnx_engine import OnnxEngine

    return OnnxEngine(
        None if bench.engine == "embedded" else bench.engine,
        width=width,
        height=height,
        fps=bench.fps,
        recompute_reference=True,
    )


def _measure(bench: Bench, port: int, ego: int, engine: Engine, title: str) -> Stats:
    from realmaster_live.bridges.carla_bridge import CarlaBridge

    spec = engine.spec
    with ExitStack() as stack:
        stack.callback(engine.close)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="realmaster-bench-")))
        bridge = stack.enter_context(
            CarlaBridge(
                port=port,
                ego=ego,
                width=spec.width,
                height=spec.height,
                fixed_delta_s=1.0 / bench.fps,
            )
        )
        about = about_run(bench.engine, engine, bridge.describe(), policy="block", seed=bench.seed)
        recorder = stack.enter_context(Recorder(folder / "recording", spec, about=about))
        return run_with_progress(
            f"{spec.width}x{spec.height} {title}",
            bridge,
            engine,
            [recorder],
            max_frames=max(spec.first_frames + spec.frames, round(bench.seconds * bench.fps)),
            quiet=True,
        )
