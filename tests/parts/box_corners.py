"""The corners of boxes, as another way to where things are seen."""

import numpy as np


def box_corners(size, object_to_world):
    """Return the (8, 3) corners in the world of a box of full `size` (3,), metres.

    Bit 2, 1, 0 of a corner's number says whether it lies at +x, +y, +z of the box's own axes.
    """
    signs = np.array([[i >> 2 & 1, i >> 1 & 1, i & 1] for i in range(8)]) - 0.5
    return (signs * size) @ object_to_world[:3, :3].T + object_to_world[:3, 3]
