import json

import numpy as np
import pytest

from realmaster_live.frames.classes import CLASS_IDS

HEIGHT, WIDTH, FRAMES = 160, 288, 8


def write_clip(folder, seed: int, every: int = 4) -> None:
    """A street of plain colours with two cars and a walker that move; the truth is darker."""
    rng = np.random.default_rng(seed)
    semantic = np.full((FRAMES, HEIGHT, WIDTH), CLASS_IDS["road"], np.uint8)
    semantic[:, :60] = CLASS_IDS["sky"]
    semantic[:, 60:80] = CLASS_IDS["building"]
    semantic[:, 150:] = CLASS_IDS["static"]  # in no group
    depth = np.full(semantic.shape, 20.0, np.float16)
    depth[:, :60] = np.inf
    depth[:, 60:80] = 60.0
    instance = np.zeros(semantic.shape, np.int32)
    starts = rng.integers(10, 100, 3)
    for frame in range(FRAMES):
        for number, (name, top, height, width) in enumerate(
            (("car", 80, 30, 60), ("car", 100, 24, 40), ("pedestrian", 74, 40, 14))
        ):
            left = int(starts[number]) + 60 * number + frame
            place = (frame, slice(top, top + height), slice(left, left + width))
            semantic[place] = CLASS_IDS[name]
            instance[place] = 100 + number
            depth[place] = 10.0
    colours = np.random.default_rng(5).integers(30, 225, (32, 3))
    noise = rng.integers(-12, 13, (*semantic.shape, 3))
    sim = (colours[semantic] + noise).clip(0, 255).astype(np.uint8)
    traced = list(range(every - 1, FRAMES, every))
    name = f"town{seed:04d}-0"
    np.save(folder / f"{name}.sim.npy", sim)
    np.save(folder / f"{name}.truth.npy", (0.6 * sim[traced]).astype(np.uint8))
    np.savez_compressed(
        folder / f"{name}.labels.npz", semantic=semantic, instance=instance, depth=depth
    )
    facts = {"seed": seed, "frames": FRAMES, "truth_frames": traced, "complete": True}
    (folder / f"{name}.json").write_text(json.dumps(facts))


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """Clips to learn from, and of other towns to test on."""
    train, test = (tmp_path_factory.mktemp(name) for name in ("train", "test"))
    for seed in (2000, 2001, 2002):
        write_clip(train, seed)
    write_clip(test, 3000)
    return train, test
