"""Opens a dataset with LeRobotDataset itself and tells what it gave: python check_lerobot.py ROOT.

Run by an interpreter that has lerobot 0.4.4. Pictures are decoded by PyAV in the way of its own
decoder, by the nearest timestamp within its tolerance, so that torchcodec need not be there.
"""

import json
import sys

import av
import torch
from lerobot.datasets import lerobot_dataset


def decode(path, timestamps, tolerance_s, backend=None):
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    clock = torch.tensor([frame.time for frame in frames])
    pictures = []
    for wanted in timestamps:
        away = (clock - wanted).abs()
        assert away.min() < tolerance_s, (path, wanted, clock)
        pictures.append(torch.from_numpy(frames[int(away.argmin())].to_ndarray(format="rgb24")))
    return torch.stack(pictures).permute(0, 3, 1, 2).float() / 255


lerobot_dataset.decode_video_frames = decode
dataset = lerobot_dataset.LeRobotDataset("local/drives", root=sys.argv[1])
key = dataset.meta.camera_keys[0]
found = {
    "frames": len(dataset),
    "episodes": dataset.num_episodes,
    "fps": dataset.fps,
    "cameras": dataset.meta.camera_keys,
    "tasks": sorted({dataset[index]["task"] for index in (0, len(dataset) - 1)}),
    "items": [
        {
            "index": int(item["index"]),
            "episode": int(item["episode_index"]),
            "shape": list(item[key].shape),
            "mean": float(item[key].mean()),
            "state": item["observation.state"].tolist(),
            "action": item["action"].tolist(),
        }
        for item in (dataset[index] for index in range(0, len(dataset), 7))
    ],
    "stats": sorted(dataset.meta.stats),
}
print(json.dumps(found))
