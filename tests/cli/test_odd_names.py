"""Names that FFmpeg, a shell or argparse give a meaning, for every verb that takes a path."""

import shutil
from pathlib import Path

import pytest
from driven_scene import record_drive
from footage import write_film, write_pictures
from installed_formats import INSTALLED
from street import SIZE

from realmaster_live.cli import main
from realmaster_live.engines.embedded import EMBEDDED_FOLDER
from realmaster_live.recording import Recording, repair, verify

NAMES = [
    *("concat:a|b", "pipe:0", "file:x", "http:", "data:,x", "fd:", "tee:x", "cache:x", "video=x"),
    *("subfile,,start,0,end,0,,:x", "%03d", "a?b*[c]", "~", "$HOME", " lead", "a\\b", "x:0.5"),
    *("-", "-x", "--out"),
]
REPLAY = ("replay", "--engine", "identity", "--quiet")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """The names are relative."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def drive(tmp_path_factory):
    return record_drive(tmp_path_factory.mktemp("odd") / "drive", chunks=1)


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return write_film(tmp_path_factory.mktemp("odd") / "film.mp4", frames=4)


def names_here():
    return {path.name for path in Path().iterdir()}


@pytest.mark.parametrize("name", NAMES)
def test_a_recording_of_any_name_is_looked_at_and_exported(name, drive, capsys):
    shutil.copytree(drive, Path(name))
    for verb in ("info", "verify", "repair"):
        assert main(["dataset", verb, "--", name]) == 0, capsys.readouterr().err
    command = ["dataset", "export", "--to", "coco", "--variant", "sim", f"--out={name}-out"]
    assert main([*command, "--", name]) == 0, capsys.readouterr().err
    assert main([*command, "--overwrite", "--", name]) == 0, capsys.readouterr().err
    assert names_here() == {name, f"{name}-out"}


@pytest.mark.parametrize("to", sorted(set(INSTALLED) - {"coco"}))
def test_every_format_takes_names_that_are_addresses_elsewhere(to, drive, capsys):
    pytest.importorskip("foxglove") if to == "mcap" else None
    for name in ("concat:a|b", "%03d"):
        shutil.copytree(drive, Path(name))
        command = ["dataset", "export", "--to", to, "--variant", "sim", "--out", f"{name}-out"]
        assert main([*command, name]) == 0, capsys.readouterr().err
        assert {path.parts[0] for path in Path().rglob("*")} >= {name, f"{name}-out"}
    assert len(names_here()) == 4


@pytest.mark.parametrize("name", NAMES)
def test_footage_of_any_name_is_replayed_into_any_name(name, film, capsys):
    shutil.copy(film, Path(f"{name}.mp4"))
    write_pictures(Path(f"{name}-pictures"), [SIZE] * 4)
    for source, flags in ((f"{name}.mp4", ()), (f"{name}-pictures", ("--fps", "20"))):
        out, beside = f"{name}-of-{source}", f"{name}-side-{len(flags)}.mp4"
        words = [*REPLAY, *flags, f"--out={out}", f"--video={beside}", "--", source]
        assert main(words) == 0, capsys.readouterr().err
        assert verify(Path(out)).is_whole
        assert Path(beside).is_file()
    assert all(each.startswith(name) for each in names_here())


@pytest.mark.parametrize("name", ["concat:a|b", "%03d", "-x"])
def test_an_engine_of_any_name_is_opened(name, film, capsys):
    shutil.copytree(EMBEDDED_FOLDER, Path(name))
    flags = ["replay", f"--engine={name}", "--size", "96x64", "--quiet", "--out", "out"]
    assert main([*flags, str(film)]) == 0, capsys.readouterr().err
    with Recording("out") as recording:
        assert len(recording) == 4


@pytest.mark.parametrize("name", ["pipe:0", "%03d", "file:x"])
def test_a_recording_that_was_killed_is_repaired_under_any_name(name, drive):
    shutil.copytree(drive, Path(name))
    segment = Path(name, "segments/000000")
    (segment / "segment.json").unlink()
    repair(Path(name))
    assert verify(Path(name)).frames == 4


def test_words_after_two_dashes_are_arguments(drive, capsys):
    assert main(["dataset", "verify", "--", str(drive), "more"]) == 2
    assert "expected no more arguments, got 'more'" in capsys.readouterr().err
    assert main(["dataset", "verify", "--"]) == 2
    assert "got none: see" in capsys.readouterr().err
