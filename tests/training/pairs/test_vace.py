from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_vace import save_vace

from realmaster_live.errors import ConfigError, PairError
from realmaster_live.training.pairs.vace import (
    anchor_frames,
    build,
    depth_control,
    windows,
)

FRAMES, HEIGHT, WIDTH = 9, 32, 48


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def lines(frames: int = FRAMES) -> np.ndarray:
    """Black on white."""
    control = np.full((frames, HEIGHT, WIDTH), 255, np.uint8)
    for t in range(frames):
        control[t, :, (4 + t) % WIDTH] = 0
    return control


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    import diffusers

    folder = save_vace(tmp_path_factory.mktemp("vace"))
    return diffusers.WanVACEPipeline.from_pretrained(folder)


def upstream(pipeline, video: list, mask: list) -> list[torch.Tensor]:
    """What diffusers makes of lists of pictures: video, mask, both latents, latent mask."""
    made = pipeline.preprocess_conditions(
        video, mask, None, 1, HEIGHT, WIDTH, len(video), torch.float32, torch.device("cpu")
    )
    latents = pipeline.prepare_video_latents(*made)
    return [*made[:2], latents, pipeline.prepare_masks(made[1], made[2])]


def test_first_last_and_edges_equal_upstream(pipeline) -> None:
    first, last, control = picture(1), picture(2), lines()
    between = [Image.fromarray(line).convert("RGB") for line in control[1:-1]]
    black, white = (Image.new("L", (WIDTH, HEIGHT), value) for value in (0, 255))
    theirs = upstream(
        pipeline,
        [Image.fromarray(first), *between, Image.fromarray(last)],
        [black, *[white] * (FRAMES - 2), black],
    )
    ours = upstream(pipeline, *build(control, {0: first, FRAMES - 1: last}).tensors())
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


@pytest.mark.parametrize("hold", [1, 2, 3])
@pytest.mark.parametrize("frames", [5, 9, 17, 81])
def test_kept_latents_are_those_that_the_network_sees(pipeline, hold, frames) -> None:
    conditions = build(lines(frames), {0: picture(1), frames - 1: picture(2)}, hold_frames=hold)
    mask = conditions.tensors()[1].transpose(1, 2)
    seen = pipeline.prepare_masks(mask, [[]])[0]  # (64, F, h, w)
    black = [i for i in range(seen.shape[1]) if not seen[:, i].any()]
    assert conditions.kept_latents() == black


def test_one_held_frame_is_lost_in_the_latent_mask_and_two_are_not() -> None:
    ends = {0: picture(1), 80: picture(2)}
    assert build(lines(81), ends).kept_latents() == []
    assert build(lines(81), ends, hold_frames=2).kept_latents() == [0, 20]


def test_held_frames_hold_the_anchor() -> None:
    first, middle, last = picture(1), picture(2), picture(3)
    conditions = build(lines(), {0: first, 4: middle, 8: last}, hold_frames=2)
    assert conditions.keep.tolist() == [True, True, False, True, True, True, False, True, True]
    for index, expected in {1: first, 3: middle, 5: middle, 7: last}.items():
        np.testing.assert_array_equal(conditions.video[index], expected)
    np.testing.assert_array_equal(conditions.video[2, :, :, 0], lines()[2])


def test_kept_frames_begin_the_clip_before_any_anchor() -> None:
    kept = np.stack([picture(i) for i in range(5)])
    conditions = build(lines(), {5: picture(9)}, hold_frames=3, kept=kept)
    np.testing.assert_array_equal(conditions.video[:5], kept)
    assert conditions.keep.tolist() == [True] * 8 + [False]


def test_more_anchors_are_spread_evenly() -> None:
    assert anchor_frames(81, 2) == [0, 80]
    assert anchor_frames(81, 5) == [0, 20, 40, 60, 80]
    assert anchor_frames(17, 4) == [0, 5, 11, 16]


@pytest.mark.parametrize("frames", [1, 5, 49, 81, 85, 89, 161, 241, 405])
@pytest.mark.parametrize(("window", "overlap"), [(81, 9), (81, 1), (17, 13)])
def test_pieces_cover_a_clip_once_and_overlap_as_configured(frames, window, overlap) -> None:
    pieces = windows(frames, window, overlap)
    made = list(range(pieces[0].stop))
    for before, piece in pairwise(pieces):
        assert piece.start == before.stop - overlap
        made += range(piece.start + overlap, piece.stop)
    assert made == list(range(frames))
    for piece in pieces:
        assert piece.stop - piece.start <= window
        assert (piece.stop - piece.start) % 4 == 1


def test_depth_is_white_where_near() -> None:
    depth = np.tile(np.geomspace(1, 1000, 64, dtype=np.float32), (5, 16, 1))
    control = depth_control(depth)
    assert control.dtype == np.uint8
    assert control.shape == depth.shape
    assert control[0, 0, 0] == 255
    assert control[0, 0, -1] == 0
    assert (np.diff(control[0, 0].astype(int)) <= 0).all()


@pytest.mark.parametrize(("frames", "overlap"), [(80, 9), (81, 8), (9, 9)])
def test_windows_of_other_lengths_are_refused(frames, overlap) -> None:
    with pytest.raises(ConfigError, match="4 k \\+ 1"):
        windows(100, frames, overlap)


def test_clips_that_wan_cannot_take_are_refused() -> None:
    with pytest.raises(PairError, match="got 8 frames of 48 x 32"):
        build(lines(8), {})
    with pytest.raises(PairError, match="at frame 9"):
        build(lines(), {9: picture(0)})
    with pytest.raises(PairError, match="multiples of 16"):
        build(np.zeros((9, 20, 48), np.uint8), {})
