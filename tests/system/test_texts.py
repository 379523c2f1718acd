"""Texts in any encoding that editors write, and what lies in their place."""

import codecs

import pytest

from realmaster_live.cli import main
from realmaster_live.system.texts import MAX_BYTES, decode_text, parse_json, parse_toml, read_toml

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"ab" * 32 + b"\nsize 7\n"
PAGE = b"<!DOCTYPE html><html><body>404</body></html>"
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le")


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding_of_unicode_is_read_with_a_mark_or_without(encoding):
    assert parse_json('{"town": "Köln 日本"}'.encode(encoding)) == {"town": "Köln 日本"}
    assert parse_toml('town = "Köln"\r\n[a]\r\n'.encode(encoding)) == {"town": "Köln", "a": {}}
    assert decode_text("prompt: Straße".encode(encoding)) == "prompt: Straße"


def test_a_mark_of_utf_16_big_endian_is_left_out():
    assert decode_text(codecs.BOM_UTF16_BE + "ab".encode("utf-16-be")) == "ab"


@pytest.mark.parametrize("parse", [parse_json, parse_toml])
@pytest.mark.parametrize("content", [b"\x00\x01\x02", b"\xff\xfe\x00", b"\x80abc", b"[" * 100_000])
def test_other_bytes_are_a_value_error(parse, content):
    with pytest.raises(ValueError):
        parse(content)


@pytest.mark.parametrize("parse", [parse_json, parse_toml])
def test_pointers_and_pages_are_named(parse):
    with pytest.raises(ValueError, match=r"a Git LFS pointer \(run git lfs pull\)"):
        parse(POINTER)
    with pytest.raises(ValueError, match="an HTML page"):
        parse(PAGE)


@pytest.mark.parametrize(
    "command",
    [
        ["replay", "films", "--config", "FILE"],
        ["fit", "FILE"],
        ["attach", "--rig", "FILE"],
    ],
)
def test_commands_name_a_pointer_in_place_of_a_text(command, tmp_path, capsys):
    path = tmp_path / "given.toml"
    path.write_bytes(POINTER)
    assert main([part.replace("FILE", str(path)) for part in command]) in (1, 2)
    error = capsys.readouterr().err
    assert "a Git LFS pointer (run git lfs pull)" in error and error.count("\n") == 1


def test_a_file_without_an_end_is_not_read_to_it(tmp_path, capsys):
    path = tmp_path / "huge.toml"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(ValueError, match="more than 64 MiB"):
        read_toml(path)
    assert main(["attach", "--config", str(path)]) == 2
    assert "got more than 64 MiB: correct that line" in capsys.readouterr().err
