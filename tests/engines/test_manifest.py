"""Engine and checkpoint folders from strangers: one sentence, and nothing outside is read."""

import hashlib
import json
import os
import shutil
import tracemalloc

import numpy as np
import pytest
from damage import cases, changed, wrong_json

from realmaster_live.cli import main
from realmaster_live.engines.embedded import EMBEDDED_FOLDER
from realmaster_live.engines.manifest import read_manifest
from realmaster_live.engines.onnx_engine import OnnxEngine
from realmaster_live.engines.tensorrt import plans
from realmaster_live.errors import BuildError, RealMasterError
from realmaster_live.model.profile import TINY, Profile

SIZE = {"width": 96, "height": 64, "threads": 1}


@pytest.fixture
def folder(tmp_path):
    """A copy of the shipped model, of which single files may be replaced."""
    copy = tmp_path / "outer" / "engine"
    copy.mkdir(parents=True)
    for name in [*read_manifest(EMBEDDED_FOLDER)["files"], "manifest.json"]:
        os.link(shutil.copy(EMBEDDED_FOLDER / name, tmp_path / name), copy / name)
    (copy.parent / "private").write_text("secret")
    return copy


def change(folder, path, value):
    """Set a value in the manifest; path: keys with dots between them."""
    file = folder / "manifest.json"
    manifest = json.loads(file.read_text())
    at, keys = manifest, path.split("/")
    for key in keys[:-1]:
        at = at[key]
    at[keys[-1]] = value
    file.unlink()
    file.write_text(json.dumps(manifest))


def replace(folder, name, content):
    """Replace a file, and its size and hash in the manifest."""
    (folder / name).unlink()
    (folder / name).write_bytes(content)
    entry = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    change(folder, f"files/{name}", entry)


def test_the_shipped_model_is_accepted(folder):
    with OnnxEngine(folder, **SIZE) as engine:
        assert engine.spec.width == 96


@pytest.mark.parametrize("name", ["../private", "/etc/passwd", "a/../../private", "", ".."])
def test_files_outside_the_folder_are_not_read(name, folder):
    change(folder, "files", {name: {"sha256": "0" * 64, "bytes": 6}})
    with pytest.raises(BuildError, match="expected the name of a file inside") as caught:
        OnnxEngine(folder, **SIZE)
    assert hashlib.sha256(b"secret").hexdigest()[:12] not in str(caught.value)


@pytest.mark.parametrize("kind", ["fifo", "link", "folder", "gone", "pointer", "page"])
def test_what_is_no_file_of_the_model_is_named(kind, folder):
    path = folder / "decode.onnx"
    path.unlink()
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to(folder.parent / "private")
    elif kind == "folder":
        path.mkdir()
    elif kind == "pointer":
        path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    elif kind == "page":
        path.write_bytes(b"<html>404</html>")
    named = {"fifo": "a FIFO", "link": "a link to", "folder": "a folder", "gone": "no such file"}
    named |= {"pointer": "a Git LFS pointer: run git lfs pull", "page": "an HTML page: download"}
    with pytest.raises(BuildError, match=f"got {named[kind]}"):
        OnnxEngine(folder, **SIZE)


WRONG = {
    "profile": [{}, None, [], {"name": 1}, {"name": "x", "width": "256"}],
    "profile/layers": [0, -1, 1.5, "6", True, 10**30, None],
    "profile/heads": [0, 7],
    "profile/rope_theta": [0, -1.0, "x", 10**400, None],
    "profile/prompts": ["x", [1]],
    "profile/falling": [1, "yes"],
    "profile/other": [1],
    "rope_widths": [[10**9, 20, 20], [24, 20], "x", None],
    "token_stride": [0, "32", 31],
    "latent_stride": [8, None],
    "prompts": ["clear", ["clear", "clear"], [1], {}],
    "steps": ["2", 3, None, [2]],
    "sigmas": [
        [],
        {},
        {"2": "x"},
        {"2": []},
        {"2": [1.0]},
        {"2": [0.5, 1.0, 0.0]},
        {"2": [1, 1e400, 0]},
    ],
    "files": [[], None, {}, {"encode.onnx": 3}, {"encode.onnx": {"sha256": 1, "bytes": 2}}],
    "format": [2, None, "1"],
}


@pytest.mark.parametrize("path", WRONG)
def test_a_wrong_value_is_named(path, folder):
    for value in WRONG[path]:
        content = (folder / "manifest.json").read_text()
        change(folder, path, value)
        with pytest.raises(BuildError, match=path.rpartition("/")[2]) as caught:
            read_manifest(folder)
        assert "expected" in str(caught.value)
        (folder / "manifest.json").write_text(content)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"a":' + b"[" * 100_000, b"\xff\xfe\x00"])
def test_a_manifest_that_is_no_object_is_refused(content, folder):
    (folder / "manifest.json").unlink()
    (folder / "manifest.json").write_bytes(content)
    with pytest.raises(BuildError, match="expected a manifest in"):
        OnnxEngine(folder, **SIZE)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_no_damage(encoding, folder):
    text = (folder / "manifest.json").read_text()
    (folder / "manifest.json").unlink()
    (folder / "manifest.json").write_text(text, encoding)
    assert read_manifest(folder) == json.loads(text)


def test_swapped_graphs_are_refused(folder):
    encode, decode = (folder / f"{name}.onnx" for name in ("encode", "decode"))
    first, second = encode.read_bytes(), decode.read_bytes()
    replace(folder, "encode.onnx", second)
    replace(folder, "decode.onnx", first)
    with pytest.raises(BuildError, match=r"expected inputs frames, memory of .*encode\.onnx, got"):
        OnnxEngine(folder, **SIZE)


@pytest.mark.parametrize(
    ("key", "value"), [("memory", 2**20), ("width", 2**20), ("ring", 2**20), ("layers", 2**20)]
)
def test_a_profile_that_its_graphs_contradict_allocates_nothing(key, value, folder):
    change(folder, f"profile/{key}", value)
    fields = json.loads((folder / "manifest.json").read_text())["profile"]
    change(folder, "rope_widths", list(Profile.from_dict(fields).rope_widths))
    tracemalloc.start()
    try:
        if key == "ring":  # of which no more is kept than there is
            OnnxEngine(folder, **SIZE).close()
        else:
            with pytest.raises(BuildError, match=r"expected .* of "):
                OnnxEngine(folder, **SIZE)
        assert tracemalloc.get_traced_memory()[1] < 1 << 27
    finally:
        tracemalloc.stop()


def npy(shape, dtype="<f4", data=b""):
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}"
    header += " " * (117 - len(header)) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + data


PROMPTS = {
    "claims": npy((7, 10**12)),
    "objects": npy((1,), "|O", bytes(8)),
    "negative": npy((-1, 4)),
    "another": npy((7, 2), data=bytes(56)),
    "cut": npy((7, 2))[:40],
    "zip": b"PK\x03\x04" + bytes(40),
    "nothing": b"",
    "nan": npy(
        (7, 6, 2, 1, 4, 4, 64), data=np.full(7 * 6 * 2 * 4 * 4 * 64, np.nan, "<f4").tobytes()
    ),
}


@pytest.mark.parametrize("name", PROMPTS)
def test_prompts_that_are_no_such_array_are_refused(name, folder):
    replace(folder, "prompts.npy", PROMPTS[name])
    with pytest.raises(BuildError, match=r"in .*prompts\.npy, got"):
        OnnxEngine(folder, **SIZE)


def test_a_folder_of_other_bytes_is_refused(folder):
    odd = folder.rename(folder.parent / "K\udcf6ln")
    with pytest.raises(BuildError, match="expected a path in UTF-8"):
        OnnxEngine(odd, **SIZE)


PROFILES = [
    b"{}",
    b"[]",
    b"null",
    b'{"name": "x", "layers": "a"}',
    b'{"a":' * 100_000,
    b"\xff",
    b"",
]


@pytest.mark.parametrize("content", PROFILES)
def test_a_checkpoint_with_a_wrong_profile_ends_in_one_sentence(content, tmp_path, capsys):
    checkpoint = pytest.importorskip("realmaster_live.model.checkpoint")
    (tmp_path / "profile.json").write_bytes(content)
    with pytest.raises(BuildError, match=r"profile\.json"):
        checkpoint.read_profile(tmp_path)
    (tmp_path / "plans.json").write_bytes(content)
    with pytest.raises(BuildError, match=r"plans\.json"):
        plans.read_manifest(tmp_path)
    assert main(["replay", "x.mp4", "--engine", str(tmp_path), "--out", str(tmp_path / "o")]) in (
        1,
        2,
    )
    assert "Traceback" not in capsys.readouterr().err


def test_a_profile_comes_back_from_json():
    assert Profile.from_dict(json.loads(json.dumps(TINY.as_dict()))) == TINY


def is_refused(act, *args, **options):
    """Whether an act is refused, in one sentence."""
    try:
        act(*args, **options)
    except RealMasterError as error:
        assert "expected" in str(error)
        assert "\n" not in str(error)
        return True
    return False


def open_engine(folder):
    OnnxEngine(folder, **SIZE).close()


def odd_manifest(rng, content):
    return wrong_json(rng, content) if rng.randrange(3) else changed(rng, content)


@pytest.fixture
def model(tmp_path):
    for name in read_manifest(EMBEDDED_FOLDER)["files"]:
        shutil.copy(EMBEDDED_FOLDER / name, tmp_path / name)
    return tmp_path


@cases(few=20, many=150)
def test_engines_of_any_manifest_are_opened_or_refused(fuzz, model):
    content = (EMBEDDED_FOLDER / "manifest.json").read_bytes()

    def check(rng):
        (model / "manifest.json").write_bytes(odd_manifest(rng, content))
        return is_refused(open_engine, model)

    fuzz("manifests of engines", check)


@cases(few=100, many=5_000)
def test_any_manifest_is_read_or_refused(fuzz, tmp_path):
    """Beside small files, whose hashes take no time."""
    manifest = json.loads((EMBEDDED_FOLDER / "manifest.json").read_bytes())
    for name, entry in manifest["files"].items():
        (tmp_path / name).write_bytes(name.encode())
        entry |= {"sha256": hashlib.sha256(name.encode()).hexdigest(), "bytes": len(name)}
    content = json.dumps(manifest).encode()

    def check(rng):
        (tmp_path / "manifest.json").write_bytes(odd_manifest(rng, content))
        return is_refused(read_manifest, tmp_path)

    fuzz("manifests", check)


@cases(few=0, many=150)
def test_the_damaged_files_of_a_model_are_opened_or_refused(fuzz, model):
    """Their hashes are those of the damaged files, so that these are opened."""
    shipped = json.loads((EMBEDDED_FOLDER / "manifest.json").read_bytes())
    whole = {name: (EMBEDDED_FOLDER / name).read_bytes() for name in shipped["files"]}

    def check(rng):
        name = rng.choice(list(whole))
        content = changed(rng, whole[name], list(whole.values()))
        (model / name).write_bytes(content)
        entry = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        manifest = {**shipped, "files": {**shipped["files"], name: entry}}
        (model / "manifest.json").write_text(json.dumps(manifest))
        try:
            return is_refused(open_engine, model)
        finally:
            (model / name).write_bytes(whole[name])

    fuzz("an engine's files", check)
