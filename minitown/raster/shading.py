"""Compiled shading: from the visibility buffer to colour, depth and labels."""

from __future__ import annotations

from math import sqrt

import numpy as np

from realmaster_live.minitown.raster.arithmetic import F, exponential
from realmaster_live.minitown.raster.compilation import Array, split_kernel
from realmaster_live.minitown.raster.geometry import Arrays
from realmaster_live.minitown.raster.look import Lighting
from realmaster_live.minitown.raster.sampling import (
    HALF,
    ONE,
    TINY,
    TWO,
    ZERO,
    Lens,
    ShadowMap,
    sky_colour,
    sunlit,
    surface_at,
    tone,
    weights,
)
from realmaster_live.minitown.raster.surfaces import (
    COAT,
    CUTOUT,
    GLOW,
    METAL,
    PAINT,
    RED,
    Surfaces,
)

SKY_LABEL = 11


@split_kernel
def shade(
    first: int,
    step: int,
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
    fine_nearness: Array,
    fine_winner: Array,
    rgb: Array,
    depth: Array,
    semantic: Array,
    instance: Array,
) -> None:
    """Fill the four buffers (H, W, ...) from the visibility buffer.

    `fine_nearness` and `fine_winner` (S H, S W) hold S x S samples a pixel. Where one of them shows
    another triangle than the pixel's middle, the colour is the mean of all, each triangle's taken
    once, in the middle of its samples; elsewhere, and with S = 1, the colour is the middle's. Depth
    and labels are always the middle's.
    """
    height, width = nearness.shape
    times = fine_nearness.shape[0] // height
    view, eye = lens.rows, lens.eye
    sun = light.sun_direction
    table = surfaces.table
    for y in range(first, height, step):
        for x in range(width):
            t = winner[y, x]
            depth[y, x] = ONE / nearness[y, x] if t >= 0 else F(np.inf)
            semantic[y, x] = geometry.semantic[t] if t >= 0 else SKY_LABEL
            instance[y, x] = geometry.instance[t] if t >= 0 else 0
            several = False
            for row in range(times * y, times * y + times):
                for column in range(times * x, times * x + times):
                    several |= fine_winner[row, column] != t
            side = times if several else 1
            red, green, blue = ZERO, ZERO, ZERO
            for sample in range(side * side):
                count, sx, sy, q = ONE, HALF, HALF, nearness[y, x]
                if several:
                    t = fine_winner[times * y + sample // times, times * x + sample % times]
                    count, sx, sy, q = ZERO, ZERO, ZERO, ZERO
                    is_done, other = False, 0
                    for row in range(times):
                        for column in range(times):
                            if fine_winner[times * y + row, times * x + column] == t:
                                is_done |= other < sample
                                count += ONE
                                sx += F(column) + HALF
                                sy += F(row) + HALF
                                q += fine_nearness[times * y + row, times * x + column]
                            other += 1
                    if is_done:
                        continue
                    sx, sy, q = sx / (count * F(times)), sy / (count * F(times)), q / count
                rx = (F(x) + sx - lens.cx) / lens.focal
                ry = (lens.cy - F(y) - sy) / lens.focal
                dx = view[0, 0] * rx + view[1, 0] * ry + view[2, 0]
                dy = view[0, 1] * rx + view[1, 1] * ry + view[2, 1]
                dz = view[0, 2] * rx + view[1, 2] * ry + view[2, 2]
                inv = ONE / sqrt(dx * dx + dy * dy + dz * dz)
                vx, vy, vz = -dx * inv, -dy * inv, -dz * inv
                if t < 0:
                    r, g, b = sky_colour(-vx, -vy, -vz, light, noise)
                    haze = ONE - exponential(-light.fog_per_m * F(500.0))
                    haze *= ONE - min(max(-vz, ZERO), ONE) * F(0.7)
                    r, g, b = tone(
                        r + (light.fog[0] - r) * haze,
                        g + (light.fog[1] - g) * haze,
                        b + (light.fog[2] - b) * haze,
                        light,
                    )
                    red, green, blue = red + count * r, green + count * g, blue + count * b
                    continue
                z = ONE / q
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
                across = z / lens.focal
                stretch = ONE / max(nv, F(0.03))
                taps = min(int(stretch + HALF), light.anisotropy)
                di, dj, dk = ZERO, ZERO, ZERO
                if taps > 1:
                    along = across * stretch / sqrt(max(ONE - nv * nv, TINY))
                    ei, ej, ek = weights(
                        geometry,
                        t,
                        px + (vx - nv * nx) * along,
                        py + (vy - nv * ny) * along,
                        pz + (vz - nv * nz) * along,
                    )
                    di, dj, dk = ei - wi, ej - wj, ek - wk
                tr, tg, tb, rough = surface_at(
                    geometry, surfaces, light, t, wi, wj, wk, across, stretch, taps, di, dj, dk
                )
                r, g, b = r * tr, g * tg, b * tb
                r, g, b = r * r, g * g, b * b
                wet = light.wetness * max(nz - F(0.6), ZERO) * F(2.5)
                if wet > 0:
                    dark = ONE - F(0.5) * wet
                    r, g, b = r * dark, g * dark, b * dark
                    rough += (F(0.12) - rough) * F(0.8) * wet

                # sunlight, less the shadows of the town and of moving things
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
                        peak = (
                            exponential((nh - ONE) * shine) * shine * F(0.02) * gloss * shade_free
                        )
                        peak *= light.specular
                        cr += light.sun[0] * peak * tr
                        cg += light.sun[1] * peak * tg
                        cb += light.sun[2] * peak * tb
                cr, cg, cb = (
                    cr + table[row, GLOW],
                    cg + table[row, GLOW + 1],
                    cb + table[row, GLOW + 2],
                )
                haze = ONE - exponential(-light.fog_per_m * z / inv)
                r, g, b = tone(
                    cr + (light.fog[0] - cr) * haze,
                    cg + (light.fog[1] - cg) * haze,
                    cb + (light.fog[2] - cb) * haze,
                    light,
                )
                red, green, blue = red + count * r, green + count * g, blue + count * b
            share = ONE / F(side * side)
            rgb[y, x, 0], rgb[y, x, 1], rgb[y, x, 2] = red * share, green * share, blue * share


@split_kernel
def guide(
    first: int,
    step: int,
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
    for y in range(first, height, step):
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
            across, stretch = z / lens.focal, ONE / max(cosine, F(0.03))
            tap = surface_at(
                geometry, surfaces, light, t, wi, wj, wk, across, stretch, 1, ZERO, ZERO, ZERO
            )
            row = geometry.surface[t]
            slot = geometry.slot[t]
            for c in range(3):
                base = table[row, RED + c]
                if table[row, PAINT] > 0 and slot >= 0:
                    base = paints[slot, c]
                albedo[y, x, c] = base * base * tap[c] * tap[c]
