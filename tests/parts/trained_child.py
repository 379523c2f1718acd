"""Trains an IC-LoRA in a process of its own, to be stopped or killed there."""

import os

import torch

from realmaster_live.training.iclora.train import IcLoraRun
from realmaster_live.training.session import signalled


def train(recipe, data, out) -> None:
    torch.set_num_threads(1)
    run = IcLoraRun(recipe, data, out, stop=signalled())
    os._exit(0 if run.train() else 3)
