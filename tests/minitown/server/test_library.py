"""What programs of CARLA's own find in the town, through the real client."""

import re

import pytest
from waiting import until

carla = pytest.importorskip("carla")

pytestmark = pytest.mark.carla

HIGH = carla.Transform(carla.Location(0.0, 0.0, 40.0))


def test_every_body_can_be_spawned(blank_client):
    world = blank_client.get_world()
    library = world.get_blueprint_library()
    assert len(library.filter("vehicle.*")) == 41 and len(library.filter("walker.*")) == 52
    assert len(library.filter("static.prop.*")) > 90
    batch = [
        carla.command.SpawnActor(
            blueprint, carla.Transform(carla.Location(30.0 * (n % 16), 30.0 * (n // 16), 90.0))
        )
        for n, blueprint in enumerate(
            [*library.filter("vehicle.*"), *library.filter("walker.*"), *library.filter("static.*")]
        )
    ]
    results = blank_client.apply_batch_sync(batch, False)
    assert not [result.error for result in results if result.error]


def test_attributes_of_sensors_are_found_and_sensors_that_are_not_done_refuse_at_spawn(
    blank_client,
):
    world = blank_client.get_world()
    library = world.get_blueprint_library()
    rgb = library.find("sensor.camera.rgb")
    for name in ("shutter_speed", "lens_flare_intensity", "chromatic_aberration_offset", "temp"):
        rgb.set_attribute(name, "1.5")
    gnss, imu = library.find("sensor.other.gnss"), library.find("sensor.other.imu")
    gnss.set_attribute("noise_lat_stddev", "0.1")
    imu.set_attribute("noise_gyro_bias_z", "0.1")
    v2x = library.find("sensor.other.v2x")
    v2x.set_attribute("transmit_power", "20.0")
    v2x.set_attribute("path_loss_model", "geometric")
    rss, dvs = library.find("sensor.other.rss"), library.find("sensor.camera.dvs")
    for blueprint in (v2x, rss, dvs):
        with pytest.raises(RuntimeError, match=blueprint.id):
            world.spawn_actor(blueprint, HIGH)


VEHICLE_ATTRIBUTES = {
    *("role_name", "color", "sticky_control", "terramechanics", "object_type", "base_type"),
    *("special_type", "number_of_wheels", "generation", "has_dynamic_doors", "has_lights"),
}


def test_vehicles_have_the_attributes_that_carlas_catalogue_gives_them(blank_client):
    library = blank_client.get_world().get_blueprint_library()
    vehicles = list(library.filter("vehicle.*"))
    for blueprint in vehicles:
        names = {attribute.id for attribute in blueprint}
        two_wheels = blueprint.get_attribute("number_of_wheels").as_int() == 2
        assert names == VEHICLE_ATTRIBUTES | ({"driver_id"} if two_wheels else set())
        if two_wheels:
            drivers = blueprint.get_attribute("driver_id").recommended_values
            blueprint.set_attribute("driver_id", drivers[-1])

    def having(name):
        return {one.id for one in vehicles if one.get_attribute(name).as_bool()}

    new = {one.id for one in vehicles if one.get_attribute("generation").as_int() == 2}
    assert len(new) == 14 and "vehicle.lincoln.mkz_2020" in new
    assert "vehicle.lincoln.mkz_2017" not in new and "vehicle.tesla.model3" not in new
    assert having("has_lights") == new - {
        "vehicle.tesla.cybertruck",
        "vehicle.carlamotors.european_hgv",
    }
    assert having("has_dynamic_doors") == having("has_lights") - {"vehicle.mitsubishi.fusorosa"}
    # as ScenarioRunner looks for a parked car whose door opens
    assert len(library.filter_by_attribute("has_dynamic_doors", "true")) == 11
    assert len(library.filter_by_attribute("special_type", "electric")) == 5


def test_walkers_may_be_asked_for_wheelchairs_as_generate_traffic_does(blank_client):
    world = blank_client.get_world()
    for blueprint in world.get_blueprint_library().filter("walker.pedestrian.*"):
        assert not blueprint.get_attribute("can_use_wheelchair").as_bool()
        blueprint.set_attribute("use_wheelchair", "true")
    walker = world.spawn_actor(blueprint, HIGH)
    assert walker.attributes["use_wheelchair"] == "true"
    assert walker.destroy()


def test_a_prop_is_seen_and_in_the_way(carla_client):
    world = carla_client.get_world()
    settings = world.get_settings()
    settings.synchronous_mode, settings.fixed_delta_seconds = True, 0.05
    world.apply_settings(settings)
    library = world.get_blueprint_library()
    point = world.get_map().get_spawn_points()[5]
    ahead = point.transform(carla.Location(x=12.0))
    barrier = library.find("static.prop.streetbarrier")
    prop = world.spawn_actor(barrier, carla.Transform(ahead, point.rotation))
    car = world.spawn_actor(library.find("vehicle.tesla.model3"), point)
    world.tick()
    hits = world.cast_ray(point.location + carla.Location(z=0.3), ahead + carla.Location(z=0.3))
    assert carla.CityObjectLabel.Static in {hit.label for hit in hits}
    assert prop.bounding_box.extent.x == pytest.approx(0.5)
    for _ in range(80):
        car.apply_control(carla.VehicleControl(throttle=0.5))
        world.tick()
    assert car.get_location().distance(point.location) < 12.0
    assert prop.get_location().distance(ahead) < 0.01


def test_rays_meet_the_ground_and_bodies(carla_client):
    world = carla_client.get_world()
    point = world.get_map().get_spawn_points()[9].location
    found = world.cast_ray(point + carla.Location(z=10), point - carla.Location(z=10))
    assert found[0].label == carla.CityObjectLabel.Roads and abs(found[0].location.z) < 0.3
    ground = world.ground_projection(point + carla.Location(z=5), 20.0)
    assert ground is not None and abs(ground.location.z) < 0.3
    assert world.ground_projection(point + carla.Location(z=50), 20.0) is None
    assert world.project_point(point, carla.Vector3D(0, 0, 1), 500.0) is None


def test_debug_shapes_doors_and_lamps_are_accepted(blank_client):
    world = blank_client.get_world()
    car = world.spawn_actor(
        world.get_blueprint_library().find("vehicle.tesla.model3"),
        world.get_map().get_spawn_points()[3],
    )
    world.debug.draw_string(carla.Location(0, 0, 2), "here", life_time=1.0)
    box = carla.BoundingBox(carla.Location(), carla.Vector3D(1, 1, 1))
    world.debug.draw_box(box, carla.Rotation())
    car.open_door(carla.VehicleDoor.All)
    car.close_door(carla.VehicleDoor.FL)
    lights = world.get_lightmanager()
    assert lights.get_all_lights() == []
    assert world.wait_for_tick(30.0).frame > 0


@pytest.mark.parametrize("name", ["Town03", "Town10HD_Opt"])
def test_carlas_towns_load_and_keep_their_names(running, name):
    with running("--no-raster") as server:
        client = server.client()
        assert f"/Game/Carla/Maps/{name}" in client.get_available_maps()
        town = client.load_world(name).get_map()
        assert town.name.endswith(f"/{name}") and len(town.get_spawn_points()) > 50
        assert client.reload_world().get_map().name.endswith(f"/{name}")


def test_the_opendrive_of_a_town_makes_it_and_other_roads_are_refused(running):
    with running("--no-raster", "--seed", "12") as server:
        client = server.client()
        text = client.get_world().get_map().to_opendrive()
        client.load_world("MiniTown03")
        world = client.generate_opendrive_world(text)
        assert world.get_map().name.endswith("MiniTown12")
        with pytest.raises(RuntimeError, match="OpenDRIVE"):
            client.generate_opendrive_world("<OpenDRIVE></OpenDRIVE>")


def test_one_ambient_vehicle_is_the_hero_until_a_client_brings_its_own(running):
    with running("--no-raster", "--vehicles", "6") as server:
        world = server.client().get_world()
        world.wait_for_tick(30.0)

        def heroes():
            vehicles = server.client().get_world().get_actors().filter("vehicle.*")
            return [one for one in vehicles if one.attributes["role_name"] == "hero"]

        (ambient,) = heroes()
        assert ambient.attributes["number_of_wheels"] == "4"
        blueprint = world.get_blueprint_library().find("vehicle.tesla.model3")
        blueprint.set_attribute("role_name", "hero")
        points = world.get_map().get_spawn_points()
        own = next(filter(None, (world.try_spawn_actor(blueprint, point) for point in points)))
        until(lambda: [one.id for one in heroes()] == [own.id])


def test_a_dead_actor_has_an_empty_box(blank_minitown):
    from tests.minitown.server.test_fuzz import ask

    answer = ask(blank_minitown, "get_actor_bounding_box", [999_999])
    assert answer[3] == [[1, [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0], 0]]]


def test_every_id_in_the_library_is_one_of_carlas_kind(blank_client):
    ids = [blueprint.id for blueprint in blank_client.get_world().get_blueprint_library()]
    assert [name for name in ids if not re.match(r"[a-z]+\.\S+\.\S+", name)] == []


def test_a_living_actor_names_its_component_and_a_dead_one_does_not(blank_client):
    world = blank_client.get_world()
    assert world.get_spectator().get_component_names() == ["DefaultSceneRoot"]
    car = world.get_blueprint_library().find("vehicle.tesla.model3")
    actor = world.spawn_actor(car, HIGH)
    assert actor.get_component_names() == ["VehicleMesh"]
    blank_client.apply_batch_sync([carla.command.DestroyActor(actor.id)], False)
    with pytest.raises(RuntimeError, match="expected a living actor"):
        actor.get_component_names()
