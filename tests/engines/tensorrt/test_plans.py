"""A build's record: what is refused, and what the refusal says."""

import json

import pytest

from realmaster_live.engines.manifest import describe_files
from realmaster_live.engines.tensorrt.plans import (
    MANIFEST,
    check_fits,
    plan_key,
    read_manifest,
    trust_file,
    write_manifest,
)
from realmaster_live.errors import BuildError, PlanMismatch

BUILT = {
    "flavour": "tensorrt",
    "version": "11.4.0.106",
    "sm": 90,
    "driver": "580.95.05",
    "width": 832,
    "height": 480,
    "precision": "bf16",
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A build of one file, noted for this user."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    build = tmp_path / "build"
    (build / "prepared").mkdir(parents=True)
    (build / "denoise-1.plan").write_bytes(b"plan" * 100)
    (build / "prepared" / "denoise.onnx").write_bytes(b"graph" * 100)
    files = describe_files(build, ["denoise-1.plan", "prepared/denoise.onnx"])
    write_manifest(build, {**BUILT, "files": files})
    return build


def test_reads_what_was_written(folder):
    manifest = read_manifest(folder)
    assert {name: manifest[name] for name in BUILT} == BUILT
    assert trust_file().read_text().count("\n") == 1


@pytest.mark.parametrize("name", ["denoise-1.plan", "prepared/denoise.onnx"])
def test_a_cut_or_changed_file_is_refused_by_name_and_hash(folder, name):
    whole = (folder / name).read_bytes()
    digest = read_manifest(folder)["files"][name]["sha256"][:12]
    for content in (whole[:-1], b"x" + whole[1:], b""):
        (folder / name).write_bytes(content)
        with pytest.raises(BuildError, match=f"expected {name} of .* {digest} .*, got") as caught:
            read_manifest(folder)
        assert f"got {len(content)} bytes" in str(caught.value)
    (folder / name).unlink()
    with pytest.raises(BuildError, match=f"expected {name} of"):
        read_manifest(folder)


def test_a_manifest_of_somebody_else_is_refused(folder, monkeypatch, tmp_path):
    path = folder / MANIFEST
    manifest = json.loads(path.read_text())
    manifest["files"]["denoise-1.plan"]["sha256"] = "0" * 64
    path.write_text(json.dumps(manifest))
    with pytest.raises(BuildError, match="plans run code, so build them here"):
        read_manifest(folder)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another"))
    with pytest.raises(BuildError, match="as realmaster build wrote it for this user"):
        read_manifest(folder)


def test_no_manifest_a_broken_one_and_an_old_one_are_refused(folder):
    path = folder / MANIFEST
    path.write_text(json.dumps({"format": 0}))
    with pytest.raises(BuildError, match="expected manifest format 1, got 0"):
        read_manifest(folder)
    path.write_text("{")
    with pytest.raises(BuildError, match=r"expected the manifest of a build in .*plans\.json"):
        read_manifest(folder)
    path.unlink()
    with pytest.raises(BuildError, match="run realmaster build"):
        read_manifest(folder)


@pytest.mark.parametrize(
    ("field", "other", "remedy"),
    [
        ("version", "11.1.0.1", "install it, or build them again"),
        ("sm", 89, "build them again on this GPU"),
        ("driver", "570.1", "build them again for this driver"),
        ("width", 1280, "or ask for the built one"),
        ("flavour", "tensorrt_rtx", "install the compiler"),
    ],
)
def test_a_mismatch_names_the_field(folder, field, other, remedy):
    check_fits(BUILT, BUILT, folder)
    with pytest.raises(PlanMismatch) as caught:
        check_fits(BUILT, {**BUILT, field: other}, folder)
    text = str(caught.value)
    assert text.startswith(f"expected {field} {BUILT[field]}, for which the plans in {folder} were")
    assert f"got {other}: " in text and remedy in text


def test_the_key_follows_every_fact():
    facts = {**BUILT, "onnx": "a", "refit": False, "shapes": [[1, 2]], "lengths": (0, 6)}
    keys = {plan_key(facts), plan_key(dict(reversed(facts.items())))}
    assert len(keys) == 1
    for name in facts:
        keys.add(plan_key({**facts, name: "other"}))
    assert len(keys) == 1 + len(facts)
