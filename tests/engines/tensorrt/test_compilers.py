"""Real plans of real graphs, where a TensorRT is installed; TensorRT for RTX needs no GPU."""

import json
import sys
from types import ModuleType

import onnx
import pytest

from realmaster_live.engines.manifest import GRAPHS
from realmaster_live.engines.program.prepare import prepare_graphs, sizes_of
from realmaster_live.engines.tensorrt.compilers import FLAVOURS, Flavour, compile_plan, find_flavour
from realmaster_live.errors import BuildError, MissingDependency


@pytest.fixture(scope="module")
def rtx():
    pytest.importorskip("tensorrt_rtx", exc_type=ImportError)
    return find_flavour("tensorrt_rtx", gpu=False)


@pytest.fixture(params=["fp32", "bf16"])
def prepared(request, tiny_model, tmp_path):
    """Folder, what was prepared in it, and the sizes."""
    manifest = json.loads((tiny_model / "manifest.json").read_text())
    manifest["profile"] |= {"sink": 1}
    sizes = sizes_of(manifest, width=96, height=64, steps=2)
    return tmp_path, prepare_graphs(tiny_model, tmp_path, sizes, precision=request.param), sizes


@pytest.mark.slow
def test_all_four_graphs_compile_without_a_gpu(rtx, prepared):
    folder, made, sizes = prepared
    assert sizes.lengths == (0, 6, 12)
    plans = {}
    for name in GRAPHS:
        path, ports = folder / f"{name}.onnx", made.ports[name]
        plans[name] = compile_plan(rtx, path, ports, lengths=sizes.lengths)
    assert all(len(plan) > path.stat().st_size for plan in plans.values())
    assert len(set(plans.values())) == 4


def test_a_graph_that_the_compiler_does_not_know_is_refused(rtx, prepared):
    folder, made, sizes = prepared
    model = onnx.load(folder / "encode.onnx")
    next(node for node in model.graph.node if node.op_type == "Relu").op_type = "Unheard"
    (folder / "encode.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(BuildError, match=r"tensorrt_rtx .* reads, got encode\.onnx with .*Unheard"):
        compile_plan(rtx, folder / "encode.onnx", made.ports["encode"], lengths=sizes.lengths)


def test_knows_the_cards_it_has_code_for(rtx):
    assert rtx.serves(89) and rtx.serves(120)
    assert not rtx.serves(90)  # Hopper
    assert rtx.builds_without_gpu
    assert rtx.network_flags == 0


@pytest.mark.parametrize(("version", "flags"), [("10.16.1.11", 2), ("11.4.0.106", 0)])
def test_networks_are_strongly_typed_in_every_version(version, flags):
    class Api:
        class NetworkDefinitionCreationFlag:
            STRONGLY_TYPED = 1

    flavour = Flavour(name="tensorrt", version=version, api=Api)
    assert flavour.network_flags == flags
    assert not flavour.builds_without_gpu and flavour.serves(90)


def test_no_tensorrt_says_what_to_install(monkeypatch):
    for name in FLAVOURS:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingDependency, match=r"pip install .*\[trt-rtx\]"):
        find_flavour(gpu=False)
    hollow = ModuleType("tensorrt")  # as pip leaves it where NVIDIA's own index is out of reach
    monkeypatch.setitem(sys.modules, "tensorrt", hollow)
    with pytest.raises(MissingDependency, match="tensorrt: it has no Builder"):
        find_flavour("tensorrt", gpu=True)
