"""States of a vehicle for tests of recordings: a function of the frame's number alone."""

import dataclasses

import numpy as np

from realmaster_live.frames.ego import (
    Collision,
    Control,
    EgoState,
    Gnss,
    Imu,
    LaneInvasion,
    Sweep,
)
from realmaster_live.frames.source_info import SourceInfo

WEATHER = {"sun_altitude_angle": 41.5, "cloudiness": 12.25, "precipitation": 0.0}


def state_at(number: int) -> EgoState:
    """Return the state of a frame; each 17th lidar sweep and each 13th control is missing."""
    rng = np.random.default_rng(number)
    pose = np.eye(4)
    pose[:3, 3] = rng.normal(size=3)
    count = 40 + number % 7
    lidar = Sweep(
        frame_id=number,
        timestamp=number * 0.05,
        kind="lidar",
        points=rng.normal(size=(count, 3)).astype(np.float32),
        values={
            "intensity": rng.random(count).astype(np.float32),
            "ring": np.sort(rng.integers(0, 32, count)).astype(np.uint16),
        },
        sensor_to_world=pose,
    )
    radar = Sweep(
        frame_id=number,
        timestamp=number * 0.05,
        kind="radar",
        points=np.zeros((0, 3), np.float32),  # it met nothing
        values={"velocity": np.zeros(0, np.float32)},
        sensor_to_world=pose,
    )
    lost = number % 17 == 5
    hit = Collision(
        frame_id=number, other_id=7, other_type="static.poles", impulse=rng.normal(size=3)
    )
    crossed = LaneInvasion(frame_id=number, markings=("solid white", "broken yellow"))
    control = Control(
        throttle=float(rng.random()),
        brake=0.0,
        steer=float(rng.uniform(-1, 1)),
        hand_brake=number % 2 == 0,
        gear=3,
    )
    return EgoState(
        frame_id=number,
        timestamp=number * 0.05,
        velocity=rng.normal(size=3),
        acceleration=rng.normal(size=3),
        angular_velocity=rng.normal(size=3),
        control=None if number % 13 == 3 else control,
        imu=Imu(
            acceleration=rng.normal(size=3),
            angular_velocity=rng.normal(size=3),
            compass=float(rng.random()),
        ),
        gnss=Gnss(latitude=49.0 + number * 1e-6, longitude=8.0, altitude=1.5),
        collisions=(hit,) if number % 15 == 1 else (),
        lane_invasions=(crossed,) if number == 1010 else (),
        sweeps={"radar": radar} if lost else {"lidar": lidar, "radar": radar},
        missing=("lidar",) if lost else (),
    )


def with_states(chunk):
    """Return a chunk with the states of its frames, in a source that knows the weather."""
    source = SourceInfo(simulator="carla", town="Town01", weather=WEATHER)
    return dataclasses.replace(
        chunk,
        egos=tuple(state_at(int(number)) for number in chunk.frame_ids),
        sources=(source,) * len(chunk),
    )
