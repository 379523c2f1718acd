import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).parents[2]
INKS = {"realized": (40, 60, 200), "render": (140, 140, 140)}  # BGR


def test_a_run_is_drawn_over_all_its_stages(tmp_path):
    metrics, picture = tmp_path / "metrics.jsonl", tmp_path / "curves.png"
    entries = [
        {"stage": "autoencoder", "clips": 3, "frames": 36},
        {"stage": "autoencoder", "step": 20, "s": 30.0, "loss": 1.0},
        {"stage": "autoencoder", "step": 20, "validation": {"render": 15.0, "plain": 18.0}},
        {"encoded": 24, "s": 9.0},
        {"stage": "joint", "step": 10, "s": 12.0, "loss": 0.5},
        {"stage": "joint", "step": 10, "validation": {"render": 15.0, "realized": 22.0}},
    ]
    metrics.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    script = ROOT / "benchmarks" / "training_curves.py"
    done = subprocess.run(
        [sys.executable, str(script), str(metrics), str(picture)],
        check=False, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    image = cv2.imread(str(picture))
    render, realized = ((image == np.array(INKS[name])).all(2) for name in ("render", "realized"))
    assert realized.sum() > 10
    # 12 of 42 s, which is 229 of the plot's 804 pixels: the second stage's clock begins anew
    assert 215 < np.ptp(np.flatnonzero(render[40:-40].any(0))) < 245
