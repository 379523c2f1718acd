import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

from realmaster_live.engines.guides import guides_of
from realmaster_live.engines.identity_engine import IdentityEngine
from realmaster_live.engines.load import load_engine
from realmaster_live.engines.noise import ChunkNoise
from realmaster_live.engines.onnx_engine import STAGES, OnnxEngine
from realmaster_live.engines.past import Past
from realmaster_live.engines.program.rehearsal import noise_chunk
from realmaster_live.engines.sizes import fitting_sizes
from realmaster_live.errors import BuildError, ConfigError, EngineError, OutOfMemory
from realmaster_live.frames.chunk import Chunk, ChunkSpec
from realmaster_live.model.checkpoint import load_checkpoint
from realmaster_live.model.profile import TINY
from realmaster_live.model.sampling import sigmas
from realmaster_live.model.vae import to_bytes, to_cells
from realmaster_live.protocols import Engine, RememberingEngine
from realmaster_live.training.latents import Rollout, prompt_kv

WIDTH, HEIGHT = 96, 64


def make_chunk(index: int = 0, width: int = WIDTH, height: int = HEIGHT, count: int = 4) -> Chunk:
    frames = np.random.default_rng(index).integers(0, 256, (count, height, width, 3), np.uint8)
    return Chunk(
        index=index,
        camera="front",
        frames=frames,
        frame_ids=np.arange(count) + index * count,
        timestamps=np.arange(count) / 20.0,
        captured_at=np.zeros(count),
        intrinsics=np.eye(3),
        cam_to_world=np.tile(np.eye(4), (count, 1, 1)),
        labels={"depth": np.ones((count, height, width), np.float32)},
    )


@pytest.fixture
def engine(tiny_model):
    with OnnxEngine(tiny_model, width=WIDTH, height=HEIGHT, threads=1) as engine:
        yield engine


def run(engine, count: int = 3):
    return [engine.realize(make_chunk(index)).frames for index in range(count)]


def test_is_an_engine_that_keeps_labels(engine):
    assert isinstance(engine, Engine)
    assert engine.spec == ChunkSpec(frames=4, height=HEIGHT, width=WIDTH, fps=20.0)
    chunk = make_chunk()
    realized = engine.realize(chunk)
    assert realized.frames.dtype == np.uint8
    assert not np.array_equal(realized.frames, chunk.frames)
    assert realized.rendered is chunk.frames
    assert realized.labels["depth"] is chunk.labels["depth"]


def test_equals_the_torch_network(engine, tiny_checkpoint):
    """Three chunks with ring and memories: the same pictures, within a level of rounding."""
    autoencoder, transformer = load_checkpoint(tiny_checkpoint)
    rollout = Rollout(transformer, sigmas(TINY.steps, TINY.shift))
    draw = ChunkNoise((1, TINY.latent_channels, HEIGHT // 16, WIDTH // 16), 0)
    encoder_memory = decoder_memory = autoencoder.empty_memory(1, HEIGHT, WIDTH)
    prompt = prompt_kv(transformer, ["as simulated"]).detach()
    for index, got in enumerate(run(engine)):
        chunk = make_chunk(index)
        cells = to_cells(torch.from_numpy(chunk.frames)[None])
        shapes, light = map(torch.from_numpy, guides_of(chunk, TINY, 4).values())
        with torch.no_grad():
            reference, encoder_memory = autoencoder.encode(cells, encoder_memory, light)
            noise = torch.from_numpy(draw.take())
            latent, _ = rollout.chunk(reference, noise, prompt)
            decoded, decoder_memory = autoencoder.decode(
                latent, cells, decoder_memory, noise, shapes
            )
        expected = to_bytes(decoded, 4)[0].numpy()
        difference = np.abs(got.astype(int) - expected.astype(int))
        assert difference.max() <= 2
        assert difference.mean() < 0.05


def test_reruns_are_bit_equal_and_reset_forgets(engine, tiny_model):
    once = run(engine)
    engine.reset()
    again = run(engine)
    assert all(np.array_equal(a, b) for a, b in zip(once, again, strict=True))
    with OnnxEngine(tiny_model, width=WIDTH, height=HEIGHT, threads=1) as other:
        assert np.array_equal(run(other, 1)[0], once[0])
    carried = engine.realize(make_chunk(0)).frames
    assert not np.array_equal(carried, once[0])  # the past has a say


def test_seed_and_steps_change_the_answer(engine, tiny_model):
    base = run(engine, 1)[0]
    for options in ({"seed": 1}, {"steps": 4}, {"steps": 1}):
        with OnnxEngine(tiny_model, width=WIDTH, height=HEIGHT, threads=1, **options) as other:
            assert not np.array_equal(run(other, 1)[0], base), options


def test_recomputed_reference_gives_the_same_pictures(engine, tiny_model):
    cached = run(engine)
    with OnnxEngine(
        tiny_model, width=WIDTH, height=HEIGHT, threads=1, recompute_reference=True
    ) as other:
        assert all(np.array_equal(a, b) for a, b in zip(cached, run(other), strict=True))


def test_timings_cover_every_stage(engine):
    run(engine, 2)
    assert set(engine.timings) == set(STAGES)
    assert all(len(seconds) == 2 and min(seconds) > 0 for seconds in engine.timings.values())
    engine.reset()
    assert not any(engine.timings.values())


def test_wrong_chunks_say_what_fits(engine):
    with pytest.raises(EngineError, match=r"\(4, 64, 96, 3\), got \(4, 60, 96, 3\).*96x64"):
        engine.realize(make_chunk(height=60))
    with pytest.raises(EngineError, match=r"got \(3, 64, 96, 3\)"):
        engine.realize(make_chunk(count=3))


def test_wrong_sizes_and_steps_are_refused(tiny_model):
    with pytest.raises(EngineError, match="multiples of 32, got 640x360: use 640x352 or 640x384"):
        OnnxEngine(tiny_model, width=640, height=360)
    with pytest.raises(EngineError, match="steps among 1, 2, 4, got 3"):
        OnnxEngine(tiny_model, width=WIDTH, height=HEIGHT, steps=3)


@pytest.mark.parametrize("name", ["embedded", "identity"])
def test_pictures_that_no_memory_holds_are_refused(name):
    with pytest.raises(OutOfMemory, match=r"got 262144x131072, of which .*: use a smaller size"):
        load_engine(name, width=2**18, height=2**17)


def test_closed_engine_says_so(tiny_model):
    engine = OnnxEngine(tiny_model, width=WIDTH, height=HEIGHT)
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.realize(make_chunk())


def test_damaged_models_are_build_errors(tiny_model, tmp_path):
    with pytest.raises(BuildError, match="manifest"):
        OnnxEngine(tmp_path / "nowhere")
    copy = tmp_path / "copy"
    shutil.copytree(tiny_model, copy)
    weights = copy / "weights.bin"
    whole = weights.read_bytes()
    for damaged in (whole[:-1], bytes([whole[0] ^ 1]) + whole[1:]):  # cut short, edited
        weights.write_bytes(damaged)
        with pytest.raises(BuildError, match=rf"weights\.bin.*got {len(damaged)} bytes"):
            OnnxEngine(copy, width=WIDTH, height=HEIGHT)
    weights.write_bytes(whole)
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps({**manifest, "format": 99}))
    with pytest.raises(BuildError, match="format 1, got 99"):
        OnnxEngine(copy, width=WIDTH, height=HEIGHT)


def test_runs_without_torch(tiny_model):
    code = (
        "import sys, numpy as np\n"
        "from realmaster_live.engines.load import load_engine\n"
        f"engine = load_engine({str(tiny_model)!r}, width={WIDTH}, height={HEIGHT})\n"
        "print(engine.spec.frames, 'torch' in sys.modules, 'onnx' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == ["4", "False", "False"]


def test_load_engine(tiny_model):
    identity = load_engine("identity", width=100, height=50, fps=10.0)
    assert isinstance(identity, IdentityEngine)
    assert identity.spec == ChunkSpec(frames=4, height=50, width=100, fps=10.0)
    chunk = make_chunk(width=100, height=50)
    realized = identity.realize(chunk)
    assert np.array_equal(realized.frames, chunk.frames)
    assert realized.rendered is chunk.frames
    assert load_engine(str(tiny_model), width=WIDTH, height=HEIGHT).spec.width == WIDTH
    with pytest.raises(ConfigError, match="'embeded'"):
        load_engine("embeded")


def test_fitting_sizes():
    assert fitting_sizes(512, 288) == [(512, 288)]
    assert fitting_sizes(640, 360) == [(640, 352), (640, 384)]
    assert fitting_sizes(10, 33) == [(32, 32), (32, 64)]


def test_another_engine_goes_on_where_a_memory_was_taken(engine, tiny_model, tmp_path):
    assert isinstance(engine, RememberingEngine)
    run(engine, 3)
    np.savez(tmp_path / "memory.npz", **engine.memory())
    wanted = [engine.realize(make_chunk(index)).frames for index in (3, 4)]
    with OnnxEngine(tiny_model, width=WIDTH, height=HEIGHT, threads=1) as other:
        run(other, 1)  # of which nothing may be left
        with np.load(tmp_path / "memory.npz") as memory:
            other.recall(dict(memory))
        for index, frames in zip((3, 4), wanted, strict=True):
            np.testing.assert_array_equal(other.realize(make_chunk(index)).frames, frames)


def test_past_keeps_the_sink_and_the_newest():
    past = Past(layers=1, heads=1, head_width=2, ring=2, sink=1)
    assert past.concatenated().shape == (1, 2, 1, 1, 0, 2)
    assert past.times() == []
    for value in range(5):
        past.push(np.full((1, 2, 1, 1, 1, 2), value, np.float32))
    assert past.concatenated()[0, 0, 0, 0, :, 0].tolist() == [0.0, 3.0, 4.0]
    assert past.times() == [-3.0, -2.0, -1.0]


def test_a_provider_that_is_not_there_is_named(tiny_model):
    import onnxruntime

    there = onnxruntime.get_available_providers()
    if "CUDAExecutionProvider" in there:
        pytest.skip("has the CUDA provider")
    options = {"width": WIDTH, "height": HEIGHT}
    with pytest.raises(EngineError, match=f"CUDAExecutionProvider in .*got .*{there[-1]}: use dev"):
        OnnxEngine(tiny_model, device="cuda", **options)
    with pytest.raises(EngineError, match="'cpu' or 'cuda', got 'warp'"):
        OnnxEngine(tiny_model, device="warp", **options)
    with pytest.raises(EngineError, match="expected TensorrtExecutionProvider"):
        OnnxEngine(tiny_model, providers=["TensorrtExecutionProvider"], **options)


def test_weights_that_memory_does_not_hold_are_widened_in_every_pass(tiny_model, monkeypatch):
    from realmaster_live.engines import onnx_engine

    size = {"width": WIDTH, "height": HEIGHT}
    opened, real = [], onnx_engine.open_sessions

    def note(*arguments, lean, **others):
        opened.append(lean)
        return real(*arguments, lean=lean, **others)

    monkeypatch.setattr(onnx_engine, "open_sessions", note)
    with OnnxEngine(tiny_model, **size) as engine:
        chunk = noise_chunk(engine.spec, 0)
        frames = engine.realize(chunk).frames
    monkeypatch.setattr(onnx_engine, "available_bytes", lambda: 0)
    with OnnxEngine(tiny_model, **size) as engine:
        lean = engine.realize(chunk).frames
    assert opened == [False, True]
    assert np.abs(lean.astype(int) - frames.astype(int)).max() <= 1
