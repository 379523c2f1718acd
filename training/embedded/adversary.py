"""A patch discriminator on the features of VGG-16, given the class of every pixel.

It judges pictures as a projected GAN does (Sauer et al. 2021): a frozen network's feature maps at
two scales, each with a small convolutional head. The class of the pixels enters as the inner
product of its embedding with the head's features (Miyato and Koyama 2018, section 3), so asphalt
is held against asphalt. Losses are the hinge (Lim and Ye 2017) and, on the truth, the squared
gradient with respect to the feature maps (R1, Mescheder et al. 2018, eq. 9, on features instead of
pixels: the frozen network is not differentiated twice).

Legend: N pictures, H W pixels, C channels of a feature map, h w its height and width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from realmaster_live.training.embedded.vgg import BLOCKS
from realmaster_live.training.latents import UNKNOWN
from realmaster_live.training.losses import unit

WIDTH = 64  # channels of a head
MAPS = (1, 2)  # the feature maps that are judged: those at a half and a quarter of the picture


class Head(nn.Module):
    """Judges one feature map: a logit for each of its patches."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, WIDTH, 1)
        self.look = nn.Conv2d(WIDTH, WIDTH, 4, stride=2, padding=1)
        self.again = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)
        self.logit = nn.Conv2d(WIDTH, 1, 1)
        self.classes = nn.Embedding(UNKNOWN + 1, WIDTH)
        nn.init.zeros_(self.classes.weight)

    def forward(self, features: Tensor, classes: Tensor) -> Tensor:
        """Return logits (N, h / 2, w / 2), high for the truth; `classes` is (N, H, W) long."""
        x = nn.functional.leaky_relu(self.squeeze(features), 0.2)
        x = nn.functional.leaky_relu(self.look(x), 0.2)
        x = nn.functional.leaky_relu(self.again(x), 0.2)
        step = classes.shape[1] // x.shape[2]
        embedded = self.classes(classes[:, step // 2 :: step, step // 2 :: step]).movedim(-1, 1)
        logits: Tensor = self.logit(x)[:, 0] + (embedded * x).sum(1) / WIDTH**0.5
        return logits


class PatchDiscriminator(nn.Module):
    """A head on each judged feature map."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = nn.ModuleList(Head(BLOCKS[index][-1]) for index in MAPS)

    def forward(self, features: Sequence[Tensor], classes: Tensor) -> list[Tensor]:
        """Return each head's logits for what `judged` returns of N pictures."""
        return [head(x, classes) for head, x in zip(self.heads, features, strict=True)]


def judged(maps: Sequence[Tensor]) -> list[Tensor]:
    """Return the judged ones of VGG's maps, with mean square 1 over the channels of every place."""
    return [unit(maps[index].float()) * maps[index].shape[1] ** 0.5 for index in MAPS]


def discriminator_loss(
    judge: nn.Module,  # of `PatchDiscriminator`'s form
    truth: Sequence[Tensor],  # VGG's maps
    made: Sequence[Tensor],
    classes: Tensor,  # (N, H, W)
    *,
    penalty: float,
) -> Tensor:
    """Return the hinge loss plus `penalty` / 2 times R1, a mean over the feature maps' places."""
    features = [x.detach().requires_grad_(penalty > 0) for x in judged(truth)]
    real = judge(features, classes)
    fake = judge([x.detach() for x in judged(made)], classes)
    terms = [
        torch.relu(1.0 - yes).mean() + torch.relu(1.0 + no).mean()
        for yes, no in zip(real, fake, strict=True)
    ]
    loss = torch.stack(terms).mean()
    if not penalty:
        return loss
    slopes = torch.autograd.grad([x.sum() for x in real], features, create_graph=True)
    r1 = torch.stack([x.square().sum(1).mean() for x in slopes]).mean()
    return loss + 0.5 * penalty * r1


def fooling_loss(judge: nn.Module, made: Sequence[Tensor], classes: Tensor) -> Tensor:
    """Return the generator's part of the hinge loss: minus the mean logit."""
    return -torch.stack([x.mean() for x in judge(judged(made), classes)]).mean()
