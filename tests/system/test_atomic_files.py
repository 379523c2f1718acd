"""Files and folders are whole or not there, whatever ends the one who writes them."""

import hashlib

import pytest

from realmaster_live.system.atomic_files import (
    part_of,
    remove_leftovers,
    replacing,
    settle,
    write_json,
    write_text,
)


def test_a_file_is_known_by_its_bytes(tmp_path):
    with part_of(tmp_path / "deep" / "a.txt") as part:
        part.write_bytes(b"hello")
        assert part.suffix == ".txt"
        stored = settle(part, tmp_path / "deep" / "a.txt")
    assert stored.path.read_bytes() == b"hello"
    assert (stored.bytes, stored.sha256) == (5, hashlib.sha256(b"hello").hexdigest())
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["a.txt"]


@pytest.mark.parametrize("folder", [False, True])
def test_a_writer_that_fails_leaves_nothing_and_the_older_one_whole(folder, tmp_path):
    place = tmp_path / "run.1"

    def write(part, text):
        if folder:
            part.mkdir()
        (part / "x" if folder else part).write_text(text)

    for text in ("old", "new"):
        with replacing(place) as part:
            write(part, text)
    with pytest.raises(RuntimeError), replacing(place) as part:
        write(part, "half")
        raise RuntimeError
    assert (place / "x" if folder else place).read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["run.1"]


def test_a_folder_takes_the_place_of_a_file_and_of_an_empty_folder(tmp_path):
    (tmp_path / "a").write_text("file")
    (tmp_path / "b").mkdir()
    for name in "ab":
        with replacing(tmp_path / name) as part:
            part.mkdir()
        assert (tmp_path / name).is_dir()
    assert len(list(tmp_path.iterdir())) == 2


def test_text_and_json_are_utf_8(tmp_path):
    write_text(tmp_path / "a", "Straße")
    write_json(tmp_path / "b.json", {"a": [1, "ü"]})
    assert (tmp_path / "a").read_bytes().decode() == "Straße"
    assert (tmp_path / "b.json").read_text() == '{\n  "a": [\n    1,\n    "\\u00fc"\n  ]\n}\n'


def test_leftovers_of_one_name_go_and_nothing_else(tmp_path):
    token = "0123456789ab"
    left = [f".run.{token}.part.1", f".run.1.{token}.part", f".run.1.{token}.part.old"]
    others = [
        f".run.{token}.part", f".run.1.x.{token}.part", f".run.2.{token}.part", ".run.1.part",
        f"run.1.{token}.part", ".run.1.notes.part",
    ]  # fmt: skip
    for name in (*left, *others):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_text("")
    remove_leftovers(tmp_path / "run.1")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(others)
    remove_leftovers(tmp_path / "none" / "a")
