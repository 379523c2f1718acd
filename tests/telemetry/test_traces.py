"""Traces of chunks: their spans, as an exporter in memory gets them."""

import time
from contextlib import ExitStack
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from driven_scene import FPS, SIZE, driven_chunk

import realmaster_live as rm
from realmaster_live.engines.identity_engine import IdentityEngine
from realmaster_live.errors import ConfigError
from realmaster_live.telemetry.observer import Observer
from realmaster_live.telemetry.options import TelemetryOptions

sdk = pytest.importorskip("opentelemetry.sdk.trace")
export = pytest.importorskip("opentelemetry.sdk.trace.export")
memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
traces = pytest.importorskip("realmaster_live.telemetry.traces")
CHUNKS = 5


class Street:
    def frames(self):
        for index in range(CHUNKS):
            for row in range(4):
                frame = driven_chunk(index, size=SIZE).frame(row)
                yield replace(frame, captured_at=time.monotonic())

    def close(self):
        pass


class Own:
    """A sink of a user."""

    def __init__(self, fails=False):
        self.fails = fails

    def write(self, chunk):
        if self.fails:
            raise ValueError("no room")

    def close(self):
        pass


@pytest.fixture
def observed():
    exporter = memory.InMemorySpanExporter()
    provider = sdk.TracerProvider()
    provider.add_span_processor(export.SimpleSpanProcessor(exporter))
    observer = Observer()
    observer.add(traces=traces.ChunkTraces(provider))
    return observer, exporter


def run(observer, *sinks):
    spec = rm.ChunkSpec(frames=4, width=SIZE[0], height=SIZE[1], fps=FPS)
    return rm.run(Street(), observer.engine(IdentityEngine(spec)), observer.sinks(sinks))


def test_each_chunk_is_a_trace_from_capture_to_every_sink(observed, tmp_path):
    observer, exporter = observed
    url = f"mcap:{tmp_path}/a.mcap"
    run(observer, Own(), rm.open_sink(url))
    by_trace = {}
    for span in exporter.get_finished_spans():
        by_trace.setdefault(span.context.trace_id, {})[span.name] = span
    assert len(by_trace) == CHUNKS
    ordered = sorted(by_trace.values(), key=lambda one: one["chunk"].start_time)
    for number, spans in enumerate(ordered):
        names = {"chunk", "capture", "queue", "realize", "sink Own", f"sink {url}"}
        assert spans.keys() == names
        root = spans["chunk"]
        assert root.attributes["realmaster.chunk"] == number
        assert root.attributes["realmaster.camera"] == "front"
        assert root.attributes["realmaster.last_frame"] == 1003 + 4 * number
        assert root.parent is None
        for name in names - {"chunk"}:
            assert spans[name].parent.span_id == root.context.span_id
        times = [spans[name] for name in ("capture", "queue", "realize", "sink Own")]
        for one, following in pairwise(times):
            assert one.start_time <= one.end_time
            assert one.start_time <= following.start_time
        assert abs(root.start_time / 1e9 - time.time()) < 600
        assert root.end_time >= spans["sink Own"].end_time


def test_what_fails_is_in_its_span(observed):
    observer, exporter = observed
    with pytest.raises(ValueError, match="no room"):
        run(observer, Own(fails=True))
    failed = [span for span in exporter.get_finished_spans() if span.name == "sink Own"]
    assert failed[0].status.status_code.name == "ERROR"
    assert failed[0].events[0].attributes["exception.message"] == "no room"


def test_spans_of_the_past_are_not_kept(observed):
    observer, _ = observed
    chunks = observer._traces
    one = replace(driven_chunk(0), captured_at=np.zeros(4))
    for index in range(traces.KEPT + 10):
        chunks.begin(replace(one, index=index))
    assert len(chunks._spans) == traces.KEPT


def test_an_endpoint_gets_the_spans():
    """Over OTLP and HTTP, as a collector does."""
    import threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    got = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append((self.path, self.headers["Content-Encoding"], body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with ExitStack() as stack:
                endpoint = f"http://127.0.0.1:{server.server_port}"
                run(TelemetryOptions(traces=endpoint).open(stack))
        finally:
            server.shutdown()
            thread.join()
    assert got and got[0][0] == "/v1/traces"
    assert any(b"realize" in body and b"realmaster_live" in body for _, _, body in got)


def test_a_wrong_endpoint_is_one_sentence():
    with pytest.raises(ConfigError, match="expected an address such as"):
        TelemetryOptions(traces="localhost:4318")


def test_the_chunks_of_several_cameras_are_a_trace_each(observed):
    observer, exporter = observed
    spec = rm.ChunkSpec(frames=4, width=SIZE[0], height=SIZE[1], fps=FPS)
    rig = observer.engine(IdentityEngine(spec, cameras=2))

    class Pair(Street):
        def frames(self):
            for frame in super().frames():
                yield replace(frame, camera="left")
                yield replace(frame, camera="right")

    rm.run(Pair(), {"left": rig, "right": rig}, observer.sinks([Own()]))
    realized = [one for one in exporter.get_finished_spans() if one.name == "realize"]
    assert len(realized) == len({one.context.trace_id for one in realized}) == 2 * CHUNKS
