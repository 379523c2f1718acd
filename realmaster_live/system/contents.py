"""Recognises the content of a file: by its hash, or for the sentence of an error."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path

from realmaster_live.errors import RealMasterError, reason
from realmaster_live.system.inside import open_regular

LFS_POINTER = b"version https://git-lfs.github.com/spec/"
EMPTY, OTHER = "an empty file", "other bytes"
ENOUGH = 512  # bytes from the start of a file


def classify_content(data: bytes) -> tuple[str, str]:
    """Return what the bytes of a file that cannot be read are, and what to do about it."""
    start = data[:ENOUGH].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not data:
        return EMPTY, "restore the file or leave it out"
    if start.startswith(LFS_POINTER):
        return "a Git LFS pointer", "run git lfs pull"
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "an HTML page", "download the file itself"
    if start.startswith((b"<?xml", b"<error", b"<!--")):
        return "an XML page", "download the file itself"
    return OTHER, "restore the file or leave it out"


def classify_file(path: Path, problem: str, remedy: str) -> tuple[str, str]:
    """Return what a file that cannot be read is, and what to do: the arguments for other bytes."""
    got, cure = OTHER, remedy
    if path.is_file():  # a FIFO would wait
        with suppress(OSError), path.open("rb") as file:
            got, cure = classify_content(file.read(ENOUGH))
    return (" ".join(problem.split()), remedy) if got == OTHER else (got, cure)


def sha256_of(path: Path, *, error: type[RealMasterError] = RealMasterError) -> str:
    """Return the SHA-256 of a regular file, hexadecimal; `error` where it cannot be read."""
    with open_regular(path, error=error) as file:
        try:
            return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as problem:
            raise error(
                f"expected to read {path}, got {reason(problem)}: check the disk, or restore the "
                "file from a copy"
            ) from problem
