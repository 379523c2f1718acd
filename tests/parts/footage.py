"""Footage as it lies on a disk: recordings, pairs, videos and folders of pictures."""

import dataclasses
import json
from pathlib import Path

import av
import cv2
import numpy as np
from street import SIZE, make_chunk, street

from realmaster_live import ChunkSpec, SourceInfo
from realmaster_live.recording import About, Recorder

LABELS = ("depth", "semantic", "instance", "flow")
WIDTH, HEIGHT = SIZE


def write_recording(
    folder: Path, *, chunks=6, gaps=None, labels=LABELS, size=SIZE, standing=False, **source
) -> Path:
    """A drive of 4 frames a chunk at 20 fps; gaps: chunk index -> frames lost before it."""
    lost = 0
    spec = ChunkSpec(frames=4, width=size[0], height=size[1], fps=20)
    about = About(source=SourceInfo.of({"map": "Carla/Maps/Town05", **source}), seed=7)
    with Recorder(folder, spec, about=about) as recorder:
        for index in range(chunks):
            dropped = (gaps or {}).get(index, 0)
            lost += dropped
            chunk = make_chunk(index, labels=labels, size=size)
            poses = chunk.cam_to_world * (0 if standing else 1)
            recorder.write(
                dataclasses.replace(
                    chunk,
                    timestamps=chunk.timestamps + lost / 20,
                    cam_to_world=poses,
                    dropped_before=dropped,
                    rendered=None,
                    frames=chunk.rendered,
                )
            )
    return folder


def frames_of(count: int, *, first=0, size=SIZE) -> np.ndarray:
    return np.stack([street(first + index, size)[0] for index in range(count)])


def write_pair(folder: Path, seed: int, *, number=0, frames=12, prompt=None, first=0) -> Path:
    """A render and a darker truth, as the embedded town's renderer leaves them."""
    folder.mkdir(exist_ok=True)
    stem = folder / (f"town{seed:04d}-{number}" + (f"-{prompt}" if prompt else ""))
    sim = frames_of(frames, first=first)
    np.save(f"{stem}.sim.npy", sim)
    np.save(f"{stem}.truth.npy", sim // 2)
    facts = {"seed": seed, "number": number, "dt": 0.05, "weather": {"cloudiness": 80.0}}
    path = Path(f"{stem}.json")
    path.write_text(json.dumps(facts | ({"prompt": prompt} if prompt else {})))
    return path


def write_film(path: Path, *, frames=30, fps=20, size=SIZE, first=0) -> Path:
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "12"})
        stream.width, stream.height = size
        stream.codec_context.gop_size = 12
        for picture in frames_of(frames, first=first, size=size):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def write_pictures(folder: Path, sizes, *, suffix=".png") -> Path:
    folder.mkdir()
    for index, size in enumerate(sizes):
        cv2.imwrite(str(folder / f"frame{index}{suffix}"), street(index, size)[0][..., ::-1])
    return folder
