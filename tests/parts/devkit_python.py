"""An interpreter of its own for nuscenes-devkit."""

import os
import subprocess
import sys
import venv

import pytest


def devkit_python(tmp_path_factory) -> str:
    """An interpreter with nuscenes-devkit, which needs an older numpy than ours."""
    named = os.environ.get("REALMASTER_NUSCENES_PYTHON")
    if named:
        return named
    folder = tmp_path_factory.mktemp("devkit")
    venv.create(folder, with_pip=True)
    python = str(folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python"))
    pip = [python, "-m", "pip", "install", "-q", "nuscenes-devkit==1.2.0"]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"nuscenes-devkit cannot be installed here: {done.stderr.strip()[-300:]}")
    return python
