"""Flow matching in a few steps: pure functions with the papers' symbols.

x_t = (1 - t) x_0 + t eps, t from 1 (noise) to 0 (clean); v = eps - x_0 (Lipman et al. 2023, eq. 23;
Esser et al. 2024, eq. 13 for the shift).
"""

from __future__ import annotations

from torch import Tensor

from realmaster_live.model.profile import Profile


def shifted(t: float, shift: float) -> float:
    """Return t' = shift t / (1 + (shift - 1) t) (Esser et al. 2024, eq. 23)."""
    return shift * t / (1.0 + (shift - 1.0) * t)


def sigmas(steps: int, shift: float) -> list[float]:
    """Return steps + 1 noise levels from 1 to 0."""
    return [shifted(1.0 - i / steps, shift) for i in range(steps + 1)]


def add_noise(x0: Tensor, eps: Tensor, t: Tensor) -> Tensor:  # (B, ...), (B, ...), (B,)
    """Return x_t = (1 - t) x_0 + t eps."""
    t = t.view(-1, *[1] * (x0.ndim - 1))
    return (1.0 - t) * x0 + t * eps


def euler_step(x_t: Tensor, x0: Tensor, t: float, t_next: float) -> Tensor:
    """Return x at t_next along v = (x_t - x_0) / t (Lipman et al. 2023, Euler's method)."""
    return x_t + (t_next - t) / t * (x_t - x0)


def flow_start(profile: Profile, noise: Tensor, reference: Tensor) -> Tensor:
    """Return x_1: noise, or the render's latent if a profile's flow starts there.

    In the latter case x_t = (1 - t) x_0 + t reference, and one step leads from the render to the
    photoreal latent (rectified flow between two distributions, Liu et al. 2022, arXiv 2209.03003).
    """
    return reference if profile.flow_from == "render" else noise
