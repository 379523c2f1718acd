"""minitown: a small town behind CARLA's own wire protocol, with a second, path-traced look."""
