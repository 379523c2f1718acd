"""A chunk's program on the host's memory, against the ONNX engine."""

import dataclasses
import json
from itertools import pairwise

import numpy as np
import pytest

from realmaster_live.engines.guides import guides_of
from realmaster_live.engines.manifest import read_prompts
from realmaster_live.engines.onnx_engine import OnnxEngine
from realmaster_live.engines.program.chunk_program import (
    ALIGNMENT,
    ChunkProgram,
    Layout,
    Ports,
)
from realmaster_live.engines.program.host_device import HostDevice, from_noise, realize_on_host
from realmaster_live.engines.program.prepare import prepare_graphs, sizes_of
from realmaster_live.engines.program.rehearsal import (
    GATES,
    check,
    differences,
    limits,
    noise_chunk,
    realize_noise,
    rehearse,
)
from realmaster_live.engines.torch.engine import TorchEngine
from realmaster_live.errors import BuildError
from realmaster_live.model.profile import TINY

WIDTH, HEIGHT = 96, 64


@pytest.fixture
def manifest(tiny_model):
    return json.loads((tiny_model / "manifest.json").read_text())


def make(tiny_model, manifest, folder, *, precision="fp32", steps=2):
    """A program and its device, at the size of the tests."""
    sizes = sizes_of(manifest, width=WIDTH, height=HEIGHT, steps=steps)
    prepared = prepare_graphs(
        tiny_model, folder, sizes, precision=precision, emulate=precision == "bf16"
    )
    program = ChunkProgram(prepared.ports, sizes)
    device = HostDevice(program, folder, threads=1)
    device.set_external("prompt_kv", next(iter(read_prompts(tiny_model, manifest).values())))
    return program, device


@pytest.mark.parametrize(("sink", "ring", "steps"), [(0, 1, 2), (1, 2, 1), (2, 3, 4), (1, 0, 2)])
def test_answers_as_the_onnx_engine(tiny_model, manifest, tmp_path, sink, ring, steps):
    """Slots overwritten in place are as good as a list that is joined anew."""
    manifest["profile"] |= {"sink": sink, "ring": ring}
    program, device = make(tiny_model, manifest, tmp_path, steps=steps)
    with OnnxEngine(tiny_model, width=WIDTH, height=HEIGHT, steps=steps, threads=1) as truth:
        truth.profile = dataclasses.replace(truth.profile, sink=sink, ring=ring)
        truth.reset()
        figures = differences(
            [realize_noise(truth, index) for index in range(sink + 2 * ring + 2)],
            lambda chunk, reset: realize_on_host(
                program, device, chunk.frames, guides=guides_of(chunk, TINY, 4), reset=reset
            ),
        )
    assert figures["levels"] <= 1.0
    assert figures["mean_levels"] < 0.01


def test_a_reset_forgets_everything(tiny_model, manifest, tmp_path):
    program, device = make(tiny_model, manifest, tmp_path)
    frames = np.random.default_rng(0).integers(0, 256, (4, HEIGHT, WIDTH, 3), np.uint8)
    first = realize_on_host(program, device, frames)
    second = realize_on_host(program, device, frames)
    assert not np.array_equal(first, second)
    assert np.array_equal(realize_on_host(program, device, frames, reset=True), first)
    assert np.array_equal(realize_on_host(program, device, frames), second)


@pytest.mark.parametrize(("sink", "ring"), [(0, 1), (1, 2)])
def test_other_noise_leaves_no_trace(tiny_model, manifest, tmp_path, sink, ring):
    """Once round the ring: the past is what it was, whatever was tried in between."""
    manifest["profile"] |= {"sink": sink, "ring": ring}
    program, device = make(tiny_model, manifest, tmp_path)
    drawn = np.random.default_rng(0).integers(0, 256, (sink + 2 * ring + 2, 4, HEIGHT, WIDTH, 3))
    chunks = drawn.astype(np.uint8)
    base = [realize_on_host(program, device, x, reset=i == 0) for i, x in enumerate(chunks)]
    for index, frames in enumerate(chunks):
        assert np.array_equal(
            realize_on_host(program, device, frames, reset=index == 0), base[index]
        )
        other, own = (
            from_noise(program, device, frames.shape, device.noise.redraw(seed)) for seed in (7, 0)
        )
        assert not np.array_equal(other, base[index])
        assert np.array_equal(own, base[index])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_rehearsal_passes_its_gate(tiny_model, manifest, precision):
    figures = rehearse(tiny_model, manifest, precision=precision)
    largest, mean = GATES[precision]
    assert figures["levels"] <= largest
    assert (figures["mean_levels"] <= mean) and figures["chunks"] == 3.0
    assert (figures["mean_levels"] > 0.01) == (precision == "bf16")


def test_a_wrong_answer_fails_the_gate(tiny_model):
    with (
        OnnxEngine(tiny_model, width=WIDTH, height=HEIGHT, threads=1) as truth,
        pytest.raises(BuildError, match="expected levels of bf16 within 6"),
    ):
        made = [realize_noise(truth, index) for index in range(2)]
        check(differences(made, lambda chunk, reset: 255 - chunk.frames), GATES["bf16"], "bf16")


def test_a_network_that_amplifies_rounding_is_held_to_torch(
    tiny_model, tiny_checkpoint, manifest, monkeypatch
):
    """Beyond the gate, what torch in the same precision is off by decides; not where it is not."""
    monkeypatch.setitem(GATES, "bf16", (1e-3, 1e-3))

    def torch_in(precision):
        return lambda width, height: TorchEngine(
            tiny_checkpoint, width=width, height=height, precision=precision, threads=1
        )

    figures = rehearse(tiny_model, manifest, precision="bf16", torch_engine=torch_in("bf16"))
    assert 1 <= figures["levels"] <= 1.5 * figures["torch_levels"]
    assert limits("bf16", figures)[0] == 1.5 * figures["torch_levels"]
    for opener in (torch_in("fp32"), None):
        with pytest.raises(BuildError, match=r"expected (mean_)?levels of bf16 within"):
            rehearse(tiny_model, manifest, precision="bf16", torch_engine=opener)


def test_layout_keeps_buffers_apart(tiny_model, manifest, tmp_path):
    manifest["profile"] |= {"sink": 1, "ring": 2}
    program, _ = make(tiny_model, manifest, tmp_path)
    layout = program.layout
    places = sorted((layout.offset(name), layout.size(name), name) for name in layout)
    for (start, size, name), (after, _, _) in pairwise(places):
        assert start % ALIGNMENT == 0 and start + size <= after, name
    assert places[-1][0] + places[-1][1] <= layout.bytes
    past = next(p for p in program.graphs["denoise"].inputs if p.name == "past_kv")
    assert layout.size("past_kv") == past.bytes_at(3 * program.sizes.tokens)


def test_every_input_and_output_has_an_address(tiny_model, manifest, tmp_path):
    program, _ = make(tiny_model, manifest, tmp_path)
    base = 1 << 40
    found = {}
    for step in ("0", "1", "commit"):
        options = {"sample": "noise", "next_sample": "sample.1"}
        found[step] = program.addresses("denoise", base, step=step, **options)
        ports = program.graphs["denoise"]
        assert found[step].keys() == {p.name for p in (*ports.inputs, *ports.outputs)}
        assert all(
            base <= address < base + program.layout.bytes for address in found[step].values()
        )
    assert len({each["timestep"] for each in found.values()}) == 3
    encode, context = program.addresses("encode", base), program.addresses("context", base)
    assert encode["latent"] == context["reference"] == found["0"]["reference"]
    assert context["reference_kv"] == found["0"]["reference_kv"]
    assert encode["guide"] == program.addresses("decode", base, sample="noise")["guide"]


@pytest.mark.parametrize(("precision", "item"), [("fp32", 4), ("bf16", 2)])
def test_a_prompt_is_the_callers_to_give(tiny_model, manifest, tmp_path, precision, item):
    program, device = make(tiny_model, manifest, tmp_path, precision=precision)
    prompts = read_prompts(tiny_model, manifest)
    first, *_, last = prompts.values()
    assert list(program.external) == ["light", "prompt_kv", "geometry"]
    assert program.external["prompt_kv"].at(0) == first.shape
    assert program.layout.size("prompt_kv") == first.size * item
    frames = np.random.default_rng(0).integers(0, 256, (4, HEIGHT, WIDTH, 3), np.uint8)
    before = realize_on_host(program, device, frames, reset=True)
    device.set_external("prompt_kv", last)
    after = realize_on_host(program, device, frames, reset=True)
    assert not np.array_equal(before, after)
    with OnnxEngine(
        tiny_model, width=WIDTH, height=HEIGHT, threads=1, prompt=list(prompts)[-1]
    ) as truth:
        chunk = noise_chunk(truth.spec, 0)
        expected = truth.realize(chunk).frames
    guides = guides_of(chunk, TINY, 4)
    got = realize_on_host(program, device, chunk.frames, guides=guides, reset=True)
    assert np.abs(got.astype(int) - expected).max() <= GATES[precision][0]


def test_a_model_without_its_prompts_is_refused(tiny_model, manifest):
    manifest["prompts"] = []
    with pytest.raises(BuildError, match="expected prompts for a model of profile tiny"):
        read_prompts(tiny_model, manifest)
    manifest["profile"]["text_width"] = 0
    assert read_prompts(tiny_model, manifest) == {}


def test_graphs_without_frames_are_refused(tiny_model, manifest, tmp_path):
    program, _ = make(tiny_model, manifest, tmp_path)
    graphs = {name: ports for name, ports in program.graphs.items() if name != "decode"}
    with pytest.raises(BuildError, match="expected graphs with realized"):
        ChunkProgram(graphs, program.sizes)


def test_ports_survive_json(tiny_model, manifest, tmp_path):
    program, _ = make(tiny_model, manifest, tmp_path, precision="bf16")
    for ports in program.graphs.values():
        assert Ports.from_dict(json.loads(json.dumps(ports.as_dict()))) == ports


def test_layout_takes_a_name_twice():
    layout = Layout()
    layout.add("a", 10)
    layout.add("b", 1)
    layout.add("a", 10)
    assert (layout.offset("a"), layout.offset("b"), layout.bytes) == (0, ALIGNMENT, 2 * ALIGNMENT)
