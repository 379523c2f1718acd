"""`realmaster demo --bridge gtav`: the whole chain on the stand-in for the game."""

import subprocess
import sys

import cv2
import numpy as np
import pytest

from realmaster_live.recording import Recording


@pytest.mark.slow
def test_the_demo_runs_on_a_game_and_leaves_everything_behind(tmp_path):
    command = [sys.executable, "-m", "realmaster_live", "demo", "--bridge", "gtav"]
    command += ["--out", tmp_path, "--seconds", "1.6", "--size", "128x64", "--engine", "identity"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stderr
    assert "16 frames captured" in done.stdout
    recording = Recording(tmp_path / "recording")
    assert recording.meta.about.source.simulator == "gtav"
    assert recording.meta.about.policy == "drop_oldest"
    frames = list(recording.frames())
    assert frames
    for frame in frames:
        assert set(frame.labels) == {"depth", "semantic"}
        assert 0.5 < frame.labels["depth"].min() < 30 and frame.labels["depth"].max() == 1000
        assert {11, 14} & set(np.unique(frame.labels["semantic"]).tolist())  # sky or cars
    way = np.diff([frame.cam_to_world[:3, 3] for frame in frames], axis=0)
    assert 0 < np.linalg.norm(way, axis=1).max() < 5
    sheet = cv2.imread(str(tmp_path / "contact-sheet.png"))
    assert sheet.shape[1] > 4 * 128
    assert (tmp_path / "side-by-side.mp4").stat().st_size > 1000
    assert "data:image/jpeg" in (tmp_path / "report.html").read_text()
