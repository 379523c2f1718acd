"""Exported graphs made ready for a compiler: their structure, and that they still compute it."""

import json
from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto

from realmaster_live.engines.manifest import GRAPHS
from realmaster_live.engines.program.chunk_program import PAST
from realmaster_live.engines.program.graph_weights import (
    content_hash,
    read_graph,
    round_to_bfloat16,
    values_of,
    write_graphs,
)
from realmaster_live.engines.program.plan_graphs import (
    PRODUCTS,
    add_euler_step,
    fix_sizes,
    ports_of,
    shape_of,
)
from realmaster_live.engines.program.prepare import prepare_graphs, sizes_of
from realmaster_live.errors import BuildError
from realmaster_live.model.profile import TINY

WIDTH, HEIGHT = 96, 64
IN_A_BLOCK = 2 if TINY.text_width else 1  # to tokens, and to a prompt


@pytest.fixture(scope="module")
def manifest(tiny_model):
    return json.loads((tiny_model / "manifest.json").read_text())


@pytest.fixture(scope="module")
def prepared(tiny_model, manifest, tmp_path_factory):
    """precision -> what `prepare_graphs` returned, and the graphs that it wrote."""
    sizes = sizes_of(manifest, width=WIDTH, height=HEIGHT, steps=2)
    found = {}
    for precision in ("fp32", "bf16"):
        folder = tmp_path_factory.mktemp(precision)
        answer = prepare_graphs(tiny_model, folder, sizes, precision=precision)
        found[precision] = answer, {name: onnx.load(folder / f"{name}.onnx") for name in GRAPHS}
    return found


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_structure(prepared, precision):
    for name, model in prepared[precision][1].items():
        onnx.checker.check_model(model, full_check=True)
        assert {entry.domain: entry.version for entry in model.opset_import}[""] == 23
        kinds = Counter(node.op_type for node in model.graph.node)
        assert kinds["ScatterND"] == 0
        assert kinds["Shape"] == 0 or name == "denoise"  # what is fixed is folded
        assert kinds["Attention"] == {
            "denoise": IN_A_BLOCK * TINY.layers,
            "context": IN_A_BLOCK * (TINY.layers - 1),  # of the last, keys and values are all
        }.get(name, 0)


def test_only_the_past_stays_free(prepared):
    answer, _ = prepared["fp32"]
    for name, ports in answer.ports.items():
        free = {port.name for port in ports.inputs if PAST in port.shape}
        assert free == ({"past_kv", "past_cos", "past_sin"} if name == "denoise" else set())
        assert all(isinstance(size, int) for port in ports.outputs for size in port.shape)
    frames = next(port for port in answer.ports["decode"].outputs if port.name == "frames")
    assert (frames.shape, frames.dtype) == ((4, HEIGHT, WIDTH, 3), "uint8")


def test_bytes_are_cast_at_the_edges(prepared):
    for model in prepared["fp32"][1].values():
        narrow = {v.name for v in (*model.graph.input, *model.graph.output)} & {"frames"}
        for node in model.graph.node:
            if narrow & {*node.input, *node.output}:
                assert node.op_type == "Cast"


def test_products_are_bfloat16_and_the_rest_is_not(prepared):
    answer, models = prepared["bf16"]
    for name, model in models.items():
        kinds = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
        made = {out: node for node in model.graph.node for out in node.output}
        late = timestep_followers(model)
        for node in model.graph.node:
            wide = [n for n in node.input if kinds.get(n) == TensorProto.FLOAT]
            casts = [
                made[n].attribute[0].i
                for n in node.input
                if n in made and made[n].op_type == "Cast"
            ]
            if node.op_type in PRODUCTS and node.name not in late:
                assert not wide, (name, node.name)
                narrow = [n for n in node.input if kinds.get(n) == TensorProto.BFLOAT16]
                assert len(narrow) + casts.count(TensorProto.BFLOAT16) == len(
                    [n for n in node.input if n]
                )
            elif node.op_type != "Cast":
                assert TensorProto.BFLOAT16 not in casts, (name, node.name)
    assert len(timestep_followers(models["denoise"])) >= 3  # the time embedder's products
    kept = [p for ports in answer.ports.values() for p in (*ports.inputs, *ports.outputs)]
    assert {p.dtype for p in kept if p.name.endswith("_kv")} == {"bfloat16"}
    assert {p.dtype for p in kept if not p.name.endswith("_kv")} == {"float32", "uint8"}


def timestep_followers(model):
    """The names of the products that follow from the timestep and constants alone."""
    others = {value.name for value in model.graph.input} - {"timestep"}
    alone = []
    for node in model.graph.node:
        if others.isdisjoint(node.input):
            alone += [node.name] if node.op_type in PRODUCTS else []
        else:
            others.update(node.output)
    return alone


def test_rounds_to_the_nearest_bfloat16():
    torch = pytest.importorskip("torch")
    values = np.random.default_rng(0).standard_normal(4096).astype(np.float32)
    values[:3] = 1.0, 1.0 + 2.0**-8, 1.0 + 3 * 2.0**-8  # ties go to the even neighbour
    expected = torch.from_numpy(values).to(torch.bfloat16).view(torch.int16).numpy()
    assert np.array_equal(round_to_bfloat16(values).view(np.int16), expected)


def test_euler_step(tiny_model, tmp_path):
    model = read_graph(tiny_model / "denoise.onnx")
    add_euler_step(model)
    write_graphs({"denoise": model}, tmp_path)
    session = onnxruntime.InferenceSession(tmp_path / "denoise.onnx")
    rng = np.random.default_rng(0)
    free = {"past": 6, "rows": 2, "columns": 3}
    inputs = {}
    for value in session.get_inputs():
        shape = [concrete(size, free) for size in value.shape]
        inputs[value.name] = rng.standard_normal(shape, dtype=np.float32)
    inputs["factor"] = np.full(1, -1 / 6, np.float32)
    x0, after = session.run(["x0", "next_sample"], inputs)
    assert after == pytest.approx(inputs["sample"] - (inputs["sample"] - x0) / 6, abs=1e-6)
    inputs["factor"][0] = -1.0  # the last step lands on the clean latent
    assert session.run(["next_sample"], inputs)[0] == pytest.approx(x0, abs=1e-6)


def concrete(size, free):
    if isinstance(size, int):
        return size
    product = 1
    for factor in size.split("*"):
        product *= int(factor) if factor.isdecimal() else free.get(factor, 6)
    return product


def test_an_unknown_size_is_refused(tiny_model):
    model = read_graph(tiny_model / "denoise.onnx")
    with pytest.raises(BuildError, match="expected sizes for input sample"):
        fix_sizes(model, {}, {"rows": 2})


def test_content_hash_sees_weights_and_nothing_of_where_they_lie(tiny_model, tmp_path):
    model = read_graph(tiny_model / "encode.onnx")
    before = content_hash(model)
    write_graphs({"encode": model}, tmp_path)
    again = onnx.load(tmp_path / "encode.onnx")
    assert content_hash(again) == before
    weight = next(t for t in again.graph.initializer if t.name.endswith("stem.weight"))
    raw = bytearray(weight.raw_data)
    raw[0] ^= 1
    weight.raw_data = bytes(raw)
    assert content_hash(again) != before


def test_graphs_hold_no_weights_until_they_are_written(tiny_model):
    """Shapes are inferred on what is read: its size must not grow with the weights."""
    model = read_graph(tiny_model / "denoise.onnx")
    assert model.ByteSize() < 2**18 < (tiny_model / "weights.bin").stat().st_size
    whole = {t.name: t for t in onnx.load(tiny_model / "denoise.onnx").graph.initializer}
    for tensor in model.graph.initializer:
        stored = whole.get(f"{tensor.name}.float16", whole.get(tensor.name))
        expected = onnx.numpy_helper.to_array(stored).astype(np.float32, copy=False)
        if tensor.data_type == TensorProto.FLOAT:
            assert np.array_equal(values_of(tensor), expected)
    assert any(t.data_location == TensorProto.EXTERNAL for t in model.graph.initializer)


def test_weights_are_written_once(prepared, tiny_model, manifest, tmp_path):
    models = {name: read_graph(tiny_model / "denoise.onnx") for name in ("one", "two")}
    write_graphs(models, tmp_path)
    both = (tmp_path / "weights.bin").stat().st_size
    write_graphs({"one": read_graph(tiny_model / "denoise.onnx")}, tmp_path / "alone")
    assert both == (tmp_path / "alone" / "weights.bin").stat().st_size
    assert ports_of(onnx.load(tmp_path / "one.onnx")) == ports_of(onnx.load(tmp_path / "two.onnx"))
    assert shape_of(models["one"].graph.input[1]) == (1,)
