"""Reads the CAN bus and the lidar's sweeps of a data root by nuscenes-devkit; prints JSON.

Run by an interpreter that has the devkit: python check_ego_of_nuscenes.py DATAROOT [VERSION].
"""

import json
import sys

import matplotlib as mpl

mpl.use("agg")

from nuscenes.can_bus.can_bus_api import NuScenesCanBus
from nuscenes.nuscenes import NuScenes
from nuscenes.utils.data_classes import LidarPointCloud


def main(root, version="v1.0-realmaster"):
    nusc = NuScenes(version=version, dataroot=root, verbose=False)
    can = NuScenesCanBus(dataroot=root)
    name = nusc.scene[0]["name"]
    found = {kind: can.get_messages(name, kind) for kind in ("pose", "ms_imu", "vehicle_monitor")}
    sample = nusc.get("sample", nusc.scene[0]["last_sample_token"])
    cloud, times = LidarPointCloud.from_file_multisweep(
        nusc, sample, "LIDAR_TOP", "LIDAR_TOP", nsweeps=4, min_distance=0.0
    )
    single = LidarPointCloud.from_file(nusc.get_sample_data_path(sample["data"]["LIDAR_TOP"]))
    print(
        json.dumps(
            {
                "scene": name,
                "messages": {kind: len(messages) for kind, messages in found.items()},
                "speed": found["pose"][0]["vel"],
                "points": cloud.points.shape[1],
                "of_one": single.points.shape[1],
                "sweeps": len(set(times.ravel().tolist())),
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
