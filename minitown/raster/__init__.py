"""The game look: a software rasteriser with labels."""
