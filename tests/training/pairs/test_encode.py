import numpy as np
import pytest
import torch
from footage import write_film, write_recording
from safetensors import safe_open
from safetensors.torch import load_file
from tiny_umt5 import WIDTH, save_encoder

from realmaster_live.errors import ConfigError, PairError
from realmaster_live.model.checkpoint import save_checkpoint
from realmaster_live.model.dit import InContextTransformer
from realmaster_live.model.profile import EMBEDDED, TINY
from realmaster_live.model.text_encoder import embed_text
from realmaster_live.model.vae import StreamingAutoencoder
from realmaster_live.training import data
from realmaster_live.training.latents import encode_clip
from realmaster_live.training.pairs import texts
from realmaster_live.training.pairs.encode import EncodeConfig, make
from realmaster_live.training.pairs.plan import PlanConfig, plan
from realmaster_live.training.pairs.sources import read_frames
from realmaster_live.training.pairs.stage import Job
from realmaster_live.training.pairs.store import object_path
from realmaster_live.training.pairs.videos import read_video, write_video

SMALL = PlanConfig(frames=9, fps=20.0, size="keep", prompt="rain falls")


@pytest.fixture(scope="session")
def wan(tmp_path_factory):
    """A Wan autoencoder of random weights, as in a pipeline's folder."""
    from diffusers import AutoencoderKLWan

    torch.manual_seed(0)
    vae = AutoencoderKLWan(
        base_dim=8, z_dim=4, dim_mult=[1, 1, 1, 1], num_res_blocks=1,
        latents_mean=[0.1, -0.2, 0.3, 0.0], latents_std=[1.5, 0.5, 2.0, 1.0],
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("wan")
    vae.save_pretrained(folder / "vae")
    return folder


@pytest.fixture
def ours(request, tmp_path):
    torch.manual_seed(1)
    profile = getattr(request, "param", TINY)
    autoencoder = StreamingAutoencoder(profile)
    autoencoder.latents_mean.normal_()
    autoencoder.latents_std.uniform_(0.5, 2.0)
    save_checkpoint(tmp_path / "ours", autoencoder, InContextTransformer(profile))
    return tmp_path / "ours", autoencoder.eval()


@pytest.fixture
def job(tmp_path):
    """A planned clip and its photoreal clip."""
    clip = plan(tmp_path / "set", SMALL, [write_film(tmp_path / "film.mp4")]).clips[0]
    photo = tmp_path / "photo.mp4"
    write_video(photo, 255 - read_frames(clip), clip.fps)
    return Job(clip=clip, inputs={"propagate": photo})


def run(config, job, tmp_path):
    target = tmp_path / "latents.safetensors"
    facts = make(config, tmp_path / "set").run(job, target)
    with safe_open(target, "pt") as file:
        return load_file(target), file.metadata(), facts


def test_wan_latents_are_those_of_diffusers_normalised(wan, job, tmp_path):
    from diffusers import AutoencoderKLWan

    tensors, written, facts = run(EncodeConfig(autoencoder=str(wan)), job, tmp_path)
    vae = AutoencoderKLWan.from_pretrained(wan, subfolder="vae")
    mean, std = (
        torch.tensor(x).view(1, 4, 1, 1, 1)
        for x in (vae.config.latents_mean, vae.config.latents_std)
    )
    clips = {"reference": read_frames(job.clip), "target": read_video(job.inputs["propagate"])}
    for name, frames in clips.items():
        pixels = torch.from_numpy(frames).permute(3, 0, 1, 2)[None] / 127.5 - 1
        with torch.no_grad():
            expected = (vae.encode(pixels).latent_dist.mean - mean) / std
        assert tensors[name].dtype == torch.float16
        assert tensors[name].shape == (4, 3, 8, 12)  # one frame, then fours; an eighth
        torch.testing.assert_close(tensors[name].float(), expected[0], atol=2e-3, rtol=2e-3)
    assert not torch.equal(tensors["reference"], tensors["target"])
    assert facts == {"shape": [4, 3, 8, 12], "text_key": ""}
    assert written == {
        "clip_id": job.clip.clip_id,
        "autoencoder": wan.name,
        "autoencoder_sha256": written["autoencoder_sha256"],
        "fps": "20",
        "height": "64",
        "width": "96",
        "frames": "9",
        "prompt": "rain falls",
        "text_key": "",
    }
    assert len(written["autoencoder_sha256"]) == 64


@pytest.mark.parametrize("ours", [TINY, EMBEDDED], indirect=True, ids=["tiny", "embedded"])
def test_our_latents_are_those_that_training_makes(ours, job, tmp_path):
    folder, autoencoder = ours
    tensors, written, _ = run(EncodeConfig(autoencoder=str(folder)), job, tmp_path)
    sim, truth = read_frames(job.clip), read_video(job.inputs["propagate"])
    clip = data.Clip(name="x", seed=0, facts={}, sim=sim, truth=truth)
    expected = encode_clip(autoencoder, clip, mirror=False, phase=0)
    for name in ("reference", "target"):
        latents = getattr(expected, name).transpose(0, 1)
        assert (
            tensors[name].shape == latents.shape == (autoencoder.profile.latent_channels, 2, 4, 6)
        )
        torch.testing.assert_close(tensors[name].float(), latents, atol=4e-3, rtol=2e-3)
    assert written["autoencoder"] == autoencoder.profile.name


def test_other_weights_make_other_keys(wan, job, ours, tmp_path):
    stage = make(EncodeConfig(autoencoder=str(ours[0])), tmp_path)
    inputs = {"propagate": "ab"}
    key = stage.spec.key(job.clip, inputs)
    assert make(EncodeConfig(autoencoder=str(ours[0])), tmp_path).spec.key(job.clip, inputs) == key
    weights = ours[0] / "autoencoder.safetensors"
    weights.write_bytes(weights.read_bytes() + b" ")
    assert make(EncodeConfig(autoencoder=str(ours[0])), tmp_path).spec.key(job.clip, inputs) != key
    assert make(EncodeConfig(autoencoder=str(wan)), tmp_path).spec.key(job.clip, inputs) != key
    assert stage.spec.licence == "Apache-2.0"


def test_a_caption_is_embedded_once(wan, job, tmp_path):
    encoder = str(save_encoder(tmp_path))
    config = EncodeConfig(autoencoder=str(wan), text_encoder=encoder, text_tokens=7)
    _, written, facts = run(config, job, tmp_path)
    key = texts.key_of("rain falls", encoder=encoder, tokens=7)
    assert written["text_key"] == facts["text_key"] == key
    path = object_path(tmp_path / "set", key, ".safetensors")
    expected = embed_text(["rain falls"], encoder=encoder, tokens=7)[0]
    assert expected.shape == (7, WIDTH)
    np.testing.assert_array_equal(texts.read_text(path).numpy(), expected)
    assert load_file(path)["embedding"].shape == (3, WIDTH)  # two words and the end
    written = path.stat().st_mtime_ns
    run(config, job, tmp_path)
    assert path.stat().st_mtime_ns == written
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(PairError, match="embedding of a caption"):
        texts.read_text(path)


def test_weights_that_are_not_here_are_reported_with_their_licence(job, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    config = EncodeConfig(autoencoder="Wan-AI/Wan2.1-VACE-1.3B-diffusers")
    stage = make(config, tmp_path / "set")
    assert stage.spec.model == config.autoencoder
    with pytest.raises(ConfigError, match=r"licence Apache-2.0.* run hf download Wan-AI"):
        stage.run(job, tmp_path / "latents.safetensors")
    with pytest.raises(ConfigError, match=r"licence Apache-2.0.* run hf download Wan-AI"):
        texts.ensure(tmp_path / "set", "rain", encoder=config.autoencoder)
    for place in (str(tmp_path), str(tmp_path / "nowhere")):
        with pytest.raises(ConfigError, match="expected"):
            _ = make(EncodeConfig(autoencoder=place), tmp_path).spec


def test_clips_of_other_shapes_are_refused(wan, ours, job, tmp_path):
    photo = job.inputs["propagate"]
    write_video(photo, read_frames(job.clip)[:5], 20.0)
    with pytest.raises(PairError, match="propagate it again"):
        run(EncodeConfig(autoencoder=str(wan)), job, tmp_path)
    odd = write_recording(tmp_path / "odd", size=(112, 64), labels=())
    clip = plan(tmp_path / "odd-set", SMALL, [odd]).clips[0]
    write_video(photo, read_frames(clip), 20.0)
    with pytest.raises(PairError, match=r"multiples of 32 .* got 112x64"):
        run(EncodeConfig(autoencoder=str(ours[0])), Job(clip=clip, inputs=job.inputs), tmp_path)
