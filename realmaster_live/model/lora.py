"""Low-rank adaptation of a transformer's linear layers (Hu et al. 2021, arXiv 2106.09685).

It works on any transformer whose layers are named as in diffusers' WanTransformer3DModel.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from realmaster_live.errors import BuildError, ConfigError

DEFAULT_TARGETS = ("to_q", "to_k", "to_v", "to_out.0", "ffn.net.0.proj", "ffn.net.2")
"""Every attention's projections, self and cross, and the feed-forward."""


class LowRank(nn.Module):
    """The product of two low-rank matrices, added to a linear layer's output (section 4.1).

    It is a submodule of the layer, so that it is moved and wrapped with it. It does not appear in
    state dicts, whose names stay those of the base model.
    """

    def __init__(
        self,
        down: Tensor,  # (rank, in), A in the paper
        up: Tensor,  # (out, rank), B in the paper
        *,
        alpha: float,
    ) -> None:
        super().__init__()
        self.down = nn.Parameter(down)
        self.up = nn.Parameter(up)
        self.alpha = alpha
        self.strength = 1.0
        self.base: Tensor | None = None  # (out, in), the layer's own weight while merged

    @property
    def rank(self) -> int:
        """Return the inner size of the product."""
        return self.down.shape[0]

    @property
    def factor(self) -> float:
        """Return the scale of the product: strength * alpha / rank."""
        return self.strength * self.alpha / self.rank

    def forward(self, x: Tensor) -> Tensor:  # (..., in) -> (..., out)
        """Return factor * B A x, computed in x's dtype."""
        small = nn.functional.linear(x, self.down.to(x.dtype)) * self.factor
        return nn.functional.linear(small, self.up.to(small.dtype))

    def add_to(self, layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor | None:
        """Add the product to the layer's output: a forward hook."""
        if self.base is not None or self.strength == 0:
            return None  # the unchanged output, bit for bit
        product: Tensor = self(inputs[0])
        return output + product.to(output.dtype)

    @torch.no_grad()
    def merged(self, weight: Tensor) -> Tensor:  # (out, in) -> (out, in) in the same type
        """Return W + factor * B A, computed in at least float32."""
        wide = torch.promote_types(weight.dtype, torch.float32)
        return (weight.to(wide) + self.factor * (self.up.to(wide) @ self.down.to(wide))).to(weight)

    def _save_to_state_dict(self, *_: Any, **__: Any) -> None:
        """Write nothing: `lora_files.save` does."""

    def _load_from_state_dict(self, *_: Any, **__: Any) -> None:
        """Read nothing, and report no key as missing."""


class Adapter:
    """The low-rank products attached to the linear layers of one module.

    While attached, the module's own parameters are frozen and only `parameters()` have gradients.
    The strength is a Python number. Compiled or captured graphs, and cached keys and values of a
    prompt or a reference, keep the strength that they were made with.

    Args:
        module: the transformer; changed in place.
        low_ranks: the product for each linear layer, by the layer's name in the module.

    Raises:
        ConfigError: the module already carries an adapter.
    """

    def __init__(self, module: nn.Module, low_ranks: Mapping[str, LowRank]) -> None:
        linears = linear_layers(module)
        self._layers = {name: linears[name] for name in low_ranks}
        taken = [name for name, layer in linears.items() if hasattr(layer, "low_rank")]
        if taken:
            raise ConfigError(
                f"expected a {type(module).__name__} without an adapter, got one with an adapter "
                f"on {taken[0]}: detach that one first"
            )
        self.low_ranks = dict(low_ranks)
        self._required = [(each, each.requires_grad) for each in module.parameters()]
        self._hooks = []
        module.requires_grad_(False)
        for name, layer in self._layers.items():
            low_rank = self.low_ranks[name].to(layer.weight.device)
            layer.add_module("low_rank", low_rank)
            self._hooks.append(layer.register_forward_hook(low_rank.add_to))
        self._strength = 1.0
        self._merged = False

    def parameters(self) -> Iterator[nn.Parameter]:
        """Yield the trained parameters, A before B, in the order of the module's layers."""
        for low_rank in self.low_ranks.values():
            yield low_rank.down
            yield low_rank.up

    @property
    def strength(self) -> float:
        """Return the adapter's strength; 0 is the base model, bit for bit."""
        return self._strength

    @strength.setter
    def strength(self, strength: float) -> None:
        if not math.isfinite(strength):
            raise ConfigError(f"expected a finite strength, got {strength}: 0 to 1 is usual")
        merged = self._merged
        self.unmerge()
        self._strength = float(strength)
        for low_rank in self.low_ranks.values():
            low_rank.strength = self._strength
        if merged:
            self.merge()

    def merge(self) -> None:
        """Merge the products into the weights, so that a pass costs as much as the base model's.

        A copy of the base weights is kept in host memory until `unmerge` or `detach`. A second call
        has no effect.
        """
        if not self._layers:
            raise ConfigError(
                "expected an attached adapter to merge, got a detached one: attach or load it again"
            )
        if self._merged:
            return
        with torch.no_grad():
            for name, layer in self._layers.items():
                low_rank = self.low_ranks[name]
                low_rank.base = layer.weight.detach().to("cpu", copy=True)
                layer.weight.copy_(low_rank.merged(layer.weight))
        self._merged = True

    def unmerge(self) -> None:
        """Restore the base weights, bit for bit."""
        with torch.no_grad():
            for name, layer in self._layers.items():
                low_rank = self.low_ranks[name]
                if low_rank.base is not None:
                    layer.weight.copy_(low_rank.base)
                low_rank.base = None
        self._merged = False

    def detach(self) -> None:
        """Remove the adapter and make the same parameters trainable as before; may be called twice.

        A merged adapter stays in the weights: merge and detach to fuse it, or unmerge first to
        remove it.
        """
        for hook in self._hooks:
            hook.remove()
        for layer in self._layers.values():
            del layer.low_rank
        for parameter, required in self._required:
            parameter.requires_grad_(required)
        for low_rank in self.low_ranks.values():
            low_rank.base = None
        self._hooks, self._layers, self._required = [], {}, []
        self._merged = False


def linear_layers(module: nn.Module) -> dict[str, nn.Linear]:
    """Return the module's linear layers by name, in its order."""
    return {name: each for name, each in module.named_modules() if isinstance(each, nn.Linear)}


def attach(
    module: nn.Module,
    *,
    rank: int,
    alpha: float | None = None,
    targets: Sequence[str] = DEFAULT_TARGETS,
    generator: torch.Generator,
) -> Adapter:
    """Attach new products to a module's linear layers, ready to train.

    A is initialized with Kaiming's uniform distribution, B with zeros: the output is unchanged.

    Args:
        module: the transformer; changed in place. Its own parameters are frozen.
        rank: inner size of every product.
        alpha: the products are scaled by alpha / rank; None takes the rank.
        targets: suffixes of layer names, in whole dotted components; each must match a linear
            layer.
        generator: random generator for A, on any device.

    Raises:
        ConfigError: the rank is below one, or the module already carries an adapter.
        BuildError: a target matches no linear layer.
    """
    if rank < 1:
        raise ConfigError(f"expected a rank of at least 1, got {rank}: 16 to 128 is usual")
    linears = linear_layers(module)
    for target in targets:
        if not any(_ends(name, target) for name in linears):
            raise BuildError(
                f"expected a linear layer whose name ends in {target}, got a "
                f"{type(module).__name__} without one: give targets among its layers, or a model "
                "whose layers are named as in diffusers"
            )
    low_ranks = {}
    for name, layer in linears.items():
        if any(_ends(name, target) for target in targets):
            down = torch.empty(rank, layer.in_features, device=generator.device)
            nn.init.kaiming_uniform_(down, a=math.sqrt(5), generator=generator)
            up = torch.zeros(layer.out_features, rank)
            low_ranks[name] = LowRank(down, up, alpha=float(rank if alpha is None else alpha))
    return Adapter(module, low_ranks)


def _ends(name: str, target: str) -> bool:
    """Return whether a layer's name ends in the target's dotted components."""
    return f".{name}".endswith(f".{target}")
