"""One interface to the compilers TensorRT 10 and 11 and TensorRT for RTX.

All networks are strongly typed: the graph states the precision. TensorRT needs the target GPU to
build. TensorRT for RTX builds without a GPU, for RTX cards of all architectures that it supports.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from realmaster_live.engines.program.chunk_program import Ports
from realmaster_live.errors import BuildError, MissingDependency
from realmaster_live.optional import pip_command

logger = logging.getLogger(__name__)

FLAVOURS = ("tensorrt", "tensorrt_rtx")


@dataclass(frozen=True, slots=True, kw_only=True)
class Flavour:
    """An installed compiler.

    Attributes:
        name: the module's name. version: its full version. api: the module.
    """

    name: str
    version: str
    api: Any

    @property
    def major(self) -> int:
        """Return the major version."""
        return int(self.version.split(".")[0])

    @property
    def builds_without_gpu(self) -> bool:
        """Return whether plans can be built without a GPU."""
        return self.name == "tensorrt_rtx"

    @property
    def network_flags(self) -> int:
        """Return the flags that make a network strongly typed; TensorRT 11 and later need none."""
        if self.name == "tensorrt" and self.major == 10:
            return 1 << int(self.api.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        return 0

    def serves(self, sm: int) -> bool:
        """Return whether plans run on a GPU of this compute capability, such as 90."""
        known = getattr(self.api, "ComputeCapability", None)
        if self.name == "tensorrt" or known is None:
            return True
        return f"SM{sm}" in known.__members__


def find_flavour(wanted: str | None = None, *, gpu: bool) -> Flavour:
    """Return the installed compiler, preferring TensorRT if there is a GPU.

    Raises:
        MissingDependency: none, or not the requested one, is installed.
    """
    names = FLAVOURS if gpu else tuple(reversed(FLAVOURS))
    failed = []
    for name in (wanted,) if wanted else names:
        try:
            api = importlib.import_module(name)
        except (
            ImportError,
            OSError,
        ) as error:  # one of the module's shared libraries may be missing
            failed.append(f"{name}: {error}")
            continue
        if hasattr(api, "Builder"):  # tensorrt without its libraries imports as an empty package
            return Flavour(name=name, version=str(api.__version__), api=api)
        failed.append(f"{name}: it has no Builder")
    raise MissingDependency(
        f"expected a TensorRT, got none that imports ({'; '.join(failed)}): run "
        f"{pip_command('trt-rtx')} (RTX cards, and builds without a GPU) or "
        f"{pip_command('tensorrt')} (data-centre GPUs such as the H100)"
    )


def compile_plan(
    flavour: Flavour,
    path: Path,
    ports: Ports,
    *,
    lengths: Sequence[int],  # numbers of past tokens, one optimization profile each
) -> bytes:
    """Compile a prepared graph and return the plan's bytes.

    A graph with the past as input gets one optimization profile with fixed shapes for each length
    of the past, in order. The plan holds the weights once.

    Raises:
        BuildError: the compiler rejects the graph or one of its operations.
    """
    trt = flavour.api
    log = _make_log(trt)
    builder = trt.Builder(log)
    network = builder.create_network(flavour.network_flags)
    parser = trt.OnnxParser(network, log)
    if not parser.parse_from_file(str(path)):
        errors = [str(parser.get_error(index)) for index in range(parser.num_errors)]
        raise BuildError(
            f"expected a graph that {flavour.name} {flavour.version} reads, got {path.name} with "
            f"{'; '.join(errors[:3])}: use another version of {flavour.name}"
        )
    if any(port.dtype == "float32" for port in ports.inputs) and not _is_bfloat16(network, trt):
        _let_attention_decompose(network, trt)
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)  # no TF32
    for past in lengths if any("past" in port.shape for port in ports.inputs) else ():
        profile = builder.create_optimization_profile()
        for port in ports.inputs:
            if "past" in port.shape:
                profile.set_shape(port.name, *[port.at(past)] * 3)
        config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise BuildError(
            f"expected a plan of {path.stem} from {flavour.name} {flavour.version}, got "
            f"{'; '.join(log.errors[-2:]) or 'nothing'}: try --precision fp32, or another version"
        )
    return bytes(plan)


def _is_bfloat16(network: Any, trt: Any) -> bool:
    """Return whether a network's attention is in bfloat16, which has fused kernels."""
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        if layer.type == getattr(trt.LayerType, "ATTENTION_INPUT", None):
            return bool(layer.get_input(0).dtype == trt.bfloat16)
    return True


def _let_attention_decompose(network: Any, trt: Any) -> None:
    """Allow attention to be decomposed, since there are no fused kernels for float32."""
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        if layer.type == getattr(trt.LayerType, "ATTENTION_OUTPUT", None):
            layer.__class__ = trt.IAttentionBoundaryLayer
            layer.attention.decomposable = True


def _make_log(trt: Any) -> Any:
    """Return a TensorRT logger that collects errors and passes warnings to `logging`."""

    class Log(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                self.errors.append(message)
            elif severity == trt.ILogger.WARNING:
                logger.debug("%s", message)

    return Log()


class Plan:
    """A deserialized plan: a TensorRT engine on the GPU and its execution contexts.

    Attributes:
        takes_past: whether it has an optimization profile for each length of the past.
    """

    def __init__(self, flavour: Flavour, content: bytes, name: str, ports: Ports) -> None:
        """Deserialize a plan in the current CUDA context; the caller must have checked its hash."""
        self._trt, self._name, self._ports = flavour.api, name, ports
        self._log = _make_log(flavour.api)
        self._runtime = flavour.api.Runtime(self._log)
        self._engine = self._runtime.deserialize_cuda_engine(content)
        if self._engine is None:
            raise BuildError(
                f"expected a plan of {name} that {flavour.name} {flavour.version} loads, got "
                f"{self.last_error}: run realmaster build again on this GPU"
            )
        self.takes_past = any("past" in port.shape for port in ports.inputs)

    @property
    def last_error(self) -> str:
        """Return TensorRT's last error message."""
        return self._log.errors[-1] if self._log.errors else "no reason"

    @property
    def scratch_bytes(self) -> int:
        """Return the scratch memory that a context needs while it runs, in bytes."""
        return int(self._engine.device_memory_size_v2)

    def open(self, profile: int, past: int, scratch: int, stream: int) -> Any:
        """Return an execution context for one length of the past, on shared scratch memory."""
        strategy = self._trt.ExecutionContextAllocationStrategy.USER_MANAGED
        context = self._engine.create_execution_context(strategy)
        if context is None:
            raise BuildError(
                f"expected a context of {self._name}, got {self.last_error}: run realmaster build "
                "again on this GPU"
            )
        context.set_device_memory(scratch, self.scratch_bytes)
        if self.takes_past:
            context.set_optimization_profile_async(profile, stream)
            for port in self._ports.inputs:
                if "past" in port.shape:
                    context.set_input_shape(port.name, port.at(past))
        return context
