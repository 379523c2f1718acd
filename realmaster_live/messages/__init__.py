"""Frames as the messages of others: Foxglove's schemas and ROS 2's types."""
