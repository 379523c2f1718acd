"""CARLA's protocol in front of a town: calls, streams, sensors, recorder logs."""
