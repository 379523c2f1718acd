import hashlib
import json

import numpy as np
import onnx
import pytest
import torch

from realmaster_live.cli import main
from realmaster_live.cli.export import read_clips
from realmaster_live.engines.export.export import export
from realmaster_live.engines.export.quantize import (
    LAST,
    WRITES,
    Rendered,
    after,
    check_agreement,
    choose,
    convolutions,
    denoiser,
    realize,
)
from realmaster_live.engines.manifest import WEIGHTS_FILE
from realmaster_live.engines.noise import draw
from realmaster_live.engines.onnx_engine import OnnxEngine
from realmaster_live.errors import BuildError
from realmaster_live.model.dit import InContextTransformer
from realmaster_live.model.profile import TINY
from realmaster_live.model.sampling import sigmas
from realmaster_live.training.latents import Rollout, prompt_kv

WIDTH, HEIGHT = 96, 64
LEVELS = 2.0
NAMES = ("encode", "context", "denoise", "decode")


@pytest.fixture(scope="module")
def film():
    """Smooth moving pictures: (8, H, W, 3) uint8."""
    t, y, x = np.meshgrid(np.arange(8), np.arange(HEIGHT), np.arange(WIDTH), indexing="ij")
    waves = [np.sin((x + 3 * t) / 9), np.cos((y - t) / 7), np.sin((x + y + t) / 13)]
    return (127.5 + 120 * np.stack(waves, -1)).astype(np.uint8)


@pytest.fixture(scope="module")
def int8_model(tiny_checkpoint, film, tmp_path_factory):
    """The tiny checkpoint, calibrated on a file of frames."""
    folder = tmp_path_factory.mktemp("int8")
    np.save(folder / "film.npy", film)
    clips = read_clips(folder / "film.npy")
    out = folder / "out"
    export(
        tiny_checkpoint,
        out,
        height=HEIGHT,
        width=WIDTH,
        precision="int8",
        calibrate=clips,
        mean_levels=LEVELS,
    )
    return out


def test_the_decoder_is_calibrated_on_the_latents_that_the_model_makes():
    """Those of a first chunk, under each prompt; the truth's are others after joint training."""
    torch.manual_seed(0)
    transformer = InContextTransformer(TINY)
    for parameter in transformer.parameters():  # a new one returns the reference
        torch.nn.init.normal_(parameter, std=0.1)
    reference = torch.randn(1, TINY.latent_channels, 4, 6)
    noise = torch.from_numpy(draw(tuple(reference.shape), 0))
    made = []
    with torch.no_grad():
        for name in TINY.prompts[:2]:
            rollout = Rollout(transformer, sigmas(TINY.steps, TINY.shift))
            wanted, _ = rollout.chunk(reference, noise, prompt_kv(transformer, [name]))
            made.append(denoiser(transformer)(reference.numpy(), name))
            np.testing.assert_allclose(made[-1], wanted.numpy(), atol=1e-5)
    assert np.abs(made[0] - made[1]).max() > 1e-3


def realized(folder, film):
    with OnnxEngine(folder, width=WIDTH, height=HEIGHT, threads=1) as engine:
        prompts = engine.manifest["prompts"]
        return realize(engine, Rendered(sim=film), prompts).astype(np.int16)


@pytest.mark.slow
def test_agrees_with_float16(int8_model, tiny_model, film):
    difference = np.abs(realized(int8_model, film) - realized(tiny_model, film))
    assert 0 < difference.mean() < LEVELS
    assert difference.max() < 64


@pytest.mark.slow
def test_manifest_says_precision_and_agreement(int8_model, tiny_model):
    manifest = json.loads((int8_model / "manifest.json").read_text())
    assert manifest["precision"] == "int8"
    assert json.loads((tiny_model / "manifest.json").read_text())["precision"] == "float16"
    assert 0 < manifest["parity"]["int8.mean_levels"] <= LEVELS
    assert manifest["parity"]["int8.max_levels"] >= 1
    assert "int8.psnr_change_db" not in manifest["parity"]  # frames alone have no truth
    for name, entry in manifest["files"].items():
        data = (int8_model / name).read_bytes()
        assert entry == {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    kept = {path.name for path in int8_model.iterdir()}
    assert kept == {*manifest["files"], "manifest.json"}


@pytest.mark.slow
def test_weights_are_bytes_once_and_the_last_layers_are_not(int8_model, tiny_model):
    stored, total = set(), 0
    for name in NAMES:
        model = onnx.load(int8_model / f"{name}.onnx", load_external_data=False)
        for tensor in model.graph.initializer:
            entry = {item.key: item.value for item in tensor.external_data}
            if entry:
                assert entry["location"] == WEIGHTS_FILE
                total += int(entry["length"])
                stored.add((entry["offset"], int(entry["length"])))
        kinds = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
        assert onnx.TensorProto.INT8 in kinds.values(), name
        last = [kind for tensor, kind in kinds.items() if LAST.search(tensor)]
        assert bool(last) == (name in ("encode", "decode"))
        assert onnx.TensorProto.INT8 not in last
    decode = onnx.load(int8_model / "decode.onnx", load_external_data=False)
    assert not any(node.op_type == "Relu" for node in decode.graph.node)  # all are within scales
    written = after(decode, convolutions(decode, WRITES))
    steps = [node.op_type for node in decode.graph.node if node.name in written]
    assert steps.count("QuantizeLinear") <= 1  # residual and gain; what is made of them is exact
    assert 0 < sum(length for _, length in stored) < total  # context and denoise share
    size = (int8_model / WEIGHTS_FILE).stat().st_size
    assert size < (tiny_model / WEIGHTS_FILE).stat().st_size


@pytest.mark.slow
def test_inputs_are_those_of_float16(int8_model, tiny_model):
    for name in NAMES:
        left, right = (
            onnx.load(folder / f"{name}.onnx", load_external_data=False).graph
            for folder in (int8_model, tiny_model)
        )
        assert [v.name for v in left.input] == [v.name for v in right.input]
        assert [v.name for v in left.output] == [v.name for v in right.output]


@pytest.mark.slow
def test_changed_files_are_refused(int8_model, tmp_path):
    for path in int8_model.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    with (tmp_path / WEIGHTS_FILE).open("r+b") as file:
        file.write(bytes([file.read(1)[0] ^ 1]))
    with pytest.raises(BuildError, match=r"weights\.bin"):
        OnnxEngine(tmp_path, width=WIDTH, height=HEIGHT)


def without_bits(folder, out):
    """Return a copy of a folder as an earlier release exported it, whose weights had 8 bits."""
    out.mkdir()
    for path in folder.iterdir():
        (out / path.name).write_bytes(path.read_bytes())
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest.pop("weight_bits") == 7
    (out / "manifest.json").write_text(json.dumps(manifest))
    return out


@pytest.mark.slow
def test_weights_of_convolutions_have_seven_bits(int8_model):
    for name in ("encode", "decode"):
        graph = onnx.load(int8_model / f"{name}.onnx").graph
        values = {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer}
        producers = {node.output[0]: node for node in graph.node}
        weights = [
            values[producers[node.input[1]].input[0]]
            for node in graph.node
            if node.op_type == "Conv" and node.input[1] in producers
        ]
        weights = [weight for weight in weights if weight.dtype == np.int8]
        assert len(weights) > 5
        assert 56 < max(int(np.abs(weight.astype(int)).max()) for weight in weights) <= 64


@pytest.mark.slow
@pytest.mark.parametrize("bits", [7, 8])
def test_only_convolutions_of_seven_bits_are_fused(bits, int8_model, monkeypatch, tmp_path):
    """The runtime's optimized graph shows it."""
    import onnxruntime

    folder = int8_model if bits == 7 else without_bits(int8_model, tmp_path / "earlier")
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "decode.onnx")
    options.log_severity_level = 3
    monkeypatch.setattr(onnxruntime, "SessionOptions", lambda: options)
    with OnnxEngine(folder, width=WIDTH, height=HEIGHT, threads=1):
        optimized = onnx.load(tmp_path / "decode.onnx", load_external_data=False)
    assert ("QLinearConv" in {node.op_type for node in optimized.graph.node}) is (bits == 7)


@pytest.mark.slow
def test_fused_convolutions_agree_with_unfused_ones_and_with_float16(
    int8_model, tiny_model, film, tmp_path
):
    """On every processor: nothing saturates."""
    fused = realized(int8_model, film)
    unfused = realized(without_bits(int8_model, tmp_path / "earlier"), film)
    assert np.abs(fused - unfused).mean() < 0.5
    difference = np.abs(fused - realized(tiny_model, film))
    assert 0 < difference.mean() < LEVELS
    assert difference.max() < 64


def test_wrong_requests_say_what_to_give(tiny_checkpoint, tmp_path, film, capsys):
    with pytest.raises(BuildError, match="clips to calibrate int8 on, got none"):
        export(tiny_checkpoint, tmp_path / "out", precision="int8")
    with pytest.raises(BuildError, match="float16 or int8, got 'int4'"):
        export(tiny_checkpoint, tmp_path / "out", precision="int4")
    with pytest.raises(BuildError, match=r"within 2\.0 levels .* got 3"):
        check_agreement({"int8.mean_levels": 3.0})
    with pytest.raises(BuildError, match="got nan"):
        check_agreement({"int8.mean_levels": float("nan")})
    command = ["export", str(tiny_checkpoint), "--out", str(tmp_path), "--precision", "int8"]
    assert main(command) == 2
    assert "expected --calibrate with --precision int8" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    np.save(tmp_path / "grey.npy", film[..., 0])
    flags = ["--precision", "int8", "--calibrate", str(tmp_path / "grey.npy")]
    assert main(["export", str(tiny_checkpoint), "--out", str(tmp_path / "out"), *flags]) == 1


def test_samples_lie_evenly():
    films = [Rendered(sim=np.zeros((4, 32, 32, 3), np.uint8)) for _ in range(21)]
    chosen = choose(films, 5)
    places = [next(i for i, film in enumerate(films) if film is got) for got in chosen]
    assert places == [0, 5, 10, 15, 20]
    assert len(choose(films[:2], 5)) == 2


def test_every_prompt_is_calibrated_on(film):
    """A folder has few clips of the night, whose latents are unlike all others."""
    prompts = ["as simulated"] * 30 + ["night", "rain", "rain", "rain"]
    samples = [Rendered(sim=film, prompt=prompt) for prompt in prompts]
    chosen = choose(samples, 8)
    assert [one.prompt for one in chosen] == ["as simulated"] * 3 + ["night"] + ["rain"] * 2
    assert {one.prompt for one in choose(samples, 2)} == {"as simulated", "night"}
