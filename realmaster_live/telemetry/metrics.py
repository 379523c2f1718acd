"""The figures of a run for Prometheus, served over HTTP.

realmaster_frames_total{state}                   captured, realized, lost, dropped, unfinished
realmaster_dropped_chunks_total                  overtaken under drop_oldest
realmaster_engine_resets_total
realmaster_frames_per_second                     of the run so far
realmaster_stage_latency_seconds{stage,quantile} of the latest samples
realmaster_queue_chunks{queue}                   before the engine, and behind it
realmaster_sink_frames_total{sink,state}         written, dropped, failed; sinks of --to
realmaster_sink_latency_seconds{sink,quantile}   of writing a chunk
realmaster_sink_queue_chunks{sink}
realmaster_gate_verdicts_total{camera,verdict}   frames that the gate judged
realmaster_gpu_memory_bytes{gpu,state}           used, total; where there is an NVIDIA GPU
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Self

from realmaster_live.errors import ConfigError
from realmaster_live.frames.chunk import Chunk
from realmaster_live.live.stats import Latency, Stats
from realmaster_live.optional import require
from realmaster_live.protocols import Sink
from realmaster_live.sinks.background import BackgroundSink
from realmaster_live.system.nvidia import query_gpus

prometheus = require("prometheus_client", extra="metrics")
core = require("prometheus_client.core", extra="metrics")

QUANTILES = {"0.5": "p50", "0.95": "p95", "0.99": "p99"}
MIB = 2**20


class RunMetrics:
    """Serves the figures of a run; itself a sink, which counts the gate's verdicts.

    Args:
        host: address to listen on. port: 0 takes a free one.

    Attributes:
        url: of the metrics, "" until they are served.
    """

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.url = ""
        self._address = host, port
        self._stats = Stats()
        self._sinks: list[BackgroundSink] = []
        self._verdicts: Counter[tuple[str, str]] = Counter()
        self._server: Any = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Serve from now on; ConfigError where the port is taken."""
        registry = prometheus.CollectorRegistry()
        registry.register(self)
        host, port = self._address
        try:
            self._server, self._thread = prometheus.start_http_server(port, host, registry)
        except OSError as error:
            raise ConfigError(
                f"expected a free port for the metrics, got {error.strerror} at {host}:{port}: "
                "choose another, or 0"
            ) from error
        self.url = f"http://{host}:{self._server.server_port}/metrics"
        return self

    def __exit__(self, *exception: object) -> None:
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
            self._server = None

    @property
    def is_open(self) -> bool:
        """Whether it serves."""
        return self._server is not None

    def watch(self, sinks: Sequence[Sink]) -> None:
        """Show the figures of the sinks that have some."""
        self._sinks = [one for one in sinks if isinstance(one, BackgroundSink)]

    def update(self, stats: Stats) -> None:
        """Show other figures of the run."""
        self._stats = stats

    def write(self, chunk: Chunk) -> None:
        """Count the verdicts on a chunk."""
        self._verdicts.update((chunk.camera, one.verdict) for one in chunk.trust)

    def close(self) -> None:
        """Do nothing: it is served until the end of its `with`."""

    def collect(self) -> Iterator[Any]:
        """Yield the metrics as of now, as prometheus_client asks for them."""
        stats = self._stats
        frames = core.CounterMetricFamily("realmaster_frames", "Frames by fate.", labels=["state"])
        for state, count in {
            "captured": stats.captured,
            "realized": stats.realized,
            "lost": stats.lost_frames,
            "dropped": stats.dropped_frames,
            "unfinished": stats.unfinished_frames,
        }.items():
            frames.add_metric([state], count)
        yield frames
        yield _counter("realmaster_dropped_chunks", "Chunks overtaken.", stats.dropped_chunks)
        yield _counter("realmaster_engine_resets", "Resets of an engine.", stats.resets)
        yield core.GaugeMetricFamily(
            "realmaster_frames_per_second", "Realized frames a second.", value=stats.fps
        )
        latency = _gauge("realmaster_stage_latency_seconds", "Of a stage.", "stage", "quantile")
        for stage, figures in stats.latency_ms.items():
            _add_quantiles(latency, stage, figures)
        yield latency
        queues = _gauge("realmaster_queue_chunks", "Chunks that wait.", "queue")
        for queue, count in stats.waiting_chunks.items():
            queues.add_metric([queue], count)
        yield queues
        yield from self._of_sinks()
        verdicts = core.CounterMetricFamily(
            "realmaster_gate_verdicts", "Frames by verdict.", labels=["camera", "verdict"]
        )
        for key, count in sorted(self._verdicts.items()):
            verdicts.add_metric(list(key), count)
        yield verdicts
        yield from _of_gpus()

    def _of_sinks(self) -> Iterator[Any]:
        frames = core.CounterMetricFamily(
            "realmaster_sink_frames", "Frames of a sink by fate.", labels=["sink", "state"]
        )
        latency = _gauge("realmaster_sink_latency_seconds", "Of a chunk.", "sink", "quantile")
        queues = _gauge("realmaster_sink_queue_chunks", "Chunks that wait.", "sink")
        for one in self._sinks:
            figures = one.figures
            for state in ("written", "dropped", "failed"):
                frames.add_metric([figures.name, state], getattr(figures, state))
            _add_quantiles(latency, figures.name, figures.latency_ms)
            queues.add_metric([figures.name], figures.waiting)
        yield from (frames, latency, queues)


def _of_gpus() -> Iterator[Any]:
    memory = _gauge("realmaster_gpu_memory_bytes", "Memory of a GPU.", "gpu", "state")
    for index, used, total in query_gpus("index", "memory.used", "memory.total"):
        for state, value in (("used", used), ("total", total)):
            if value.isdecimal():  # "[N/A]" of some GPUs
                memory.add_metric([index, state], int(value) * MIB)
    yield memory


def _counter(name: str, about: str, value: int) -> Any:
    return core.CounterMetricFamily(name, about, value=value)


def _gauge(name: str, about: str, *labels: str) -> Any:
    return core.GaugeMetricFamily(name, about, labels=labels)


def _add_quantiles(family: Any, label: str, latency: Latency) -> None:
    if latency.count:
        for quantile, name in QUANTILES.items():
            family.add_metric([label, quantile], getattr(latency, name) / 1e3)
