"""Every figure of a report has a test that holds it to a value by hand or to a library's."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from realmaster_live.training.evaluate.drives.figures import FIGURES
from realmaster_live.training.evaluate.drives.live_figures import LIVE_FIGURES
from realmaster_live.training.evaluate.drives.realism import CMMD, KID, SKVD
from realmaster_live.training.evaluate.measures.detected import DetectedMeasure
from realmaster_live.training.evaluate.measures.identity import IdentityMeasure
from realmaster_live.training.evaluate.measures.judged import JudgedMeasure
from realmaster_live.training.evaluate.measures.photo_lights import LightsMeasure
from realmaster_live.training.evaluate.measures.vlm import VlmMeasure

TESTS = Path(__file__).parents[2]
RATIOS = "training/evaluate/drives/test_summary.py::test_ratios_are_those_computed_by_hand"
SCORES = "fidelity/test_scores.py::"
THINGS = "training/evaluate/measures/test_judged.py::"
NETWORKS = "training/evaluate/measures/test_networks.py::"
LIGHTS = "training/evaluate/measures/test_photo_lights.py::"
ASKED = "training/evaluate/measures/test_vlm.py::"
LIVE = "training/evaluate/drives/test_live_figures.py::test_rates_latencies_and_losses"
HELD_TO = {
    **dict.fromkeys(
        (
            "flicker ratio", "warp ratio", "warp error", "seam ratio", "warp seam ratio",
            "brightness seam ratio",
        ),
        RATIOS,
    ),
    "edge F1": "training/pairs/test_alignment.py::test_edge_f1_is_what_two_lines_say",
    "structure distance": "training/pairs/test_gate.py::test_structure_distance_by_hand",
    "edges": f"{SCORES}test_edges_are_an_f1_beyond_chance",
    "depth order": f"{SCORES}test_half_of_a_border_is_a_third_beyond_chance",
    "semantics": f"{SCORES}test_looks_are_compared_beyond_one_gain_and_offset",
    "boxes": f"{SCORES}test_a_boxs_score_is_its_overlap_and_the_share_of_its_sides",
    "lights": f"{SCORES}test_a_lights_score_is_its_glow_and_its_share_of_the_colours",
    "palette drift": "training/pairs/test_gate.py::test_palette_drift_by_hand",
    "colour drift a minute":
        "training/evaluate/drives/test_colours.py::test_the_rate_is_the_slope_a_minute",
    "mIoU": f"{THINGS}test_the_mean_iou_of_several_frames_is_that_of_torchmetrics",
    "depth SI-RMSE": f"{THINGS}test_depth_error_is_that_of_the_logarithm_whatever_the_scale",
    **dict.fromkeys(
        ("thing recall", "late thing recall", "vanished things", "invented things"),
        f"{THINGS}test_vanished_invented_and_late_things_are_counted",
    ),
    **dict.fromkeys(("box recall", "vanished boxes", "invented boxes"),
                    f"{NETWORKS}test_boxes_that_are_found_vanished_and_invented"),
    **dict.fromkeys(("lights read right", "lights kept", "yellow lights read right"),
                    f"{LIGHTS}test_lights_are_read_in_films_and_yellow_apart"),
    "identity": f"{NETWORKS}test_the_cosine_is_that_of_the_vectors",
    "lost faces":
        "training/pairs/test_identity.py::"
        "test_faces_are_compared_in_their_places_and_missing_ones_counted",
    **dict.fromkeys(
        ("judged a photograph", "judged flaws", "unreadable answers"),
        f"{ASKED}test_a_question_holds_rubric_and_both_pictures_and_is_asked_once",
    ),
    "KID x1000": "training/evaluate/drives/test_sets.py::test_the_distance_is_that_of_torchmetrics",
    "sKVD x1000":
        "training/evaluate/measures/test_patches.py::"
        "test_a_film_like_the_photographs_is_at_no_distance_and_each_match_is_a_sample",
    "CMMD": "training/evaluate/drives/test_sets.py::test_cmmd_is_its_papers_formula",
    **{figure.name: LIVE for figure in LIVE_FIGURES},
}  # fmt: skip


def every_figure():
    judge = SimpleNamespace(groups={})
    measures = (
        JudgedMeasure(judge=judge), DetectedMeasure(detector=None), VlmMeasure(client=None),
        IdentityMeasure(recognise=None), LightsMeasure(classifier=None),
    )  # fmt: skip
    found = [figure for measure in measures for figure in measure.figures]
    return {figure.name for figure in (*FIGURES, *LIVE_FIGURES, KID, SKVD, CMMD, *found)}


def test_no_figure_is_without_one():
    assert set(HELD_TO) == every_figure()


@pytest.mark.parametrize("place", sorted(set(HELD_TO.values())))
def test_it_is_there(place):
    path, _, name = place.partition("::")
    assert f"def {name}(" in (TESTS / path).read_text()
