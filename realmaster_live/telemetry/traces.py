"""OpenTelemetry traces: one for each chunk, from its capture to the sinks.

chunk                 from the capture of its first frame until every sink has it
  capture             from its first frame to its last
  queue               until the engine takes it
  realize             the engine, with what is around it
  sink NAME           a sink writes it; those of --to do so later, on their own threads
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

from realmaster_live.frames.chunk import Chunk
from realmaster_live.frames.run_info import RunInfo
from realmaster_live.live.wrapper import EngineWrapper, realized_together
from realmaster_live.optional import require
from realmaster_live.protocols import PromptedEngine, RunSink, Sink
from realmaster_live.sinks.background import BackgroundSink

trace = require("opentelemetry.trace", extra="otel")

KEPT = 256  # chunks whose spans a late sink may still join
Key = tuple[str, int, int]


def otlp_provider(endpoint: str) -> Any:
    """Return a provider that sends spans to an OTLP endpoint over HTTP, on a thread of its own."""
    sdk = require("opentelemetry.sdk.trace", extra="otel")
    batches = require("opentelemetry.sdk.trace.export", extra="otel")
    resources = require("opentelemetry.sdk.resources", extra="otel")
    otlp = require("opentelemetry.exporter.otlp.proto.http.trace_exporter", extra="otel")

    resource = resources.Resource.create({"service.name": "realmaster_live"})
    provider = sdk.TracerProvider(resource=resource)
    exporter = otlp.OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
    provider.add_span_processor(batches.BatchSpanProcessor(exporter))
    return provider


class ChunkTraces:
    """Makes the spans of chunks; itself the last sink of a run, which ends their `chunk` spans.

    Args:
        provider: an OpenTelemetry TracerProvider.
    """

    def __init__(self, provider: Any) -> None:
        self._tracer = provider.get_tracer("realmaster_live")
        self._epoch_ns = time.time_ns() - time.monotonic_ns()
        self._spans: OrderedDict[Key, Any] = OrderedDict()
        self._lock = threading.Lock()

    def engine(self, engine: PromptedEngine) -> PromptedEngine:
        """Return an engine whose chunks begin their traces in it."""
        return _TracedEngine(engine, self)

    def sink(self, sink: Sink) -> Sink:
        """Return a sink that makes a span of every chunk it writes."""
        if isinstance(sink, BackgroundSink):
            sink.span = self.writing
            return sink
        return _TracedSink(sink, self)

    def begin(self, chunk: Chunk) -> None:
        """Begin the trace of a chunk that the engine takes now."""
        first, last = (self._at(float(chunk.captured_at[row])) for row in (0, -1))
        span = self._tracer.start_span(
            "chunk",
            start_time=first,
            attributes={
                "realmaster.camera": chunk.camera,
                "realmaster.chunk": chunk.index,
                "realmaster.first_frame": int(chunk.frame_ids[0]),
                "realmaster.last_frame": int(chunk.frame_ids[-1]),
                "realmaster.dropped_before": chunk.dropped_before,
            },
        )
        with self._lock:
            self._spans[_key(chunk)] = span
            while len(self._spans) > KEPT:
                self._spans.popitem(last=False)
        context = trace.set_span_in_context(span)
        for name, since, until in (
            ("capture", first, last),
            ("queue", last, time.time_ns()),
        ):
            self._tracer.start_span(name, context, start_time=since).end(max(since, until))

    @contextmanager
    def during(self, name: str, chunk: Chunk) -> Iterator[None]:
        """Make a span of a chunk's trace around a body; an exception is noted in it."""
        parent = self._spans.get(_key(chunk))
        context = None if parent is None else trace.set_span_in_context(parent)
        with self._tracer.start_as_current_span(name, context):
            yield

    def writing(self, name: str, chunk: Chunk) -> AbstractContextManager[None]:
        """Make a span around a sink that writes a chunk."""
        return self.during(f"sink {name}", chunk)

    def write(self, chunk: Chunk) -> None:
        """End the trace of a chunk that all sinks have."""
        span = self._spans.get(_key(chunk))
        if span is not None:
            span.end()

    def close(self) -> None:
        """Do nothing: the provider is its owner's."""

    def _at(self, monotonic_s: float) -> int:
        """Return nanoseconds since 1970 of the host's monotonic clock."""
        return self._epoch_ns + round(monotonic_s * 1e9)


class _TracedEngine(EngineWrapper):
    """An engine whose chunks are traced."""

    def __init__(self, engine: PromptedEngine, traces: ChunkTraces) -> None:
        super().__init__(engine)
        self._traces = traces

    def realize(self, chunk: Chunk) -> Chunk:
        """Return the realized chunk."""
        self._traces.begin(chunk)
        with self._traces.during("realize", chunk):
            return self.engine.realize(chunk)

    def realize_together(self, chunks: tuple[Chunk, ...]) -> tuple[Chunk, ...]:
        """Return the realized chunks of several cameras."""
        for chunk in chunks:
            self._traces.begin(chunk)
        with ExitStack() as stack:
            for chunk in chunks:
                stack.enter_context(self._traces.during("realize", chunk))
            return realized_together(self.engine, chunks)


class _TracedSink:
    """A sink whose chunks are traced."""

    def __init__(self, sink: Sink, traces: ChunkTraces) -> None:
        self.sink = sink
        self._traces = traces

    @property
    def is_open(self) -> bool:
        """Whether the sink is open."""
        return bool(getattr(self.sink, "is_open", False))

    def begin(self, run: RunInfo) -> None:
        """Open the sink."""
        if isinstance(self.sink, RunSink):
            self.sink.begin(run)

    def write(self, chunk: Chunk) -> None:
        """Write a chunk."""
        with self._traces.writing(type(self.sink).__name__, chunk):
            self.sink.write(chunk)

    def close(self) -> None:
        """Close the sink."""
        self.sink.close()


def _key(chunk: Chunk) -> Key:
    return chunk.camera, chunk.index, int(chunk.frame_ids[-1])
