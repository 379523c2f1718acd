"""Annotations of a picture: boxes, mask, occlusion and truncation of each object."""

from realmaster_live.annotations.annotate import Annotation, Box, annotate, pixels_of

__all__ = ["Annotation", "Box", "annotate", "pixels_of"]
