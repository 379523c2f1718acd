"""The flags of gate and lock, on a live town through the real client, up to the recording."""

import json

import numpy as np
import pytest

from realmaster_live.__main__ import main
from realmaster_live.cli.command import parse
from realmaster_live.cli.fidelity import Fidelity, wrap
from realmaster_live.demo.local_town import local_town
from realmaster_live.engines.identity_engine import IdentityEngine
from realmaster_live.errors import ConfigError
from realmaster_live.fidelity.gate import FidelityGate
from realmaster_live.fidelity.lock import LOCKED, SafetyLock
from realmaster_live.frames.chunk import ChunkSpec
from realmaster_live.frames.classes import CLASS_IDS
from realmaster_live.recording import Recording

SPEC = ChunkSpec(frames=4, height=64, width=96, fps=20.0)


def wrapped(*flags):
    return wrap(IdentityEngine(SPEC), parse(["attach", *flags])[1].fidelity)


def test_without_flags_the_engine_stays_as_it_is():
    assert isinstance(wrapped(), IdentityEngine)


def test_flags_choose_policy_thresholds_and_classes():
    gate = wrapped(
        "--fidelity", "blend,quarantine", "--thresholds", "edges=0.9,min_pixels=50", "--lock"
    )
    assert isinstance(gate, FidelityGate)
    assert gate.policy == ("blend", "quarantine")
    assert gate.thresholds.edges == 0.9 and gate.thresholds.min_pixels == 50
    assert isinstance(gate.engine, SafetyLock) and gate.engine.classes == LOCKED
    assert wrapped("--fidelity", "score").policy == ()
    flags = {
        "fidelity": ("score",),
        "lock": True,
        "lock_classes": None,
        "thresholds": {},
        "judge": None,
    }
    read_back = json.loads(json.dumps(flags))
    gate = wrap(IdentityEngine(SPEC), Fidelity(**read_back, attempts=3))
    assert gate.policy == () and gate.engine.classes == LOCKED
    assert wrapped("--lock-classes", "traffic_sign").classes == ("traffic_sign",)


def test_wrong_flags_are_refused():
    with pytest.raises(
        ConfigError, match="--fidelity with --thresholds and --judge, got them alone"
    ):
        wrapped("--thresholds", "edges=0.5")
    with pytest.raises(ConfigError, match=r"scores among edges, .* got edge: correct it"):
        wrapped("--fidelity", "score", "--thresholds", "edge=0.5")
    with pytest.raises(ConfigError, match=r"policy of retry, blend, quarantine, .* got mend"):
        wrapped("--fidelity", "mend")
    with pytest.raises(ConfigError, match=r"judge network in none.onnx"):
        wrapped("--fidelity", "score", "--judge", "none.onnx")
    with pytest.raises(ConfigError, match=r"scores such as edges=0.8,boxes=0.4 for --thresholds"):
        wrapped("--fidelity", "score", "--thresholds", "edges=high")


@pytest.mark.slow
@pytest.mark.carla
def test_a_live_drive_is_judged_locked_and_recorded(tmp_path):
    """What the shipped model makes of a town passes, and its trust reaches whoever reads."""
    folder = tmp_path / "drive"
    policy = ["--fidelity", "retry,blend,quarantine", "--lock"]
    with local_town(seed=1004, vehicles=20, walkers=10) as port:
        flags = ["--port", str(port), "--size", "384x224", "--seconds", "0.8"]
        assert main(["record", str(folder), *flags, *policy]) == 0
    with Recording(folder) as recording:
        (camera,) = recording.cameras
        samples = list(recording.samples(camera, streams=("sim", "real", "semantic")))
    assert len(samples) == 16
    assert all(sample.seed is not None for sample in samples)
    verdicts = [sample.trust.verdict for sample in samples]
    assert verdicts.count("passed") >= 15
    assert all(sample.trust.edges > 0.75 for sample in samples)
    lines = [sample.frame.labels["semantic"] == CLASS_IDS["road_line"] for sample in samples]
    assert any(mask.any() for mask in lines)
    for sample, mask in zip(samples, lines, strict=True):
        if mask.any():  # grey paint stays grey, but for what a video's compression does
            tint = np.ptp(sample.real[mask].astype(int), axis=1)
            drawn = np.ptp(sample.frame.image[mask].astype(int), axis=1)
            assert np.median(tint) < np.median(drawn) + 12
