"""Kernels: where their machine code is kept, and how they are spread over the cores."""

import os
import resource
import shutil
import subprocess
import sys

import numpy as np
import pytest

from realmaster_live.minitown.raster import compilation

PROGRAM = """
import logging, os
logging.basicConfig(level=os.environ.get("LEVEL", "WARNING"))
import numpy as np
from realmaster_live.minitown.raster.overlays import sharpen
picture = np.zeros((8, 8, 3), np.uint8)
picture[4:] = 200
out = np.empty_like(picture)
sharpen(picture, np.float32(0.5), out)
print(out[4, 4, 0])
"""


def start(before=None, **environment):
    kept = {k: v for k, v in os.environ.items() if k not in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME")}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        env={**kept, **environment},
        check=False,
        preexec_fn=before,
    )


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """A first start with an empty cache folder, and the folder after it."""
    folder = tmp_path_factory.mktemp("kernels")
    return start(XDG_CACHE_HOME=str(folder), LEVEL="INFO"), folder


@pytest.fixture
def kept(compiled, tmp_path):
    """A copy of the folder of compiled kernels."""
    return shutil.copytree(compiled[1], tmp_path / "kept")


def test_compiled_kernels_lie_in_the_users_cache_folder(compiled):
    done, folder = compiled
    assert (done.returncode, done.stdout.strip()) == (0, "225"), done.stderr
    assert list(folder.glob("realmaster-live/kernels/**/*.nbi"))


def test_each_kernel_that_is_compiled_is_told_and_a_kept_one_is_not(compiled, kept):
    again = start(XDG_CACHE_HOME=str(kept), LEVEL="INFO")
    told = [done.stderr.count(":compiling sharpen") for done in (compiled[0], again)]
    assert told == [1, 0]


@pytest.mark.parametrize("home", ["/proc/no-home", "/dev/null"])
def test_without_a_writable_cache_folder_kernels_compile_anew(home):
    done = start(HOME=home)
    assert (done.returncode, done.stdout.strip()) == (0, "225"), done.stderr
    assert "NUMBA_CACHE_DIR" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(("kind", "content"), [("nbc", None), ("nbi", b"garbage")])
def test_damaged_kernels_are_compiled_anew_and_kept_again(kind, content, kept):
    files = list(kept.rglob(f"*.{kind}"))
    assert files
    for file in files:
        whole = file.read_bytes()
        file.write_bytes(whole[: len(whole) // 2] if content is None else content)
    done = start(XDG_CACHE_HOME=str(kept))
    assert (done.returncode, done.stdout.strip()) == (0, "225"), done.stderr
    assert "compiled anew" in done.stderr and "Traceback" not in done.stderr
    again = start(XDG_CACHE_HOME=str(kept))
    assert (again.returncode, again.stdout.strip(), again.stderr) == (0, "225", "")


def test_kernels_that_a_full_disk_does_not_take_are_used_all_the_same(tmp_path):
    def fill_the_disk():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    done = start(fill_the_disk, XDG_CACHE_HOME=str(tmp_path))
    assert (done.returncode, done.stdout.strip()) == (0, "225"), done.stderr
    assert "expected to keep compiled kernels" in done.stderr and "Traceback" not in done.stderr


def test_a_cache_folder_that_is_named_is_taken(tmp_path, monkeypatch):
    compilation.cache_folder.cache_clear()
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "named"))
    assert compilation.cache_folder() == tmp_path / "named"
    compilation.cache_folder.cache_clear()


def test_every_item_is_done_once_whatever_the_number_of_threads(monkeypatch):
    @compilation.split_kernel
    def count(first, step, out):
        for i in range(first, len(out), step):
            out[i] += 1

    for threads in (1, 2, 7):
        pool = compilation.ThreadPoolExecutor(threads)
        monkeypatch.setattr(compilation, "_pool", lambda p=pool, n=threads: (p, n))
        done = np.zeros(100, np.int64)
        count(done)
        assert (done == 1).all()
        pool.shutdown()
