"""The predicted memory of an engine against one that runs."""

import dataclasses

import numpy as np
import pytest
import torch
from street import make_chunk
from tiny_autoencoders import make, profile_of

from realmaster_live.cli import main
from realmaster_live.engines.torch.engine import TorchEngine
from realmaster_live.model.checkpoint import save_checkpoint
from realmaster_live.model.cost import RUNTIME_BYTES, engine_bytes
from realmaster_live.model.dit import InContextTransformer
from realmaster_live.model.profile import WAN_1_3B
from realmaster_live.training.estimate.engine import estimate_engine
from realmaster_live.training.estimate.meter import Meter
from realmaster_live.training.estimate.shapes import bytes_of, tensors_of

WIDTH, HEIGHT, TEXT = 96, 64, 512
PROFILE = dataclasses.replace(profile_of("taew2_1"), width=48, heads=2, hidden=96, layers=3)


def filmed(engine, index):
    chunk = make_chunk(0)
    count = engine.spec.frames if index else engine.spec.first_frames
    frames = np.random.default_rng(index).integers(0, 256, (count, HEIGHT, WIDTH, 3), np.uint8)
    return dataclasses.replace(
        chunk,
        frames=frames,
        frame_ids=np.arange(count),
        timestamps=np.arange(count) / 20,
        captured_at=np.zeros(count),
        cam_to_world=np.tile(np.eye(4), (count, 1, 1)),
        labels={},
    )


@pytest.mark.parametrize(("precision", "most_copies"), [("fp32", 0.0), ("bf16", 0.15)])
def test_an_engine_takes_what_was_predicted(precision, most_copies):
    """On some CPUs bfloat16 convolutions answer channels last, which costs copies."""
    torch.manual_seed(0)
    networks = make("taew2_1"), InContextTransformer(PROFILE)
    prompts = {"clear": np.zeros((TEXT, PROFILE.text_width), np.float32)}
    told = estimate_engine(
        PROFILE, (WIDTH, HEIGHT), precision=precision, autoencoder=make("taew2_1")
    )
    with TorchEngine(
        networks, width=WIDTH, height=HEIGHT, precision=precision, prompts=prompts, threads=1
    ) as engine:
        stages = engine._stages
        for index in range(3):
            engine.realize(filmed(engine, index))
        buffers = stages.buffers
        kept = [x for x in vars(buffers).values() if isinstance(x, torch.Tensor)]
        kept += [x for state in buffers.states for x in (*state.store.rows, state.prompt_kv)]
        kept = list({id(x): x for x in (*kept, *buffers.rope)}.values())
        assert told.held["transformer"] == bytes_of(tensors_of(networks[1]))
        assert told.held["autoencoder"] == bytes_of(tensors_of(networks[0]))
        assert told.held["keys, values and pictures"] == pytest.approx(bytes_of(kept), rel=0.05)
        with (
            torch.no_grad(),
            torch.autocast("cpu", torch.bfloat16, precision == "bf16", cache_enabled=False),
            Meter([*kept, *tensors_of(*networks)]) as meter,
        ):
            for name, run in (
                ("encode", stages.encode),
                ("denoise", lambda: stages.denoise(buffers.past_tokens)),
                ("decode", stages.decode),
            ):
                meter.restart()
                before = meter.bytes
                run()
                share = (meter.peak - before) / told.stages[name]
                assert 0.9 < share < 1.1 + most_copies, name


@pytest.mark.slow
def test_the_small_wan_fits_beside_a_simulator_on_a_card_of_24_gigabytes():
    told = estimate_engine(WAN_1_3B)
    assert told.bytes < 10e9, told.lines()
    assert told.bytes == pytest.approx(engine_bytes(WAN_1_3B, height=480, width=832), rel=0.15)
    assert told.bytes - sum(told.held.values()) > RUNTIME_BYTES


def test_the_command_prints_it(tmp_path, capsys):
    save_checkpoint(tmp_path / "model", make("taew2_1"), InContextTransformer(PROFILE))
    command = ["model", "info", str(tmp_path / "model")]
    assert main([*command, "--memory", "--size", f"{WIDTH}x{HEIGHT}"]) == 0
    told = capsys.readouterr().out
    assert f"with taehv at {WIDTH}x{HEIGHT} in bf16" in told and told.count("\n") == 3
    assert main([*command, "--size", "96x64"]) == 2
    assert "expected --memory with --size" in capsys.readouterr().err
    assert main(["model", "info", "wan-9b", "--memory"]) == 2
    assert "or a profile among embedded, wan-1.3b-480" in capsys.readouterr().err
    assert main([*command, "--memory", "--size", "100x64"]) == 1
    assert "100x64" in capsys.readouterr().err
