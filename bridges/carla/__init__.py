"""CARLA: frames out of a running world, and realized pictures back into a user's cameras."""
