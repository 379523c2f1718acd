"""The written rubric by which a vision-language model judges a picture, and what it may answer."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any

from realmaster_live.optional import require
from realmaster_live.system.records import decode

msgspec = require("msgspec", extra="live")

WORST = 3
Score: Any = Annotated[int, msgspec.Meta(ge=0, le=WORST)]
FENCED = re.compile(r"\s*```(?:json)?\s*(\{.*\})\s*```\s*", re.DOTALL)
FLAWS = ("materials", "light", "shapes", "objects", "text")
RUBRIC = """\
You compare two pictures of a street. The first is a frame of a driving simulator. The second was \
made of it and is meant to look like a photograph by a car's camera, with the same content. Judge \
the second picture alone, by what can be seen, not by how it may have been made. Answer with one \
JSON object and nothing else, with these keys:

"photograph": how far a person would take the second picture for a photograph. 0: at once for \
computer graphics or a painting. 1: after a look, for graphics. 2: unsure. 3: for a photograph.
"materials": flaws of surfaces (asphalt, paint, glass, leaves). 0 none, 1 slight, 2 clear, 3 severe.
"light": flaws of light, shadow, reflection, sky. 0 none, 1 slight, 2 clear, 3 severe.
"shapes": bent, smeared or doubled shapes that are straight and whole in the first picture. 0 \
none, 1 slight, 2 clear, 3 severe.
"objects": vehicles, people, signs or lights that are missing, added, or another than in the \
first picture. 0 none, 1 slight, 2 clear, 3 severe.
"text": signs, plates or lane marks that cannot be read any more, or show another state. 0 none, \
1 slight, 2 clear, 3 severe; 0 where the first picture has none.
"comment": the worst flaw, in one sentence.
"""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """An answer: scores from 0 to 3, see `RUBRIC`."""

    photograph: Score
    materials: Score
    light: Score
    shapes: Score
    objects: Score
    text: Score
    comment: str = ""

    @property
    def flaws(self) -> float:
        """Return the mean of the flaws, 0 to 3."""
        return float(sum(getattr(self, name) for name in FLAWS) / len(FLAWS))


def read_verdict(content: str) -> Verdict:
    """Return the verdict of an answer, which may stand between fences of code.

    Raises:
        ValueError: it is no such object; an answer that cannot be read is no verdict.
    """
    fenced = FENCED.fullmatch(content)
    return decode(fenced[1] if fenced else content, Verdict)
