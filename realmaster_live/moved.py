"""Old import paths: each still imports the module that moved, with one DeprecationWarning.

The old path gives the same module object as the new one, so no class exists twice. Goes with the
release after the one that moved the modules. The modules `demo`, `live` and `engines.export`
became packages of the same names and have no row: what they held is in the packages' modules.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_ROOT = "realmaster_live."
# (old package, new package): the modules that kept their names
_SAME_NAMES: Mapping[tuple[str, str], str] = {
    ("", "cli"): "config",
    ("", "demo"): "bench contact_sheet local_town report truth",
    ("", "frames"): "chunk classes geometry objects rig trust weather",
    ("", "live"): "chunker pipeline progress stats",
    ("", "sinks"): "drawing",
    ("", "system"): "atomic_files doctor host termination",
    ("bridges.carla_wire", "bridges.carla.wire"): "episode_state layouts rpc shapes streams",
    ("bridges.gtav_readers", "bridges.gtav.readers"): (
        "drive files opengl presil sailvos tiff_pages viper visionexport vpilot"
    ),
    ("bridges.minitown", "minitown"): "scene transforms",
    ("bridges.minitown", "minitown.models"): (
        "bodies buildings cars cycles designs facades foliage ground lofts materials openings "
        "paint people plots roofs shapes street textures town wheels"
    ),
    ("bridges.minitown", "minitown.plan"): (
        "boxes footpaths lanes layout network opendrive paths roads"
    ),
    ("bridges.minitown", "minitown.raster"): (
        "geometry lamps look overlays pose sampling shading shadows sky stage surfaces"
    ),
    ("bridges.minitown", "minitown.server"): (
        "batch calls calls_actors calls_lights calls_recorder calls_world cameras declined "
        "episode log_file log_recorder log_replayer rpc sensors server "
        "state streams towns wire_view"
    ),
    ("bridges.minitown", "minitown.traffic"): (
        "actors blueprints collisions crowd driving junctions settings sight signals "
        "vehicle walker world"
    ),
    ("bridges.minitown", "minitown.truth"): (
        "brdfs daylight drives film lights_seen pair_labels pairs pathtrace prompts snow"
    ),
    ("engines", "engines.export"): "quantize",
    ("engines.export", "engines.program"): "weight_file",
    ("engines", "engines.program"): (
        "chunk_program host_device plan_graphs prepare rehearsal weight_file"
    ),
    ("engines", "engines.tensorrt"): "build cuda_driver cuda_memory plans",
    ("training", "training.embedded"): ("autoencoder distill joint run transformer vgg"),
    ("workers", "jobs"): "leases local ray_pool slurm",
}
_NEW_NAMES: Mapping[str, str] = {
    "bounded_queue": "live.queue",
    "bridges.exit_guard": "system.termination",
    "bridges.carla_bridge": "bridges.carla.bridge",
    "bridges.carla_camera": "bridges.carla.camera",
    "bridges.carla_door": "bridges.carla.realized_camera",
    "bridges.carla_geometry": "bridges.carla.geometry",
    "bridges.carla_images": "bridges.carla.images",
    "bridges.carla_objects": "bridges.carla.objects",
    "bridges.carla_session": "bridges.carla.session",
    "bridges.carla_wire": "bridges.carla.wire",
    "bridges.gtav_bridge": "bridges.gtav.bridge",
    "bridges.gtav_camera": "bridges.gtav.camera",
    "bridges.gtav_clock": "bridges.gtav.clock",
    "bridges.gtav_doors": "bridges.gtav.protocol.server",
    "bridges.gtav_link": "bridges.gtav.link",
    "bridges.gtav_message_codec": "bridges.gtav.protocol.message_codec",
    "bridges.gtav_messages": "bridges.gtav.protocol.messages",
    "bridges.gtav_readers": "bridges.gtav.readers",
    "bridges.gtav_receiver": "bridges.gtav.receiver",
    "bridges.gtav_relay": "bridges.gtav.relay.relay",
    "bridges.gtav_replay": "bridges.gtav.standin.server",
    "bridges.gtav_shows": "bridges.gtav.relay.display",
    "bridges.gtav_stage": "bridges.gtav.standin.stage",
    "bridges.gtav_stamp": "bridges.gtav.protocol.stamp",
    "bridges.gtav_town": "bridges.gtav.standin.town",
    "bridges.gtav_transport": "bridges.gtav.protocol.client",
    "bridges.gtav_weather": "bridges.gtav.weather",
    "bridges.gtav_wire": "bridges.gtav.protocol.framing",
    "bridges.minitown": "minitown",
    "bridges.minitown.models": "minitown.models.catalogue",
    "bridges.minitown.objects": "minitown.models.objects",
    "bridges.minitown.physics_sheet": "minitown.server.physics_control",
    "bridges.minitown.raster": "minitown.raster.rasteriser",
    "bridges.minitown.raster_kernels": "minitown.raster.kernels",
    "bridges.minitown.traffic": "minitown.traffic.drivers",
    "cli.outputs": "sinks.opening",
    "datasets.ahead": "datasets.labels",
    "datasets.mcap_messages": "messages.foxglove",
    "datasets.moments": "datasets.ticks",
    "datasets.nuscenes_words": "datasets.nuscenes_taxonomy",
    "datasets.quaternion": "frames.quaternion",
    "door": "live.realize",
    "engines.export_graphs": "engines.export.graphs",
    "engines.torch_buffers": "engines.torch.buffers",
    "engines.torch_device": "engines.torch.device",
    "engines.torch_engine": "engines.torch.engine",
    "engines.torch_expert": "engines.torch.expert",
    "engines.torch_graphs": "engines.torch.cuda_graphs",
    "engines.torch_stages": "engines.torch.stages",
    "engines.trt": "engines.tensorrt.compilers",
    "engines.trt_engine": "engines.tensorrt.engine",
    "feeds.setting_up": "feeds.realizing",
    "fidelity.wrapped": "live.wrapper",
    "live.recorded_run": "live.progress",
    "model.copies": "model.copy_counter",
    "model.falling": "model.precipitation",
    "model.joined": "model.concatenated",
    "model.scene": "model.steady_chunk",
    "minitown.server.objects": "minitown.models.objects",
    "minitown.server.physics_sheet": "minitown.server.physics_control",
    "model.ways": "model.variants",
    "moments": "live.rig_chunker",
    "sinks.access": "sinks.viewer.access",
    "sinks.view": "sinks.viewer.live_view",
    "training.distillation.moments": "training.distillation.sequence_statistics",
    "training.embedded.falling": "training.embedded.precipitation",
    "training.embedded.varied": "training.embedded.look_augmentation",
    "training.falling": "training.embedded.precipitation",
    "training.looks": "training.previews",
    "training.varied": "training.embedded.look_augmentation",
    "workers": "jobs",
    "workers.crew": "jobs.supervisor",
    "workers.task": "jobs.executors",
}


def _table() -> Iterator[tuple[str, str]]:
    for (before, after), names in _SAME_NAMES.items():
        for name in names.split():
            yield _ROOT + f"{before}.{name}".lstrip("."), f"{_ROOT}{after}.{name}"
    for before, after in _NEW_NAMES.items():
        yield _ROOT + before, _ROOT + after


MOVED: Mapping[str, str] = dict(_table())
"""Full old path -> full new path."""


def moved_names(module: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the `__getattr__` of a module that stays while some of its public names moved.

    Args:
        module: its full name.
        homes: moved name -> full name of the module that defines it now.
    """

    def __getattr__(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        message = f"{module}.{name} is now {homes[name]}.{name}: import it from there"
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        return getattr(importlib.import_module(homes[name]), name)

    return __getattr__


class _Finder(MetaPathFinder):
    """Finds the modules of the table; comes first, as an old package leads to new files."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        new = MOVED.get(fullname)
        return None if new is None else ModuleSpec(fullname, _Alias(new))


class _Alias(Loader):
    """Loads the module of the new path in place of the old one's."""

    def __init__(self, new: str) -> None:
        self._new = new
        self._spec: ModuleSpec | None = None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(self._new)
        self._spec = module.__spec__
        if _is_requested(spec.name):
            warnings.warn(
                f"{spec.name} is {self._new} now: import that; the old path goes with the next "
                "release",
                DeprecationWarning,
                stacklevel=2,
            )
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec  # the import system has just set the old path's


def _is_requested(name: str) -> bool:
    """Return whether an import names this module itself, not one inside it."""
    requested, frame = name, sys._getframe(2)
    while frame is not None and frame.f_code.co_filename.startswith("<frozen importlib"):
        requested = frame.f_locals.get("name", requested)
        assert frame.f_back is not None
        frame = frame.f_back
    return bool(requested == name)


def follow_moves() -> None:
    """Make the old paths importable; called once, by the package itself."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
