"""docs/datasets.md: its table is that of the formats; its commands and Python run as written."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from realmaster_live.cli.command import parse
from realmaster_live.datasets.formats import FORMATS

TEXT = (Path(__file__).parents[2] / "docs/datasets.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(bash|python|toml)\n(.*?)```", TEXT, re.DOTALL)


def test_the_table_is_the_table_of_formats():
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \|", TEXT, re.M)
    assert [name for name, *_ in rows] == list(FORMATS)
    for name, contents, needs in rows:
        assert contents == FORMATS[name].contents
        assert needs == (", ".join(FORMATS[name].load().NEEDS) or "-")


def test_its_exports_are_commands():
    found = 0
    for language, block in BLOCKS:
        if language == "bash":
            for line in block.replace("\\\n", " ").splitlines():
                if line.startswith("realmaster dataset"):
                    parse(shlex.split(line)[1:])
                    found += 1
    assert found == 6


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_its_commands_and_python_run_as_written(tmp_path):
    program = tmp_path / "bin/realmaster"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m realmaster_live "$@"\n')
    program.chmod(0o755)
    paths = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    for language, block in sorted(BLOCKS, key=lambda one: one[0] != "toml"):
        if language == "toml":
            named = re.match(r"# (\w+\.toml)\n", block)
            (tmp_path / (named[1] if named else "mine.toml")).write_text(block)
            continue
        command = ["bash", "-ec", block] if language == "bash" else [sys.executable, "-c", block]
        done = subprocess.run(
            command, cwd=tmp_path, env={**os.environ, "PATH": paths}, capture_output=True, text=True
        )
        assert done.returncode == 0, (block, done.stderr[-2000:])
    for name in ("coco", "coco-in-python", "mine", "nights"):
        assert (tmp_path / "data" / name / "README.md").is_file()
