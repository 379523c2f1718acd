"""Compiled work on the finished picture: sharper edges, falling rain, and each pixel's motion."""

from __future__ import annotations

import numpy as np

from realmaster_live.minitown.raster.arithmetic import F
from realmaster_live.minitown.raster.compilation import Array, Scalar, kernel, split_kernel
from realmaster_live.minitown.raster.geometry import Arrays
from realmaster_live.minitown.raster.sampling import HALF, ONE, ZERO, Lens, weights


@split_kernel
def sharpen(first: int, step: int, rgb: Array, amount: Scalar, out: Array) -> None:
    """Push each pixel from its four neighbours' mean; rgb, out: (H, W, 3) uint8."""
    height, width = rgb.shape[0], rgb.shape[1]
    for y in range(first, height, step):
        up, down = max(y - 1, 0), min(y + 1, height - 1)
        for x in range(width):
            left, right = max(x - 1, 0), min(x + 1, width - 1)
            for k in range(3):
                middle = F(rgb[y, x, k])
                around = (F(rgb[up, x, k]) + F(rgb[down, x, k]) + F(rgb[y, left, k])) + F(
                    rgb[y, right, k]
                )
                value = middle + F(amount) * (middle - around * F(0.25))
                out[y, x, k] = min(max(value, ZERO), F(255.0))


@kernel
def rain_streaks(rgb: Array, amount: Scalar, frame: int, opacity: Scalar) -> None:
    """Draw `amount` (0..1) of falling streaks over rgb (H, W, 3) uint8, the same for a frame."""
    height, width = rgb.shape[0], rgb.shape[1]
    state = np.uint64(frame * 2654435761 + 12345)
    for _ in range(int(amount * width * height * 0.004)):
        state = (state * np.uint64(6364136223846793005)) + np.uint64(1442695040888963407)
        x = int((state >> np.uint64(33)) % np.uint64(width))
        state = (state * np.uint64(6364136223846793005)) + np.uint64(1442695040888963407)
        y = int((state >> np.uint64(33)) % np.uint64(height))
        length = height // 30 + int((state >> np.uint64(20)) % np.uint64(height // 20 + 1))
        for step in range(length):
            row = y + step
            column = x - step // 6
            if row >= height or column < 0:
                break
            for k in range(3):
                old = rgb[row, column, k]
                rgb[row, column, k] = old + (F(205.0) - old) * F(opacity)


@split_kernel
def motion(
    first: int,
    step: int,
    geometry: Arrays,
    before: Array,  # (V, 3) float32, where each vertex was
    lens: Lens,
    lens_before: Lens,
    nearness: Array,
    winner: Array,
    flow: Array,
) -> None:
    """Fill flow (H, W, 2): this pixel minus where its surface point was; nan if it was behind."""
    height, width = nearness.shape
    old = lens_before.rows
    for y in range(first, height, step):
        for x in range(width):
            rx = (F(x) + HALF - lens.cx) / lens.focal
            ry = (lens.cy - F(y) - HALF) / lens.focal
            v = lens.rows
            dx = v[0, 0] * rx + v[1, 0] * ry + v[2, 0]
            dy = v[0, 1] * rx + v[1, 1] * ry + v[2, 1]
            dz = v[0, 2] * rx + v[1, 2] * ry + v[2, 2]
            t = winner[y, x]
            if t < 0:
                px, py, pz, w = dx, dy, dz, ZERO
            else:
                z = ONE / nearness[y, x]
                px, py, pz = lens.eye[0] + dx * z, lens.eye[1] + dy * z, lens.eye[2] + dz * z
                w = ONE
                if geometry.slot[t] >= 0:
                    i, j, k = (
                        geometry.triangles[t, 0],
                        geometry.triangles[t, 1],
                        geometry.triangles[t, 2],
                    )
                    wi, wj, wk = weights(geometry, t, px, py, pz)
                    px = wi * before[i, 0] + wj * before[j, 0] + wk * before[k, 0]
                    py = wi * before[i, 1] + wj * before[j, 1] + wk * before[k, 1]
                    pz = wi * before[i, 2] + wj * before[j, 2] + wk * before[k, 2]
            right = old[0, 0] * px + old[0, 1] * py + old[0, 2] * pz + old[0, 3] * w
            up = old[1, 0] * px + old[1, 1] * py + old[1, 2] * pz + old[1, 3] * w
            ahead = old[2, 0] * px + old[2, 1] * py + old[2, 2] * pz + old[2, 3] * w
            if ahead <= F(1e-3):
                flow[y, x, 0] = np.nan
                flow[y, x, 1] = np.nan
            else:
                was_x = lens_before.cx + lens_before.focal * right / ahead
                was_y = lens_before.cy - lens_before.focal * up / ahead
                flow[y, x, 0] = F(x) + HALF - was_x
                flow[y, x, 1] = F(y) + HALF - was_y
