"""The gate and its policies, around engines that are true or not."""

import logging
from collections import Counter
from dataclasses import replace

import cv2
import numpy as np
import pytest
from corruptions import CORRUPTIONS

from realmaster_live.engines.identity_engine import IdentityEngine
from realmaster_live.engines.onnx_engine import OnnxEngine
from realmaster_live.errors import ConfigError
from realmaster_live.fidelity.blend import blend
from realmaster_live.fidelity.gate import FidelityGate
from realmaster_live.fidelity.lock import SafetyLock
from realmaster_live.fidelity.regions import find_regions
from realmaster_live.fidelity.thresholds import Thresholds
from realmaster_live.frames.chunk import ChunkSpec
from realmaster_live.protocols import Engine, PromptedEngine

SPEC = ChunkSpec(frames=4, height=288, width=512, fps=20.0)


class Moody:
    """An engine with answers by seed; what it was asked for is in `asked`."""

    spec = SPEC

    def __init__(self, answers, seed=0):
        self.answers, self.seed = answers, seed
        self.asked, self.closed, self.resets = [], 0, 0

    def realize(self, chunk):
        return self._answer(chunk, self.seed)

    def realize_again(self, chunk, seed):
        return self._answer(chunk, seed)

    def _answer(self, chunk, seed):
        self.asked.append((chunk.index, seed))
        return replace(chunk.with_frames(self.answers[seed]), seed=seed)

    def reset(self):
        self.resets += 1

    def close(self):
        self.closed += 1


def spoil(chunk, kind, frames=range(4), seed=3):
    answer = chunk.frames.copy()
    for index in frames:
        labels = {name: label[index] for name, label in chunk.labels.items()}
        answer[index] = CORRUPTIONS[kind](answer[index], find_regions(labels), seed)
    return answer


def verdicts(chunk):
    return [trust.verdict for trust in chunk.trust]


def test_a_true_chunk_passes_as_it_is(town_drive, realized):
    engine = Moody({0: realized[0].frames})
    gate = FidelityGate(engine)
    answer = gate.realize(town_drive.chunks[0])
    assert answer.frames is realized[0].frames
    assert verdicts(answer) == ["passed"] * 4
    assert [trust.attempts for trust in answer.trust] == [1] * 4
    assert engine.asked == [(0, 0)]
    assert gate.verdicts == Counter(passed=4) and not gate.failures


def test_scores_are_written_whatever_they_are_without_a_policy(town_drive, realized):
    gate = FidelityGate(Moody({0: spoil(realized[0], "blurred")}), policy=())
    answer = gate.realize(town_drive.chunks[0])
    assert verdicts(answer) == ["passed"] * 4
    assert all(trust.edges < Thresholds().edges for trust in answer.trust)
    assert gate.failures["edges"] == 4


def test_retry_continues_from_the_first_attempt_that_passes(town_drive, realized):
    bad = spoil(realized[0], "blurred")
    engine = Moody({0: bad, 1: bad ^ 1, 2: realized[0].frames, 3: bad})
    answer = FidelityGate(engine, policy=("retry",), attempts=4).realize(town_drive.chunks[0])
    assert engine.asked == [(0, 0), (0, 1), (0, 2)]
    assert answer.frames is realized[0].frames
    assert answer.seed == 2
    assert verdicts(answer) == ["retried"] * 4
    assert [trust.attempts for trust in answer.trust] == [3] * 4


def test_retry_ends_where_another_seed_changes_nothing(town_drive, realized):
    bad = spoil(realized[0], "blurred")
    engine = Moody({0: bad, 1: bad.copy(), 2: realized[0].frames})
    answer = FidelityGate(engine, policy=("retry",)).realize(town_drive.chunks[0])
    assert engine.asked == [(0, 0), (0, 1), (0, 0)]
    assert np.array_equal(answer.frames, bad)
    assert [trust.attempts for trust in answer.trust] == [2] * 4


def test_retry_goes_back_to_the_best_attempt(town_drive, realized):
    """What the engine carries on is what the answer shows."""
    worse, best = spoil(realized[0], "mirrored"), spoil(realized[0], "erased", frames=[1])
    engine = Moody({5: worse, 6: best, 7: worse}, seed=5)
    answer = FidelityGate(engine, policy=("retry",)).realize(town_drive.chunks[0])
    assert engine.asked == [(0, 5), (0, 6), (0, 7), (0, 6)]
    assert answer.frames is best
    assert answer.seed == 6


def test_blend_brings_an_erased_thing_back(town_drive, realized):
    chunk, whole = town_drive.chunks[0], realized[0]
    bad = spoil(whole, "erased", frames=[0, 2])
    gate = FidelityGate(Moody({0: bad}), policy=("blend", "quarantine"))
    answer = gate.realize(chunk)
    assert verdicts(answer) == ["blended", "passed", "blended", "passed"]
    assert not Thresholds().failures(answer.trust[0])
    assert np.array_equal(answer.frames[1], bad[1])
    lost = np.abs(bad[0].astype(int) - whole.frames[0]).max(-1) > 8
    before, after = (
        np.abs(frame[lost].astype(int) - whole.frames[0][lost]).mean()
        for frame in (bad[0], answer.frames[0])
    )
    assert after < 0.7 * before
    far = cv2.dilate(lost.astype(np.uint8), np.ones((61, 61))) == 0
    assert np.array_equal(answer.frames[0][far], bad[0][far])


def test_blend_takes_the_surroundings_colours(town_drive, realized):
    """A thing that is put into a darkened picture is darkened as well."""
    chunk = town_drive.chunks[0]
    regions = find_regions({name: label[0] for name, label in chunk.labels.items()})
    things = regions.things(500)
    mask = regions.numbers == things[-1]
    rendered = chunk.frames[0]
    dark = (rendered * 0.5).astype(np.uint8)
    answer = blend(rendered, dark, mask, mask)
    difference = np.abs(answer[mask].astype(int) - dark[mask]).mean()
    assert difference < 0.35 * np.abs(rendered[mask].astype(int) - dark[mask]).mean()


def test_what_nothing_mends_is_quarantined(town_drive, realized):
    bad = spoil(realized[0], "swapped", frames=[3])
    gate = FidelityGate(Moody(dict.fromkeys(range(3), bad)))
    answer = gate.realize(town_drive.chunks[0])
    assert verdicts(answer) == ["retried"] * 3 + ["quarantined"]
    assert np.array_equal(answer.frames[3], bad[3])
    assert gate.verdicts == Counter(retried=3, quarantined=1)
    assert gate.failures["edges"] == 1


def test_a_flipped_light_is_blended_back(town_drive, realized):
    bad = spoil(realized[0], "recoloured")
    answer = FidelityGate(Moody({0: bad}), policy=("blend",)).realize(town_drive.chunks[0])
    assert verdicts(answer) == ["blended"] * 4
    assert all(trust.lights > 0.9 for trust in answer.trust)


def test_another_weather_is_asked_for_less(town_drive, realized):
    """What is stopped as simulated may pass in fog, and colours are not compared there."""
    soft = np.stack([cv2.GaussianBlur(frame, (0, 0), 1.1) for frame in realized[0].frames])

    class Foggy(Moody):
        def realize(self, chunk):
            return replace(super().realize(chunk), prompt="fog")

    strict = Thresholds(edges=0.97, thing_edges=0.0)
    clear, foggy = (
        FidelityGate(kind({0: soft}), policy=("quarantine",), thresholds=strict)
        for kind in (Moody, Foggy)
    )
    answer = clear.realize(town_drive.chunks[0])
    assert verdicts(answer) == ["quarantined"] * 4
    assert strict.relaxed().edges < min(trust.edges for trust in answer.trust) < strict.edges
    answer = foggy.realize(town_drive.chunks[0])
    assert verdicts(answer) == ["passed"] * 4
    assert all(np.isnan(trust.semantics) for trust in answer.trust)


def test_locked_frames_are_what_is_judged(town_drive, realized):
    bad = spoil(realized[0], "recoloured")
    gate = FidelityGate(SafetyLock(Moody(dict.fromkeys(range(3), bad))))
    assert verdicts(gate.realize(town_drive.chunks[0])) == ["passed"] * 4


def test_the_shipped_engine_passes_and_can_be_retried(town_drive, realized):
    strict = Thresholds(edges=1.0)  # which nothing meets
    with OnnxEngine(width=512, height=288, threads=1) as engine:
        gate = FidelityGate(engine, policy=("retry", "quarantine"), thresholds=strict, attempts=2)
        first = gate.realize(town_drive.chunks[0])
        assert verdicts(first) == ["quarantined"] * 4
        assert first.seed in (0, 1)
        gate.reset()
        usual = FidelityGate(engine)
        for chunk, expected in zip(town_drive.chunks, realized, strict=True):
            answer = usual.realize(chunk)
            assert np.array_equal(answer.frames, expected.frames)
            assert verdicts(answer) == ["passed"] * 4
    assert usual.manifest is engine.manifest


def test_is_an_engine_like_the_one_inside(town_drive, caplog):
    engine = Moody({0: town_drive.chunks[0].frames})
    gate = FidelityGate(engine, policy=())
    assert isinstance(gate, Engine) and isinstance(gate, PromptedEngine)
    assert gate.spec is SPEC
    assert gate.manifest == {}
    gate.realize(town_drive.chunks[0])
    gate.reset()
    with caplog.at_level(logging.INFO):
        gate.close()
        gate.close()
    assert (engine.resets, engine.closed) == (1, 2)
    assert caplog.messages == ["frames by the fidelity gate: 4 passed"]
    FidelityGate(IdentityEngine(SPEC), policy=()).set_prompt("as simulated")
    with pytest.raises(ConfigError, match="takes prompts, got Moody: leave the prompt 'rain' out"):
        gate.set_prompt("rain")


def test_refuses_what_it_cannot_do(town_drive):
    identity = IdentityEngine(SPEC)
    with pytest.raises(ConfigError, match=r"realize a chunk again.*got IdentityEngine: leave"):
        FidelityGate(SafetyLock(identity))
    with pytest.raises(
        ConfigError, match=r"policy of retry, blend, quarantine.*got blent: correct"
    ):
        FidelityGate(identity, policy=("blent",))
    with pytest.raises(ConfigError, match="each once, got blend, blend"):
        FidelityGate(identity, policy=("blend", "blend"))
    with pytest.raises(ConfigError, match="attempts of 1 or more, got 0"):
        FidelityGate(identity, policy=(), attempts=0)
    bare = replace(town_drive.chunks[0], labels={})
    with pytest.raises(ConfigError, match="labels semantic or instance to judge pictures by"):
        FidelityGate(identity, policy=("blend",)).realize(bare)
