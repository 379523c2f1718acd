"""Finds the end of a msgpack message without decoding it, within limits.

A msgpack array states its length before its items: decoders allocate what nested arrays claim.
Here nothing is decoded until all its bytes are there, so a peer must send what it claims.
https://github.com/msgpack/msgpack/blob/master/spec.md
"""

from __future__ import annotations

from collections.abc import Iterator

from realmaster_live.errors import WireFormatError

MAX_MESSAGE = 16 << 20  # bytes; the largest honest request carries a whole OpenDRIVE map
MAX_ITEMS = 1 << 20  # arrays, strings, numbers and so on of one message together
MAX_DEPTH = 64  # arrays inside each other; a batch of nested commands has some 50

_FIXED = {  # bytes of a value after its type byte
    0xC0: 0, 0xC2: 0, 0xC3: 0, 0xCA: 4, 0xCB: 8,
    0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8,
}  # fmt: skip
_SIZED = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}  # bytes of a length of bytes
_ARRAYS = {0xDC: 2, 0xDD: 4}  # bytes of a length of items
_MAPS = {0xDE: 2, 0xDF: 4}


class MessageSplitter:
    """Cuts a stream of bytes into whole messages, undecoded.

    Args:
        scanner: finds where messages end, within its limits.
    """

    def __init__(self, scanner: MessageScanner | None = None) -> None:
        self._scanner = scanner or MessageScanner()
        self._received = bytearray()

    def __len__(self) -> int:
        """Return how many bytes are held until the rest of their message comes."""
        return len(self._received)

    @property
    def pending(self) -> bytes:
        """Those bytes."""
        return bytes(self._received)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take bytes; yield every message they complete. Raises WireFormatError as a scanner."""
        self._received += data
        while (end := self._scanner.end(self._received)) is not None:
            message = bytes(memoryview(self._received)[:end])
            del self._received[:end]
            yield message


class MessageScanner:
    """Walks a growing buffer that begins with a message.

    Args:
        most_bytes: of a message. most_items: of a message.
    """

    def __init__(self, most_bytes: int = MAX_MESSAGE, most_items: int = MAX_ITEMS) -> None:
        self._most_bytes, self._most_items = most_bytes, most_items
        self._at = 0
        self._items = 0  # that the arrays so far announced
        self._open: list[int] = []  # items that each open array still lacks

    def end(self, data: bytearray) -> int | None:
        """Return where the message ends, None while bytes are missing; resumes where it was.

        Raises:
            WireFormatError: the message exceeds a limit, or holds a type that CARLA never sends.
        """
        while self._at < len(data):
            header = self._header(data)
            if header is None:
                return None
            size, children = header
            if self._items + children > self._most_items or self._at + size > self._most_bytes:
                raise WireFormatError(
                    f"expected a message of at most {self._most_bytes >> 20} MiB and "
                    f"{self._most_items} items, got a larger one: send less at a time"
                )
            if self._at + size > len(data):
                return None
            self._at += size
            self._items += children
            if self._closes(children):
                end, self._at, self._items = self._at, 0, 0
                return end
        return None

    def _closes(self, children: int) -> bool:
        """Note an item that contains `children`; return whether the message is complete."""
        if children:
            self._open.append(children)
            if len(self._open) > MAX_DEPTH:
                raise WireFormatError(
                    f"expected at most {MAX_DEPTH} arrays inside each other, got more: "
                    "send flatter messages"
                )
            return False
        while self._open:
            self._open[-1] -= 1
            if self._open[-1]:
                return False
            self._open.pop()
        return True

    def _header(self, data: bytearray) -> tuple[int, int] | None:
        """Return the bytes of the item at hand, and how many items it contains."""
        kind = data[self._at]
        if kind < 0x80 or kind >= 0xE0:
            return 1, 0
        if kind < 0x90:
            return 1, 2 * (kind & 0x0F)
        if kind < 0xA0:
            return 1, kind & 0x0F
        if kind < 0xC0:
            return 1 + (kind & 0x1F), 0
        if kind in _FIXED:
            return 1 + _FIXED[kind], 0
        for widths, scale in ((_SIZED, 0), (_ARRAYS, 1), (_MAPS, 2)):
            if kind in widths:
                width = widths[kind]
                start = self._at + 1
                if start + width > len(data):
                    return None
                length = int.from_bytes(data[start : start + width], "big")
                return (1 + width, scale * length) if scale else (1 + width + length, 0)
        raise WireFormatError(
            f"expected msgpack of a CARLA client, got the type byte {kind:#04x}: "
            "connect a CARLA client to this port"
        )
