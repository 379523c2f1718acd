"""Programs of the kinds that CARLA ships as examples; they know nothing of us.

`python carla_programs.py KIND PORT` does its work and writes one line of JSON about it.
"""

import json
import queue
import sys
import time

import carla

SIZE = (64, 32)


def camera_on(world, parent):
    blueprint = world.get_blueprint_library().find("sensor.camera.rgb")
    blueprint.set_attribute("image_size_x", str(SIZE[0]))
    blueprint.set_attribute("image_size_y", str(SIZE[1]))
    place = carla.Transform(carla.Location(x=1.5, z=1.7))
    return world.spawn_actor(blueprint, place, attach_to=parent)


def car_in(world, role="hero"):
    blueprint = world.get_blueprint_library().find("vehicle.tesla.model3")
    blueprint.set_attribute("role_name", role)
    places = world.get_map().get_spawn_points()
    return next(car for place in places if (car := world.try_spawn_actor(blueprint, place)))


def set_synchronous(world, on: bool) -> None:
    settings = world.get_settings()
    settings.synchronous_mode, settings.fixed_delta_seconds = on, 0.05 if on else None
    world.apply_settings(settings)


def synchronous(client) -> dict:
    """Tick, wait for the image of the tick, and for the next."""
    world = client.get_world()
    car = car_in(world)
    camera, images, frames = camera_on(world, car), queue.Queue(), []
    camera.listen(images.put)
    set_synchronous(world, True)
    try:
        for _ in range(12):
            frame = world.tick()
            while images.get(timeout=30).frame != frame:
                pass
            frames.append(frame)
    finally:
        set_synchronous(world, False)
        camera.stop()
        camera.destroy()
        car.destroy()
    return {"images": len(frames)}


def manual_control(client) -> dict:
    """Drive by hand in a world that runs freely, showing the latest image there is."""
    world = client.get_world()
    car = car_in(world)
    camera, latest = camera_on(world, car), {}
    camera.listen(lambda image: latest.update(image=image))
    seen, before = set(), car.get_location()
    try:
        while len(seen) < 20:
            car.apply_control(carla.VehicleControl(throttle=0.8))
            world.wait_for_tick(30.0)
            if "image" in latest:
                image = latest["image"]
                image.convert(carla.ColorConverter.Raw)
                seen.add(image.frame)
    finally:
        camera.stop()
        moved = car.get_location().distance(before)
        camera.destroy()
        car.destroy()
    return {"images": len(seen), "moved": moved > 0.5}


def traffic(client) -> dict:
    """Spawn vehicles in one batch and let the traffic manager drive them."""
    world = client.get_world()
    manager = client.get_trafficmanager(0)
    set_synchronous(world, True)
    manager.set_synchronous_mode(True)
    blueprint = world.get_blueprint_library().find("vehicle.tesla.model3")
    commands = carla.command
    batch = [
        commands.SpawnActor(blueprint, place).then(
            commands.SetAutopilot(commands.FutureActor, True, manager.get_port())
        )
        for place in world.get_map().get_spawn_points()[:4]
    ]
    ids = [one.actor_id for one in client.apply_batch_sync(batch, True) if not one.error]
    try:
        world.tick()
        before = [actor.get_location() for actor in world.get_actors(ids)]
        for _ in range(40):
            world.tick()
        after = [actor.get_location() for actor in world.get_actors(ids)]
        moved = max(one.distance(other) for one, other in zip(before, after, strict=True))
    finally:
        client.apply_batch_sync([commands.DestroyActor(number) for number in ids], True)
        manager.set_synchronous_mode(False)
        set_synchronous(world, False)
    return {"vehicles": len(ids), "moved": moved > 0.5}


def recorder(client) -> dict:
    """Record the world, and ask for what was recorded."""
    world = client.get_world()
    car = car_in(world)
    client.start_recorder("ways-in.log")
    for _ in range(5):
        world.wait_for_tick(30.0)
    client.stop_recorder()
    told = client.show_recorder_file_info("ways-in.log", False)
    car.destroy()
    return {"frames": "Frames" in told or "frames" in told}


def two_clients(client) -> dict:
    """One client ticks, another one reads the first one's camera."""
    world = client.get_world()
    other = carla.Client("127.0.0.1", int(sys.argv[2]), 8)
    other.set_timeout(60.0)
    car = car_in(world)
    camera = camera_on(world, car)
    set_synchronous(world, True)
    images = queue.Queue()
    try:
        world.tick()
        same = other.get_world().get_actor(camera.id)
        same.listen(images.put)
        got = 0
        for _ in range(6):
            frame = world.tick()
            while images.get(timeout=30).frame != frame:
                pass
            got += 1
        same.stop()
    finally:
        set_synchronous(world, False)
        camera.destroy()
        car.destroy()
    return {"images": got}


KINDS = {
    "synchronous": synchronous,
    "manual_control": manual_control,
    "traffic": traffic,
    "recorder": recorder,
    "two_clients": two_clients,
}

if __name__ == "__main__":
    own = carla.Client("127.0.0.1", int(sys.argv[2]), 8)
    own.set_timeout(60.0)
    print(json.dumps(KINDS[sys.argv[1]](own)), flush=True)
    time.sleep(0.3)  # the client's threads end after stop()
