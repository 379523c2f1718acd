"""A Wan pipeline's folder becomes a checkpoint that engines run; damaged ones are one sentence."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_autoencoders import make
from wan_folder import make_folder

from realmaster_live.cli import main
from realmaster_live.engines.torch.engine import TorchEngine
from realmaster_live.errors import BuildError, ConfigError
from realmaster_live.frames.chunk import Chunk
from realmaster_live.model.autoencoder_files import open_autoencoder
from realmaster_live.model.checkpoint import load_networks, read_profile, save_checkpoint
from realmaster_live.model.importing import describe, import_model
from realmaster_live.model.lora import attach
from realmaster_live.model.lora_facts import LoraFacts
from realmaster_live.model.lora_files import save
from realmaster_live.model.profile import TINY
from realmaster_live.model.random_weights import random_networks
from realmaster_live.model.tensor_files import copy_tensors, hash_tensors, stored_tensors
from realmaster_live.system.contents import sha256_of
from realmaster_live.training.iclora.base import (
    BaseConfig,
    check_adapter,
    check_latents_of,
    load_base,
)

PROFILE = "wan-1.3b-480"
WEIGHTS = "diffusion_pytorch_model"
PROMPTS = {"clear": np.zeros((3, 16), np.float32)}


@pytest.fixture
def folder(tmp_path):
    return make_folder(tmp_path / "pipeline")


@pytest.fixture
def tiny_file(tmp_path):
    """A file of TAEHV, as .pth."""
    path = tmp_path / "taew2_1.pth"
    torch.save(make("taew2_1").state_dict(), path)
    return path


def chunk_of(count, index, width=48, height=32):
    frames = np.random.default_rng(index).integers(0, 256, (count, height, width, 3), np.uint8)
    return Chunk(
        index=index,
        camera="front",
        frames=frames,
        frame_ids=np.arange(count),
        timestamps=np.arange(count) / 20.0,
        captured_at=np.zeros(count),
        intrinsics=np.eye(3),
        cam_to_world=np.tile(np.eye(4), (count, 1, 1)),
        labels={},
    )


@pytest.mark.parametrize("kind", ["taehv", "wan"])
def test_an_imported_checkpoint_runs_with_wans_cadence(tmp_path, folder, tiny_file, kind):
    choice = f"taehv:{tiny_file}" if kind == "taehv" else "wan"
    import_model(folder, tmp_path / "model", profile=PROFILE, autoencoder=choice)
    profile = read_profile(tmp_path / "model")
    assert (profile.autoencoder, profile.first_frames, profile.width) == (kind, 9, 24)
    with TorchEngine(tmp_path / "model", width=48, height=32, prompts=PROMPTS) as engine:
        assert (engine.spec.first_frames, engine.spec.frames) == (9, 12)
        first = engine.realize(chunk_of(9, 0))
        second = engine.realize(chunk_of(12, 1))
        assert (len(first), len(second)) == (9, 12)
        assert second.frames.std() > 1
        again = engine.realize_again(chunk_of(12, 1), 7)
        assert not np.array_equal(again.frames, second.frames)
        engine.reset()
        np.testing.assert_array_equal(engine.realize(chunk_of(9, 0)).frames, first.frames)
    networks = load_networks(tmp_path / "model")
    stored = load_file(folder / "transformer" / f"{WEIGHTS}.safetensors")
    for name, tensor in networks[1].state_dict().items():
        assert torch.equal(tensor, stored[name]), name


def test_shards_and_types_keep_the_hash(tmp_path):
    one = make_folder(tmp_path / "one", dtype=torch.bfloat16)
    many = make_folder(tmp_path / "many", dtype=torch.bfloat16, shard="20KB")
    assert len(list((many / "transformer").glob("*.safetensors"))) > 2
    found = [
        import_model(each, tmp_path / f"{each.name}-model", profile=PROFILE, autoencoder="wan")
        for each in (one, many)
    ]
    assert found[0]["base_sha256"] == found[1]["base_sha256"]
    base = load_base(BaseConfig(checkpoint=str(many), profile=PROFILE))
    own = load_base(BaseConfig(checkpoint=str(tmp_path / "one-model")))
    assert base.sha256 == own.sha256 == found[0]["base_sha256"]
    other = make_folder(tmp_path / "other", seed=1)
    facts = import_model(other, tmp_path / "other-model", profile=PROFILE, autoencoder="wan")
    assert facts["base_sha256"] != base.sha256


def test_two_experts(tmp_path):
    folder = make_folder(tmp_path / "pipeline", experts=2)
    facts = import_model(folder, tmp_path / "model", profile="wan-a14b", autoencoder="wan")
    assert len(set(facts["base_sha256"])) == 2
    assert len(load_networks(tmp_path / "model")) == 3
    with pytest.raises(BuildError, match=r"1 transformers .* got 16 and 2 .* --profile wan-a14b"):
        import_model(folder, tmp_path / "other", profile=PROFILE, autoencoder="wan")


def test_our_own_autoencoder(tmp_path, folder):
    profile = replace(
        TINY, latent_channels=16, latent_stride=8, falling=False, geometry=False, light=False
    )
    save_checkpoint(tmp_path / "ours", *random_networks(profile, torch.device("cpu")))
    choice = f"ours:{tmp_path / 'ours'}"
    import_model(folder, tmp_path / "model", profile=PROFILE, autoencoder=choice)
    assert read_profile(tmp_path / "model").first_frames == 12
    load_networks(tmp_path / "model")


def test_licences_come_along_and_info_says_what_it_is(tmp_path, folder, tiny_file, capsys):
    out = tmp_path / "model"
    arguments = [str(folder), "--profile", PROFILE, "--out", str(out)]
    assert main(["model", "import", *arguments, "--autoencoder", f"taehv:{tiny_file}"]) == 0
    said = capsys.readouterr().out
    facts = json.loads((out / "facts.json").read_text())
    assert facts["licence"] == "apache-2.0"
    assert facts["base_sha256"] in said
    assert {path.name for path in (out / "licences").iterdir()} == {"LICENSE.txt", "README.md"}
    assert main(["model", "info", str(out)]) == 0
    lines = dict(describe(out))
    assert capsys.readouterr().out.count("\n") == len(lines)
    assert lines["licence"] == "apache-2.0"
    assert lines["chunks"].startswith("12 frames of 3 latents, the first 9")
    assert facts["base_sha256"] in lines["  sha256"]


def test_wans_own_autoencoder_is_kept_beside_another(tmp_path, folder, tiny_file, capsys):
    out, merged = tmp_path / "model", tmp_path / "merged"
    import_model(folder, out, profile=PROFILE, autoencoder=f"taehv:{tiny_file}")
    assert dict(describe(out))["  beside it"].startswith("wan, ")
    assert main(["export", str(out), "--out", str(merged), "--to", "checkpoint"]) == 0
    stored = load_file(folder / "vae" / f"{WEIGHTS}.safetensors")
    for choice, checkpoint in (("wan", out), ("wan", merged), (str(folder), out)):
        found = open_autoencoder(choice, checkpoint)
        assert found.state_dict().keys() == stored.keys()
        for name, tensor in found.state_dict().items():
            assert torch.equal(tensor, stored[name]), name
    tiny = open_autoencoder(f"taehv:{tiny_file}", out).state_dict()
    assert all(torch.equal(x, tiny[name]) for name, x in open_autoencoder(str(out), out)
               .state_dict().items())  # fmt: skip
    import_model(folder, tmp_path / "own", profile=PROFILE, autoencoder="wan")
    assert not (tmp_path / "own" / "wan").exists()
    assert open_autoencoder("wan", tmp_path / "own").state_dict().keys() == stored.keys()
    capsys.readouterr()


def test_what_stands_in_for_an_autoencoder_is_one_sentence(tmp_path, folder, tiny_file):
    out = tmp_path / "model"
    import_model(folder, out, profile=PROFILE, autoencoder=f"taehv:{tiny_file}")
    wide = make_folder(tmp_path / "wide", latents="wan2.2")
    cut(out / "wan" / "autoencoder.safetensors")
    for choice, said in {
        "wan": "expected a safetensors file at .*wan/autoencoder.safetensors",
        str(wide): "expected an autoencoder of 16 channels .* got 48 and 16 from .*wide",
        "taehv:no.pth": "expected no.pth, got no such file",
        str(tmp_path): "expected wan, taehv:FILE, or the folder of a checkpoint or a Wan pipeline",
        "sd": "expected wan, taehv:FILE, or the folder .* got 'sd'",
    }.items():
        with pytest.raises(BuildError, match=said) as caught:
            open_autoencoder(choice, out)
        assert "\n" not in str(caught.value)
    shutil.rmtree(out / "wan")  # as earlier versions imported it
    load_networks(out)
    with pytest.raises(BuildError, match=r"got none: import the model again, or give the folder"):
        open_autoencoder("wan", out)


def test_an_adapter_of_the_folder_fits_the_checkpoint(tmp_path, folder, tiny_file, capsys):
    base = load_base(BaseConfig(checkpoint=str(folder), profile=PROFILE))
    adapter = attach(base.transformer, rank=2, generator=torch.Generator().manual_seed(0))
    file, former = tmp_path / "adapter.safetensors", tmp_path / "former.safetensors"
    save(file, adapter, scheme="diffusers", facts=facts_of(base.sha256))
    files = sha256_of(base.files[0])
    save(former, adapter, scheme="diffusers", facts=facts_of(files))
    out = tmp_path / "model"
    import_model(folder, out, profile=PROFILE, autoencoder=f"taehv:{tiny_file}")
    for each in (file, former):
        check_adapter(each, load_base(BaseConfig(checkpoint=str(folder), profile=PROFILE)))
    check_adapter(file, load_base(BaseConfig(checkpoint=str(out))))
    arguments = ["--adapter", str(file), "--out", str(tmp_path / "merged")]
    assert main(["export", str(out), *arguments, "--to", "checkpoint"]) == 0
    assert read_profile(tmp_path / "merged").autoencoder == "taehv"
    load_networks(tmp_path / "merged")


def facts_of(sha256):
    return LoraFacts(base_model="tiny", base_sha256=sha256, licence="Apache-2.0")


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def point(path):
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")


def rename_pipeline(folder):
    (folder / "model_index.json").write_text('{"_class_name": "FluxPipeline"}')


def rename_transformer(folder):
    path = folder / "transformer" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "_class_name": "UNet"}))


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (rename_pipeline, "expected a WanPipeline in .*, got a FluxPipeline"),
        (rename_transformer, "expected a WanTransformer3DModel in .*, got a UNet"),
        (lambda f: cut(f / "transformer" / f"{WEIGHTS}.safetensors"), "expected a safetensors fi"),
        (lambda f: point(f / "transformer" / f"{WEIGHTS}.safetensors"), "got a Git LFS pointer"),
        (lambda f: (f / "transformer" / f"{WEIGHTS}.safetensors").unlink(), "got none: download"),
        (lambda f: (f / "vae" / "config.json").unlink(), "got no such file"),
        (lambda f: cut(f / "vae" / f"{WEIGHTS}.safetensors"), "expected a safetensors file"),
    ],
)
def test_a_damaged_folder_is_one_sentence(tmp_path, folder, harm, said):
    harm(folder)
    with pytest.raises(BuildError, match=said) as caught:
        import_model(folder, tmp_path / "model", profile=PROFILE, autoencoder="wan")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "model" / "profile.json").exists()


@pytest.mark.parametrize("index", [True, False])
def test_a_missing_shard_is_named(tmp_path, index):
    folder = make_folder(tmp_path / "pipeline", shard="20KB")
    place = folder / "transformer"
    first = sorted(place.glob("*.safetensors"))[0]
    first.unlink()
    if not index:
        (place / f"{WEIGHTS}.safetensors.index.json").unlink()
    with pytest.raises(BuildError, match=f"shards in .*, got no {first.name}"):
        import_model(folder, tmp_path / "model", profile=PROFILE, autoencoder="wan")


def test_a_file_for_the_other_wan(tmp_path, folder):
    path = tmp_path / "taew2_2.safetensors"
    save_file(make("taew2_2").state_dict(), path)
    with pytest.raises(BuildError, match=r"16 channels .* got 48 and 16 from .*taew2_2"):
        import_model(folder, tmp_path / "m", profile=PROFILE, autoencoder=f"taehv:{path}")


def test_a_pickle_that_is_no_tensors(tmp_path, folder):
    path = tmp_path / "taew2_1.pth"
    for content in ({"run": os.system}, {"weight": 1}):
        torch.save(content, path)
        with pytest.raises(BuildError, match=r"tensors in .*taew2_1.pth, got other things than"):
            import_model(folder, tmp_path / "m", profile=PROFILE, autoencoder=f"taehv:{path}")


@pytest.mark.parametrize("choice", ["taehv", "wan:x", "sd", ""])
def test_an_unknown_autoencoder(tmp_path, folder, choice):
    with pytest.raises(ConfigError, match="expected taehv:FILE, wan or ours:FOLDER"):
        import_model(folder, tmp_path / "m", profile=PROFILE, autoencoder=choice)


def test_another_profile_is_offered(tmp_path):
    folder = make_folder(tmp_path / "pipeline", latents="wan2.2")
    with pytest.raises(BuildError, match=r"got 48 and 1 .* --profile wan-5b-704"):
        import_model(folder, tmp_path / "m", profile=PROFILE, autoencoder="wan")
    import_model(folder, tmp_path / "m", profile="wan-5b-704", autoencoder="wan")


def test_prompts_need_the_encoder(tmp_path, folder):
    with pytest.raises(ConfigError, match="text_encoder and tokenizer"):
        import_model(folder, tmp_path / "m", profile=PROFILE, autoencoder="wan", prompts={"a": "b"})


MEASURE = """
import resource, sys
from pathlib import Path
from realmaster_live.model.tensor_files import copy_tensors, stored_tensors
tensors = stored_tensors(Path(sys.argv[1]))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
copy_tensors(tensors, Path(sys.argv[2]))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux alone")
def test_copying_holds_a_block_in_memory(tmp_path):
    source, target = tmp_path / "big.safetensors", tmp_path / "copy.safetensors"
    save_file({f"part{n}": torch.full((2, 1 << 20), float(n)) for n in range(4)}, source)
    size = source.stat().st_size  # 32 MiB
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, source, target], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) * 1024 < size / 2
    assert hash_tensors(stored_tensors(source)) == hash_tensors(stored_tensors(target))
    again = copy_tensors(stored_tensors(source), target)
    assert again == hash_tensors(stored_tensors(target))


def test_shards_of_another_autoencoder_are_refused(tmp_path, folder, tiny_file):
    out = tmp_path / "model"
    import_model(folder, out, profile=PROFILE, autoencoder=f"taehv:{tiny_file}")
    wans, tiny = folder / "vae" / f"{WEIGHTS}.safetensors", out / "autoencoder.safetensors"
    for base in (folder, out):
        check_latents_of(load_base(BaseConfig(checkpoint=str(base))), sha256_of(wans))
    check_latents_of(load_base(BaseConfig(checkpoint=str(out))), sha256_of(tiny))
    check_latents_of(load_base(BaseConfig(checkpoint=str(out))), "")
    with pytest.raises(BuildError, match=f"expected latents of .* shards of {'0' * 12}"):
        check_latents_of(load_base(BaseConfig(checkpoint=str(out))), "0" * 64)
