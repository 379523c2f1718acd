"""What may be opened inside a folder that somebody hands over."""

import os
import socket
from pathlib import Path

import pytest

from realmaster_live.errors import RecordingError
from realmaster_live.system.inside import SafeFolder, kind_of, plain_name, regular_files

BAD = ["", "..", ".", "/etc/passwd", "../x", "a/../../x", "a//b", "a/", "c:x", "a\0b", "a\nb", "ä"]


@pytest.fixture
def folder(tmp_path):
    inside = tmp_path / "2026-11-28T18:30:00"
    (inside / "front").mkdir(parents=True)
    (inside / "front" / "sim.mp4").write_bytes(b"film")
    (tmp_path / "secret").write_bytes(b"theirs")
    return SafeFolder(inside, error=RecordingError)


@pytest.mark.parametrize("name", [*BAD, None, 3, ["a"], "x" * 300])
def test_names_that_lead_anywhere_else_are_refused(folder, name):
    for use in (folder.file, folder.open, folder.target, folder.folder, folder.exists):
        with pytest.raises(RecordingError, match="expected the name of a file inside"):
            use(name)


@pytest.mark.parametrize("name", [*BAD, "a/b", ".hidden", None, 3, "x" * 65])
def test_names_in_files_are_checked(name):
    with pytest.raises(RecordingError, match="expected a camera's name of letters"):
        plain_name(name, "a camera's name", error=RecordingError)
    assert plain_name("front-2.left", "a camera's name", error=RecordingError) == "front-2.left"


def test_what_is_inside_is_opened_by_an_absolute_path(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    relative = SafeFolder("2026-11-28T18:30:00", error=RecordingError)
    assert relative.file("front/sim.mp4") == folder.path / "front" / "sim.mp4"
    assert relative.file("front/sim.mp4").is_absolute()
    with relative.open("front/sim.mp4") as file:
        assert file.read() == b"film"
    assert relative.names() == ["front"]
    assert relative.folder("front").names() == ["sim.mp4"]
    assert relative.target("front/new.json") == folder.path / "front" / "new.json"


def test_links_inside_are_followed_to_read_and_links_out_are_not(folder):
    (folder.path / "again.mp4").symlink_to("front/sim.mp4")
    (folder.path / "out.mp4").symlink_to(folder.path.parent / "secret")
    (folder.path / "up").symlink_to(folder.path.parent)
    (folder.path / "round").symlink_to("round")
    (folder.path / "nowhere").symlink_to("missing")
    with folder.open("again.mp4") as file:
        assert file.read() == b"film"
    for name in ("out.mp4", "up/secret"):
        with pytest.raises(RecordingError, match="got a link to"):
            folder.file(name)
    for name in ("round", "nowhere"):
        assert folder.exists(name)
        with pytest.raises(RecordingError):
            folder.file(name)
    for name in ("again.mp4", "out.mp4", "up/new", "nowhere"):
        with pytest.raises(RecordingError, match="nothing is written through links"):
            folder.target(name)


def test_only_regular_files_are_opened(folder):
    os.mkfifo(folder.path / "pipe")
    (folder.path / "zero").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as server:
        home = Path.cwd()
        os.chdir(folder.path)  # the paths of sockets are short
        try:
            server.bind("plug")
        finally:
            os.chdir(home)
    for name, kind in (("pipe", "a FIFO"), ("plug", "a socket"), ("front", "a folder")):
        for use in (folder.file, folder.open):
            with pytest.raises(RecordingError, match=f"expected a file at .*, got {kind}"):
                use(name)
        with pytest.raises(RecordingError, match=f"got {kind} in its place"):
            folder.target(name)
    with pytest.raises(RecordingError, match="got a link to /dev/zero"):
        folder.open("zero")
    assert [path.name for path in regular_files(folder.path)] == ["sim.mp4"]


def test_what_is_not_there_is_reported(folder):
    with pytest.raises(RecordingError, match=r"expected .*gone\.json, got no such file"):
        folder.file("gone.json")
    with pytest.raises(RecordingError, match="got nothing"):
        folder.folder("gone")
    assert kind_of(folder.path / "gone") == "nothing"
    with pytest.raises(RecordingError, match="expected a folder that can be read"):
        SafeFolder(folder.path / "gone", error=RecordingError).names()


def test_folders_of_other_bytes_than_utf8_work(tmp_path):
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/K\xf6ln")
    Path(odd).mkdir()
    folder = SafeFolder(odd, error=RecordingError)
    folder.target("a.txt").write_bytes(b"x")
    with folder.open("a.txt") as file:
        assert file.read() == b"x"
