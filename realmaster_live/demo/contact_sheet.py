"""A sheet of pictures in rows and named columns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from realmaster_live.sinks.drawing import Picture, text_width, write_text

PAPER, FAINT = 250, (110, 116, 124)
MARGIN, GAP, HEAD, SIDE = 24, 6, 36, 84  # pixels
TEXT_PX = 22.0


def contact_sheet(
    rows: Sequence[Sequence[Picture]], *, columns: Sequence[str], captions: Sequence[str]
) -> Picture:
    """Return all pictures on one sheet.

    Args:
        rows: pictures of one size, (H, W, 3) uint8 sRGB, as many in each row as there are columns.
        columns: words above the columns.
        captions: words before the rows.
    """
    if not rows:
        raise ValueError("expected one row of pictures or more, got none: record something first")
    height, width = rows[0][0].shape[:2]
    left, top = MARGIN + SIDE, MARGIN + HEAD
    sheet = np.full(
        (
            top + len(rows) * (height + GAP) - GAP + MARGIN,
            left + len(columns) * (width + GAP) - GAP + MARGIN,
            3,
        ),
        PAPER,
        np.uint8,
    )
    for number, name in enumerate(columns):
        write_text(sheet, name, (left + number * (width + GAP), top - 12), size_px=TEXT_PX)
    for number, (row, caption) in enumerate(zip(rows, captions, strict=True)):
        y = top + number * (height + GAP)
        x = left - 10 - text_width(caption, TEXT_PX)
        write_text(sheet, caption, (x, y + height // 2), size_px=TEXT_PX, color=FAINT)
        for place, picture in enumerate(row):
            x = left + place * (width + GAP)
            sheet[y : y + height, x : x + width] = picture
    return sheet
