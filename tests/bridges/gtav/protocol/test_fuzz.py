"""Bytes from a peer that is broken or hostile: an error, never a crash, a hang, or growth."""

import gc
import os
import random
import time
import tracemalloc

import numpy as np
import psutil
import pytest
from game_server import encode_pair

from realmaster_live.bridges.gtav.protocol.framing import (
    FrameDecoder,
    MessageDecoder,
    depth_ndc,
    framed,
    stencil,
)
from realmaster_live.bridges.gtav.protocol.message_codec import decode_message, encode_message
from realmaster_live.bridges.gtav.protocol.messages import Commands, DatasetOptions, Scenario, Start
from realmaster_live.errors import WireFormatError

WIDTH, HEIGHT = 31, 17
MAX_FIELDS = 1 << 16
LONG_S = float(os.environ.get("GTAV_FUZZ_S", "180"))
INTERESTING = [
    b"\x00\x00\x00\x00", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x00\x00\x00\x80",
    b"\x01\x00\x00\x00", b"\x00\x00\x01\x00", b"{", b"}", b'"', b"[" * 99, b"\\u", b"NaN",
    b"1e999", b"-", b"9" * 400, b"\xff", b"\x00", b'{"DepthBuffer": "', b'"DepthBuffer": [], ',
]  # fmt: skip


def seeds():
    """Return honest streams of a game and of a client."""
    rng = np.random.default_rng(5)
    image = rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    buffers = {"DepthBuffer": "AACAPw==", "StencilBuffer": "BwcHBw==", "bbox2d": "Car 0 0 ä"}
    fields = [{}, {"speed": 1.5, "index": 3}, buffers, {"vehicles": [{"FUR": [1, 2, 3]}] * 9}]
    game = b"".join(encode_pair(image, told) for told in fields)
    start = Start(scenario=Scenario(location=(1.0, 2.0)), dataset=DatasetOptions(frame=(31, 17)))
    messages = [start, Commands(throttle=1.0, brake=0.0, steering=-1.0)]
    return game, b"".join(framed(encode_message(message)) for message in messages)


def mutated(data, rng):
    data = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(5):
            case 0:
                data[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                del data[at : at + rng.choice((1, 3, 50, 3000))]
            case 2:
                data[at:at] = rng.choice(INTERESTING)
            case 3:
                data[at : at + 4] = rng.choice(INTERESTING)
            case 4:
                data[at:at] = data[at : at + rng.randrange(2000)]
        data = data or bytearray(b"{")
    return bytes(data)


def cut(data, rng):
    at = 0
    while at < len(data):
        size = rng.choice((1, 2, 3, 5, 100, 1000, 5000))
        yield data[at : at + size]
        at += size


def game_round(data, rng):
    """Feed one stream; returns how many frames came and whether it ended in an error."""
    decoder, count = FrameDecoder(WIDTH, HEIGHT, max_fields=MAX_FIELDS), 0
    try:
        for piece in cut(data, rng):
            for frame in decoder.feed(piece):
                assert frame.image.shape == (HEIGHT, WIDTH, 3)
                count += 1
                for read in (depth_ndc, stencil):
                    values = read(frame.fields, 2, 2)
                    assert values is None or values.shape == (2, 2)
    except WireFormatError as error:
        assert len(str(error)) < 1000
        return count, True
    return count, False


def client_round(data, rng):
    decoder, count = MessageDecoder(), 0
    try:
        for piece in cut(data, rng):
            for body in decoder.feed(piece):
                count += 1
                encode_message(decode_message(body))
    except WireFormatError as error:
        assert len(str(error)) < 1000
        return count, True
    return count, False


def fuzz(rng, is_finished):
    """Return how often each end met bytes that it could, and could not, read."""
    game, client = seeds()
    read, refused, rounds = [0, 0], [0, 0], 0
    while not is_finished(rounds):
        for end, (one, data) in enumerate(((game_round, game), (client_round, client))):
            random_bytes = rng.randbytes(rng.randrange(1, 3000))
            given = random_bytes if rng.random() < 0.1 else mutated(data, rng)
            count, failed = one(given, rng)
            read[end] += count
            refused[end] += failed
        rounds += 1
    return rounds, read, refused


def test_a_thousand_broken_streams_are_read_or_refused_without_growth():
    fuzz(random.Random(1), lambda rounds: rounds == 50)  # what is allocated once
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        rounds, read, refused = fuzz(random.Random(2), lambda rounds: rounds == 500)
        gc.collect()  # errors and their tracebacks go in cycles
        after, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert min(read) > 100 and min(refused) > 100, (rounds, read, refused)
    assert after - before < 100_000
    assert most - before < 4 << 20


def test_a_length_is_bounded_before_memory_is_asked_for():
    tracemalloc.start()
    try:
        for size in (2**31 - 1, 2**30, (64 << 20) + 1):
            data = encode_pair(np.zeros((2, 2, 3), np.uint8), {})[:20] + size.to_bytes(4, "little")
            with pytest.raises(WireFormatError):
                list(FrameDecoder(2, 2).feed(data))
            with pytest.raises(WireFormatError):
                list(MessageDecoder().feed(size.to_bytes(4, "little")))
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_long_run_of_honest_frames_does_not_grow():
    pair = encode_pair(np.zeros((270, 480, 3), np.uint8), {"text": "x" * 5000})
    decoder = FrameDecoder(480, 270)

    def run(count):
        for _ in range(count):
            data, frame = memoryview(pair), None
            while data:
                room = decoder.room()
                size = min(len(room), len(data), 65536)
                room[:size] = data[:size]
                frame, data = decoder.advance(size), data[size:]
            assert frame is not None and len(frame.fields["text"]) == 5000

    run(3)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        run(100)
        after, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 20_000
    assert most - before < 100_000  # a frame is 389 kB: its memory was there before


@pytest.mark.slow
@pytest.mark.timeout(2 * LONG_S + 60)
def test_minutes_of_broken_streams_are_read_or_refused_without_growth():
    process, until = psutil.Process(), time.monotonic() + LONG_S
    seed = random.SystemRandom().randrange(2**32)
    rng = random.Random(seed)
    fuzz(rng, lambda rounds: rounds == 500)
    before = process.memory_info().rss
    rounds, read, refused = fuzz(rng, lambda rounds: time.monotonic() > until)
    grown = process.memory_info().rss - before
    print(f"seed {seed}: {rounds} rounds, read {read}, refused {refused}, grown {grown} bytes")
    assert min(refused) > 100, seed
    assert grown < 20 << 20, seed
