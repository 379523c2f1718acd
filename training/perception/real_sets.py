"""Reads a user's photographs to test on: folders in Cityscapes' or in COCO's layout."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import PairError
from realmaster_live.system.pictures import read_map, read_picture
from realmaster_live.training.perception.boxes import Boxes, boxes_of_masks, make_boxes
from realmaster_live.training.perception.examples import Example
from realmaster_live.training.perception.groups import (
    CITYSCAPES,
    COCO,
    DETECTED,
    FROM_CITYSCAPES,
    GROUP_INDEX,
    NAMES,
)
from realmaster_live.training.perception.tasks import TestSet

WIDTH = 512  # pixels: the width that the networks were trained on
PHOTOGRAPH = "photograph"  # the variant's name
FIRST_INSTANCE_ID = 1000  # Cityscapes' smaller instanceIds are not those of single objects


def read_real_set(folder: Path, *, max_pictures: int = 500) -> TestSet:
    """Return the first `max_pictures` of a folder by name, resized to the networks' width.

    A folder with `leftImg8bit` and `gtFine` is read as Cityscapes (its `val` split if there is
    one); a folder with `annotations/*.json` is read as COCO, which has boxes alone.

    Raises:
        PairError: the folder has neither layout, or a picture is missing.
    """
    if (folder / "leftImg8bit").is_dir():
        examples = _cityscapes(folder, max_pictures)
        merged = np.arange(len(NAMES), dtype=np.uint8)
        for name in set(NAMES) - set(CITYSCAPES):
            merged[GROUP_INDEX[name]] = GROUP_INDEX["road"]  # Cityscapes counts lane lines as road
    elif sorted(folder.glob("annotations/*.json")):
        examples, merged = _coco(folder, max_pictures), None
    else:
        raise PairError(
            f"expected leftImg8bit/ and gtFine/ (Cityscapes) or annotations/*.json (COCO) in "
            f"{folder}, got neither: name the folder that holds them"
        )
    return TestSet(name=folder.name, examples=examples, variant=PHOTOGRAPH, merged=merged)


def _cityscapes(folder: Path, max_pictures: int) -> list[Example]:
    parts = sorted(path for path in (folder / "leftImg8bit").iterdir() if path.is_dir())
    chosen = [path for path in parts if path.name == "val"] or parts
    ending = "_leftImg8bit"
    pictures = [path for part in chosen for path in sorted(part.glob(f"*/*{ending}.png"))][
        :max_pictures
    ]
    if not pictures:
        raise PairError(
            f"expected leftImg8bit/<part>/<city>/*{ending}.png in {folder}, got none: unpack "
            "Cityscapes' archives into one folder"
        )
    examples = []
    for path in pictures:
        stem = path.stem.removesuffix(ending)
        labels = folder / "gtFine" / path.parent.parent.name / path.parent.name
        picture = read_picture(path)
        size = _size(picture)
        groups = FROM_CITYSCAPES[_fit(read_map(labels / f"{stem}_gtFine_labelIds.png"), size)]
        instances = labels / f"{stem}_gtFine_instanceIds.png"
        boxes = None
        if instances.is_file():
            numbers = _fit(read_map(instances).astype(np.int32), size)
            boxes = boxes_of_masks(groups, np.where(numbers < FIRST_INSTANCE_ID, 0, numbers))
        examples.append(_example(stem, picture, groups, boxes))
    return examples


def _coco(folder: Path, max_pictures: int) -> list[Example]:
    path = sorted(folder.glob("annotations/*.json"))[0]
    content: dict[str, Any] = json.loads(path.read_text())
    kinds = {name: kind for kind, group in enumerate(DETECTED) for name in COCO[group]}
    of_category = {
        each["id"]: kinds[each["name"]] for each in content["categories"] if each["name"] in kinds
    }
    by_image: dict[int, list[dict[str, Any]]] = {}
    for each in content["annotations"]:
        if each["category_id"] in of_category:
            by_image.setdefault(each["image_id"], []).append(each)
    files = {file.name: file for file in sorted(folder.rglob("*")) if file.is_file()}
    examples = []
    for image in sorted(content["images"], key=lambda image: str(image["file_name"]))[
        :max_pictures
    ]:
        name = Path(image["file_name"]).name
        if name not in files:
            raise PairError(
                f"expected the picture {name} of {path} below {folder}, got none: put the "
                "pictures there"
            )
        picture = read_picture(files[name])
        scale = _size(picture)[0] / picture.shape[1]
        annotations = by_image.get(image["id"], [])
        rows = [
            tuple(scale * side for side in (x, y, x + w, y + h))
            for x, y, w, h in _sides(annotations)
        ]
        boxes = make_boxes(rows, [of_category[each["category_id"]] for each in annotations])
        crowd = np.array([bool(each.get("iscrowd")) for each in annotations], bool)
        hard = Boxes(corners=boxes.corners, kinds=boxes.kinds, hard=boxes.hard | crowd)
        examples.append(_example(name, picture, None, hard))
    return examples


def _sides(annotations: Sequence[dict[str, Any]]) -> list[list[float]]:
    return [each["bbox"] for each in annotations]


def _example(
    name: str, picture: NDArray[np.uint8], groups: NDArray[np.uint8] | None, boxes: Boxes | None
) -> Example:
    width, height = _size(picture)
    resized = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    return Example(
        name=name,
        seed=-1,
        pictures={PHOTOGRAPH: np.asarray(resized, np.uint8)},
        groups=groups,
        boxes=boxes,
    )


def _size(picture: NDArray[np.uint8]) -> tuple[int, int]:
    """Return the width and height that a picture is resized to; pictures are never enlarged."""
    height, width, _ = picture.shape
    scale = min(1.0, WIDTH / width)
    return round(width * scale), round(height * scale)


def _fit(labels: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    return np.asarray(cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST))
