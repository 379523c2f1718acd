"""Arithmetic that becomes part of a kernel: a call into the C library would spill its registers."""

from __future__ import annotations

from typing import Any

import numpy as np

from realmaster_live.minitown.raster.compilation import Scalar, inlined

F: Any = np.float32  # Any: compiled code mixes it with plain numbers
ONE_BITS, MANTISSA_BITS = 127 << 23, 23  # of a float32
LOG2_E = F(1.4426950408889634)


@inlined
def down(x: Scalar) -> Any:
    """Return the largest whole number that is not above x, which fits into 63 bits."""
    whole = int(x)
    return whole - 1 if x < whole else whole


@inlined
def up(x: Scalar) -> Any:
    """Return the smallest whole number that is not below x, which fits into 63 bits."""
    whole = int(x)
    return whole + 1 if x > whole else whole


@inlined
def octaves(x: Scalar) -> Any:
    """Return the whole part of a positive float32's logarithm to base 2."""
    return (F(x).view(np.int32) - ONE_BITS) >> MANTISSA_BITS


@inlined
def exponential(x: Scalar) -> Any:
    """Return e to a float32 of at most 0, within 2e-7 of it."""
    power = max(x * LOG2_E, F(-126.0))
    whole = down(power)
    part = power - F(whole)
    # minimax polynomial of 2 ** part in 0..1
    value = F(0.0018775767)
    value = value * part + F(0.0089893397)
    value = value * part + F(0.055826318)
    value = value * part + F(0.24015361)
    value = value * part + F(0.69315308)
    value = value * part + F(0.99999994)
    return np.int32((whole << MANTISSA_BITS) + ONE_BITS).view(np.float32) * value
