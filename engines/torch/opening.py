"""Opens a checkpoint for the torch engines: networks, adapters, device and precision."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from realmaster_live.engines.options import MOST_STEPS, Precision
from realmaster_live.engines.torch.adapters import Adapters, attach_files
from realmaster_live.engines.torch.device import check_precision, device_text, find_device
from realmaster_live.errors import BuildError, EngineError
from realmaster_live.model.autoencoders.interface import Autoencoder
from realmaster_live.model.autoencoders.opening import check_latents
from realmaster_live.model.dit import InContextTransformer
from realmaster_live.model.fp8 import quantize_blocks
from realmaster_live.model.lora import Adapter
from realmaster_live.model.networks import Networks, check_experts, expert_at
from realmaster_live.model.precision import mix_precision
from realmaster_live.model.profile import Profile
from realmaster_live.model.sampling import sigmas
from realmaster_live.prompts import PROMPTS_FILE, PromptTable
from realmaster_live.system.contents import sha256_of

WEIGHTS_SHARE = 0.7  # of the free memory that weights may take


def learnt_prompts(transformer: InContextTransformer) -> PromptTable:
    """Return the embeddings that were learnt with a model; empty where there are none."""
    names = transformer.profile.prompts
    if not names:
        return PromptTable({})
    values = transformer.prompt_embedding.detach().float().cpu().numpy()
    return PromptTable(dict(zip(names, values, strict=True)))


def known_prompts(
    transformer: InContextTransformer,
    checkpoint: Path | None,
    given: Mapping[str, NDArray[np.float32]],
) -> PromptTable:
    """Return the learnt prompts, those stored beside a checkpoint, and the given ones, merged."""
    path = None if checkpoint is None else checkpoint / PROMPTS_FILE
    kept = PromptTable.load(path) if path is not None and path.exists() else PromptTable({})
    known = PromptTable({**learnt_prompts(transformer), **kept, **given}, texts=kept.texts)
    width = transformer.profile.text_width
    for name, embedding in known.items():
        if embedding.ndim != 2 or embedding.shape[1] != width:
            raise EngineError(
                f"expected embeddings (tokens, {width}), got {embedding.shape} of {name!r}: "
                "use the text encoder that the model was trained with"
            )
    if width and not known:
        raise EngineError(
            f"expected embeddings of prompts for {transformer.profile.name}, got none: embed some "
            f"with realmaster prompts CHECKPOINT --encoder ENCODER, which writes {PROMPTS_FILE}"
        )
    return known


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

    def schedule(
        self, steps: int, prompts: Mapping[str, NDArray[np.float32]] | None
    ) -> tuple[list[float], dict[int, PromptTable]]:
        """Return the noise levels of `steps` steps, and the prompts of each expert that serves one.

        `prompts` are embeddings (M, C) besides those that the model has.

        Raises:
            EngineError: there are too many steps, or an embedding is missing or does not fit.
        """
        if not 1 <= steps <= MOST_STEPS:
            raise EngineError(
                f"expected steps from 1 to {MOST_STEPS}, got {steps}: choose such a number"
            )
        levels = sigmas(steps, self.profile.shift)
        return levels, {
            each: known_prompts(self.transformers[each], self.folder, prompts or {})
            for each in sorted({expert_at(self.profile, t) for t in levels[:-1]})
        }

    def place(self, experts: Iterable[int], *, one_at_a_time: bool = False) -> None:
        """Move the autoencoder and some experts to the device, in the precision, merged.

        With `one_at_a_time`, experts that do not fit there together stay on the host until
        `bring`; in fp8 they are quantized there.
        """
        chosen = list(experts)
        for part in (self.autoencoder, *(self.transformers[each] for each in chosen)):
            part.requires_grad_(False)
            if self.bf16:
                mix_precision(part)
        self.autoencoder.to(self.device)
        stay = one_at_a_time and len(chosen) > 1 and not self._fit(chosen)
        for each in chosen:
            if not stay:
                self.transformers[each].to(self.device)
            adapter = self.adapters[each]
            if adapter is not None:
                adapter.merge()
            if self.precision == "fp8":
                if adapter is not None:
                    adapter.detach()  # the products stay in the weights
                quantize_blocks(self.transformers[each])

    def bring(self, expert: int) -> None:
        """Make sure that an expert is on the device; others go to the host if they must."""
        here = [each for each in self.transformers if _device_of(each) == self.device]
        if self.transformers[expert] in here:
            return
        for other in here:
            other.to("cpu")
        self.transformers[expert].to(self.device)

    def _fit(self, experts: Iterable[int]) -> bool:
        """Return whether experts fit on the device together, with room for what they compute."""
        if self.device.type == "cpu":
            return True
        free: int = torch.cuda.mem_get_info(self.device)[0]
        tensors = (x for each in experts for x in self.transformers[each].state_dict().values())
        need = sum(x.numel() * x.element_size() for x in tensors)
        return bool(need < WEIGHTS_SHARE * free)

    def release(self) -> None:
        """Take the networks off the device."""
        if self.device.type == "cuda":
            for part in (self.autoencoder, *self.transformers):
                part.to("cpu")
            torch.cuda.empty_cache()

    def described(self) -> str:
        """Return what runs where, such as `CHECKPOINT (wan-1.3b-480) on cpu in fp32`."""
        with_files = [f"{name} at {strength:g}" for name, strength in self.files]
        adapters = f", adapters {', '.join(with_files)}" if with_files else ""
        return (
            f"{self.name} ({self.profile.name}) on {device_text(self.device)} in "
            f"{self.precision}{adapters}, autoencoder {type(self.autoencoder).__name__}"
        )


def open_model(
    checkpoint: Path | str | Networks,
    *,
    device: str,
    precision: Precision | None = None,
    adapter: Adapters | Path | str = (),
    ignore_unsupported: bool = False,
    autoencoder: Autoencoder | None = None,
) -> Opened:
    """Return the model of a checkpoint folder, or of given networks, on the host.

    `precision` None is bf16 on a GPU and fp32 on the CPU. `autoencoder` takes the place of the
    checkpoint's.

    Raises:
        EngineError: the device or precision is not available, or a LoRA file names no expert.
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
    own, *transformers = networks
    autoencoder = own if autoencoder is None else autoencoder
    check_experts(transformers[0].profile, len(transformers))
    check_latents(
        autoencoder, transformers[0].profile, source=str(checkpoint) if folder else "networks"
    )
    check_finite(autoencoder, "autoencoder")
    for index, transformer in enumerate(transformers):
        check_finite(transformer, f"transformer_{index + 1}" if index else "transformer")
    files = [(adapter, 1.0)] if isinstance(adapter, (Path, str)) else list(adapter)
    adapters = attach_files(
        transformers,
        files,
        base_hashes=None if folder is None else partial(weight_hashes, folder),
        ignore_unsupported=ignore_unsupported,
    )
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


def weight_hashes(folder: Path, expert: int) -> tuple[str, str]:
    """Return the hashes of an expert's weights in a checkpoint: over tensors, and of the file.

    Earlier versions named a LoRA's base by the latter.
    """
    from realmaster_live.model.checkpoint import TRANSFORMER_FILES
    from realmaster_live.model.tensor_files import hash_tensors, stored_tensors

    path = folder / TRANSFORMER_FILES[expert]
    return hash_tensors(stored_tensors(path)), sha256_of(path, error=BuildError)


def _device_of(module: nn.Module) -> torch.device:
    """Return the device of a network."""
    return next(module.parameters()).device


def check_finite(module: nn.Module, name: str) -> None:
    """Raise BuildError if any tensor holds NaN or infinity."""
    for key, tensor in module.state_dict().items():
        wrong = int((~torch.isfinite(tensor)).sum())
        if wrong:
            raise BuildError(
                f"expected finite weights, got {wrong} of {tensor.numel()} values NaN or infinite "
                f"in {name}.{key}: use an earlier checkpoint of the run"
            )
