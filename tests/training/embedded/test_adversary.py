"""The discriminator learns textures by class, and its losses are the published ones."""

import dataclasses
import itertools
import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from realmaster_live.errors import PairError
from realmaster_live.training.checkpoints import latest
from realmaster_live.training.data import find_clips
from realmaster_live.training.embedded.adversary import (
    MAPS,
    PatchDiscriminator,
    discriminator_loss,
    fooling_loss,
    judged,
)
from realmaster_live.training.embedded.run import fit
from realmaster_live.training.embedded.vgg import BLOCKS
from realmaster_live.training.latents import UNKNOWN, classes, draw_window, encode_clips
from realmaster_live.training.losses import unit

CHANNELS = [block[-1] for block in BLOCKS]


def maps_of(seed: int, pictures: int = 2, side: int = 32) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    sides = [side >> index for index in range(len(CHANNELS))]
    return [
        torch.rand(pictures, count, n, n, generator=generator)
        for count, n in zip(CHANNELS, sides, strict=True)
    ]


class Mean(nn.Module):
    """A judge whose logits are `slope` times the first channel, whatever the class."""

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = slope

    def forward(self, features, shown):
        return [self.slope * x[:, 0] for x in features]


def test_hinge_and_penalty_are_those_of_the_papers():
    truth, made = maps_of(0), maps_of(1)
    shown = torch.zeros(2, 32, 32, dtype=torch.long)
    judge = Mean(0.5)
    got = discriminator_loss(judge, truth, made, shown, penalty=3.0)
    hinge = []
    for index in MAPS:
        yes, no = (0.5 * judged(maps)[MAPS.index(index)][:, 0] for maps in (truth, made))
        hinge.append((1 - yes).clamp(min=0).mean() + (1 + no).clamp(min=0).mean())
    by_hand = sum(hinge) / len(hinge) + 0.5 * 3.0 * 0.5**2  # each place has one slope, 0.5
    torch.testing.assert_close(got, by_hand)
    fooling = fooling_loss(judge, made, shown)
    means = [0.5 * x[:, 0].mean() for x in judged(made)]
    torch.testing.assert_close(fooling, -sum(means) / len(means))


def test_features_have_mean_square_one_at_every_place():
    for index, features in zip(MAPS, judged(maps_of(0)), strict=True):
        assert features.shape[1] == CHANNELS[index]
        torch.testing.assert_close(
            features.square().mean(1), torch.ones_like(features[:, 0]), rtol=1e-4, atol=1e-4
        )
        torch.testing.assert_close(unit(features), unit(maps_of(0)[index]), rtol=1e-4, atol=1e-4)


def learnt(shown: torch.Tensor) -> float:
    """Return the hinge loss after training on two textures that change places with the class.

    The textures differ in which channels are strong.
    """
    torch.manual_seed(0)
    judge = PatchDiscriminator()
    optimizer = torch.optim.Adam(judge.parameters(), 2e-3)
    one, other = (maps_of(seed, pictures=1, side=16) for seed in (2, 3))
    for left, right in zip(one, other, strict=True):
        left[:, ::2] *= 3.0
        right[:, 1::2] *= 3.0
    truth = [torch.cat(pair) for pair in zip(one, other, strict=True)]
    made = [torch.cat(pair) for pair in zip(other, one, strict=True)]
    for _ in range(30):
        optimizer.zero_grad()
        loss = discriminator_loss(judge, truth, made, shown, penalty=0.0)
        loss.backward()
        optimizer.step()
    return float(loss.detach())


def test_classes_decide_where_the_same_textures_are_both_true_and_made():
    shown = torch.stack([torch.full((16, 16), number) for number in (1, 2)])
    unknown = torch.full_like(shown, UNKNOWN)
    assert learnt(unknown) > 1.5  # each texture is as often true as made: 2 is chance
    assert learnt(shown) < 0.7


@pytest.fixture
def labelled(linked_pairs):
    """The session's pairs with classes beside all training clips but one."""
    folder, rng = linked_pairs, np.random.default_rng(0)
    for clip in find_clips(folder, "training")[1:]:
        semantic = rng.integers(0, UNKNOWN, clip.sim.shape[:3]).astype(np.uint8)
        np.savez_compressed(folder / f"{clip.name}.labels.npz", semantic=semantic)
    return folder


def test_classes_of_a_window_lie_on_its_pixels_also_mirrored(labelled, recipe):
    from realmaster_live.model.vae import StreamingAutoencoder
    from realmaster_live.training.latents import pixels

    torch.manual_seed(0)
    without, clip = find_clips(labelled, "training")[:2]
    marked = dataclasses.replace(clip, sim=np.repeat(clip.classes.numpy()[..., None], 3, 3))
    autoencoder = StreamingAutoencoder(recipe.profile)
    rng = np.random.default_rng(1)
    for sequence in encode_clips(autoencoder, [marked], phases=(0, 1), mirrors=(False, True)):
        sequence.clip.__dict__["classes"] = clip.classes
        window = draw_window(sequence, rng, rows=2, columns=2, step=1)
        sim, _ = pixels(sequence, recipe.profile, window, first=1, chunks=1)
        found = classes(sequence, recipe.profile, window, first=1, chunks=1)
        assert torch.equal(sim[..., 0], found)
    unknown = encode_clips(autoencoder, [without])[0]
    assert (classes(unknown, recipe.profile, window, first=0, chunks=1) == UNKNOWN).all()


def test_labels_of_another_size_are_refused(labelled):
    clip = find_clips(labelled, "training")[1]
    np.savez_compressed(clip.labels, semantic=np.zeros((1, 2, 3), np.uint8))
    with pytest.raises(PairError, match=r"got \(1, 2, 3\)"):
        _ = find_clips(labelled, "training")[1].classes
    clip.labels.write_bytes(b"no archive")
    with pytest.raises(PairError, match="render the clip again"):
        _ = find_clips(labelled, "training")[1].classes


def test_a_run_with_a_discriminator_resumes_bit_for_bit(vgg_package, labelled, recipe, tmp_path):
    joint = dataclasses.replace(recipe.joint, adversarial_weight=0.1, perceptual_weight=0.1)
    recipe = dataclasses.replace(recipe, stages=("joint",), joint=joint)
    straight, parted = tmp_path / "straight", tmp_path / "parted"
    assert fit(recipe, labelled, straight)
    asked = itertools.count(1)
    while not fit(recipe, labelled, parted, stop=lambda: next(asked) % 3 == 0):
        pass
    for name in ("autoencoder", "transformer"):
        one, other = (
            load_file(run / "checkpoint" / f"{name}.safetensors") for run in (straight, parted)
        )
        assert all(torch.equal(tensor, other[key]) for key, tensor in one.items())
    state, _ = latest(parted / "joint")
    assert (state / "adversary.weights.safetensors").is_file()
    lines = [json.loads(line) for line in (straight / "metrics.jsonl").read_text().splitlines()]
    figures = [line for line in lines if "adversary_loss" in line]
    assert figures and all(line["adversary_loss"] > 0 for line in figures)
