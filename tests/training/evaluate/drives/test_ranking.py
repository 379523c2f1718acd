"""The order that every believable evaluation finds: truth, realized, render, noise."""

import numpy as np
import pytest

from realmaster_live.engines.load import load_engine
from realmaster_live.frames.chunk import Frame
from realmaster_live.recording.videos import Pictures, PictureWriter
from realmaster_live.system.pictures import write_picture
from realmaster_live.training.data import read_clip
from realmaster_live.training.evaluate.drives.films import REALIZED, RENDER, OtherFilm
from realmaster_live.training.evaluate.drives.loading import Models, load_measures
from realmaster_live.training.evaluate.drives.run import evaluate_drives
from realmaster_live.training.evaluate.drives.sources import RealizedDrive
from realmaster_live.training.evaluate.mobilenet import PACKAGE

SIZE, FRAMES, TOWNS = (256, 128), 4, range(1000, 1006)


def write_film(path, pictures):
    with PictureWriter(path, SIZE, 20.0, Pictures(crf=4)) as writer:
        for picture in pictures:
            writer.write(np.ascontiguousarray(picture))
    return OtherFilm(name=path.stem, path=path)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_truth_ranks_before_realized_before_render_before_noise(tmp_path):
    """Films of three held-out towns; the photographs are path-traced pictures of three others."""
    pytest.importorskip("mitsuba")
    pytest.importorskip(PACKAGE)  # ImageNet's features
    from realmaster_live.minitown.truth.pairs import render_pairs

    render_pairs(
        tmp_path / "pairs", seeds=TOWNS, drives=1, frames=FRAMES, size=SIZE, dt=0.1, spp=8,
        look="A", prompts=["as simulated"], kinds=[], truth_every=1, with_labels=False,
    )  # fmt: skip
    clips = [read_clip(path) for path in sorted((tmp_path / "pairs").glob("*.json"))]
    (tmp_path / "real").mkdir()
    traced = np.concatenate([clip.truth for clip in clips[3:]])
    for number, picture in enumerate(traced):
        write_picture(tmp_path / "real" / f"{number:02}.png", picture)
    render, truth = (
        np.concatenate([getattr(c, kind) for c in clips[:3]]) for kind in ("sim", "truth")
    )
    frames = [
        Frame(
            camera="front", frame_id=n, timestamp=n * 0.1 + 10 * (n // FRAMES), captured_at=0.0,
            image=np.asarray(picture), intrinsics=np.eye(3), cam_to_world=np.eye(4),
        )
        for n, picture in enumerate(render)
    ]  # fmt: skip
    engine = load_engine("embedded", width=SIZE[0], height=SIZE[1])
    source = RealizedDrive("towns", frames, engine)
    engine.close()
    source.fps = 1.0  # every frame is taken for the distances
    noise = np.random.default_rng(0).integers(0, 256, truth.shape, np.uint8)
    films = [write_film(tmp_path / "truth.mp4", truth), write_film(tmp_path / "noise.mp4", noise)]
    models = Models(real=tmp_path / "real", lights=False)
    found = evaluate_drives([source], films=films, measures=load_measures(models)).values
    order = ("truth", REALIZED, RENDER, "noise")
    values = [found[method]["KID x1000"].value for method in order]
    assert values == sorted(values), values
    for method in ("truth", REALIZED):
        assert found[method]["sKVD x1000"].value < found[RENDER]["sKVD x1000"].value
    for figure in ("edge F1", "structure distance", "warp ratio"):
        better = -1 if figure == "edge F1" else 1
        assert all(
            better * found["noise"][figure].value > better * found[method][figure].value
            for method in order[:3]
            if figure in found[method]
        ), figure
