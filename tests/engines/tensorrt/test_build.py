"""`realmaster build`, from the command line to the manifest."""

import dataclasses
import json
import shutil
import sys

import numpy as np
import pytest
import torch

from realmaster_live.cli import main
from realmaster_live.engines.load import load_engine
from realmaster_live.engines.tensorrt import build as module
from realmaster_live.engines.tensorrt.build import (
    GRAPHS_FOLDER,
    SOURCE_FILE,
    _kept_manifest,
    build,
    check_machine,
    check_request,
    memory_needed,
)
from realmaster_live.engines.tensorrt.compilers import Flavour
from realmaster_live.engines.tensorrt.cuda_driver import Gpu
from realmaster_live.engines.tensorrt.plans import read_manifest
from realmaster_live.engines.tensorrt.request import BuildRequest
from realmaster_live.errors import (
    BuildError,
    ConfigError,
    EngineError,
    MissingDependency,
    OutOfMemory,
)
from realmaster_live.model.checkpoint import load_checkpoint, save_checkpoint
from realmaster_live.model.lora import attach
from realmaster_live.model.lora_facts import LoraFacts
from realmaster_live.model.lora_files import save
from realmaster_live.model.profile import TINY, WAN_1_3B
from realmaster_live.model.random_weights import random_networks

WIDTH, HEIGHT = 96, 64
CARD = Gpu(name="a card", sm=90, driver="580.1", total_bytes=16 * 10**9)
FULL = Flavour(name="tensorrt", version="11.4.0.106", api=None)
RTX = Flavour(name="tensorrt_rtx", version="1.7.1.116", api=None)


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def request_for(checkpoint, out, **options):
    fields = {"checkpoint": checkpoint, "out": out, "size": (WIDTH, HEIGHT)}
    return BuildRequest(**{**fields, **options})


@pytest.fixture
def out(tmp_path, tiny_checkpoint, tiny_model):
    """A folder in which an earlier build has left the export of the same checkpoint."""
    folder = tmp_path / "build"
    shutil.copytree(tiny_model, folder / GRAPHS_FOLDER)
    source = module._source(request_for(tiny_checkpoint, folder))
    (folder / GRAPHS_FOLDER / SOURCE_FILE).write_text(json.dumps(source))
    return folder


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_builds_and_keeps_what_did_not_change(tiny_checkpoint, out):
    pytest.importorskip("tensorrt_rtx", exc_type=ImportError)
    lines = []
    request = request_for(tiny_checkpoint, out, compiler="tensorrt_rtx")
    first = build(request, lines.append)
    assert first["parity"]["program"]["levels"] <= 6
    assert read_manifest(out)["plans"] == first["plans"]
    assert {name.split("-")[0] for name in first["plans"].values()} == {
        *("encode", "context", "denoise", "decode")
    }
    assert first["flavour"] == "tensorrt_rtx" and first["version"].count(".") == 3
    assert any("kept the exported graphs" in line for line in lines)
    lines.clear()
    again = build(request_for(tiny_checkpoint, out, compiler="tensorrt_rtx", steps=1), lines.append)
    assert again["plans"] == first["plans"] and again["steps"] == 1
    assert sum("kept, nothing changed" in line for line in lines) == 4
    plan = out / first["plans"]["decode"]
    whole = plan.read_bytes()
    plan.write_bytes(whole[:-1])
    with pytest.raises(BuildError, match=f"expected {plan.name} of {len(whole)} bytes"):
        read_manifest(out)
    lines.clear()
    repaired = build(request, lines.append)  # a damaged plan is no plan
    assert read_manifest(out)["plans"] == repaired["plans"]
    assert not any("kept, nothing changed" in line for line in lines)


def test_graphs_of_the_same_checkpoint_are_taken(tmp_path, tiny_checkpoint, tiny_model):
    request = request_for(tiny_checkpoint, tmp_path / "build", graphs=tiny_model)
    source, lines = module._source(request), []
    exported = tmp_path / "build" / GRAPHS_FOLDER
    manifest = module._export(request, source, exported, lines.append)
    assert manifest == json.loads((tiny_model / "manifest.json").read_text())
    assert lines == [f"took the graphs in {tiny_model}"]
    module._export(request, source, exported, lines.append)
    assert lines[1].startswith("kept the exported graphs")
    other = {**source, "checkpoint": {"profile.json": "0" * 64}}
    with pytest.raises(ConfigError, match="got another checkpoint: export the checkpoint --to"):
        module._export(request, other, tmp_path / "other", lines.append)
    adapter = tmp_path / "adapter.safetensors"
    both = request_for(
        tiny_checkpoint, tmp_path / "build", graphs=tiny_model, adapter=((adapter, 1.0),)
    )
    with pytest.raises(ConfigError, match="expected --adapter or --graphs, got both"):
        module.check_request(both)


def test_an_engine_without_a_gpu_says_what_runs_instead(tiny_checkpoint, out):
    pytest.importorskip("tensorrt_rtx", exc_type=ImportError)
    from realmaster_live.engines.tensorrt.cuda_driver import find_gpu
    from realmaster_live.engines.tensorrt.engine import TrtEngine

    if find_gpu() is not None:
        pytest.skip("this machine has a GPU")
    with pytest.raises(BuildError, match=r"expected the manifest of a build in .*plans\.json"):
        TrtEngine(out)
    module.write_manifest(out, {"files": {}, "flavour": "tensorrt_rtx"})
    with pytest.raises(EngineError, match=r"got none: use the folder .*graphs, which runs on"):
        TrtEngine(out)
    with pytest.raises(EngineError, match=r"expected an NVIDIA GPU for the plans in .* got none"):
        load_engine(str(out))
    for device in ("cpu", "cuda:x"):
        with pytest.raises(EngineError, match=f"'cuda' or 'cuda:N' for .*, got '{device}': use"):
            load_engine(str(out), device=device)


def test_plans_without_tensorrt_say_what_to_install(out, monkeypatch):
    """One sentence, whatever GPU is there."""
    monkeypatch.setattr("realmaster_live.engines.tensorrt.engine.find_gpu", lambda index: CARD)
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    module.write_manifest(out, {"files": {}, "flavour": "tensorrt"})
    with pytest.raises(MissingDependency) as caught:
        load_engine(str(out), device="cuda:0")
    message = str(caught.value)
    assert message.startswith("expected a TensorRT, got none that imports (tensorrt: ")
    assert "pip install" in message and "\n" not in message


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_flow_from_the_render_has_no_graph_of_the_reference(tmp_path, precision):
    pytest.importorskip("tensorrt_rtx", exc_type=ImportError)
    profile = dataclasses.replace(
        TINY, flow_from="render", prediction="velocity", steps=1, ring=0, falling=False
    )
    save_checkpoint(tmp_path / "model", *random_networks(profile, torch.device("cpu")))
    request = request_for(
        tmp_path / "model", tmp_path / "out", compiler="tensorrt_rtx", precision=precision
    )
    made = build(request)
    assert set(made["plans"]) == {"encode", "denoise", "decode"}
    assert made["parity"]["program"]["chunks"] == 2
    assert read_manifest(tmp_path / "out")["steps"] == 1


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_lora_is_merged_first(tiny_checkpoint, tmp_path):
    pytest.importorskip("tensorrt_rtx", exc_type=ImportError)
    _, transformer = load_checkpoint(tiny_checkpoint)
    adapter = attach(transformer, rank=2, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for low_rank in adapter.low_ranks.values():
            low_rank.up.normal_(std=0.2, generator=torch.Generator().manual_seed(1))
    file = tmp_path / "snow.safetensors"
    save(file, adapter, scheme="diffusers", facts=LoraFacts(base_model="tiny", licence="MIT"))
    out = tmp_path / "build"
    command = ["build", "--checkpoint", str(tiny_checkpoint), "--out", str(out)]
    command += ["--size", f"{WIDTH}x{HEIGHT}", "--compiler", "tensorrt_rtx"]
    assert main([*command, "--adapter", f"{file}:0.5", "--precision", "fp32"]) == 0
    manifest = read_manifest(out)
    (entry,) = manifest["loras"]
    assert (entry["file"], entry["strength"]) == ("snow.safetensors", 0.5)
    adapter.strength = 0.5
    adapter.merge()
    _, merged = load_checkpoint(out / "merged")
    name = "blocks.1.attn1.to_k.weight"
    assert torch.equal(merged.state_dict()[name], transformer.state_dict()[name])
    _, base = load_checkpoint(tiny_checkpoint)
    assert not np.array_equal(merged.state_dict()[name], base.state_dict()[name])
    plain = tmp_path / "plain"
    assert main([*command[:3], "--out", str(plain), *command[5:], "--precision", "fp32"]) == 0
    other = read_manifest(plain)
    assert other["plans"]["encode"] == manifest["plans"]["encode"]  # no LoRA reaches it
    assert other["plans"]["denoise"] != manifest["plans"]["denoise"]


def test_what_does_not_fit_the_checkpoint_is_refused(tiny_checkpoint, tmp_path):
    def check(**options):
        checkpoint = options.pop("checkpoint", tiny_checkpoint)
        return check_request(request_for(checkpoint, tmp_path, **options))

    assert check().name == TINY.name
    with pytest.raises(ConfigError, match=r"expected a profile among embedded, .*, got 'vam'"):
        check(profile="vam")
    with pytest.raises(ConfigError, match="checkpoint of embedded, got one of tiny"):
        check(profile="embedded")
    with pytest.raises(EngineError, match="multiples of 32, got 100x64: use 96x64 or 128x64"):
        check(size=(100, HEIGHT))
    with pytest.raises(ConfigError, match="steps among 1, 2, 4, got 3"):
        check(steps=3)
    with pytest.raises(ConfigError, match="expected a LoRA file at"):
        check(adapter=((tmp_path / "none.safetensors", 1.0),))
    with pytest.raises(BuildError, match=r"expected a checkpoint with profile\.json in"):
        check(checkpoint=tmp_path)


def test_machines_that_cannot_build_or_hold_it(tmp_path):
    request = request_for(tmp_path, tmp_path, size=(832, 480))
    check_machine(request, WAN_1_3B, FULL, CARD)
    check_machine(request, WAN_1_3B, RTX, None)
    with pytest.raises(BuildError, match="expected an NVIDIA GPU to build a plan of tensorrt, got"):
        check_machine(request, WAN_1_3B, FULL, None)
    small = Gpu(name="a small card", sm=89, driver="580.1", total_bytes=6 * 10**9)
    need = memory_needed(request, WAN_1_3B)
    assert 5 * 10**9 < need < 14 * 10**9
    with pytest.raises(OutOfMemory, match=r"GB of a small card: use a smaller size such as 416x"):
        check_machine(request, WAN_1_3B, FULL, small)
    wide = request_for(tmp_path, tmp_path, size=(832, 480), precision="fp32")
    assert memory_needed(wide, WAN_1_3B) == 2 * need


def test_a_card_without_code_is_refused(tmp_path):
    rtx = pytest.importorskip("tensorrt_rtx", exc_type=ImportError)
    flavour = Flavour(name="tensorrt_rtx", version=rtx.__version__, api=rtx)
    with pytest.raises(BuildError, match=r"has code for, got a card \(SM 90\): install tensorrt"):
        check_machine(request_for(tmp_path, tmp_path), TINY, flavour, CARD)


@pytest.mark.parametrize(
    ("flags", "status", "said"),
    [
        (["--size", "100x64"], 1, "multiples of 32, got 100x64"),
        (["--size", "96x64", "--profile", "vam"], 2, "expected a profile among embedded"),
        (
            ["--size", "96x64", "--precision", "int4"],
            2,
            "one of bf16, fp32 for --precision, got 'int4'",
        ),
        (["--size", "big"], 2, "expected a size such as 512x288"),
        ([], 2, "expected --size, got none"),
        (["--size", "96x64", "--adapter", "gone.safetensors:0.8"], 2, "a LoRA file at gone."),
    ],
)
def test_errors_as_a_user_sees_them(tiny_checkpoint, tmp_path, capsys, flags, status, said):
    command = ["build", "--checkpoint", str(tiny_checkpoint), "--out", str(tmp_path / "out")]
    assert main([*command, *flags]) == status
    error = capsys.readouterr().err
    assert error.startswith("realmaster: error: ") and said in error
    assert error.count("\n") == 1


def test_no_checkpoint(tmp_path, capsys):
    command = ["build", "--checkpoint", str(tmp_path), "--out", str(tmp_path), "--size", "96x64"]
    assert main(command) == 1
    assert "expected a checkpoint with profile.json in" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, '{"files": 7}', "\x00\xff"])
def test_damaged_texts_end_in_one_sentence_or_in_another_export(text, tmp_path, capsys):
    for name in ("profile.json", "source.json", "manifest.json"):
        (tmp_path / name).write_text(text)
    assert _kept_manifest(tmp_path, {}) is None
    command = ["build", "--checkpoint", str(tmp_path), "--out", str(tmp_path), "--size", "96x64"]
    assert main(command) == 1
    error = capsys.readouterr().err
    assert "profile.json" in error and error.count("\n") == 1


def test_help(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["build", "--help"])
    text = capsys.readouterr().out
    for flag in ("--checkpoint", "--adapter FILE", "--precision bf16|fp32"):
        assert flag in text
