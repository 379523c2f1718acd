"""The flags that several verbs share, and how their values are read."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import NoReturn

from realmaster_live.errors import ConfigError
from realmaster_live.frames.chunk import LABEL_DTYPES

SHARD = re.compile(r"(\d+)/([1-9]\d*)")
SIZE = re.compile(r"([1-9]\d{0,4})x([1-9]\d{0,4})")
DEFAULT_SIZE = (512, 288)


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are ours: one line, exit status 2."""

    def error(self, message: str) -> NoReturn:
        """Raise ConfigError."""
        raise ConfigError(f"{message}: see {self.prog} --help")


def size(text: str) -> tuple[int, int]:
    """Return (width, height) of text such as 512x288."""
    found = SIZE.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"expected a size such as 512x288, got {text!r}")
    return int(found[1]), int(found[2])


def sizes(text: str) -> list[tuple[int, int]]:
    """Return the sizes of a list such as 256x144,512x288."""
    return [size(part) for part in text.split(",")]


def labels(text: str) -> tuple[str, ...]:
    """Return the label names of a list such as depth,semantic; "none" and "" for no label."""
    names = tuple(name for name in text.split(",") if name and name != "none")
    for name in names:
        if name not in LABEL_DTYPES:
            raise argparse.ArgumentTypeError(
                f"expected labels among {', '.join(LABEL_DTYPES)}, got {name!r}"
            )
    return names


def seconds(text: str) -> float:
    """Return a positive number of seconds."""
    value = float(text)
    if not 0 < value < 1e7:
        raise argparse.ArgumentTypeError(f"expected seconds above 0, got {text}")
    return value


def shard(text: str) -> tuple[int, int]:
    """Return (i, n) of text such as 0/4."""
    found = SHARD.fullmatch(text)
    if found is None or int(found[1]) >= int(found[2]):
        raise argparse.ArgumentTypeError(f"expected a share such as 0/4, got {text!r}")
    return int(found[1]), int(found[2])


def ego(text: str) -> str | int:
    """Return an actor id, or a role name."""
    return int(text) if text.isdecimal() else text


def add_engine(parser: argparse.ArgumentParser) -> None:
    """Add --engine."""
    parser.add_argument(
        "--engine",
        default="embedded",
        metavar="NAME",
        help="embedded, identity, or the folder of an exported model or a checkpoint"
        " (default: embedded)",
    )


def add_prompt(parser: argparse.ArgumentParser) -> None:
    """Add --prompt."""
    parser.add_argument(
        "--prompt",
        metavar="NAME",
        help="the weather or look to show, such as rain (default: as simulated)",
    )


def add_size(parser: argparse.ArgumentParser) -> None:
    """Add --size."""
    parser.add_argument(
        "--size", type=size, default=DEFAULT_SIZE, metavar="WxH", help="default: 512x288"
    )


def add_recording(parser: argparse.ArgumentParser) -> None:
    """Add --segment-s and --lossless."""
    parser.add_argument(
        "--segment-s",
        type=seconds,
        default=60.0,
        metavar="S",
        help="simulated seconds a segment of the recording (default: 60)",
    )
    parser.add_argument(
        "--lossless", action="store_true", help="record the pictures bit for bit, ten times larger"
    )


def add_view(parser: argparse.ArgumentParser) -> None:
    """Add --view and --view-port."""
    parser.add_argument(
        "--view", action="store_true", help="show a live page on 127.0.0.1 for a browser"
    )
    parser.add_argument(
        "--view-port", type=int, default=0, metavar="PORT", help="of the page; 0 takes a free one"
    )


def add_video(parser: argparse.ArgumentParser) -> None:
    """Add --video."""
    parser.add_argument(
        "--video", type=Path, metavar="FILE", help="write a side-by-side film, FILE.mp4"
    )
