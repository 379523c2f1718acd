"""Engines, which make captured chunks photoreal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realmaster_live.lazy import lazy_names

if TYPE_CHECKING:
    from realmaster_live.engines.identity_engine import IdentityEngine
    from realmaster_live.engines.load import load_engine
    from realmaster_live.engines.onnx_engine import OnnxEngine
    from realmaster_live.engines.tensorrt.engine import TrtEngine
    from realmaster_live.engines.torch.engine import TorchEngine

_HOMES = {
    "IdentityEngine": "realmaster_live.engines.identity_engine",
    "OnnxEngine": "realmaster_live.engines.onnx_engine",
    "TorchEngine": "realmaster_live.engines.torch.engine",
    "TrtEngine": "realmaster_live.engines.tensorrt.engine",
    "load_engine": "realmaster_live.engines.load",
}
__all__ = [
    "IdentityEngine",
    "OnnxEngine",
    "TorchEngine",
    "TrtEngine",
    "load_engine",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
