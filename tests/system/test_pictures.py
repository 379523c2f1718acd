"""Picture files: any path, and what lies in place of a picture is named."""

import os

import numpy as np
import pytest

from realmaster_live.errors import PairError
from realmaster_live.system.pictures import encode, read_map, read_picture, write_picture

PICTURE = np.random.default_rng(0).integers(0, 255, (24, 32, 3), np.uint8)


def test_a_picture_and_a_map_come_back_as_they_were(tmp_path):
    write_picture(tmp_path / "a.png", PICTURE)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png"), PICTURE)
    deep = np.arange(24 * 32, dtype=np.uint16).reshape(24, 32) * 80
    write_picture(tmp_path / "b.png", deep)
    np.testing.assert_array_equal(read_map(tmp_path / "b.png"), deep)
    assert read_map(tmp_path / "b.png", "grey").dtype == np.uint8
    write_picture(tmp_path / "c.jpg", PICTURE, quality=30)
    assert (tmp_path / "c.jpg").stat().st_size < len(encode(PICTURE, ".jpg", 95))


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_names_need_not_be_utf_8(tmp_path):
    folder = tmp_path / os.fsdecode(b"K\xf6ln")
    folder.mkdir()
    write_picture(folder / "a.png", PICTURE)
    np.testing.assert_array_equal(read_picture(folder / "a.png"), PICTURE)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "an empty file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "LFS pointer: run git lfs"),
        (b"<!DOCTYPE html><html><title>404</title></html>", "an HTML page: download"),
        (b"\xef\xbb\xbf\n<html>", "an HTML page"),
        (encode(PICTURE, ".png")[:40], "other bytes: restore the file"),
        (b"GIF", "other bytes"),
    ],
)
def test_what_lies_in_place_of_a_picture_is_named(tmp_path, content, message):
    (tmp_path / "a.png").write_bytes(content)
    for read in (read_picture, read_map):
        with pytest.raises(PairError, match=f"expected a picture in .*a.png, got .*{message}"):
            read(tmp_path / "a.png")


def test_only_regular_files_are_opened(tmp_path):
    with pytest.raises(PairError, match="no such file"):
        read_picture(tmp_path / "none.png")
    with pytest.raises(PairError, match="no regular file"):
        read_picture(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.png")
        with pytest.raises(PairError, match="no regular file"):
            read_picture(tmp_path / "pipe.png")


def test_what_cannot_be_written_is_reported(tmp_path):
    with pytest.raises(PairError, match=r"expected to write .* got No such file"):
        write_picture(tmp_path / "none/a.png", PICTURE)
