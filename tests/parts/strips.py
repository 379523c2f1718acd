"""Reads the strip below a live view's pictures, as its page does."""

from realmaster_live.sinks.viewer.mosaic import NUMBERS, STRIP_PX


def strip_of(picture):
    """Return what the page reads: stamp, number and whether they are right."""
    squares = picture[-STRIP_PX // 2, STRIP_PX // 2 : 32 * STRIP_PX : STRIP_PX, 1] > 125
    value = int("".join("01"[int(bit)] for bit in squares), 2)
    digits = sum(value >> shift & 15 for shift in range(4, 32, 4))
    return value >> 24, value >> 4 & (NUMBERS - 1), (digits + 10) % 16 == value & 15
