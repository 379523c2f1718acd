"""Refits the tone of an exported model to pairs, in closed form, and writes the changed export.

    python benchmarks/refit_tone.py engines/weights/embedded --data PAIRS --out MODEL

`training.embedded.tone` says how. The tone layer is stored as float32 in `decode.onnx`, so nothing
else changes and nothing is calibrated again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from realmaster_live.engines.export.restore import restore
from realmaster_live.training.data import find_clips
from realmaster_live.training.embedded.tone import refit_tone

LAYER = "autoencoder.decoder.tone."
KEPT = (("night", 2.0), ("fog", 1.0))  # prompts held as they are, with weights


def put(path: Path, values: dict[str, np.ndarray]) -> None:
    """Replace initializers of an ONNX file by their names."""
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        if tensor.name in values:
            tensor.CopyFrom(numpy_helper.from_array(values.pop(tensor.name), tensor.name))
    if values:
        raise SystemExit(f"expected {', '.join(values)} in {path}, got none: export it again")
    onnx.save(model, path)


def main() -> None:
    """Refit, and write the export with the hash of its changed graph."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("export", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--ridge", type=float, default=0.03)
    options = parser.parse_args()
    autoencoder, transformer = restore(options.export)
    clips = find_clips(options.data, "training")
    refit_tone(autoencoder, transformer, clips, ridge=options.ridge, kept=KEPT)
    shutil.copytree(options.export, options.out)
    path = options.out / "decode.onnx"
    tone = autoencoder.decoder.tone.state_dict()
    put(path, {LAYER + name: np.ascontiguousarray(value.numpy()) for name, value in tone.items()})
    manifest = json.loads((options.out / "manifest.json").read_text())
    data = path.read_bytes()
    manifest["files"][path.name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    (options.out / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")


if __name__ == "__main__":
    main()
