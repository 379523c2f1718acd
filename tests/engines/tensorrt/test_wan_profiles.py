"""Every Wan profile's graphs become plans by TensorRT for RTX, which needs no GPU for that.

Widths, picture sizes and the autoencoder are the true ones; of 30 alike blocks there is one, so
that weights, export and compiler fit a small machine.
"""

import dataclasses
import json

import numpy as np
import pytest
import torch

from realmaster_live.engines.tensorrt.build import build, check_request
from realmaster_live.engines.tensorrt.plans import read_manifest
from realmaster_live.engines.tensorrt.request import BuildRequest
from realmaster_live.errors import ConfigError
from realmaster_live.model.checkpoint import save_checkpoint
from realmaster_live.model.profile import PROFILES
from realmaster_live.model.random_weights import random_networks
from realmaster_live.prompts import PROMPTS_FILE, PromptTable

LAYERS, TEXT_TOKENS = 1, 512
SIZES = {"wan-1.3b-480": (832, 480), "wan-5b-704": (1280, 704), "wan-5b-704-one-step": (1280, 704)}


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", SIZES)
def test_every_live_profile_of_wan_is_built(name, tmp_path, monkeypatch):
    pytest.importorskip("tensorrt_rtx", exc_type=ImportError)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    profile = dataclasses.replace(PROFILES[name], layers=LAYERS)
    save_checkpoint(tmp_path / "model", *random_networks(profile, torch.device("cpu")))
    text = np.random.default_rng(0).standard_normal((TEXT_TOKENS, profile.text_width), np.float32)
    PromptTable({"clear": text}).save(tmp_path / "model" / PROMPTS_FILE)
    request = BuildRequest(
        checkpoint=tmp_path / "model",
        out=tmp_path / "plans",
        size=SIZES[name],
        compiler="tensorrt_rtx",
    )
    build(request)
    made = read_manifest(tmp_path / "plans")
    graphs = {"encode", "denoise", "decode"} | ({"context"} if profile.in_context else set())
    assert set(made["plans"]) == set(made["graphs"]) == graphs
    ports = {port["name"]: port["shape"] for port in made["graphs"]["encode"]["inputs"]}
    assert ports["frames"] == [12, *reversed(SIZES[name]), 3]
    assert all(made["files"][plan]["bytes"] > 0 for plan in made["plans"].values())


def test_two_experts_have_no_plans(tmp_path):
    (tmp_path / "profile.json").write_text(json.dumps(PROFILES["wan-a14b"].as_dict()))
    request = BuildRequest(checkpoint=tmp_path, out=tmp_path / "plans", size=(832, 480))
    with pytest.raises(ConfigError, match="profile of one expert, got wan-a14b with 2"):
        check_request(request)
