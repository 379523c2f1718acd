"""What a picture shows of each thing: its boxes, its mask, how much is hidden or cut off."""

from realmaster_live.annotations.annotate import Annotation, Box, annotate, pixels_of

__all__ = ["Annotation", "Box", "annotate", "pixels_of"]
