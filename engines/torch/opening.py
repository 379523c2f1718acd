"""Opens a checkpoint for the torch engines: networks, adapters, device and precision."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from realmaster_live.engines.options import Precision
from realmaster_live.engines.torch.adapters import Adapters, attach_files
from realmaster_live.engines.torch.device import check_precision, device_text, find_device
from realmaster_live.errors import BuildError
from realmaster_live.model.autoencoders.interface import Autoencoder
from realmaster_live.model.autoencoders.opening import check_latents
from realmaster_live.model.dit import InContextTransformer
from realmaster_live.model.fp8 import quantize_blocks
from realmaster_live.model.lora import Adapter
from realmaster_live.model.networks import Networks, check_experts
from realmaster_live.model.precision import mix_precision
from realmaster_live.model.profile import Profile


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A model that is ready to run, once `place` has moved what runs.

    Attributes:
        name: the checkpoint's folder, or "networks" where networks were given. folder: None then.
        adapters: each expert's, attached and not yet merged.
        files: names and strengths of the LoRA files.
        device, precision: where and how it runs.
    """

    name: str
    folder: Path | None
    autoencoder: Autoencoder
    transformers: tuple[InContextTransformer, ...]
    adapters: tuple[Adapter | None, ...]
    files: tuple[tuple[str, float], ...]
    device: torch.device
    precision: Precision

    @property
    def profile(self) -> Profile:
        """Return the sizes of the model."""
        return self.transformers[0].profile

    @property
    def bf16(self) -> bool:
        """Return whether products outside the quantized layers are bfloat16."""
        return self.precision != "fp32"

    @property
    def dtype(self) -> torch.dtype:
        """Return the dtype of keys and values."""
        return torch.bfloat16 if self.bf16 else torch.float32

    def place(self, experts: Iterable[int]) -> None:
        """Move the autoencoder and some experts to the device, in the precision, merged."""
        chosen = list(experts)
        for part in (self.autoencoder, *(self.transformers[each] for each in chosen)):
            part.requires_grad_(False)
            if self.bf16:
                mix_precision(part)
            part.to(self.device)
        for each in chosen:
            adapter = self.adapters[each]
            if adapter is not None:
                adapter.merge()
            if self.precision == "fp8":
                if adapter is not None:
                    adapter.detach()  # the products stay in the weights
                quantize_blocks(self.transformers[each])

    def described(self) -> str:
        """Return what runs where, such as `CHECKPOINT (wan-1.3b-480) on cpu in fp32`."""
        with_files = [f"{name} at {strength:g}" for name, strength in self.files]
        adapters = f", adapters {', '.join(with_files)}" if with_files else ""
        return (
            f"{self.name} ({self.profile.name}) on {device_text(self.device)} in "
            f"{self.precision}{adapters}"
        )


def open_model(
    checkpoint: Path | str | Networks,
    *,
    device: str,
    precision: Precision | None = None,
    adapter: Adapters | Path | str = (),
    ignore_unsupported: bool = False,
) -> Opened:
    """Return the model of a checkpoint folder, or of given networks, on the host.

    `precision` None is bf16 on a GPU and fp32 on the CPU.

    Raises:
        EngineError: the device or the precision is not there, or a LoRA file names no expert.
        BuildError: a file of the checkpoint or a LoRA file is damaged or does not fit.
    """
    where = find_device(device)
    wanted: Precision = precision or ("bf16" if where.type == "cuda" else "fp32")
    check_precision(wanted, where)
    given = isinstance(checkpoint, tuple)
    folder = None if isinstance(checkpoint, tuple) else Path(checkpoint)
    if isinstance(checkpoint, tuple):
        networks = checkpoint
    else:
        from realmaster_live.model.checkpoint import load_networks  # which needs safetensors

        networks = load_networks(Path(checkpoint))
    autoencoder, *transformers = networks
    check_experts(transformers[0].profile, len(transformers))
    check_latents(
        autoencoder, transformers[0].profile, source=str(checkpoint) if folder else "networks"
    )
    check_finite(autoencoder, "autoencoder")
    for index, transformer in enumerate(transformers):
        check_finite(transformer, f"transformer_{index + 1}" if index else "transformer")
    files = [(adapter, 1.0)] if isinstance(adapter, (Path, str)) else list(adapter)
    adapters = attach_files(transformers, files, ignore_unsupported=ignore_unsupported)
    return Opened(
        name="networks" if given else str(checkpoint),
        folder=folder,
        autoencoder=autoencoder,
        transformers=tuple(transformers),
        adapters=tuple(adapters),
        files=tuple((Path(file).name, strength) for file, strength in files),
        device=where,
        precision=wanted,
    )


def check_finite(module: nn.Module, name: str) -> None:
    """Raise BuildError if any tensor holds NaN or infinity."""
    for key, tensor in module.state_dict().items():
        wrong = int((~torch.isfinite(tensor)).sum())
        if wrong:
            raise BuildError(
                f"expected finite weights, got {wrong} of {tensor.numel()} values NaN or infinite "
                f"in {name}.{key}: use an earlier checkpoint of the run"
            )
