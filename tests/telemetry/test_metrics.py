"""Prometheus metrics of a run, scraped over HTTP and parsed by Prometheus's own parser."""

import socket
import urllib.request
from contextlib import ExitStack

import pytest
from driven_scene import FPS, SIZE, driven_chunk

import realmaster_live as rm
from realmaster_live.engines.identity_engine import IdentityEngine
from realmaster_live.errors import ConfigError
from realmaster_live.system import nvidia
from realmaster_live.telemetry.options import TelemetryOptions

parser = pytest.importorskip("prometheus_client.parser")
SMI = "#!/bin/sh\necho '0, 512, 1024'\necho '1, [N/A], 2048'\n"


class Judged(IdentityEngine):
    """An engine whose chunks a gate has judged."""

    def realize(self, chunk):
        return driven_chunk(chunk.index, trust=0.8).with_frames(chunk.frames)


class Street:
    def frames(self):
        for index in range(6):
            yield from (driven_chunk(index).frame(row) for row in range(4))

    def close(self):
        pass


def scrape(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        text = answer.read().decode()
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in parser.text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_runs_figures_can_be_scraped(tmp_path, monkeypatch):
    (tmp_path / "nvidia-smi").write_text(SMI)
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    spec = rm.ChunkSpec(frames=4, width=SIZE[0], height=SIZE[1], fps=FPS)
    with ExitStack() as stack:
        observer = TelemetryOptions(metrics="0").open(stack)
        url = observer._metrics.url
        assert url.startswith("http://127.0.0.1:")
        sink = rm.open_sink(f"mcap:{tmp_path}/a.mcap")
        stats = rm.run(
            Street(),
            observer.engine(Judged(spec)),
            observer.sinks([sink]),
            on_progress=observer.progress(),
        )
        found = scrape(url)
    assert stats.realized == 24
    for state, count in (("captured", 24), ("realized", 24), ("lost", 0), ("dropped", 0)):
        assert found["realmaster_frames_total", state] == count
    assert found["realmaster_gate_verdicts_total", "front", "passed"] == 24
    assert found["realmaster_sink_frames_total", f"mcap:{tmp_path}/a.mcap", "written"] == 24
    assert found["realmaster_queue_chunks", "engine"] == 0
    assert found["realmaster_sink_queue_chunks", sink.name] == 0
    assert found["realmaster_engine_resets_total",] == 0
    assert found["realmaster_frames_per_second",] == pytest.approx(stats.fps)
    for stage in ("capture", "queue", "engine", "deliver", "end_to_end"):
        wanted = stats.latency_ms[stage].p99 / 1e3
        assert found["realmaster_stage_latency_seconds", "0.99", stage] == pytest.approx(wanted)
    assert found["realmaster_gpu_memory_bytes", "0", "used"] == 512 * 2**20
    assert found["realmaster_gpu_memory_bytes", "1", "total"] == 2**31
    assert ("realmaster_gpu_memory_bytes", "1", "used") not in found
    with pytest.raises(OSError):
        scrape(url)


def test_a_machine_without_a_gpu_has_none(monkeypatch):
    monkeypatch.setattr(nvidia.shutil, "which", lambda name: None)
    assert nvidia.query_gpus("index") == []


def test_a_taken_port_is_one_sentence():
    with socket.socket() as taken, ExitStack() as stack:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"free port for the metrics, got .*:{port}"):
            TelemetryOptions(metrics=f"127.0.0.1:{port}").open(stack)


@pytest.mark.parametrize("text", ["x", "", "1:x", "70000", "host:"])
def test_a_wrong_address_is_one_sentence(text):
    with pytest.raises(ConfigError, match="expected a port or HOST:PORT for --metrics"):
        TelemetryOptions(metrics=text)
