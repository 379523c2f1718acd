"""What a source says of itself: through JSON, from an earlier release, from a sidecar."""

import json

import pytest

from realmaster_live.frames.source_info import ActorInfo, CameraInfo, SourceInfo, town_of

FULL = SourceInfo(
    simulator="carla",
    server="127.0.0.1:2000",
    server_version="0.9.16",
    client_version="0.9.16",
    map="Carla/Maps/Town10HD_Opt",
    route="loop",
    seed=7,
    weather={"precipitation": 60.0, "sun_altitude_angle": 45.0},
    licence="CC-BY-4.0",
    cameras={
        "front": CameraInfo(
            width=512,
            height=288,
            fov_deg=80.0,
            labels=("depth", "semantic"),
            mount={"x": 1.5, "z": 1.7},
            lens={"lens_k": -1.0},
            cam_to_ego=((1.0, 0.0, 0.0, 1.5), (0.0, 1.0, 0.0, 0.0)),
            actor=ActorInfo(id=12, type="sensor.camera.rgb", role_name="realmaster"),
        )
    },
    near_m=0.15,
    near_is_default=True,
    ticked_by="us",
    fps=20.0,
    ego=ActorInfo(id=3, type="vehicle.mini.cooper", role_name="hero"),
    object_range_m=100.0,
    counts={"captured": 40, "lost": 2},
    details={"log": "run.log"},
)


def test_every_field_comes_back_from_json():
    assert SourceInfo.of(json.loads(json.dumps(FULL.as_json()))) == FULL
    assert SourceInfo.of({}) == SourceInfo()


def test_maps_with_and_without_layers_are_one_town():
    assert FULL.town == town_of("Town10HD") == "Town10HD"
    assert SourceInfo(town="Town01_Opt").town == "Town01"
    assert FULL.weather_words == "rain"


def test_what_the_release_before_wrote_is_read():
    camera = {
        "id": 9,
        "type": "sensor.camera.rgb",
        "role_name": "",
        "width": 64,
        "height": 32,
        "fov_deg": 90.0,
        "labels": ["depth"],
        "mount": {"x": 1.0},
        "cam_to_ego": None,
        "lens": {},
    }
    info = SourceInfo.of(
        {
            "simulator": "carla",
            "map": "Carla/Maps/Town05",
            "camera": camera,
            "cameras": {"left": camera},
            "labels": ["depth"],
            "we_tick": False,
            "synchronous": True,
            "fixed_delta_s": 0.05,
            "replayed_from": "first",
        }
    )
    assert info.cameras["left"].actor == ActorInfo(id=9, type="sensor.camera.rgb")
    assert (info.ticked_by, info.fps) == ("another client", pytest.approx(20))
    assert info.details == {"replayed_from": "first"}
    game = SourceInfo.of({"camera": {"width": 64, "height": 32, "vertical_fov_deg": 59.0}})
    assert (game.cameras["front"].fov_deg, game.cameras["front"].fov_axis) == (59.0, "vertical")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("town", 5),
        ("seed", "seven"),
        ("near_m", "far"),
        ("weather", [1, 2]),
        ("cameras", {"front": 3}),
        ("ego", {"type": "x"}),
        ("counts", {"lost": "many"}),
    ],
)
def test_a_value_of_another_type_becomes_a_detail(name, value):
    info = SourceInfo.of({name: value, "map": "Town01"})
    assert info.details == {name: value}
    assert getattr(info, name) == getattr(SourceInfo(map="Town01"), name)
