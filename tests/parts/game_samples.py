"""Drives through the embedded town, written down in the layouts of the game's harnesses.

The matrices are written from the published descriptions of the layouts, not with our readers' code.
"""

import gzip
import json
import pickle
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import yaml

from realmaster_live.bridges.carla.geometry import cam_to_world
from realmaster_live.minitown.models.town import build_town
from realmaster_live.minitown.plan.network import make_network
from realmaster_live.minitown.raster.rasteriser import Rasteriser
from realmaster_live.minitown.truth.drives import drive, plan_drive

WIDTH, HEIGHT, FPS = 192, 112, 20.0
SEED, NUMBER, LONGEST = 3, 9, 17  # a drive with cars, people, lights and motion
NEAR, FAR = 0.15, 10003.815  # metres, of the game's projection
SKY_M = 1000.0
GL = np.diag([1.0, -1.0, -1.0, 1.0])
# CARLA's classes as ids of the stencil buffer and as VIPER's
STENCIL = {12: 1, 13: 1, 14: 2, 15: 2, 16: 2, 18: 2, 19: 2, 9: 3, 10: 3, 2: 4, 25: 4, 11: 7}
OF_STENCIL = {0: 0, 1: 12, 2: 14, 3: 9, 4: 25, 7: 11}
VIPER = {1: 3, 2: 4, 3: 9, 5: 11, 7: 13, 8: 14, 9: 8, 10: 6, 11: 2, 12: 20, 14: 24, 15: 27, 16: 26}
OF_VIPER = {viper: carla for carla, viper in VIPER.items()} | {0: 0}


@dataclass(frozen=True, kw_only=True)
class Truth:
    """One frame of the town in our axes."""

    image: np.ndarray
    depth: np.ndarray
    semantic: np.ndarray
    ids: np.ndarray
    focal: float
    pose: np.ndarray

    @property
    def camera(self) -> np.ndarray:
        return np.array([[self.focal, 0, WIDTH / 2], [0, self.focal, HEIGHT / 2], [0, 0, 1]])

    @property
    def stencil(self) -> np.ndarray:
        return mapped(self.semantic, STENCIL)

    @property
    def view(self) -> np.ndarray:
        """World to OpenGL's camera axes."""
        return np.linalg.inv(self.pose @ GL)

    @property
    def projection(self) -> np.ndarray:
        """Reverse-Z: 1 at the near plane, 0 at the far one."""
        p22, p23 = -NEAR / (NEAR - FAR), -NEAR * FAR / (NEAR - FAR)
        across, down = 2 * self.focal / WIDTH, 2 * self.focal / HEIGHT
        return np.array([[across, 0, 0, 0], [0, down, 0, 0], [0, 0, p22, p23], [0, 0, -1, 0]])

    @property
    def buffer(self) -> np.ndarray:
        """The depth buffer, by the projection of points; 0 at the sky."""
        near = np.where(self.depth < SKY_M, self.depth, 1.0)
        clip = self.projection @ np.stack([0 * near, 0 * near, -near, 0 * near + 1]).reshape(4, -1)
        ndc = (clip[2] / clip[3]).reshape(near.shape)
        return np.where(self.depth < SKY_M, ndc, 0.0)

    @property
    def vfov_deg(self) -> float:
        return float(2 * np.degrees(np.arctan(HEIGHT / 2 / self.focal)))


def mapped(labels: np.ndarray, table: dict) -> np.ndarray:
    numbers = np.zeros(256, np.uint8)
    numbers[list(table)] = list(table.values())
    return numbers[labels]


def town_drive(frames: int, made_once: Callable[..., Path]) -> list[Truth]:
    """Return the first frames of a drive, at most LONGEST, with depth up to SKY_M."""
    folder = made_once(
        "game-drive", lambda new: (new / "truths").write_bytes(pickle.dumps(_drawn()))
    )
    return pickle.loads((folder / "truths").read_bytes())[:frames]


def _drawn() -> list[Truth]:
    rasteriser = Rasteriser(build_town(make_network(SEED)), shadow_size=0)
    truths = []
    states = drive(plan_drive(SEED, NUMBER), frames=LONGEST, width=WIDTH, height=HEIGHT, dt=1 / FPS)
    for state, view in states:
        drawn = rasteriser.render(state, view)
        truths.append(
            Truth(
                image=drawn.rgb,
                depth=np.minimum(drawn.depth, SKY_M),
                semantic=np.where(drawn.depth < SKY_M, drawn.semantic, 11).astype(np.uint8),
                ids=drawn.instance & 0xFFFF,
                focal=WIDTH / 2 / np.tan(np.radians(view.fov_deg) / 2),
                pose=cam_to_world(view.cam_to_world),
            )
        )
    return truths


def write_presil(root: Path, truths, *, series: str = "", first: int = 0, poses=True) -> Path:
    """An `object` folder, or one series of a `tracking` folder."""
    for index, truth in enumerate(truths):
        number = f"{first + index:06d}"

        def place(name, suffix, number=number):
            folder = root / name / series
            folder.mkdir(parents=True, exist_ok=True)
            return folder / f"{number}{suffix}"

        cv2.imwrite(str(place("image_2", ".png")), truth.image[..., ::-1])
        truth.buffer.astype("<f4").tofile(place("depth", ".bin"))
        # flags of the upper half: one's own car and others
        (truth.stencil | (0x80 * (truth.stencil == 2)).astype(np.uint8)).tofile(
            place("stencil", ".raw")
        )
        row = f"{truth.focal} 0 {WIDTH / 2} 0 0 {truth.focal} {HEIGHT / 2} 0 0 0 1 0"
        place("calib", ".txt").write_text("".join(f"P{i}: {row}\n" for i in range(4)))
        if poses:
            right, down, forward, position = truth.pose[:3].T
            rows = (position - [0, 0, 1], position, forward, right, -down)
            text = "\n".join(" ".join(f"{x:.6f}" for x in row) for row in rows)
            place("position_world", ".txt").write_text(text)
    return root


def vision_json(truth: Truth, name: str, *, matrices: bool = True) -> str:
    """A frame's JSON, with the bare Infinity that the harness writes."""
    right, down, forward, position = truth.pose[:3].T
    # world = Rz Ry Rx camera, where the camera looks along y
    angles = np.degrees(
        [
            np.arctan2(forward[2], -down[2]),
            -np.arcsin(right[2]),
            np.arctan2(right[1], right[0]),
        ]
    )
    facts = {
        "imagepath": name,
        "currentweather": "Clear",
        "width": WIDTH,
        "height": HEIGHT,
        "camera_rot": angles.tolist(),
        "camera_pos": position.tolist(),
        "camera_fov": truth.vfov_deg,
        "entities": [{"bbox": [[float("inf"), 0.5], [float("-inf"), 0.5]], "type": "car"}],
    }
    if matrices:
        facts |= {"view_matrix": truth.view.tolist(), "proj_matrix": truth.projection.tolist()}
    return json.dumps(facts)


def write_visionexport(folder: Path, truths, *, matrices=True) -> Path:
    """Exported: jpg, two png and a json a frame."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, truth in enumerate(truths):
        milliseconds = 957 + index * 50  # crosses a second
        name = f"2018-03-30--04-05-{57 + milliseconds // 1000:02d}--{milliseconds % 1000:03d}"
        stored = (truth.depth * 65535 / 1000).astype(np.uint16)
        quality = [cv2.IMWRITE_JPEG_QUALITY, 95]
        cv2.imwrite(str(folder / f"{name}.jpg"), truth.image[..., ::-1], quality)
        cv2.imwrite(str(folder / f"{name}-depth.png"), stored)
        cv2.imwrite(str(folder / f"{name}-stencil.png"), truth.stencil)
        (folder / f"{name}.json").write_text(vision_json(truth, name, matrices=matrices))
    return folder


def write_tiffs(folder: Path, truths, *, one_file: bool, stencil_first=False, camera=True) -> Path:
    """As taken: one TIFF of all pages, or three; colour by JPEG, the others by LZW."""
    import tifffile

    folder.mkdir(parents=True, exist_ok=True)
    for index, truth in enumerate(truths):
        name = f"shot{index}"
        rgba = np.dstack([truth.image, np.full((HEIGHT, WIDTH), 255, np.uint8)])
        depth = {"data": truth.buffer.astype(np.float32), "compression": "lzw", "predictor": 3}
        stencil = {"data": truth.stencil, "compression": "lzw", "predictor": 2}
        labels = [stencil, depth] if stencil_first else [depth, stencil]
        if one_file:
            jpeg = {"data": rgba[..., :3], "compression": "jpeg", "photometric": "rgb"}
            with tifffile.TiffWriter(folder / f"{name}.tiff") as file:
                for page in (jpeg | {"compressionargs": {"level": 95}}, *labels):
                    file.write(**page, metadata=None)
        else:
            parts = {"": {"data": rgba, "extrasamples": [2]}, "-depth": depth, "-stencil": stencil}
            for part, page in parts.items():
                tifffile.imwrite(folder / f"{name}{part}.tiff", **page, metadata=None)
        if camera:
            (folder / f"{name}.json").write_text(vision_json(truth, name))
    return folder


def write_sailvos(scene: Path, truths, *, without_camera=()) -> Path:
    for name in ("images", "depth", "camera", "rage_matrices"):
        (scene / name).mkdir(parents=True, exist_ok=True)
    for index, truth in enumerate(truths):
        stem = f"{index:018d}"
        cv2.imwrite(str(scene / "images" / f"{stem}.bmp"), truth.image[..., ::-1])
        stored = np.where(truth.depth < SKY_M, (truth.buffer + 4e-5) * 6.0, 24e-5)
        np.save(scene / "depth" / f"{stem}.npy", stored.astype(np.float32))
        inverse = np.linalg.inv(truth.projection).T  # rows are vectors
        np.savez(scene / "rage_matrices" / f"{stem}.npz", P_inv=inverse)
        optics = truth.camera.copy()
        optics[:2, 2] = 0
        if index not in without_camera:
            facts = {"K": optics.tolist(), "Rt": truth.view[:3].tolist()}
            (scene / "camera" / f"{stem}.yaml").write_text(yaml.safe_dump(facts))
    return scene


def write_viper(root: Path, truths, *, sequence="001", step=1) -> Path:
    rows = []
    for index, truth in enumerate(truths):
        number = 1 + index * step
        stem = f"{sequence}_{number:05d}"
        classes = mapped(truth.semantic, VIPER)
        for name, suffix in (("img", ".jpg"), ("cls", ".png"), ("inst", ".png")):
            (root / name / sequence).mkdir(parents=True, exist_ok=True)
            path = root / name / sequence / f"{stem}{suffix}"
            if name == "cls":
                path.write_bytes(indexed_png(classes))
            else:
                marked = np.dstack([classes, truth.ids >> 8, truth.ids & 0xFF]).astype(np.uint8)
                cv2.imwrite(str(path), (truth.image if name == "img" else marked)[..., ::-1])
        view = truth.view @ np.linalg.inv(truths[0].view)
        numbers = (*truth.projection.ravel(), *view.ravel())
        rows.append(",".join([str(number), *(f"{x:.9g}" for x in numbers)]))
    (root / "camera").mkdir(exist_ok=True)
    (root / "camera" / f"{sequence}.csv").write_text("\n".join(rows) + "\n")
    return root


def indexed_png(numbers: np.ndarray) -> bytes:
    """Return a palette PNG, as PIL writes mode P; two of its colours are the same."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    height, width = numbers.shape
    palette = bytes((index * 7 % 256 if index < 200 else 1) for index in range(768))
    rows = b"".join(b"\0" + row.tobytes() for row in numbers)
    head = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    parts = ((b"IHDR", head), (b"PLTE", palette), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def padded(image: np.ndarray) -> bytes:
    """Return rows of B G R, each filled up to 4 bytes."""
    height, width, _ = image.shape
    rows = image[..., ::-1].reshape(height, -1)
    return np.pad(rows, ((0, 0), (0, -3 * width % 4)), constant_values=0xEE).tobytes()


def write_vpilot(path: Path, images, *, protocol=None) -> Path:
    """As VPilot does: opened anew and appended to."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for index, image in enumerate(images):
        facts = {"speed": 3.5, "location": [1.0, 2.0, 3.0], "vehicles": [], "time": 12 + index}
        with gzip.open(path, "ab", compresslevel=1) as file:
            pickle.dump(facts | {"frame": padded(image)}, file, protocol=protocol)
    return path
