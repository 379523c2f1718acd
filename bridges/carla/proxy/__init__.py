"""A proxy between any CARLA client and its server, whose rgb cameras are photoreal."""
