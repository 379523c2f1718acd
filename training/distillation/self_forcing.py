"""Rollouts of several chunks, as in the live engine, each with its own ground truth.

The ring cache holds the student's own results, and the gradient goes through one random step of
every chunk (Self Forcing, Huang et al. 2025, section 3.2 and algorithm 1). Unlike in the paper,
every chunk of a long rollout has a paired truth.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from realmaster_live.engines.noise import COLUMNS, ROWS
from realmaster_live.training.experts import Network
from realmaster_live.training.latents import Rollout


def roll_out_with_gradients(
    student: Network,
    references: Tensor,  # (n, B, ...)
    noise: Tensor,  # (n, B, ...)
    prompt: Tensor | None,
    levels: Sequence[float],
    steps: Sequence[int],  # the step with gradients, for each chunk
) -> tuple[Tensor, Tensor]:
    """Return x0 of the chosen steps with gradients, and the clean chunks, each (n, B, ...)."""
    rollout = Rollout(student, levels)
    answers, clean = [], []
    for reference, eps, step in zip(references, noise, steps, strict=True):
        finished, x0 = rollout.chunk(reference, eps, prompt, gradient_step=step)
        assert x0 is not None
        answers.append(x0.float())
        clean.append(finished)
    return torch.stack(answers), torch.stack(clean)


def moving_noise(first: Tensor, chunks: int) -> Tensor:  # (B, ...) -> (n, B, ...)
    """Return the noise of consecutive chunks: one draw that is shifted, as in the engines."""
    moves = [(ROWS * index, COLUMNS * index) for index in range(chunks)]
    return torch.stack([first.roll(move, (-2, -1)) for move in moves])


def draw_steps(rng: np.random.Generator, *, chunks: int, steps: int, same: bool) -> list[int]:
    """Return a random step for each chunk, or the same one for all."""
    if same:
        return [int(rng.integers(steps))] * chunks
    return [int(step) for step in rng.integers(steps, size=chunks)]
