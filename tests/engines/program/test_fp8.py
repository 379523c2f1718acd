"""E4M3 in the blocks of the transformer: where it is, what it costs, and what compiles it."""

import json
import shutil
from collections import Counter

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto

from realmaster_live.cli import main
from realmaster_live.engines.export.quantize import Rendered
from realmaster_live.engines.program.calibrate import calibrate
from realmaster_live.engines.program.fp8 import LARGEST, SMALLEST_SM, SUFFIX
from realmaster_live.engines.program.prepare import GRAPHS, prepare_graphs, sizes_of
from realmaster_live.engines.program.rehearsal import GATES, rehearse
from realmaster_live.engines.tensorrt import build as build_module
from realmaster_live.engines.tensorrt.build import GRAPHS_FOLDER, Request, build, check_machine
from realmaster_live.engines.tensorrt.compilers import Flavour, compile_plan, find_flavour
from realmaster_live.engines.tensorrt.cuda_driver import Gpu
from realmaster_live.engines.tensorrt.plans import read_manifest
from realmaster_live.errors import BuildError, PlanMismatch
from realmaster_live.model.checkpoint import load_checkpoint
from realmaster_live.model.profile import TINY

WIDTH, HEIGHT = 96, 64
LINEARS = 8 if TINY.text_width else 6  # of a block: four, two to a prompt, two of feed-forward
LAST_IN_CONTEXT = 2  # keys and values


@pytest.fixture(scope="module")
def film():
    """Smooth moving pictures: (8, H, W, 3) uint8."""
    t, y, x = np.meshgrid(np.arange(8), np.arange(HEIGHT), np.arange(WIDTH), indexing="ij")
    waves = [np.sin((x + 3 * t) / 9), np.cos((y - t) / 7), np.sin((x + y + t) / 13)]
    return (127.5 + 120 * np.stack(waves, -1)).astype(np.uint8)


@pytest.fixture(scope="module")
def parts(tiny_checkpoint, tiny_model, film):
    """The export's manifest, torch's parameters and a calibration."""
    manifest = json.loads((tiny_model / "manifest.json").read_text())
    _, transformer = load_checkpoint(tiny_checkpoint)
    parameters = {name: value.numpy() for name, value in transformer.state_dict().items()}
    found = calibrate(tiny_model, manifest, [Rendered(sim=film)], parameters)
    return manifest, parameters, found


@pytest.fixture(scope="module")
def prepared(tiny_model, parts, tmp_path_factory):
    """Folder, what was prepared in it, and the sizes."""
    manifest, parameters, found = parts
    folder = tmp_path_factory.mktemp("fp8")
    sizes = sizes_of(manifest, width=WIDTH, height=HEIGHT, steps=2)
    made = prepare_graphs(
        tiny_model, folder, sizes, precision="fp8", parameters=parameters, peaks=found.peaks
    )
    return folder, made, sizes


def products_of(model):
    """The products of a graph, and of those the ones whose two inputs are dequantized."""
    makers = {name: node for node in model.graph.node for name in node.output}
    stored = {tensor.name for tensor in model.graph.initializer}
    found, quantized = [], []
    for node in model.graph.node:
        if node.op_type not in ("MatMul", "Gemm", "Conv", "Attention"):
            continue
        found.append(node)
        made = [makers[name] for name in node.input if name in makers]
        kinds = [each.op_type for each in made]
        assert "DequantizeLinear" not in kinds or kinds == ["DequantizeLinear"] * 2
        if kinds == ["DequantizeLinear"] * 2 and node.op_type == "MatMul":
            assert makers[made[0].input[0]].op_type == "QuantizeLinear"
            assert made[1].input[0] in stored
            quantized.append(node)
    return found, quantized


def test_every_linear_layer_of_a_block_and_nothing_else(prepared):
    folder, _, _ = prepared
    expected = {
        "denoise": LINEARS * TINY.layers,
        "context": LINEARS * (TINY.layers - 1) + LAST_IN_CONTEXT,
    }
    for name in GRAPHS:
        model = onnx.load(folder / f"{name}.onnx")
        onnx.checker.check_model(model, full_check=True)
        kinds = Counter(node.op_type for node in model.graph.node)
        products, quantized = products_of(model)
        assert len(quantized) == expected.get(name, 0)
        if not quantized:
            assert kinds["QuantizeLinear"] == kinds["DequantizeLinear"] == 0
            continue
        small = [t for t in model.graph.initializer if t.data_type == TensorProto.FLOAT8E4M3FN]
        weights = [tensor for tensor in small if tensor.dims]
        assert kinds["DequantizeLinear"] == kinds["QuantizeLinear"] + len(weights)
        assert len(small) == kinds["QuantizeLinear"] + len(weights)
        left = [node for node in products if node not in quantized and node.op_type == "MatMul"]
        # the time embedder, patch embeddings and, in denoise, the projection to the latent
        assert len(left) == (6 if name == "denoise" else 2)


def test_weights_are_scaled_by_output_to_the_whole_range(prepared, parts):
    folder, made, _ = prepared
    model = onnx.load(folder / "denoise.onnx")
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    close = 0
    for tensor in tensors.values():
        if tensor.data_type != TensorProto.FLOAT8E4M3FN or not tensor.dims:
            continue
        scale = tensors[f"{tensor.name}.scale"]
        scales = np.frombuffer(scale.raw_data, ml_dtypes.bfloat16).astype(np.float32)
        stored = np.frombuffer(tensor.raw_data, ml_dtypes.float8_e4m3fn)
        values = stored.reshape(tuple(tensor.dims)).astype(np.float32)
        assert scales.shape == values.shape[1:]
        assert (np.abs(values).max(0) == LARGEST).all()
        for weight in parts[1].values():
            if weight.shape == values.T.shape:
                close += bool(np.allclose(values * scales, weight.T, rtol=0.07, atol=0.01))
    assert close >= LINEARS * TINY.layers
    assert not any(SUFFIX in each["weight"] for each in made.names["denoise"].values())
    assert "blocks.0.attn1.to_q.weight" not in made.names["denoise"]


def test_peaks_are_those_of_all_passes(parts, tiny_model, film):
    manifest, parameters, found = parts
    assert found.source["clips"] == 1 and found.source["chunks"] == 2
    assert set(found.peaks) == {"context", "denoise"}
    assert all(0 < peak < 1e4 for each in found.peaks.values() for peak in each.values())
    first = calibrate(tiny_model, manifest, [Rendered(sim=film[:4])], parameters)
    assert first.source["frames_sha256"] != found.source["frames_sha256"]
    pairs = [
        (peak, found.peaks[graph][name])
        for graph, each in first.peaks.items()
        for name, peak in each.items()
    ]
    assert all(one <= two for one, two in pairs) and any(one < two for one, two in pairs)


@pytest.mark.slow
def test_rehearsal_passes_its_gate(tiny_model, parts):
    manifest, parameters, found = parts
    figures = {
        precision: rehearse(
            tiny_model, manifest, precision=precision, parameters=parameters, peaks=found.peaks
        )
        for precision in ("bf16", "fp8")
    }
    assert figures["bf16"]["mean_levels"] < figures["fp8"]["mean_levels"] <= GATES["fp8"][1]


def test_a_calibration_that_does_not_fit_is_refused(tiny_model, parts, tmp_path):
    manifest, parameters, found = parts
    low = {
        graph: {name: peak / 20 for name, peak in each.items()}
        for graph, each in found.peaks.items()
    }
    with pytest.raises(BuildError, match="levels of fp8 within"):
        rehearse(tiny_model, manifest, precision="fp8", parameters=parameters, peaks=low)
    with pytest.raises(BuildError, match="expected a scale for every activation of the blocks"):
        rehearse(tiny_model, manifest, precision="fp8", parameters=parameters, peaks={})
    other = {name: value + 1 for name, value in parameters.items()}
    with pytest.raises(BuildError, match="expected the weights of the transformer's blocks in con"):
        calibrate(tiny_model, manifest, [Rendered(sim=np.zeros((4, 64, 96, 3), np.uint8))], other)
    with pytest.raises(BuildError, match="expected clips of 4 frames or more to calibrate fp8 on"):
        short = Rendered(sim=np.zeros((3, 64, 96, 3), np.uint8))
        calibrate(tiny_model, manifest, [short], parameters)


@pytest.mark.slow
def test_compiles_for_cards_that_have_it(prepared):
    pytest.importorskip("tensorrt_rtx", exc_type=ImportError)
    folder, made, sizes = prepared
    flavour = find_flavour("tensorrt_rtx", gpu=False)
    for name in ("context", "denoise"):
        path, ports = folder / f"{name}.onnx", made.ports[name]
        options = {"lengths": sizes.lengths, "smallest_sm": SMALLEST_SM}
        assert len(compile_plan(flavour, path, ports, **options)) > path.stat().st_size
    with pytest.raises(BuildError, match=r"Cannot compile for target\(s\) .*sm86.*fp8_e4m3"):
        compile_plan(
            flavour,
            folder / "context.onnx",
            made.ports["context"],
            lengths=sizes.lengths,
            smallest_sm=86,
        )


@pytest.mark.slow
def test_builds_from_a_file_of_frames(tiny_checkpoint, tiny_model, film, tmp_path, monkeypatch):
    pytest.importorskip("tensorrt_rtx", exc_type=ImportError)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    out = tmp_path / "build"
    shutil.copytree(tiny_model, out / GRAPHS_FOLDER)
    request = Request(checkpoint=tiny_checkpoint, out=out, width=WIDTH, height=HEIGHT)
    source = json.dumps(build_module._source(request))
    (out / GRAPHS_FOLDER / build_module.SOURCE_FILE).write_text(source)
    np.save(tmp_path / "film.npy", film)
    command = ["build", "--checkpoint", str(tiny_checkpoint), "--out", str(out)]
    command += ["--size", f"{WIDTH}x{HEIGHT}", "--compiler", "tensorrt_rtx"]
    command += ["--precision", "fp8", "--calibrate", str(tmp_path / "film.npy")]
    assert main(command) == 0
    manifest = read_manifest(out)
    assert manifest["precision"] == "fp8"
    assert manifest["calibration"]["chunks"] == 2
    assert manifest["parity"]["program"]["levels"] <= GATES["fp8"][0]
    other = build(
        Request(
            checkpoint=tiny_checkpoint,
            out=out,
            width=WIDTH,
            height=HEIGHT,
            precision="fp8",
            calibrate=[Rendered(sim=film[:4])],
            compiler="tensorrt_rtx",
        )
    )
    assert other["plans"]["denoise"] != manifest["plans"]["denoise"]  # other scales
    assert other["plans"]["decode"] == manifest["plans"]["decode"]


def test_cards_without_it_are_refused(tmp_path, monkeypatch):
    from realmaster_live.engines.tensorrt import engine as trt_engine

    old = Gpu(name="an old card", sm=86, driver="580.1", total_bytes=16 * 10**9)
    full = Flavour(name="tensorrt", version="11.4.0.106", api=None)
    request = Request(
        checkpoint=tmp_path, out=tmp_path, width=WIDTH, height=HEIGHT, precision="fp8"
    )
    with pytest.raises(BuildError, match=r"GPU of SM 89 or later .*, got an old card \(SM 86\)"):
        check_machine(request, TINY, full, old)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    build_module.write_manifest(tmp_path, {"files": {}, "precision": "fp8"})
    monkeypatch.setattr(trt_engine, "find_gpu", lambda index: old)
    with pytest.raises(PlanMismatch, match=r"SM 89 or later for the fp8 plans in .*\(SM 86\)"):
        trt_engine.TrtEngine(tmp_path)
