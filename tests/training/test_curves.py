import json

import cv2
import numpy as np

from realmaster_live.training.curves import COLOURS, HEIGHT, WIDTH, validation_entries, write_curves


def test_seconds_run_on_over_stages(tmp_path):
    metrics = tmp_path / "metrics.jsonl"
    entries = [
        {"stage": "autoencoder", "clips": 3, "frames": 36},
        {"stage": "autoencoder", "step": 20, "s": 30.0, "loss": 1.0},
        {"stage": "autoencoder", "step": 20, "validation": {"render": 15.0, "plain": 18.0}},
        {"encoded": 24, "s": 9.0},
        {"stage": "joint", "step": 10, "s": 12.0, "loss": 0.5},
        {"stage": "joint", "step": 10, "validation": {"render": 15.0, "realized": 22.0}},
    ]
    metrics.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    entries = validation_entries(metrics)
    assert [entry["seconds"] for entry in entries] == [30.0, 42.0]
    assert entries[1]["realized"] == 22.0
    write_curves(metrics, tmp_path / "curves.png")
    image = cv2.imread(str(tmp_path / "curves.png"))
    assert image.shape == (HEIGHT, WIDTH, 3)
    for name in ("realized", "render"):
        assert (image == np.array(COLOURS[name])).all(2).sum() > 10, name
