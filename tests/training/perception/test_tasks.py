import numpy as np
import pytest
import torch

from realmaster_live.training.perception.augment import Batch
from realmaster_live.training.perception.boxes import Boxes, make_boxes
from realmaster_live.training.perception.detection import (
    Detections,
    average_precision,
    detect,
    detection_loss,
    targets_of,
)
from realmaster_live.training.perception.groups import GROUP_INDEX, IGNORE, NAMES
from realmaster_live.training.perception.networks import DETECT_STRIDE, Detector, Segmenter
from realmaster_live.training.perception.segmentation import (
    confusion,
    intersection_over_union,
    segment,
    segmentation_loss,
)

BOXES = make_boxes([(8, 12, 40, 36), (60, 20, 72, 44), (3, 3, 7, 7)], [0, 1, 2])


class Fixed(torch.nn.Module):
    """A detector that gives fixed answers."""

    def __init__(self, targets):
        super().__init__()
        heat = torch.from_numpy(targets.heat).clamp(1e-4, 1 - 1e-4)
        self.output = (torch.logit(heat)[None], torch.from_numpy(targets.values)[None])

    def forward(self, pictures):
        return self.output


def test_intersection_over_union_of_counts_by_hand():
    road, car = GROUP_INDEX["road"], GROUP_INDEX["vehicle"]
    labels = np.array([[road, road, road, car], [car, car, IGNORE, IGNORE]], np.uint8)
    predicted = np.array([[road, road, car, car], [car, road, road, car]], np.uint8)
    shares = intersection_over_union(confusion(predicted, labels))
    assert shares == {"road": pytest.approx(50.0), "vehicle": pytest.approx(50.0)}
    merged = np.arange(len(NAMES), dtype=np.uint8)
    merged[car] = road
    assert intersection_over_union(confusion(predicted, labels, merged))["vehicle"] == 0.0


def test_intersection_over_union_is_that_of_torchmetrics():
    library = pytest.importorskip("torchmetrics.functional.classification")
    draw = np.random.default_rng(0)
    labels, predicted = draw.integers(0, len(NAMES) - 1, (2, 40, 60)).astype(np.uint8)
    labels[draw.random(labels.shape) < 0.1] = IGNORE
    wanted = library.multiclass_jaccard_index(
        torch.from_numpy(predicted.astype(np.int64)), torch.from_numpy(labels.astype(np.int64)),
        num_classes=len(NAMES), average="none", ignore_index=IGNORE,
    )  # fmt: skip
    found = intersection_over_union(confusion(predicted, labels))
    assert NAMES[-1] not in found, "nothing is labelled so"
    assert list(found.values()) == pytest.approx((100 * wanted[:-1]).tolist(), rel=1e-5)


def test_networks_answer_on_pictures_of_any_size_and_are_small():
    segmenter, detector = Segmenter(len(NAMES)).eval(), Detector(3).eval()
    for network in (segmenter, detector):
        assert 300_000 < sum(p.numel() for p in network.parameters()) < 500_000
    picture = np.zeros((50, 70, 3), np.uint8)
    assert segment(segmenter, picture).shape == (50, 70)
    found = detect(detector, picture)
    assert len(found.corners) == len(found.kinds) == len(found.scores)
    assert (found.corners[:, [0, 2]] <= 70).all() and (found.corners[:, [1, 3]] <= 50).all()


def test_what_targets_say_is_found_again():
    network = Fixed(targets_of(BOXES, 16, 24))
    found = detect(network, np.zeros((16 * DETECT_STRIDE, 24 * DETECT_STRIDE, 3), np.uint8))
    sure = found.scores > 0.9
    assert sorted(found.kinds[sure]) == [0, 1]  # the third is too small to be asked for
    order = np.argsort(found.kinds[sure])
    assert np.allclose(found.corners[sure][order], BOXES.corners[:2], atol=0.1)


def test_a_detector_that_is_right_loses_less():
    batch = Batch(
        pictures=np.zeros((1, 64, 96, 3), np.float32),
        groups=np.zeros((1, 64, 96), np.uint8),
        boxes=[BOXES],
    )
    right = Fixed(targets_of(BOXES, 16, 24))(None)
    nothing = Fixed(targets_of(make_boxes([], []), 16, 24))(None)
    shifted = Fixed(targets_of(make_boxes([(20, 12, 52, 36)], [0]), 16, 24))(None)
    losses = [float(detection_loss(output, batch)) for output in (right, nothing, shifted)]
    assert losses[0] < 0.1 < losses[1] < losses[2]


def test_average_precision_of_boxes_by_hand():
    pytest.importorskip("pycocotools")
    truth = make_boxes([(0, 0, 20, 20), (40, 40, 60, 60), (80, 0, 84, 4)], [0, 0, 0])
    person = make_boxes([(10, 10, 20, 30)], [1])

    def found(rows, scores, kinds):
        return Detections(
            np.array(rows, np.float32).reshape(-1, 4), np.array(kinds), np.array(scores, np.float32)
        )

    all_right = found([(0, 0, 20, 20), (40, 40, 60, 61)], [0.9, 0.8], [0, 0])
    nobody = found([], [], [])
    shares = average_precision([all_right, nobody], [truth, person])
    assert shares == {"vehicle": pytest.approx(100.0), "pedestrian": 0.0}
    half = found([(0, 0, 20, 20), (0, 50, 20, 70)], [0.8, 0.9], [0, 0])  # a wrong one is surer
    # recall 1/2 is reached with precision 1/2: 51 of COCO's 101 points at one half
    assert average_precision([half], [truth])["vehicle"] == pytest.approx(100 * 51 / 101 / 2)
    # the one that is too small to ask for is neither right nor wrong
    extra = found([(0, 0, 20, 20), (40, 40, 60, 60), (80, 0, 84, 4)], [0.7, 0.8, 0.9], [0] * 3)
    assert average_precision([extra], [truth])["vehicle"] == pytest.approx(100.0)
    assert average_precision([nobody], [truth]) == {"vehicle": 0.0}


def test_ignored_pixels_do_not_teach():
    torch.manual_seed(0)
    logits = torch.randn(1, len(NAMES), 8, 8)
    groups = np.zeros((1, 16, 16), np.uint8)
    none = Boxes(
        corners=np.zeros((0, 4), np.float32), kinds=np.zeros(0, np.int64), hard=np.zeros(0, bool)
    )
    batch = Batch(pictures=np.zeros((1, 16, 16, 3), np.float32), groups=groups, boxes=[none])
    weights = torch.ones(len(NAMES))
    groups[:, 8:] = IGNORE
    before = segmentation_loss(logits, batch, weights)
    logits[:, 3, 4:] += 5.0
    assert segmentation_loss(logits, batch, weights) == before
