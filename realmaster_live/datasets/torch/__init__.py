"""Recordings as data sets of torch: FrameDataset by index, FrameStream in order."""

from realmaster_live.optional import require

require("torch", extra="torch")  # whoever lacks it is told the command before a module fails
