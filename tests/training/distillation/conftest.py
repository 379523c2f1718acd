"""Synthetic pairs of latents, and teachers that are trained on them by flow matching."""

import dataclasses

import pytest
import torch
from latent_clips import LatentClip, LatentClips

from realmaster_live.model.checkpoint import save_checkpoint
from realmaster_live.model.dit import InContextTransformer
from realmaster_live.model.profile import TINY
from realmaster_live.model.sampling import add_noise
from realmaster_live.model.vae import StreamingAutoencoder
from realmaster_live.training.data import step_rng, torch_rng
from realmaster_live.training.distillation.views import predict, prompt_kv, teacher_forced_views
from realmaster_live.training.embedded.transformer import draw_timesteps
from realmaster_live.training.iclora.batches import Batches
from realmaster_live.training.iclora.train import Data

PROFILE = dataclasses.replace(TINY, latent_channels=4, layers=1, width=32)
SIDE = 4


def smooth(generator, *shape):
    return torch.randn(*shape, 1, 1, generator=generator).expand(*shape, SIDE, SIDE)


def make_toned(seed, frames=6):
    """The truth is a fixed mix of the render's channels, and a little of the chunk before."""
    generator = torch.Generator().manual_seed(seed)
    reference = torch.randn(4, frames, SIDE, SIDE, generator=generator)
    mix = torch.randn(4, 4, generator=torch.Generator().manual_seed(99)) / 2
    target = torch.einsum("cd,dfhw->cfhw", mix, reference)
    return LatentClip("clear", reference, target)


def make_textured(seed, frames=2):
    """The truth is the render and one of two textures: their mean is no texture at all."""
    generator = torch.Generator().manual_seed(seed)
    reference = 0.5 * smooth(generator, 4, frames)
    board = (torch.arange(SIDE)[:, None] + torch.arange(SIDE)) % 2 * 2.0 - 1.0
    sign = 1.0 if torch.rand((), generator=generator) < 0.5 else -1.0
    return LatentClip("clear", reference, reference + sign * board)


def make_tinted(seed, frames=3):
    """The truth keeps the tint that the first chunk of the render has: the past must hand it on."""
    generator = torch.Generator().manual_seed(seed)
    plain = 0.3 * torch.randn(4, frames, 2, 2, generator=generator)  # one token
    plain = plain - plain.mean((2, 3), keepdim=True)
    tint = torch.randint(2, (4, 1, 1, 1), generator=generator) * 2.0 - 1.0
    reference = plain.clone()
    reference[:, :1] += tint
    return LatentClip("clear", reference, plain + tint)


def list_pairs(make, seeds, **options):
    return LatentClips([make(seed, **options) for seed in seeds])


def teach(folder, make, *, steps, chunks=2, batch=16, rate=3e-3):
    """Train a teacher by flow matching with teacher forcing; return its checkpoint."""
    torch.manual_seed(0)
    network = InContextTransformer(PROFILE)
    batches = Batches(list_pairs(make, range(64)), PROFILE, seed=7, batch=batch, chunks=chunks)
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    for step in range(steps):
        batch = batches.draw(step)
        generator = torch_rng(step_rng(7, step, 1))
        views = teacher_forced_views(
            network, batch.reference, batch.target, prompt_kv(network, batch)
        )
        loss = torch.zeros(())
        for truth, seen in zip(batch.target, views, strict=True):
            t = draw_timesteps(len(truth), PROFILE.shift, generator)
            eps = torch.randn(truth.shape, generator=generator)
            x0 = predict(network, add_noise(truth, eps, t), t, seen)
            loss = loss + (x0 - truth).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    save_checkpoint(folder, StreamingAutoencoder(PROFILE), network)
    return folder


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def profile():
    return PROFILE


@pytest.fixture(scope="session")
def toned():
    return make_toned


@pytest.fixture(scope="session")
def textured():
    return make_textured


@pytest.fixture(scope="session")
def tinted():
    return make_tinted


@pytest.fixture(scope="session")
def data_of():
    """Pairs to learn from, and others to validate on, which may be longer."""

    def make(make, *, frames=None, unseen=None):
        options = {"frames": frames} if frames else {}
        longer = {"frames": unseen} if unseen else options
        return Data(
            training=list_pairs(make, range(64), **options),
            validation=list_pairs(make, range(900, 912), **longer),
            sha256="",
        )

    return make


@pytest.fixture(scope="session")
def taught():
    return teach
