import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from street import make_chunk
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from realmaster_live.engines.load import load_engine
from realmaster_live.engines.torch.device import (
    check_precision,
    find_device,
    out_of_memory,
    too_little,
)
from realmaster_live.engines.torch.engine import TorchEngine
from realmaster_live.engines.torch.opening import weight_hashes
from realmaster_live.errors import BuildError, ConfigError, EngineError, OutOfMemory
from realmaster_live.frames.chunk import ChunkSpec
from realmaster_live.live.controls import EngineControls
from realmaster_live.model.checkpoint import (
    AUTOENCODER_FILE,
    load_checkpoint,
    read_tensors,
    write_tensors,
)
from realmaster_live.model.cost import cost
from realmaster_live.model.lora import attach
from realmaster_live.model.lora_facts import LoraFacts
from realmaster_live.model.lora_files import load, save
from realmaster_live.model.profile import TINY, WAN_1_3B, WAN_5B
from realmaster_live.model.random_weights import random_networks

WIDTH, HEIGHT = 96, 64
SIZE = {"width": WIDTH, "height": HEIGHT, "threads": 1}


def noisy(index):
    chunk = make_chunk(index)
    shape = chunk.frames.shape
    return chunk.with_frames(np.random.default_rng(index).integers(0, 256, shape, np.uint8))


class Recorder(TorchDispatchMode):
    """Notes the types and shapes that every operation is given."""

    def __init__(self):
        super().__init__()
        self.seen = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        tensors = [x for x in args if isinstance(x, torch.Tensor) and x.is_floating_point()]
        name = func.overloadpacket.__name__
        self.seen.setdefault(name, []).append([(x.dtype, tuple(x.shape)) for x in tensors])
        return func(*args, **(kwargs or {}))


def test_bf16_keeps_what_is_delicate_in_float32(tiny_checkpoint):
    with TorchEngine(tiny_checkpoint, **SIZE) as engine:
        expected = [engine.realize(noisy(index)).frames for index in range(3)]
    with TorchEngine(tiny_checkpoint, precision="bf16", **SIZE) as engine, Recorder() as recorder:
        got = [engine.realize(noisy(index)).frames for index in range(3)]
        (own,) = engine._stages.buffers.states
        kept = {own.store.rows[0].dtype, own.prompt_kv.dtype}
    for a, b in zip(got, expected, strict=True):
        difference = np.abs(a.astype(int) - b.astype(int))
        assert 0 < difference.mean() < 0.5
        assert difference.max() <= 4
    seen = recorder.seen
    types = {name: {dtype for call in calls for dtype, _ in call} for name, calls in seen.items()}
    assert types["conv2d"] == types["scaled_dot_product_attention"] == {torch.bfloat16}
    assert types["layer_norm"] == {torch.float32}
    # rotations and modulations multiply float32, and nothing else multiplies two tensors
    assert [torch.bfloat16] * 2 not in [[dtype for dtype, _ in call] for call in seen["mul"]]
    # keys, values and queries need no conversion in front of attention
    kinds = [[dtype for dtype, _ in call] for call in seen["scaled_dot_product_attention"]]
    assert kinds == [[torch.bfloat16] * 3] * len(kinds)
    assert kept == {torch.bfloat16}
    rows = {torch.float32: set(), torch.bfloat16: set()}
    for (dtype, shape), *_ in seen["linear"]:
        rows[dtype].add(shape[-2])
    assert rows == {torch.float32: {1}, torch.bfloat16: {WIDTH * HEIGHT // 32**2}}


def test_threads_are_put_back(tiny_checkpoint):
    before = torch.get_num_threads()
    with TorchEngine(tiny_checkpoint, **{**SIZE, "threads": before + 1}) as engine:
        engine.realize(make_chunk(0))
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("steps", [0, 101])
def test_takes_any_number_of_steps_within_reason(tiny_checkpoint, steps):
    with TorchEngine(tiny_checkpoint, steps=5, **SIZE) as engine:
        assert repr(engine).endswith(", 96x64, chunks of 4 at 20 a second, 5 steps)")
        engine.realize(noisy(0))
    with pytest.raises(EngineError, match=f"steps from 1 to 100, got {steps}"):
        TorchEngine(tiny_checkpoint, steps=steps, **SIZE)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_build_errors(tiny_checkpoint, tmp_path, value):
    folder = tmp_path / "copy"
    shutil.copytree(tiny_checkpoint, folder)
    tensors = read_tensors(folder / AUTOENCODER_FILE)
    tensors["decoder.write.weight"].view(-1)[3] = value
    write_tensors(folder / AUTOENCODER_FILE, tensors)
    with pytest.raises(
        BuildError, match=r"finite .* got 1 of .* autoencoder\.decoder\.write\.weight"
    ):
        TorchEngine(folder, **SIZE)


def test_what_is_not_there_is_named(tiny_checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA A100")
    with pytest.raises(BuildError, match=r"profile\.json"):
        TorchEngine(tmp_path / "nowhere", **SIZE)
    with pytest.raises(EngineError, match=r"CUDA device 99, got \d+ devices .* use device='cpu'"):
        TorchEngine(tiny_checkpoint, device="cuda:99", **SIZE)
    for name in ("warp", "meta"):
        with pytest.raises(EngineError, match=f"'cpu', 'cuda' or 'cuda:N', got '{name}'"):
            find_device(name)
    with pytest.raises(EngineError, match="fp32, bf16 or fp8, got 'fp4'"):
        TorchEngine(tiny_checkpoint, precision="fp4", **SIZE)
    with pytest.raises(EngineError, match=r"compute capability 8\.9 or later for fp8, got 8\.0 of"):
        check_precision("fp8", torch.device("cuda", 0))


def test_too_large_a_picture_says_what_it_would_take(tiny_checkpoint, monkeypatch):
    side = 2**22  # 4 * 3 * side * side bytes of frames: more than any machine has
    with pytest.raises(OutOfMemory, match=r"expected pictures that fit in \d+ GiB of memory, got"):
        TorchEngine(tiny_checkpoint, width=side, height=side)
    monkeypatch.setattr("realmaster_live.engines.sizes.total_bytes", lambda: 2**62)
    with pytest.raises(OutOfMemory, match=r"expected \d+ bytes more memory on cpu .* 2097152x2097"):
        TorchEngine(tiny_checkpoint, width=side, height=side)


def test_cuda_out_of_memory_says_what_was_asked_and_free(tiny_checkpoint):
    with TorchEngine(tiny_checkpoint, **SIZE) as engine:
        spec = engine.spec
    error = torch.OutOfMemoryError(
        "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 79.10 GiB "
        "of which 1.50 GiB is free. Process 1 has 77.60 GiB memory in use."
    )
    device = torch.device("cuda", 0)
    large = ChunkSpec(frames=12, height=704, width=1280, fps=20.0)
    known = out_of_memory(error, large, device, WAN_5B)
    need = cost(WAN_5B, height=704, width=1280).bytes / 2**30
    assert str(known) == (
        "expected 20.00 GiB more memory on cuda:0 for 1280x704, for which wan-5b-704 needs about "
        f"{need:.2g} GiB in bf16, got 1.50 GiB free: use a smaller size, such as 640x352, a "
        "smaller profile, such as embedded, or free memory there"
    )
    assert "profile" not in str(out_of_memory(error, spec, device, TINY))
    assert out_of_memory(RuntimeError("shapes differ"), spec, device, TINY) is None


def test_too_little_memory_says_what_fits():
    spec = ChunkSpec(frames=12, height=480, width=832, fps=20.0)
    assert too_little(WAN_1_3B, spec, "bf16", 10 * 2**30, "cuda:0") is None
    error = str(too_little(WAN_1_3B, spec, "fp32", 10 * 2**30, "cuda:0"))
    assert "in fp32, got 10.0 GiB free: use precision bf16, or a profile that fits" in error
    error = str(too_little(WAN_5B, spec, "bf16", 10 * 2**30, "cuda:0"))
    assert "GiB on cuda:0 for wan-5b-704 at 832x480 in bf16, got 10.0 GiB free" in error
    assert "such as wan-1.3b-480, or a smaller size, such as 416x224" in error


def test_fp8_is_near_and_holds_its_adapters(tiny_checkpoint, adapter):
    with TorchEngine(tiny_checkpoint, **SIZE) as engine:
        expected = [engine.realize(noisy(index)).frames for index in range(3)]
    with TorchEngine(tiny_checkpoint, precision="fp8", **SIZE) as engine:
        got = [engine.realize(noisy(index)).frames for index in range(3)]
    assert not np.array_equal(got, expected)
    assert np.abs(np.array(got).astype(int) - np.array(expected)).mean() < 1
    with TorchEngine(tiny_checkpoint, precision="fp8", adapter=adapter, **SIZE) as engine:
        assert not np.array_equal(engine.realize(noisy(0)).frames, got[0])
        with pytest.raises(EngineError, match="to set a strength, got fp8"):
            engine.set_strength(0.5)


def test_several_adapters_add_up(tiny_checkpoint, adapter):
    """One at full strength is the same file twice at half."""
    pictures = []
    for files in (adapter, [(adapter, 0.5), (adapter, 0.25), (adapter, 0.25)], [(adapter, 0.5)]):
        with TorchEngine(tiny_checkpoint, adapter=files, **SIZE) as engine:
            pictures.append(engine.realize(noisy(0)).frames.astype(int))
            described = repr(engine)
    assert np.abs(pictures[0] - pictures[1]).max() <= 1
    assert np.abs(pictures[0] - pictures[2]).max() > 1
    assert "adapters lora.safetensors at 0.5" in described


def test_an_adapter_for_other_weights_is_refused(tiny_checkpoint, adapter, tmp_path):
    """By the hash over tensors, or by that of the file, as earlier versions named it."""
    _, transformer = load_checkpoint(tiny_checkpoint)
    attached = load(adapter, transformer)
    path = tmp_path / "lora.safetensors"
    for sha256 in (*weight_hashes(tiny_checkpoint, 0), "b" * 64):
        facts = LoraFacts(base_model="tiny", licence="MIT", base_sha256=sha256)
        save(path, attached, scheme="diffusers", facts=facts)
        if sha256 != "b" * 64:
            TorchEngine(tiny_checkpoint, adapter=path, **SIZE).close()
    with pytest.raises(BuildError, match=r"of tiny with sha256 b{12}, got \w{12}: give that base"):
        TorchEngine(tiny_checkpoint, adapter=path, **SIZE)


def test_load_engine_opens_a_checkpoint(tiny_checkpoint, tiny_model):
    with load_engine(str(tiny_checkpoint), width=WIDTH, height=HEIGHT, threads=1) as engine:
        assert isinstance(engine, TorchEngine)
        assert engine.spec.width == WIDTH
    with pytest.raises(EngineError, match="CUDA device 99"):
        load_engine(str(tiny_checkpoint), device="cuda:99")
    with pytest.raises(EngineError, match="'cpu' or 'cuda', got 'warp'"):
        load_engine(str(tiny_model), device="warp")
    rain = load_engine(str(tiny_model), width=WIDTH, height=HEIGHT, prompt="rain")
    assert rain.realize(make_chunk(0)).prompt == "rain"
    with pytest.raises(
        ConfigError, match=r"manifest\.json .*profile\.json .*plans\.json .* got 'nowhere'"
    ):
        load_engine("nowhere")


def test_runs_without_onnx(tiny_checkpoint):
    code = (
        "import sys\n"
        "from realmaster_live.engines.load import load_engine\n"
        f"load_engine({str(tiny_checkpoint)!r}, width={WIDTH}, height={HEIGHT})\n"
        "print([name for name in ('onnx', 'onnxruntime', 'realmaster_live.training')"
        " if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.split() == ["[]"]


@pytest.fixture(scope="module")
def adapter(tiny_checkpoint, tmp_path_factory):
    """A LoRA file whose products are not zero."""
    _, transformer = load_checkpoint(tiny_checkpoint)
    attached = attach(transformer, rank=2, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for low_rank in attached.low_ranks.values():
            low_rank.up.normal_(std=0.3, generator=torch.Generator().manual_seed(1))
    path = tmp_path_factory.mktemp("adapter") / "lora.safetensors"
    facts = LoraFacts(base_model="tiny", licence="Apache-2.0")
    save(path, attached, scheme="diffusers", facts=facts)
    return path


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_an_adapters_strength_is_set_between_chunks(tiny_checkpoint, adapter, precision):
    def pictures(engine):
        engine.reset()
        return [engine.realize(noisy(index)).frames for index in range(2)]

    options = {**SIZE, "precision": precision}
    with TorchEngine(tiny_checkpoint, **options) as engine:
        base = pictures(engine)
        with pytest.raises(EngineError, match="with an adapter to set a strength, got none"):
            engine.set_strength(0.5)
        assert "with an adapter" in EngineControls([engine]).offer.lacks["strength"]
    with TorchEngine(tiny_checkpoint, adapter=adapter, **options) as engine:
        full = pictures(engine)
        controls = EngineControls([engine])
        assert controls.offer.strength == 1.0 and "strength" not in controls.offer.lacks
        engine.set_strength(0.0)
        assert all(np.array_equal(a, b) for a, b in zip(pictures(engine), base, strict=True))
        engine.set_strength(1.0)
        assert all(np.array_equal(a, b) for a, b in zip(pictures(engine), full, strict=True))
        assert not any(np.array_equal(a, b) for a, b in zip(full, base, strict=True))


def test_runs_chunks_of_several_latent_frames():
    """Wan's shape: three latent frames of stride 8 a chunk, a sink, and prompts that are given."""
    profile = replace(
        WAN_1_3B, width=48, layers=2, heads=2, hidden=64, text_width=12, frequency_width=16,
        latent_channels=4, middle=16, deep=16, fine=8, half=8, memory=8,
    )  # fmt: skip
    prompts = {
        name: np.random.default_rng(seed).standard_normal((5, 12), np.float32)
        for seed, name in enumerate(("clear", "rain"))
    }

    def pictures(prompt="clear", chunks=4, **options):
        networks = random_networks(profile, torch.device("cpu"))
        last = [each for each in networks[0].decoder.modules() if isinstance(each, nn.Conv2d)][-1]
        last.weight.mul_(100.0)
        last.bias.fill_(0.5)  # random weights by themselves make black pictures
        given = {"width": 48, "height": 32, "threads": 1, "prompts": prompts, "prompt": prompt}
        with TorchEngine(networks, **given, **options) as engine:
            parts = [noisy(index).frames[:, :32, :48] for index in range(chunks)]
            clips = [np.tile(frames, (3, 1, 1, 1)) for frames in parts]
            return [engine._advance([frames])[0] for frames in clips]

    base = pictures()
    assert base[0].shape == (12, 32, 48, 3)
    again = pictures(recompute_reference=True)
    assert all(np.array_equal(a, b) for a, b in zip(base, again, strict=True))
    assert not np.array_equal(pictures("rain", chunks=1)[0], base[0])
    close = pictures(chunks=2, precision="bf16")
    apart = [np.abs(a.astype(int) - b).mean() for a, b in zip(close, base, strict=False)]
    assert len(apart) == 2 and max(apart) < 1, apart
    assert base[0].std() > 10, base[0].std()
    networks = random_networks(profile, torch.device("cpu"))
    with pytest.raises(EngineError, match=r"embeddings of prompts for wan-1\.3b-480, got none"):
        TorchEngine(networks, **SIZE)
    with pytest.raises(EngineError, match=r"\(tokens, 12\), got \(5, 9\) of 'clear'"):
        TorchEngine(networks, prompts={"clear": np.zeros((5, 9), np.float32)}, **SIZE)


def test_blocks_are_compiled_once_for_all_layers(tiny_checkpoint, monkeypatch):
    """One compilation for each set of keys that a block sees, however many blocks there are."""
    graphs = []

    def counted(graph, inputs):
        graphs.append(graph)
        return graph.forward

    compile_one = torch.compile
    monkeypatch.setattr(torch, "compile", lambda f, **o: compile_one(f, backend=counted, **o))
    torch.compiler.reset()
    with TorchEngine(tiny_checkpoint, compile=True, precision="bf16", **SIZE) as engine:
        engine.realize(noisy(0))
    torch.compiler.reset()
    # a block with the reference, and with a target without and with a past; keys and values of the
    # last block; the step into the past; the encoder and the decoder
    assert len(graphs) == 3 + 1 + 1 + 2


def test_options_are_for_checkpoints_alone(tiny_checkpoint, tiny_model, adapter):
    options = {"precision": "bf16", "adapter": [(adapter, 0.5)]}
    with load_engine(str(tiny_checkpoint), width=WIDTH, height=HEIGHT, **options) as engine:
        assert "on cpu in bf16, adapters lora.safetensors at 0.5" in repr(engine)
    for name, what in ((str(tiny_model), "an export"), ("identity", "the identity engine")):
        with pytest.raises(
            ConfigError, match=f"checkpoint's folder with --precision, --adapter, got {what}"
        ):
            load_engine(name, width=WIDTH, height=HEIGHT, **options)


def test_one_step_from_the_render_needs_neither_noise_nor_past():
    profile = replace(
        TINY, flow_from="render", prediction="velocity", steps=1, ring=0, falling=False
    )
    pictures = []
    for seed in (0, 1):
        networks = random_networks(profile, torch.device("cpu"))
        with TorchEngine(networks, seed=seed, **SIZE) as engine:
            pictures.append([engine.realize(noisy(index)).frames for index in range(2)])
            buffers, network = engine._stages.buffers, engine._stages.experts[0].transformer
            assert buffers.states[0].store.rows[0].shape[2] == WIDTH * HEIGHT // 32**2
            prompt = network.prompt(network.prompt_embedding[:1])
            reference = buffers.reference
            expected = network.whole(reference, torch.ones(1), buffers.rope, reference, prompt)
            torch.testing.assert_close(buffers.latent, expected, atol=1e-5, rtol=1e-5)
    assert np.array_equal(*pictures)
