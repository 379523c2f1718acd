"""Engines by name: what the command line and the examples call."""

from __future__ import annotations

from pathlib import Path

from realmaster_live.chunk import ChunkSpec
from realmaster_live.engines.identity_engine import IdentityEngine
from realmaster_live.errors import ConfigError
from realmaster_live.protocols import Engine

EMBEDDED_FOLDER = Path(__file__).parent / "weights" / "embedded"
CHUNK_FRAMES = 4  # of the identity engine: as the embedded model's


def fitting_sizes(width: int, height: int, stride: int = 32) -> list[tuple[int, int]]:
    """Return the (width, height) around a size whose sides are multiples of `stride`.

    The nearest comes first; a size that fits is the only answer.
    """

    def around(side: int) -> list[int]:
        lower = max(stride, side // stride * stride)
        return [lower] if lower >= side else [lower, lower + stride]

    sizes = [(w, h) for w in around(width) for h in around(height)]
    return sorted(sizes, key=lambda size: (abs(size[0] - width) + abs(size[1] - height), size))


def load_engine(
    name: str = "embedded",
    *,
    width: int = 512,  # pixels
    height: int = 288,  # pixels
    fps: float = 20.0,
    steps: int | None = None,
    seed: int = 0,
    threads: int = 0,
) -> Engine:
    """Return the engine called `embedded` or `identity`, or the one exported to a folder.

    `steps` is the number of denoise steps a chunk (the model's own by default), `threads` the
    number of CPU threads (0: all cores). Raises ConfigError for a name that is neither.
    """
    if name == "identity":
        return IdentityEngine(ChunkSpec(frames=CHUNK_FRAMES, height=height, width=width, fps=fps))
    folder = EMBEDDED_FOLDER if name == "embedded" else Path(name)
    if name != "embedded" and not (folder / "manifest.json").is_file():
        raise ConfigError(
            f"expected 'embedded', 'identity' or a folder with manifest.json, got {name!r}: "
            "export a checkpoint to a folder with realmaster export"
        )
    from realmaster_live.engines.onnx_engine import OnnxEngine

    return OnnxEngine(
        folder, width=width, height=height, fps=fps, steps=steps, seed=seed, threads=threads
    )
