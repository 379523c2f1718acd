"""Make your own CARLA camera photoreal: usage drop_in.py [port] [engine] [seconds]."""

import sys
import time

import carla

import realmaster_live as rm

port, engine, seconds = (*sys.argv[1:], *(2000, "embedded", 10)[len(sys.argv) - 1 :])
world = carla.Client("127.0.0.1", int(port), 8).get_world()
car = world.get_actors().filter("vehicle.*")[0]
blueprint = world.get_blueprint_library().find("sensor.camera.rgb")
blueprint.set_attribute("image_size_x", "512")
blueprint.set_attribute("image_size_y", "288")
mount = carla.Transform(carla.Location(x=1.5, z=1.7))
camera = world.spawn_actor(blueprint, mount, attach_to=car)
camera = rm.realize(camera, engine=str(engine), policy="delay")  # the one line that is new
camera.listen(lambda image: image.save_to_disk(f"drop-in/{image.frame:06d}.png"))
time.sleep(float(seconds))
camera.destroy()
