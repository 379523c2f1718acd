"""The cameras a bridge reads: the user's own or ours on a vehicle, label cameras beside each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from realmaster_live.bridges.carla.ego import PICTURE_SENSOR, role_of
from realmaster_live.bridges.carla.geometry import (
    Matrix,
    cam_to_world,
    relative_matrix,
    unreal_matrix,
    unreal_pose,
)
from realmaster_live.bridges.carla.ownership import this_process
from realmaster_live.bridges.carla.session import CarlaSession
from realmaster_live.errors import SensorMismatch
from realmaster_live.frames.rig import Mount, Rig, RigCamera
from realmaster_live.frames.source_info import ActorInfo, CameraInfo, SourceInfo, TickedBy

LABEL_SENSORS: Mapping[str, str] = {
    "depth": "sensor.camera.depth",
    "semantic": "sensor.camera.semantic_segmentation",
    "instance": "sensor.camera.instance_segmentation",
    "flow": "sensor.camera.optical_flow",
}
# What changes where a camera's pixels lie; a label camera copies these from its picture camera.
LENS = (
    "lens_circle_falloff", "lens_circle_multiplier", "lens_k", "lens_kcube", "lens_x_size",
    "lens_y_size",
)  # fmt: skip
OPTICS = ("image_size_x", "image_size_y", "fov", "sensor_tick", *LENS)


@dataclass(frozen=True, kw_only=True)
class CameraSet:
    """The sensors of one view. `picture` and each label draw the same pixels.

    Attributes:
        name: of the camera, as in `Frame.camera`.
        picture: the rgb camera; ours, or the user's own where it was adopted.
        labels: label name -> our sensor.
        every_tick: whether a picture comes each tick.
        mount: where we put it; None for an adopted one.
        cam_to_ego: (4, 4) metres, camera axes to those of the vehicle that carries it; None for an
            adopted camera that no vehicle carries. An adopted camera's is as of the attach.
        supersample: how many times as wide and high as its frames `picture` is.
    """

    name: str
    picture: Any
    labels: Mapping[str, Any]
    every_tick: bool
    mount: Mount | None
    cam_to_ego: Matrix | None
    supersample: int = 1

    @property
    def sensors(self) -> dict[str, Any]:
        """Return name -> sensor of all of them, the picture's name being `rgb`."""
        return {"rgb": self.picture, **self.labels}


def open_cameras(
    session: CarlaSession, rig: Rig, *, ego: Any | None, adopted: Any | None, every_tick: bool
) -> dict[str, CameraSet]:
    """Spawn the cameras of a rig on `ego`, or use the user's own in place of its only one.

    Raises SensorMismatch where a picture of `every_tick` is needed and the user's own skips some.
    """
    if adopted is not None:
        only, tick_s = rig.cameras[0], adopted.attributes.get("sensor_tick", 0.0)
        if every_tick and float(tick_s) != 0.0:
            raise SensorMismatch(
                f"expected a camera that draws every tick, got sensor_tick={tick_s} on camera "
                f"{adopted.id}: use synchronous=False (--passive) for it"
            )
        return {only.name: adopt_camera(session, adopted, name=only.name, labels=only.labels)}
    return {camera.name: spawn_camera(session, ego, camera) for camera in rig.cameras}


def spawn_camera(session: CarlaSession, ego: Any, camera: RigCamera) -> CameraSet:
    """Spawn an rgb camera on `ego` and one label camera for each label, all at the same place."""
    optics = {
        "image_size_x": str(camera.width),
        "image_size_y": str(camera.height),
        "fov": str(camera.fov_deg),
        "role_name": this_process().role_name,
    }
    carla, mount = session.carla, camera.mount
    location = (mount.x, mount.y, mount.z)
    angles = (mount.pitch_deg, mount.yaw_deg, mount.roll_deg)
    transform = carla.Transform(carla.Location(*location), carla.Rotation(*angles))
    spawn = _Spawner(session, optics, transform, ego)
    times = camera.supersample
    finer = {
        "image_size_x": str(times * camera.width),
        "image_size_y": str(times * camera.height),
    }
    picture = _Spawner(session, optics | finer, transform, ego)(PICTURE_SENSOR)
    return CameraSet(
        name=camera.name,
        picture=picture,
        labels={name: spawn(LABEL_SENSORS[name]) for name in camera.labels},
        every_tick=True,
        mount=mount,
        cam_to_ego=cam_to_world(unreal_matrix(location, angles)),
        supersample=times,
    )


def adopt_camera(
    session: CarlaSession, camera: Any, *, name: str, labels: Sequence[str]
) -> CameraSet:
    """Use the user's own camera and spawn label cameras with its optics, parent and place.

    A camera without a parent becomes the label cameras' parent itself, so that they follow when
    its owner moves it.
    """
    carla, parent = session.carla, camera.parent
    optics = {name: camera.attributes[name] for name in OPTICS if name in camera.attributes}
    optics["role_name"] = this_process().role_name
    transform, cam_to_ego = carla.Transform(), None
    if parent is not None:
        snapshot = session.world.get_snapshot()
        parts = [snapshot.find(actor.id) for actor in (parent, camera)]
        if None in parts:
            raise SensorMismatch(
                f"expected camera {camera.id} and its parent {parent.id} in the world's state, got "
                "a state without them: they were destroyed, adopt another camera"
            )
        relative = relative_matrix(*(part.get_transform().get_matrix() for part in parts))
        location, angles = unreal_pose(relative)
        transform = carla.Transform(
            carla.Location(*map(float, location)), carla.Rotation(*map(float, angles))
        )
        cam_to_ego = cam_to_world(relative)
    spawn = _Spawner(session, optics, transform, camera if parent is None else parent)
    return CameraSet(
        name=name,
        picture=camera,
        labels={label: spawn(LABEL_SENSORS[label]) for label in labels},
        every_tick=float(camera.attributes.get("sensor_tick", 0.0)) == 0.0,
        mount=None,
        cam_to_ego=cam_to_ego,
    )


def check_same_view(images: Mapping[str, Any], supersample: int = 1) -> None:
    """Raise SensorMismatch unless all images of a frame show the same pixels of the same place."""
    picture = images["rgb"]
    place = np.array(picture.transform.get_matrix())
    wanted = (picture.width // supersample, picture.height // supersample)
    for name, image in images.items():
        size = wanted if image is picture else (image.width, image.height)
        if size != wanted or abs(image.fov - picture.fov) > 1e-3:
            raise SensorMismatch(
                f"expected {name} of {wanted[0]}x{wanted[1]} at {picture.fov:g} degrees "
                f"like its rgb camera, got {size[0]}x{size[1]} at {image.fov:g}: adopt a camera "
                "whose size the label cameras can take"
            )
        offset = float(np.abs(np.array(image.transform.get_matrix()) - place).max())
        if offset > 0.02:  # metres, or about a degree
            raise SensorMismatch(
                f"expected the {name} camera where its rgb camera is, got it {offset:.2f} away in "
                f"frame {image.frame}: adopt a rigidly attached camera (a spring arm sways)"
            )


def source_info(
    session: CarlaSession, ego: Any | None, cameras: Mapping[str, CameraSet], *, we_tick: bool
) -> SourceInfo:
    """Return what the server, its world, the vehicle and the cameras are."""
    world = session.world
    settings = world.get_settings()
    step_s = settings.fixed_delta_seconds
    others: TickedBy = "another client" if settings.synchronous_mode else "nobody"
    return SourceInfo(
        simulator="carla",
        server=f"{session.host}:{session.port}",
        server_version=session.versions.server,
        client_version=session.versions.client,
        map=world.get_map().name,
        weather=weather_of(world),
        ticked_by="us" if we_tick else others,
        fps=1.0 / step_s if step_s else None,
        ego=None if ego is None else _actor_info(ego),
        cameras={name: _camera_info(one) for name, one in cameras.items()},
    )


def weather_of(world: Any) -> dict[str, float]:
    """Return the weather's parameters by name."""
    weather = world.get_weather()
    numbers = {n: getattr(weather, n) for n in dir(weather) if not n.startswith("_")}
    return {name: value for name, value in numbers.items() if isinstance(value, float)}


def _camera_info(camera: CameraSet) -> CameraInfo:
    """Return one camera; its lens attributes are Unreal's own, no distortion of OpenCV's."""
    attributes, pose = camera.picture.attributes, camera.cam_to_ego
    return CameraInfo(
        width=int(attributes["image_size_x"]) // camera.supersample,
        height=int(attributes["image_size_y"]) // camera.supersample,
        fov_deg=float(attributes["fov"]),
        labels=tuple(camera.labels),
        mount=None if camera.mount is None else asdict(camera.mount),
        lens={name: float(attributes[name]) for name in LENS if name in attributes},
        cam_to_ego=None if pose is None else tuple(map(tuple, pose.tolist())),
        actor=_actor_info(camera.picture),
    )


def _actor_info(actor: Any) -> ActorInfo:
    return ActorInfo(id=actor.id, type=actor.type_id, role_name=role_of(actor))


class _Spawner:
    def __init__(
        self, session: CarlaSession, optics: dict[str, str], place: Any, parent: Any
    ) -> None:
        self._session, self._optics, self._place, self._parent = session, optics, place, parent
        self._library = session.world.get_blueprint_library()

    def __call__(self, kind: str) -> Any:
        blueprint = self._library.find(kind)
        for name, value in self._optics.items():
            if blueprint.has_attribute(name):
                blueprint.set_attribute(name, value)
        return self._session.spawn(blueprint, self._place, self._parent)
