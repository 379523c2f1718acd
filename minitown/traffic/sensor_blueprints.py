"""Attributes of CARLA 0.9.16's sensors, those that the town does not have included."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from realmaster_live.minitown.traffic.blueprint_attributes import (
    BOOL,
    FLOAT,
    INT,
    STRING,
    Attribute,
    Blueprint,
    role,
)

LANE_INVASION = "sensor.other.lane_invasion"  # made by the client itself: never streamed
CAMERAS = ("rgb", "depth", "semantic_segmentation", "instance_segmentation", "optical_flow")

_IMAGE = {"image_size_x": 800, "image_size_y": 600, "fov": 90.0, "sensor_tick": 0.0}
_LENS = {
    "lens_circle_multiplier": 0.0, "lens_circle_falloff": 5.0, "lens_k": -1.0, "lens_kcube": 0.0,
    "lens_x_size": 0.08, "lens_y_size": 0.08,
}  # fmt: skip
_FILM: Mapping[str, float | bool | str] = {
    "enable_postprocess_effects": True, "gamma": 2.2, "iso": 100.0, "fstop": 1.4,
    "min_fstop": 1.2, "blade_count": 5, "shutter_speed": 200.0, "exposure_mode": "histogram",
    "exposure_compensation": 0.0, "exposure_min_bright": 10.0, "exposure_max_bright": 12.0,
    "exposure_speed_up": 3.0, "exposure_speed_down": 1.0, "calibration_constant": 16.0,
    "focal_distance": 1000.0, "blur_amount": 1.0, "blur_radius": 0.0, "bloom_intensity": 0.675,
    "lens_flare_intensity": 0.1, "motion_blur_intensity": 0.45, "motion_blur_max_distortion": 0.35,
    "motion_blur_min_object_screen_size": 0.1, "slope": 0.88, "toe": 0.55, "shoulder": 0.26,
    "black_clip": 0.0, "white_clip": 0.04, "temp": 6500.0, "tint": 0.0,
    "chromatic_aberration_intensity": 0.0, "chromatic_aberration_offset": 0.0,
}  # fmt: skip
_EVENTS = {
    "positive_threshold": 0.3, "negative_threshold": 0.3, "sigma_positive_threshold": 0.0,
    "sigma_negative_threshold": 0.0, "refractory_period_ns": 0, "use_log": True, "log_eps": 0.001,
}  # fmt: skip
_SCAN: Mapping[str, float | bool | str] = {
    "channels": 32, "range": 10.0, "points_per_second": 56000, "rotation_frequency": 10.0,
    "upper_fov": 10.0, "lower_fov": -30.0, "horizontal_fov": 360.0, "sensor_tick": 0.0,
}  # fmt: skip
_LIDAR: Mapping[str, float | bool | str] = {
    **_SCAN, "atmosphere_attenuation_rate": 0.004, "noise_stddev": 0.0, "noise_seed": 0,
    "dropoff_general_rate": 0.45, "dropoff_intensity_limit": 0.8, "dropoff_zero_intensity": 0.4,
}  # fmt: skip
_GNSS = {
    f"noise_{axis}_{kind}": 0.0 for axis in ("alt", "lat", "lon") for kind in ("bias", "stddev")
}
_IMU = {
    **{f"noise_accel_stddev_{axis}": 0.0 for axis in "xyz"},
    **{f"noise_gyro_{kind}_{axis}": 0.0 for kind in ("bias", "stddev") for axis in "xyz"},
}
_RADIO: Mapping[str, float | bool | str] = {
    "noise_seed": 0, "transmit_power": 21.5, "receiver_sensitivity": -99.0, "frequency_ghz": 5.9,
    "combined_antenna_gain": 10.0, "scenario": "highway", "path_loss_model": "winner",
    "path_loss_exponent": 2.7, "d_ref": 1.0, "filter_distance": 500.0, "use_etsi_fading": True,
    "custom_fading_stddev": 0.0, "sensor_tick": 0.0,
}  # fmt: skip
_AWARENESS = {
    "gen_cam_min": 0.1, "gen_cam_max": 1.0, "fixed_rate": False, "noise_head_stddev": 0.0,
    "noise_head_bias": 0.0, "noise_yawrate_stddev": 0.0, "noise_yawrate_bias": 0.0,
    "noise_vel_stddev_x": 0.0, **{f"noise_accel_stddev_{axis}": 0.0 for axis in "xyz"},
}  # fmt: skip
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "exposure_mode": ("histogram", "manual"),
    "scenario": ("highway", "rural", "urban"),
    "path_loss_model": ("winner", "geometric"),
}

DONE: Mapping[str, Mapping[str, float | bool | str]] = {
    **{f"sensor.camera.{kind}": {**_IMAGE, **_LENS} for kind in CAMERAS},
    "sensor.camera.rgb": {**_IMAGE, **_LENS, **_FILM},
    "sensor.lidar.ray_cast": _LIDAR,
    "sensor.lidar.ray_cast_semantic": _SCAN,
    "sensor.other.collision": {},
    "sensor.other.gnss": {**_GNSS, "noise_seed": 0, "sensor_tick": 0.0},
    "sensor.other.imu": {**_IMU, "noise_seed": 0, "sensor_tick": 0.0},
    LANE_INVASION: {},
    "sensor.other.obstacle": {
        "distance": 5.0, "hit_radius": 0.5, "only_dynamics": False, "debug_linetrace": False,
        "sensor_tick": 0.0,
    },
    "sensor.other.radar": {
        "horizontal_fov": 30.0, "vertical_fov": 30.0, "range": 100.0, "points_per_second": 1500,
        "noise_seed": 0, "sensor_tick": 0.0,
    },
}  # fmt: skip
NOT_DONE: Mapping[str, Mapping[str, float | bool | str]] = {
    "sensor.camera.cosmos_visualization": {**_IMAGE, **_LENS},
    "sensor.camera.dvs": {**_IMAGE, **_LENS, **_FILM, **_EVENTS},
    "sensor.camera.normals": {**_IMAGE, **_LENS},
    "sensor.other.rss": {},
    "sensor.other.v2x": {**_RADIO, **_AWARENESS, **_GNSS},
    "sensor.other.v2x_custom": _RADIO,
}  # fmt: skip
"""Sensors that programs find and set up, and that are refused when they are spawned."""


def sensor_blueprints() -> Iterator[Blueprint]:
    """Yield the blueprint of every sensor."""
    for name, values in {**DONE, **NOT_DONE}.items():
        front = "front" if name.startswith("sensor.camera.") else "default"
        attributes = (_attribute(key, value) for key, value in values.items())
        yield Blueprint(id=name, attributes=(*attributes, role(front)))


def _attribute(name: str, value: float | bool | str) -> Attribute:
    if isinstance(value, bool):
        return Attribute(name, BOOL, str(value), ("True", "False"))
    if name in _CHOICES:
        return Attribute(name, STRING, str(value), _CHOICES[name])
    kind = STRING if isinstance(value, str) else INT if isinstance(value, int) else FLOAT
    return Attribute(name, kind, str(value), (str(value),))
