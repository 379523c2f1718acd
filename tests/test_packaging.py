"""What a wheel holds: every module once, under one import package, with the data files."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = ("realmaster_live", "bridges", "engines", "minitown", "training")


@pytest.fixture(scope="module")
def wheel_names(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    copy = tmp_path_factory.mktemp("wheel") / "source"
    copy.mkdir()
    for name in (*SOURCES, "setup.py", "pyproject.toml", "README.md", "LICENSE"):
        source = ROOT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, copy / name, symlinks=True, ignore=ignored)
        else:
            shutil.copy(source, copy / name)
    command = [sys.executable, "setup.py", "-q", "bdist_wheel", "-d", "out"]
    subprocess.run(command, cwd=copy, check=True, capture_output=True, timeout=120)
    (wheel,) = (copy / "out").glob("*.whl")
    return zipfile.ZipFile(wheel).namelist()


def test_wheel_holds_every_module_once_in_one_package(wheel_names: list[str]) -> None:
    modules = [name for name in wheel_names if name.endswith(".py")]
    assert len(modules) == len(set(modules))
    assert {name.split("/")[0] for name in modules} == {"realmaster_live"}
    expected = {
        (path if folder == "realmaster_live" else Path("realmaster_live") / path).as_posix()
        for folder in SOURCES
        for path in (p.relative_to(ROOT) for p in (ROOT / folder).rglob("*.py"))
        if "__pycache__" not in path.parts
        and not any(parent.is_symlink() for parent in (ROOT / path).parents)
    }
    assert set(modules) == expected


def test_wheel_holds_the_data_files(wheel_names: list[str]) -> None:
    assert "realmaster_live/py.typed" in wheel_names
    weights = [p for p in (ROOT / "engines" / "weights").rglob("*") if p.is_file()]
    packed = {name for name in wheel_names if name.startswith("realmaster_live/engines/weights/")}
    assert len(packed) == len(weights)
    assert "realmaster_live/fidelity/judge.onnx" in wheel_names
    for folder in ("sinks/viewer/static", "datasets/view/static"):
        packed = {name for name in wheel_names if name.startswith(f"realmaster_live/{folder}/")}
        page = ROOT / "realmaster_live" / folder
        assert packed == {f"realmaster_live/{folder}/{path.name}" for path in page.iterdir()}
