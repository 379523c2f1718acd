"""Compiled shading: from the visibility buffer to colour, depth, labels and motion.

Light is linear inside; colours are kept and shown as square roots (see surfaces.py).
"""

from __future__ import annotations

from math import exp, floor, log2, sqrt
from typing import Any, NamedTuple

import numpy as np

from realmaster_live.bridges.minitown.geometry import Arrays
from realmaster_live.bridges.minitown.look import Lighting
from realmaster_live.bridges.minitown.raster_kernels import (
    WORKERS,
    Array,
    Scalar,
    inlined,
    kernel,
    parallel_kernel,
    prange,
)
from realmaster_live.bridges.minitown.scene import Floats
from realmaster_live.bridges.minitown.sky import CLOUD_EDGE, CLOUD_SCALE, CLOUD_SIDE
from realmaster_live.bridges.minitown.surfaces import (
    COAT,
    CUTOUT,
    GLOW,
    METAL,
    PAINT,
    RED,
    ROUGH,
    SCALE,
    Surfaces,
)

SKY_LABEL = 11
F: Any = np.float32  # Any: compiled code mixes it with plain numbers
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
        i, j = floor(u), floor(v)
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
def texel(texels: Array, offset: int, n: int, u: Scalar, v: Scalar, out: Array) -> None:
    """Read a texture level (n, n, 4) at uv, bilinear, tiling, v upwards, into out (4,) 0..1."""
    size = F(n)
    x = (u - F(floor(u))) * size - HALF
    y = (ONE - (v - F(floor(v)))) * size - HALF
    i, j = floor(x), floor(y)
    fx, fy = x - F(i), y - F(j)
    m = n - 1
    a = offset + (j & m) * n + (i & m)
    b = offset + (j & m) * n + ((i + 1) & m)
    c = offset + ((j + 1) & m) * n + (i & m)
    d = offset + ((j + 1) & m) * n + ((i + 1) & m)
    wa, wb, wc, wd = (ONE - fx) * (ONE - fy), fx * (ONE - fy), (ONE - fx) * fy, fx * fy
    for k in range(4):
        out[k] = (
            F(texels[a, k]) * wa
            + F(texels[b, k]) * wb
            + F(texels[c, k]) * wc
            + F(texels[d, k]) * wd
        ) * F(1 / 255)


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
    pixel_m: Scalar,
    out: Array,
) -> None:
    """Read the texture of triangle t into out (4,): colour (square root of linear), roughness.

    pixel_m: what a pixel covers there, in metres. Without a texture, out becomes 1 and the
    material's roughness.
    """
    row = geometry.surface[t]
    number = row % len(surfaces.level)
    side = surfaces.level[number, 0]
    if side == 0:
        out[0], out[1], out[2], out[3] = ONE, ONE, ONE, surfaces.table[row, ROUGH]
        return
    uv = geometry.uvs
    i, j, k = geometry.triangles[t, 0], geometry.triangles[t, 1], geometry.triangles[t, 2]
    repeat = surfaces.table[row, SCALE]
    u = (wi * uv[i, 0] + wj * uv[j, 0] + wk * uv[k, 0]) * repeat
    v = (wi * uv[i, 1] + wj * uv[j, 1] + wk * uv[k, 1]) * repeat
    steps = geometry.density[t] * repeat * F(side) * pixel_m
    level = log2(max(steps, F(0.5))) + F(0.3) + light.lod_bias
    chosen = min(max(int(level), 0), surfaces.level[number, 1] - 1)
    offset = surfaces.offset[number]
    n = side
    for _ in range(chosen):
        offset += n * n
        n >>= 1
    texel(surfaces.texels, offset, n, u, v, out)
    for c in range(3):
        mean = surfaces.mean[number, c]
        out[c] = mean + (out[c] - mean) * light.texture_contrast


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


@parallel_kernel
def shade(
    geometry: Arrays,
    surfaces: Surfaces,
    paints: Array,  # (I, 3) float32, square root of linear
    light: Lighting,
    lens: Lens,
    town_shadow: ShadowMap,
    near_shadow: ShadowMap,
    lamps: Array,  # (L, 12) float32: position, direction, colour, cosine of the cone, range
    noise: Array,
    nearness: Array,
    winner: Array,
    rgb: Array,
    depth: Array,
    semantic: Array,
    instance: Array,
) -> None:
    """Fill the four buffers (H, W, ...) from the visibility buffer."""
    height, width = nearness.shape
    view, eye = lens.rows, lens.eye
    sun = light.sun_direction
    table = surfaces.table
    for worker in prange(WORKERS):
        tap = np.zeros(4, np.float32)
        for y in range(worker, height, WORKERS):
            for x in range(width):
                rx = (F(x) + HALF - lens.cx) / lens.focal
                ry = (lens.cy - F(y) - HALF) / lens.focal
                dx = view[0, 0] * rx + view[1, 0] * ry + view[2, 0]
                dy = view[0, 1] * rx + view[1, 1] * ry + view[2, 1]
                dz = view[0, 2] * rx + view[1, 2] * ry + view[2, 2]
                inv = ONE / sqrt(dx * dx + dy * dy + dz * dz)
                vx, vy, vz = -dx * inv, -dy * inv, -dz * inv
                t = winner[y, x]
                if t < 0:
                    r, g, b = sky_colour(-vx, -vy, -vz, light, noise)
                    haze = ONE - exp(-light.fog_per_m * F(500.0))
                    haze *= ONE - min(max(-vz, ZERO), ONE) * F(0.7)
                    rgb[y, x, 0], rgb[y, x, 1], rgb[y, x, 2] = tone(
                        r + (light.fog[0] - r) * haze,
                        g + (light.fog[1] - g) * haze,
                        b + (light.fog[2] - b) * haze,
                        light,
                    )
                    depth[y, x] = np.inf
                    semantic[y, x] = SKY_LABEL
                    instance[y, x] = 0
                    continue
                z = ONE / nearness[y, x]
                px, py, pz = eye[0] + dx * z, eye[1] + dy * z, eye[2] + dz * z
                i, j, k = (
                    geometry.triangles[t, 0],
                    geometry.triangles[t, 1],
                    geometry.triangles[t, 2],
                )
                wi, wj, wk = weights(geometry, t, px, py, pz)
                place, normal = geometry.positions, geometry.normals
                if light.faceted:
                    bx, by, bz = (
                        place[j, 0] - place[i, 0],
                        place[j, 1] - place[i, 1],
                        place[j, 2] - place[i, 2],
                    )
                    cx, cy, cz = (
                        place[k, 0] - place[i, 0],
                        place[k, 1] - place[i, 1],
                        place[k, 2] - place[i, 2],
                    )
                    nx, ny, nz = by * cz - bz * cy, bz * cx - bx * cz, bx * cy - by * cx
                else:
                    nx = wi * normal[i, 0] + wj * normal[j, 0] + wk * normal[k, 0]
                    ny = wi * normal[i, 1] + wj * normal[j, 1] + wk * normal[k, 1]
                    nz = wi * normal[i, 2] + wj * normal[j, 2] + wk * normal[k, 2]
                unit = ONE / sqrt(nx * nx + ny * ny + nz * nz + TINY)
                if nx * vx + ny * vy + nz * vz < 0:
                    unit = -unit
                nx, ny, nz = nx * unit, ny * unit, nz * unit
                nv = nx * vx + ny * vy + nz * vz

                row = geometry.surface[t]
                r, g, b = table[row, RED], table[row, RED + 1], table[row, RED + 2]
                slot = geometry.slot[t]
                if table[row, PAINT] > 0 and slot >= 0:
                    r, g, b = paints[slot, 0], paints[slot, 1], paints[slot, 2]
                pixel_m = z / (lens.focal * sqrt(max(nv, F(0.03))))
                surface_at(geometry, surfaces, light, t, wi, wj, wk, pixel_m, tap)
                r, g, b, rough = r * tap[0], g * tap[1], b * tap[2], tap[3]
                r, g, b = r * r, g * g, b * b
                wet = light.wetness * max(nz - F(0.6), ZERO) * F(2.5)
                if wet > 0:
                    dark = ONE - F(0.5) * wet
                    r, g, b = r * dark, g * dark, b * dark
                    rough += (F(0.12) - rough) * F(0.8) * wet

                # sun, through the shadow of the town and of what moves
                facing = nx * sun[0] + ny * sun[1] + nz * sun[2]
                through = ZERO
                if table[row, CUTOUT] > 0:
                    facing, through = max(facing, ZERO) * F(0.7) + F(0.15), max(-facing, ZERO)
                shade_free = ONE
                nl = max(facing, ZERO) + through * HALF
                if nl > 0 and (light.sun[0] + light.sun[1] + light.sun[2]) > 0:
                    away = F(0.6) / max(town_shadow.scale, ONE) + F(0.03)
                    shade_free = sunlit(town_shadow, px + nx * away, py + ny * away, pz + nz * away)
                    if shade_free > 0:
                        away = F(0.6) / max(near_shadow.scale, ONE) + F(0.03)
                        shade_free = min(
                            shade_free,
                            sunlit(near_shadow, px + nx * away, py + ny * away, pz + nz * away),
                        )
                    nl *= shade_free
                above = nz * HALF + HALF
                lr = light.ambient[0] * above + light.bounce[0] * (ONE - above) + light.sun[0] * nl
                lg = light.ambient[1] * above + light.bounce[1] * (ONE - above) + light.sun[1] * nl
                lb = light.ambient[2] * above + light.bounce[2] * (ONE - above) + light.sun[2] * nl
                for n in range(len(lamps)):
                    tx, ty, tz = lamps[n, 0] - px, lamps[n, 1] - py, lamps[n, 2] - pz
                    d2 = tx * tx + ty * ty + tz * tz + F(0.05)
                    if d2 > lamps[n, 10] * lamps[n, 10]:
                        continue
                    d = ONE / sqrt(d2)
                    cone = -(tx * lamps[n, 3] + ty * lamps[n, 4] + tz * lamps[n, 5]) * d
                    if cone <= lamps[n, 9]:
                        continue
                    fall = ONE - d2 / (lamps[n, 10] * lamps[n, 10])
                    fall *= fall * (cone - lamps[n, 9]) / (ONE - lamps[n, 9])
                    fall *= max((nx * tx + ny * ty + nz * tz) * d, ZERO) / (d2 * F(0.1) + ONE)
                    lr += lamps[n, 6] * fall
                    lg += lamps[n, 7] * fall
                    lb += lamps[n, 8] * fall
                metal, coat = table[row, METAL], table[row, COAT]
                diffuse = ONE - F(0.85) * metal
                cr, cg, cb = r * lr * diffuse, g * lg * diffuse, b * lb * diffuse

                # a highlight of the sun, and the sky or the ground in what is smooth
                gloss = max(ONE - rough, coat)
                if gloss > F(0.25) or metal > 0:
                    edge = ONE - nv
                    edge *= edge
                    edge *= edge * (ONE - nv)
                    f0 = F(0.04) + F(0.56) * metal
                    strength = (f0 + (ONE - f0) * edge) * gloss * gloss * light.specular
                    sx, sy, sz = TWO * nv * nx - vx, TWO * nv * ny - vy, TWO * nv * nz - vz
                    if sz > F(-0.02):
                        er, eg, eb = sky_colour(sx, sy, sz, light, noise)
                        er, eg, eb = min(er, F(2.0)), min(eg, F(2.0)), min(eb, F(2.0))
                    else:
                        er, eg, eb = (
                            light.bounce[0] * F(0.25),
                            light.bounce[1] * F(0.25),
                            light.bounce[2] * F(0.25),
                        )
                    tr, tg, tb = (
                        ONE + (r - ONE) * metal,
                        ONE + (g - ONE) * metal,
                        ONE + (b - ONE) * metal,
                    )
                    cr += er * strength * tr
                    cg += eg * strength * tg
                    cb += eb * strength * tb
                    if nl > 0:
                        hx, hy, hz = sun[0] + vx, sun[1] + vy, sun[2] + vz
                        nh = (nx * hx + ny * hy + nz * hz) / sqrt(hx * hx + hy * hy + hz * hz)
                        shine = gloss * gloss * F(160.0) + F(8.0)
                        peak = exp((nh - ONE) * shine) * shine * F(0.02) * gloss * shade_free
                        peak *= light.specular
                        cr += light.sun[0] * peak * tr
                        cg += light.sun[1] * peak * tg
                        cb += light.sun[2] * peak * tb
                cr, cg, cb = (
                    cr + table[row, GLOW],
                    cg + table[row, GLOW + 1],
                    cb + table[row, GLOW + 2],
                )
                haze = ONE - exp(-light.fog_per_m * z / inv)
                rgb[y, x, 0], rgb[y, x, 1], rgb[y, x, 2] = tone(
                    cr + (light.fog[0] - cr) * haze,
                    cg + (light.fog[1] - cg) * haze,
                    cb + (light.fog[2] - cb) * haze,
                    light,
                )
                depth[y, x] = z
                semantic[y, x] = geometry.semantic[t]
                instance[y, x] = geometry.instance[t]


@parallel_kernel
def guide(
    geometry: Arrays,
    surfaces: Surfaces,
    paints: Array,
    light: Lighting,
    lens: Lens,
    nearness: Array,
    winner: Array,
    albedo: Array,
    normals: Array,
) -> None:
    """Fill albedo (H, W, 3), linear, and world normals (H, W, 3): 0 at the sky."""
    height, width = nearness.shape
    rows, table = lens.rows, surfaces.table
    for worker in prange(WORKERS):
        tap = np.zeros(4, np.float32)
        for y in range(worker, height, WORKERS):
            for x in range(width):
                t = winner[y, x]
                if t < 0:
                    for c in range(3):
                        albedo[y, x, c] = normals[y, x, c] = ZERO
                    continue
                rx = (F(x) + HALF - lens.cx) / lens.focal
                ry = (lens.cy - F(y) - HALF) / lens.focal
                z = ONE / nearness[y, x]
                dx = rows[0, 0] * rx + rows[1, 0] * ry + rows[2, 0]
                dy = rows[0, 1] * rx + rows[1, 1] * ry + rows[2, 1]
                dz = rows[0, 2] * rx + rows[1, 2] * ry + rows[2, 2]
                wi, wj, wk = weights(
                    geometry,
                    t,
                    lens.eye[0] + dx * z,
                    lens.eye[1] + dy * z,
                    lens.eye[2] + dz * z,
                )
                n = geometry.normals
                i, j, k = (
                    geometry.triangles[t, 0],
                    geometry.triangles[t, 1],
                    geometry.triangles[t, 2],
                )
                nx = wi * n[i, 0] + wj * n[j, 0] + wk * n[k, 0]
                ny = wi * n[i, 1] + wj * n[j, 1] + wk * n[k, 1]
                nz = wi * n[i, 2] + wj * n[j, 2] + wk * n[k, 2]
                unit = ONE / sqrt(nx * nx + ny * ny + nz * nz + TINY)
                facing = (nx * dx + ny * dy + nz * dz) * unit
                if facing > 0:
                    unit = -unit
                normals[y, x, 0], normals[y, x, 1], normals[y, x, 2] = (
                    nx * unit,
                    ny * unit,
                    nz * unit,
                )
                cosine = abs(facing) / sqrt(dx * dx + dy * dy + dz * dz)
                pixel_m = z / (lens.focal * sqrt(max(cosine, F(0.03))))
                surface_at(geometry, surfaces, light, t, wi, wj, wk, pixel_m, tap)
                row = geometry.surface[t]
                slot = geometry.slot[t]
                for c in range(3):
                    base = table[row, RED + c]
                    if table[row, PAINT] > 0 and slot >= 0:
                        base = paints[slot, c]
                    albedo[y, x, c] = base * base * tap[c] * tap[c]


@parallel_kernel
def smooth_edges(rgb: Array, out: Array) -> None:
    """Soften what contrasts with its neighbours; rgb, out: (H, W, 3) uint8."""
    height, width = rgb.shape[0], rgb.shape[1]
    for worker in prange(WORKERS):
        for y in range(worker, height, WORKERS):
            up, down = max(y - 1, 0), min(y + 1, height - 1)
            for x in range(width):
                left, right = max(x - 1, 0), min(x + 1, width - 1)
                middle = int(rgb[y, x, 1])
                contrast = max(
                    abs(middle - int(rgb[up, x, 1])),
                    abs(middle - int(rgb[down, x, 1])),
                    abs(middle - int(rgb[y, left, 1])),
                    abs(middle - int(rgb[y, right, 1])),
                )
                share = min(max(contrast - 12, 0), 48)  # of 48 parts
                for k in range(3):
                    old = int(rgb[y, x, k])
                    if share == 0:
                        out[y, x, k] = old
                        continue
                    cross = (
                        int(rgb[up, x, k])
                        + int(rgb[down, x, k])
                        + int(rgb[y, left, k])
                        + int(rgb[y, right, k])
                    )
                    corners = (
                        int(rgb[up, left, k])
                        + int(rgb[up, right, k])
                        + int(rgb[down, left, k])
                        + int(rgb[down, right, k])
                    )
                    soft = (4 * old + 2 * cross + corners) // 16
                    out[y, x, k] = old + (soft - old) * share // 48


@parallel_kernel
def motion(
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
    for worker in prange(WORKERS):
        for y in range(worker, height, WORKERS):
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
