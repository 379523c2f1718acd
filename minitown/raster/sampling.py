"""What shading a point reads: the sky's colour, a texture, a triangle's corners, a shadow, tone.

Light is linear inside; colours are kept and shown as square roots (see surfaces.py).
"""

from __future__ import annotations

from math import sqrt
from typing import Any, NamedTuple

import numpy as np

from realmaster_live.minitown.raster.arithmetic import F, down, octaves
from realmaster_live.minitown.raster.compilation import Array, Scalar, inlined
from realmaster_live.minitown.raster.geometry import Arrays
from realmaster_live.minitown.raster.look import Lighting
from realmaster_live.minitown.raster.sky import CLOUD_EDGE, CLOUD_SCALE, CLOUD_SIDE
from realmaster_live.minitown.raster.surfaces import ROUGH, SCALE, Surfaces
from realmaster_live.minitown.scene import Floats

# compiled code computes in double precision wherever an integer meets a float32: hence F() often
ONE, TWO, HALF, ZERO, TINY = F(1.0), F(2.0), F(0.5), F(0.0), F(1e-12)


class ShadowMap(NamedTuple):
    """Nearness to the sun (N, N) of a window of the town; scale: texels a metre, 0 for none."""

    nearness: Floats
    rows: Floats  # (3, 4) right, up, forward
    scale: np.float32
    centre: np.float32


class Lens(NamedTuple):
    """A camera for the kernels: rows (3, 4), eye (3,), pixels."""

    rows: Floats
    eye: Floats
    focal: np.float32
    cx: np.float32
    cy: np.float32


@inlined
def sky_colour(
    x: Scalar, y: Scalar, z: Scalar, light: Lighting, noise: Array
) -> tuple[float, float, float]:
    """Return the sky's linear colour towards the unit direction."""
    up = max(z, ZERO)
    share = sqrt(up)
    sun = light.sun_direction
    towards = max(x * sun[0] + y * sun[1] + z * sun[2], ZERO)
    glow = towards * towards
    glow *= glow
    glow *= glow
    halo = glow * glow
    halo *= halo
    halo *= halo
    disc = ONE if towards > F(0.9994) else ZERO
    glow = glow * F(0.10) + halo * F(0.30) + disc * F(6.0)
    r = light.horizon[0] + (light.zenith[0] - light.horizon[0]) * share + light.sun_glow[0] * glow
    g = light.horizon[1] + (light.zenith[1] - light.horizon[1]) * share + light.sun_glow[1] * glow
    b = light.horizon[2] + (light.zenith[2] - light.horizon[2]) * share + light.sun_glow[2] * glow
    if z > 0:
        k = F(CLOUD_SCALE * CLOUD_SIDE) / (max(z, F(1e-3)) + F(0.08))
        u, v = x * k, y * k
        i, j = down(u), down(v)
        fu, fv = F(u - F(i)), F(v - F(j))
        m = CLOUD_SIDE - 1
        n = (noise[j & m, i & m] * (ONE - fu) + noise[j & m, (i + 1) & m] * fu) * (ONE - fv) + (
            noise[(j + 1) & m, i & m] * (ONE - fu) + noise[(j + 1) & m, (i + 1) & m] * fu
        ) * fv
        c = min(max((n - light.cloud_threshold) / F(CLOUD_EDGE) + HALF, ZERO), ONE)
        c = c * c * (F(3.0) - F(2.0) * c) * min(z / F(0.18), ONE)
        r += (light.cloud[0] - r) * c
        g += (light.cloud[1] - g) * c
        b += (light.cloud[2] - b) * c
    return F(r), F(g), F(b)


@inlined
def texel(texels: Array, offset: int, n: int, u: Scalar, v: Scalar) -> tuple[Any, Any, Any, Any]:
    """Return a texture level's (n, n, 4) four values 0..1 at uv: bilinear, tiling, v upwards."""
    size = F(n)
    x = (u - F(down(u))) * size - HALF
    y = (ONE - (v - F(down(v)))) * size - HALF
    i, j = down(x), down(y)
    fx, fy = x - F(i), y - F(j)
    m = n - 1
    a = offset + (j & m) * n + (i & m)
    b = offset + (j & m) * n + ((i + 1) & m)
    c = offset + ((j + 1) & m) * n + (i & m)
    d = offset + ((j + 1) & m) * n + ((i + 1) & m)
    wa, wb, wc, wd = (ONE - fx) * (ONE - fy), fx * (ONE - fy), (ONE - fx) * fy, fx * fy

    def read(k: int) -> Any:
        return (
            F(texels[a, k]) * wa
            + F(texels[b, k]) * wb
            + F(texels[c, k]) * wc
            + F(texels[d, k]) * wd
        ) * F(1 / 255)

    return read(0), read(1), read(2), read(3)


@inlined
def weights(geometry: Arrays, t: int, px: Scalar, py: Scalar, pz: Scalar) -> tuple[Any, Any, Any]:
    """Return the shares of triangle t's corners at a point of its plane."""
    place = geometry.positions
    i, j, k = geometry.triangles[t, 0], geometry.triangles[t, 1], geometry.triangles[t, 2]
    ax, ay, az = place[i, 0], place[i, 1], place[i, 2]
    bx, by, bz = place[j, 0] - ax, place[j, 1] - ay, place[j, 2] - az
    cx, cy, cz = place[k, 0] - ax, place[k, 1] - ay, place[k, 2] - az
    qx, qy, qz = px - ax, py - ay, pz - az
    bb = bx * bx + by * by + bz * bz
    bc = bx * cx + by * cy + bz * cz
    cc = cx * cx + cy * cy + cz * cz
    qb = qx * bx + qy * by + qz * bz
    qc = qx * cx + qy * cy + qz * cz
    scale = ONE / (bb * cc - bc * bc + F(1e-20))
    wj = (cc * qb - bc * qc) * scale
    wk = (bb * qc - bc * qb) * scale
    return ONE - wj - wk, wj, wk


@inlined
def surface_at(
    geometry: Arrays,
    surfaces: Surfaces,
    light: Lighting,
    t: int,
    wi: Scalar,
    wj: Scalar,
    wk: Scalar,
    across: Scalar,
    stretch: Scalar,
    taps: int,
    di: Scalar,
    dj: Scalar,
    dk: Scalar,
) -> tuple[Any, Any, Any, Any]:
    """Return the texture of triangle t: colour (square root of linear) and roughness.

    A pixel covers `across` metres there, and `stretch` times as many along the slope, over which
    the corners' shares change by di, dj, dk: the mean of that many `taps` along it is read, each of
    a level so blurred that they lose or alias as little as they can (anisotropic filtering, as
    Heckbert 1989, section 3.5.8, has it). Without a texture, the colour is 1, with the material's
    roughness.
    """
    row = geometry.surface[t]
    number = row % len(surfaces.level)
    side = surfaces.level[number, 0]
    if side == 0:
        return ONE, ONE, ONE, surfaces.table[row, ROUGH]
    uv = geometry.uvs
    i, j, k = geometry.triangles[t, 0], geometry.triangles[t, 1], geometry.triangles[t, 2]
    repeat = surfaces.table[row, SCALE]
    u = (wi * uv[i, 0] + wj * uv[j, 0] + wk * uv[k, 0]) * repeat
    v = (wi * uv[i, 1] + wj * uv[j, 1] + wk * uv[k, 1]) * repeat
    steps = geometry.density[t] * repeat * F(side) * across * sqrt(stretch / F(taps)) * light.blur
    n = side >> min(max(octaves(steps), 0), surfaces.level[number, 1] - 1)
    # larger levels come first, each of a quarter of the texels of the one before
    offset = surfaces.offset[number] + (side * side - n * n) * 4 // 3
    du = (di * uv[i, 0] + dj * uv[j, 0] + dk * uv[k, 0]) * repeat
    dv = (di * uv[i, 1] + dj * uv[j, 1] + dk * uv[k, 1]) * repeat
    r, g, b, rough = ZERO, ZERO, ZERO, ZERO
    for tap in range(taps):
        place = (F(tap) + HALF) / F(taps) - HALF
        tr, tg, tb, ta = texel(surfaces.texels, offset, n, u + du * place, v + dv * place)
        r, g, b, rough = r + tr, g + tg, b + tb, rough + ta
    share = ONE / F(taps)
    mean, contrast = surfaces.mean, light.texture_contrast
    r = mean[number, 0] + (r * share - mean[number, 0]) * contrast
    g = mean[number, 1] + (g * share - mean[number, 1]) * contrast
    b = mean[number, 2] + (b * share - mean[number, 2]) * contrast
    return r, g, b, rough * share


@inlined
def sunlit(shadow: ShadowMap, x: Scalar, y: Scalar, z: Scalar) -> Scalar:
    """Return the share 0..1 of sun that a point gets; 1 outside the map's window."""
    if shadow.scale == 0:
        return ONE
    m = shadow.rows
    u = shadow.centre + shadow.scale * (m[0, 0] * x + m[0, 1] * y + m[0, 2] * z + m[0, 3]) - HALF
    v = shadow.centre - shadow.scale * (m[1, 0] * x + m[1, 1] * y + m[1, 2] * z + m[1, 3]) - HALF
    n = len(shadow.nearness)
    if u < 0 or v < 0 or u >= n - 1 or v >= n - 1:
        return ONE
    q = -(m[2, 0] * x + m[2, 1] * y + m[2, 2] * z + m[2, 3]) + F(0.5) / shadow.scale + F(0.04)
    i, j = int(v), int(u)
    fv, fu = v - F(i), u - F(j)
    near = shadow.nearness
    return (F(near[i, j] <= q) * (ONE - fu) + F(near[i, j + 1] <= q) * fu) * (ONE - fv) + (
        F(near[i + 1, j] <= q) * (ONE - fu) + F(near[i + 1, j + 1] <= q) * fu
    ) * fv


@inlined
def tone(r: Scalar, g: Scalar, b: Scalar, light: Lighting) -> tuple[Any, Any, Any]:
    """Return one pixel's three bytes, as float32, of linear light."""
    r, g, b = r * light.exposure, g * light.exposure, b * light.exposure
    grey = F(0.30) * r + F(0.59) * g + F(0.11) * b
    r = max(grey + (r - grey) * light.saturation, ZERO)
    g = max(grey + (g - grey) * light.saturation, ZERO)
    b = max(grey + (b - grey) * light.saturation, ZERO)
    r = sqrt(r * (ONE + r * F(0.16)) / (ONE + r * F(0.62)))
    g = sqrt(g * (ONE + g * F(0.16)) / (ONE + g * F(0.62)))
    b = sqrt(b * (ONE + b * F(0.16)) / (ONE + b * F(0.62)))
    r = ((r - HALF) * light.contrast + HALF) * light.tint[0]
    g = ((g - HALF) * light.contrast + HALF) * light.tint[1]
    b = ((b - HALF) * light.contrast + HALF) * light.tint[2]
    return (
        min(max(r, ZERO), ONE) * F(255.0),
        min(max(g, ZERO), ONE) * F(255.0),
        min(max(b, ZERO), ONE) * F(255.0),
    )
