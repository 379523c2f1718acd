"""`realmaster bench --compare` at a tiny size: its rows, its file, and equal answers."""

import dataclasses
import json

import pytest

from realmaster_live.cli import main
from realmaster_live.cli.command import parse
from realmaster_live.errors import ConfigError


@pytest.fixture
def tiny_cases(monkeypatch):
    pytest.importorskip("torch")
    from realmaster_live.model import variants
    from realmaster_live.model.profile import TINY
    from realmaster_live.model.steady_chunk import BenchCase

    tiny = BenchCase(profile=TINY, width=128, height=64, rounds=2)
    small = dataclasses.replace(
        variants.MID_SIZE, width=48, layers=2, heads=2, hidden=64, text_width=20, prompt_tokens=3
    )
    monkeypatch.setitem(variants.CASES, "embedded", tiny)
    monkeypatch.setitem(variants.CASES, "mid-size", dataclasses.replace(tiny, profile=small))


def test_every_variant_has_its_row_and_equal_variants_agree(
    tiny_cases, tiny_model, tmp_path, capsys
):
    pytest.importorskip("diffusers")
    out = tmp_path / "figures.json"
    command = ["bench", "--compare", "--rounds", "1", "--engine", str(tiny_model)]
    assert main([*command, "--out", str(out)]) == 0
    figures = json.loads(out.read_text())
    found = [(row["case"].partition(",")[0], row["steps"], row["way"]) for row in figures["rows"]]
    ours = ["cached reference", "recomputed every pass", "concatenated, past as frames"]
    ours += ["cached, no past", "concatenated, no past"]
    network, whole = ours, ours[:2]
    wan = [*ours, "diffusers, no past"]
    parts = (("embedded", network), ("embedded", whole), ("mid-size", wan))
    assert found == [(case, s, way) for case, names in parts for s in (1, 2, 4) for way in names]
    printed = capsys.readouterr().out
    assert all(f"{steps:>5}  {variant}" in printed for _, steps, variant in found)
    for row in figures["rows"]:
        assert (row["difference"] is None) == (row["equals"] is None)
        if row["way"] == "recomputed every pass":
            assert row["difference"] == 0.0
        if row["way"] == "diffusers, no past":
            assert row["difference"] <= 1e-5
    pictures = 3 * 128 * 64
    assert figures["bytes_a_frame"]["pipeline"] == pytest.approx(pictures, rel=0.2)
    assert figures["bytes_a_frame"]["device"] == 2 * pictures


def test_one_network_alone_in_bfloat16(tiny_cases, tmp_path, capsys):
    pytest.importorskip("diffusers")
    out = tmp_path / "figures.json"
    command = ["bench", "--compare", "--only", "mid-size", "--rounds", "1", "--bf16"]
    assert main([*command, "--out", str(out)]) == 0
    figures = json.loads(out.read_text())
    assert {row["case"].partition(",")[0] for row in figures["rows"]} == {"mid-size"}
    assert figures["bytes_a_frame"] == {}
    worst = {row["way"]: row["difference"] for row in figures["rows"] if row["equals"]}
    assert worst["recomputed every pass"] == 0.0
    assert worst["diffusers, no past"] <= 0.1  # of latents that deviate by 1
    assert "bf16" in capsys.readouterr().out


def test_the_chain_is_measured_unless_the_networks_are_compared():
    assert parse(["bench"])[1].compare is False
    with pytest.raises(ConfigError, match="--only"):
        parse(["bench", "--compare", "--only", "wan"])
