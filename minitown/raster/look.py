"""How the game look treats the town: colours, light and tone as data, and the weather's part."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import ConfigError
from realmaster_live.minitown.raster import sky
from realmaster_live.minitown.scene import Floats, Weather

Colour = tuple[float, float, float]
NATURAL = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))  # the palette that changes nothing


@dataclass(frozen=True, kw_only=True)
class Look:
    """One game's manner of drawing. Colours are linear 0..1 unless they say sRGB.

    Attributes:
        sun, ambient, bounce: gains of sunlight, sky light from above and light from below.
        ambient_colour: colour of the sky light by clear day.
        zenith, horizon: the sky's colours by clear day.
        specular: gain of highlights and sky reflections.
        exposure, saturation, contrast: the tone; contrast turns about mid grey.
        tint: multiplies the finished picture.
        texture_contrast: 1 draws textures as they are, 0 only their mean colour.
        texture_scale: repeats of ground textures relative to the town's own.
        lod_bias: levels by which textures are blurred.
        anisotropy: places along a slope at which a pixel reads a texture, at most; 1 blurs it.
        palette: matrix that mixes the linear red, green, blue of every surface; lamps keep theirs.
        haze_per_m: extinction of the air a metre, on top of the weather's.
        cloud_cover: share of the sky by which there are more clouds than the weather says.
        sharpening: how far each pixel is pushed from its neighbours' mean.
        faceted: True ignores smooth normals.
        samples: each way, a pixel where triangles meet; 2 means four. Labels have one, the middle.
        draw_distance: metres.
    """

    name: str
    sun: float
    ambient: float
    bounce: float
    ambient_colour: Colour
    zenith: Colour
    horizon: Colour
    specular: float
    exposure: float
    saturation: float
    contrast: float
    tint: Colour = (1.0, 1.0, 1.0)
    texture_contrast: float = 1.0
    texture_scale: float = 1.0
    lod_bias: float = 0.0
    anisotropy: int = 4
    palette: tuple[Colour, Colour, Colour] = NATURAL
    haze_per_m: float = 0.0
    cloud_cover: float = 0.0
    sharpening: float = 0.0
    faceted: bool = False
    samples: int = 2
    draw_distance: float = 1000.0


LOOK_A = Look(
    name="A",
    sun=1.25,
    ambient=0.62,
    bounce=0.30,
    ambient_colour=(0.80, 0.92, 1.12),
    zenith=(0.16, 0.36, 0.78),
    horizon=(0.60, 0.74, 0.88),
    specular=0.8,
    exposure=1.2,
    saturation=1.22,
    contrast=1.0,
)

# an older engine than A's: hard sun, cool shadows, olive greens and brown stone, aliased textures
# that repeat twice as often, flat facets, grey haze, sharpened
LOOK_B = Look(
    name="B",
    sun=1.75,
    ambient=0.50,
    bounce=0.12,
    ambient_colour=(0.72, 0.90, 1.25),
    zenith=(0.14, 0.36, 0.66),
    horizon=(0.60, 0.72, 0.80),
    specular=0.25,
    exposure=1.0,
    saturation=0.90,
    contrast=1.16,
    tint=(1.02, 1.0, 0.96),
    texture_contrast=1.4,
    texture_scale=2.0,
    lod_bias=-0.8,
    anisotropy=1,
    palette=((0.90, 0.12, 0.0), (0.08, 0.84, 0.06), (0.04, 0.08, 0.84)),
    haze_per_m=0.0008,
    cloud_cover=0.10,
    sharpening=0.7,
    faceted=True,
)

LOOKS = {look.name: look for look in (LOOK_A, LOOK_B)}
DRAWN, ALIASED = "drawn-", "-aliased"  # what the names of other looks begin and end with


def draw_look(seed: int) -> Look:
    """Return a look that no model has been shown, between and beyond A and B."""
    draw = np.random.default_rng((seed, 41))

    def about(value: float, spread: float) -> float:
        return float(value * np.exp(draw.uniform(-spread, spread)))

    def mixed(own: float) -> Colour:
        red, green, blue = (float(x) for x in draw.dirichlet((1.0, 1.0, 1.0)) * (1.0 - own))
        return red, green, blue

    rows = [mixed(own) for own in draw.uniform(0.75, 0.95, 3).tolist()]
    palette = tuple(
        tuple(x + (0.9 - sum(row) if place == n else 0.0) for place, x in enumerate(row))
        for n, row in enumerate(rows)
    )
    shade = [float(x) for x in draw.uniform(0.94, 1.06, 3)]
    return Look(
        name=f"{DRAWN}{seed}",
        sun=about(1.4, 0.3),
        ambient=about(0.55, 0.25),
        bounce=about(0.2, 0.6),
        ambient_colour=(about(0.78, 0.12), about(0.9, 0.05), about(1.15, 0.12)),
        zenith=(about(0.16, 0.4), about(0.36, 0.2), about(0.7, 0.2)),
        horizon=(about(0.62, 0.12), about(0.73, 0.1), about(0.84, 0.1)),
        specular=float(draw.uniform(0.1, 1.0)),
        exposure=about(1.1, 0.15),
        saturation=about(1.0, 0.3),
        contrast=about(1.05, 0.12),
        tint=(shade[0], shade[1], shade[2]),
        texture_contrast=float(draw.uniform(0.6, 1.5)),
        texture_scale=float(draw.uniform(0.7, 2.5)),
        lod_bias=float(draw.uniform(-0.9, 1.0)),
        palette=palette,  # type: ignore[arg-type]  # three rows of three
        haze_per_m=float(draw.uniform(0.0, 0.0015)),
        cloud_cover=float(draw.uniform(0.0, 0.2)),
        sharpening=float(draw.uniform(0.0, 0.8)),
        faceted=bool(draw.random() < 0.5),
        anisotropy=int(draw.integers(1, 6)),
    )


def look_named(name: str) -> Look:
    """Return the look "A", "B" or "drawn-N" (`draw_look`), or "A-aliased": one sample a pixel.

    Raises:
        ConfigError: there is no such look.
    """
    base = name.removesuffix(ALIASED)
    number = base.removeprefix(DRAWN)
    if base in LOOKS:
        look = LOOKS[base]
    elif base != number and number.isascii() and number.isdigit():
        look = draw_look(int(number))
    else:
        raise ConfigError(
            f"expected the look {', '.join(LOOKS)} or {DRAWN}N, which is drawn at random from the "
            f"number N, or one of these with {ALIASED} behind it, got {name!r}: choose one"
        )
    return look if base == name else replace(look, name=name, samples=1, anisotropy=1)


NIGHT_AMBIENT = np.array([0.030, 0.040, 0.075])
NIGHT_ZENITH = np.array([0.006, 0.010, 0.028])
NIGHT_HORIZON = np.array([0.040, 0.042, 0.060])
DUST = np.array([0.55, 0.42, 0.26])


class Lighting(NamedTuple):
    """What the shading kernel needs of look and weather; colours linear float32 (3,)."""

    sun_direction: Floats
    sun: Floats
    ambient: Floats
    bounce: Floats
    zenith: Floats
    horizon: Floats
    sun_glow: Floats
    cloud: Floats
    fog: Floats
    tint: Floats
    fog_per_m: np.float32
    cloud_threshold: np.float32
    wetness: np.float32
    specular: np.float32
    exposure: np.float32
    saturation: np.float32
    contrast: np.float32
    texture_contrast: np.float32
    blur: np.float32  # how many times as coarse textures are read
    anisotropy: int
    faceted: bool


def lighting(look: Look, weather: Weather) -> Lighting:
    """Return the light of one look in one weather."""
    day = sky.day_share(weather)
    sun = sky.sun_share(weather)
    overcast = float(np.clip((weather.cloudiness - 40.0) / 50.0, 0.0, 1.0))
    direction = sky.sun_direction(weather)
    warm = sky.sun_tint(weather)
    low = 1.0 - float(np.clip(weather.sun_altitude_angle / 25.0, 0.0, 1.0))
    grey = np.full(3, 0.62)

    def by_day(clear: NDArray[np.float64], covered: NDArray[np.float64]) -> NDArray[np.float64]:
        return clear * (1 - overcast) + covered * overcast

    tone = (1 - 0.45 * low) + 0.45 * low * warm
    ambient = by_day(np.asarray(look.ambient_colour), np.full(3, 1.05)) * look.ambient
    ambient = day * ambient * (1 - 0.25 * low) + (1 - day) * NIGHT_AMBIENT
    zenith = day * by_day(np.asarray(look.zenith), 0.8 * grey) + (1 - day) * NIGHT_ZENITH
    horizon = day * by_day(np.asarray(look.horizon) * tone, grey) + (1 - day) * NIGHT_HORIZON
    sunlight = look.sun * sun * warm
    fog = horizon * 0.95
    dust = weather.dust_storm / 100.0
    fog = fog * (1 - dust) + DUST * day * dust

    def vector(value: NDArray[np.float64]) -> Floats:
        return np.ascontiguousarray(value, np.float32)

    return Lighting(
        sun_direction=vector(direction),
        sun=vector(sunlight),
        ambient=vector(ambient),
        bounce=vector((ambient * 0.5 + sunlight * 0.3 * max(direction[2], 0.0)) * look.bounce),
        zenith=vector(zenith),
        horizon=vector(horizon),
        sun_glow=vector(sun * warm * 1.2),
        cloud=vector((0.35 * ambient / look.ambient + 0.5 * sunlight / look.sun) * 1.1),
        fog=vector(fog),
        tint=vector(np.asarray(look.tint)),
        fog_per_m=np.float32(sky.fog_per_m(weather) + look.haze_per_m),
        cloud_threshold=np.float32(sky.cloud_threshold(weather) - look.cloud_cover),
        wetness=np.float32(
            np.clip(
                max(weather.wetness, weather.precipitation_deposits, weather.precipitation) / 100.0,
                0.0,
                1.0,
            )
        ),
        specular=np.float32(look.specular),
        exposure=np.float32(look.exposure * (1.0 + 1.2 * (1 - day))),
        saturation=np.float32(look.saturation),
        contrast=np.float32(look.contrast),
        texture_contrast=np.float32(look.texture_contrast),
        blur=np.float32(2.0 ** (0.3 + look.lod_bias)),
        anisotropy=look.anisotropy,
        faceted=look.faceted,
    )
