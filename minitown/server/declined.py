"""Remote calls of CARLA that the town does not implement: each is answered with a refusal."""

from __future__ import annotations

from collections.abc import Mapping

from realmaster_live.minitown.server.calls import Returns

_VALUE = """
    show_recorder_collisions show_recorder_actors_blocked
    get_ackermann_controller_settings get_wheel_pitch_angle get_telemetry_data get_bones_transform
    get_gbuffer_token get_actor_bone_names get_actor_socket_names
    get_actor_component_world_transform get_actor_component_relative_transform
    get_actor_bone_world_transforms get_actor_bone_relative_transforms
    get_actor_socket_world_transforms get_actor_socket_relative_transforms
    get_vehicle_bone_world_transforms
"""
_VOID = """
    enable_environment_objects
    set_wheel_steer_direction set_wheel_pitch_angle
    show_vehicle_debug_telemetry enable_carsim use_carsim_road enable_chrono_physics
    restore_physx_physics set_bones_transform blend_pose get_pose_from_animation
    enable_sensor_for_ros disable_sensor_for_ros set_imui_gravity
    set_annotations_traverse_translucency apply_ackermann_control_to_vehicle
    apply_ackermann_controller_settings add_actor_torque add_actor_angular_impulse send
    set_ignored_vehicles apply_color_texture_to_objects apply_float_color_texture_to_objects
"""

DECLINED: Mapping[str, Returns] = {
    **dict.fromkeys(_VALUE.split(), "value"),
    **dict.fromkeys(_VOID.split(), "void"),
}
