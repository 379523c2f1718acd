"""Perceptual hashes: 64 bits a picture, of which a near-duplicate shares nearly all.

After Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions" (2010), section
3.2.1: the signs of the 8 x 8 lowest frequencies of a 32 x 32 grey picture about their median.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE, FREQUENCIES = 32, 8
BLOCK = 1024  # hashes compared with all others at a time


def phash(picture: NDArray[np.uint8]) -> np.uint64:  # (H, W, 3) RGB
    """Return the hash of a picture."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    small = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    # rows and columns 1 to 8: the constant term is the brightness alone
    waves = cv2.dct(small)[1 : FREQUENCIES + 1, 1 : FREQUENCIES + 1]
    return np.uint64(np.packbits(waves > np.median(waves)).view(np.uint64)[0])


def near(
    hashes: NDArray[np.uint64],  # (N, P) of P pictures each
    bits: int,
) -> NDArray[np.int64]:  # (M, 2)
    """Return the pairs i < j whose pictures all differ in at most so many bits, one by one."""
    pairs = []
    for start in range(0, len(hashes), BLOCK):
        some = hashes[start : start + BLOCK]
        far = np.zeros((len(some), len(hashes)), np.uint8)
        for place in range(hashes.shape[1]):
            differing = np.bitwise_count(some[:, None, place] ^ hashes[None, :, place])
            np.maximum(far, differing, out=far)
        found = np.argwhere(far <= bits)
        found[:, 0] += start
        pairs.append(found[found[:, 0] < found[:, 1]])
    return np.concatenate(pairs) if pairs else np.zeros((0, 2), np.int64)
