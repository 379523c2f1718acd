"""Vendors' editors against their HTTP interfaces: one order a piece, whatever goes wrong."""

import json

import numpy as np
import pytest
from vendors import KEY, Vendors

from realmaster_live.errors import ConfigError, PairError
from realmaster_live.recording.videos import Pictures, PictureWriter
from realmaster_live.replay.video_files import describe, pictures
from realmaster_live.training.evaluate.baselines import methods
from realmaster_live.training.evaluate.baselines.baseline import Piece
from realmaster_live.training.evaluate.baselines.orders import answer_path, order_path

VARIABLES = {"aleph": "RUNWAYML_API_SECRET", "decart": "DECART_API_KEY"}
SUBMIT = {"aleph": "/v1/video_to_video", "decart": "/v1/jobs/lucy"}


def piece(count=24, fps=20.0):
    """A bar that moves by a pixel a frame."""
    frames = np.full((count, 48, 64, 3), 40, np.uint8)
    for index in range(count):
        frames[index, :, index : index + 8] = 200
    return Piece(frames=frames, fps=fps)


def slower(film, tmp_path, fps=10):
    """The same film at another rate, half as large, and darker."""
    given = tmp_path / "given.mp4"
    given.write_bytes(film)
    shown = list(pictures(given))[:: round(describe(given).fps / fps)]
    path = tmp_path / "edited.mp4"
    with PictureWriter(path, (32, 24), fps, Pictures(crf=8)) as writer:
        for picture in shown:
            writer.write((picture[::2, ::2] * 0.5).astype(np.uint8))
    return path.read_bytes()


@pytest.fixture(params=["aleph", "decart"])
def name(request, monkeypatch):
    monkeypatch.setenv(VARIABLES[request.param], KEY)
    return request.param


@pytest.fixture
def vendors(tmp_path):
    with Vendors(lambda film: slower(film, tmp_path)) as server:
        yield server


def service(name, vendors, **table):
    return methods.load(name, {"url": vendors.url, "poll_s": 0.01, "timeout_s": 5.0, **table})


def test_a_piece_comes_back_at_its_own_rate_and_is_ordered_once(name, vendors, tmp_path):
    chosen, place = service(name, vendors, prompt="Make it real"), tmp_path / "films" / "a.mp4"
    chosen.check()
    made = chosen.realize(piece(), place)
    assert made.shape == (24, 24, 32, 3) and vendors.orders == ["Make it real"]
    bars = [int(frame[12].mean(-1).argmax()) for frame in made]
    assert bars[0] == 0 and abs(bars[20] - 10) <= 1, "the bar is where the render had it"
    assert bars[20] == bars[21], "two frames of the render are shown by one of the slower film"
    again = service(name, vendors).realize(piece(), place)
    np.testing.assert_array_equal(again, made)
    assert len(vendors.orders) == 1
    order = json.loads(order_path(place).read_text())
    assert order["job"] == "job-0" and KEY not in order_path(place).read_text()
    assert order["usd"] == round(chosen.usd(1.2), 4) > 0


def test_a_run_that_ends_while_it_waits_goes_on_with_the_same_order(name, vendors, tmp_path):
    place = tmp_path / "a.mp4"
    vendors.waits = 10**6
    with pytest.raises(PairError, match="run the same command again, which waits"):
        service(name, vendors, timeout_s=0.05).realize(piece(), place)
    chosen = service(name, vendors)
    assert chosen.is_ordered(place)
    vendors.jobs["job-0"][1] = 0
    assert len(chosen.realize(piece(), place)) == 24
    assert len(vendors.orders) == 1


def test_questions_are_asked_again_and_orders_are_not(name, vendors, tmp_path):
    ask = {"aleph": "/v1/tasks", "decart": "/v1/jobs/job"}[name]
    vendors.faults[ask] = [503, 429]
    assert len(service(name, vendors).realize(piece(), tmp_path / "a.mp4")) == 24
    vendors.faults[SUBMIT[name]] = ["hang up"]
    place = tmp_path / "b.mp4"
    with pytest.raises(PairError, match=r"page whether the order was charged, and delete .*b\.or"):
        service(name, vendors).realize(piece(), place)
    assert len(vendors.orders) == 2, "the vendor took it"
    with pytest.raises(PairError, match="got none, as its answer never came"):
        service(name, vendors).realize(piece(), place)
    vendors.faults[SUBMIT[name]] = [500]
    with pytest.raises(PairError, match="whether the order was charged"):
        service(name, vendors).realize(piece(), tmp_path / "c.mp4")
    assert order_path(tmp_path / "c.mp4").exists()
    assert len(vendors.orders) == 2


def test_what_a_vendor_refuses_is_not_an_order(name, vendors, tmp_path, monkeypatch):
    place = tmp_path / "a.mp4"
    monkeypatch.setenv(VARIABLES[name], "another key")
    with pytest.raises(PairError, match=r"got a refusal \(status 401.*nothing was charged"):
        service(name, vendors).realize(piece(), place)
    assert not vendors.orders and not order_path(place).exists()
    monkeypatch.setenv(VARIABLES[name], KEY)
    assert len(service(name, vendors).realize(piece(), place)) == 24


def test_an_order_that_failed_is_not_paid_again_by_itself(name, vendors, tmp_path):
    vendors.failure, place = "unsafe content", tmp_path / "a.mp4"
    for _ in range(2):
        with pytest.raises(PairError, match=r"got unsafe content.*to order and pay it again"):
            service(name, vendors).realize(piece(), place)
    assert len(vendors.orders) == 1
    order_path(place).write_text("{")
    with pytest.raises(PairError, match="expected an order in"):
        service(name, vendors).realize(piece(), place)
    assert len(vendors.orders) == 1, "a damaged order is not none"


def test_an_answer_of_another_length_is_kept_and_refused(name, vendors, tmp_path):
    vendors.edit = lambda film: short(tmp_path)
    place = tmp_path / "a.mp4"
    with pytest.raises(PairError, match=r"expected a film of 1\.20 s, got one of 0\.40 s"):
        service(name, vendors).realize(piece(), place)
    vendors.edit = lambda film: b"no film"
    with pytest.raises(PairError, match="expected a playable video in"):
        service(name, vendors).realize(piece(), tmp_path / "b.mp4")
    assert answer_path(tmp_path / "b.mp4").read_bytes() == b"no film", "it was paid for"


def short(tmp_path):
    path = tmp_path / "short.mp4"
    with PictureWriter(path, (64, 48), 10.0, Pictures(crf=8)) as writer:
        for _ in range(4):
            writer.write(np.zeros((48, 64, 3), np.uint8))
    return path.read_bytes()


def test_without_a_key_it_says_where_one_belongs(monkeypatch):
    monkeypatch.delenv("RUNWAYML_API_SECRET", raising=False)
    with pytest.raises(ConfigError, match="key of Runway in RUNWAYML_API_SECRET, got none"):
        methods.load("aleph", {}).check()
    with pytest.raises(ConfigError, match="at most 30"):
        methods.load("aleph", {"seconds": 31.0})
    with pytest.raises(ConfigError, match="1 to 1000 characters"):
        methods.load("decart", {"prompt": "x" * 1001})


def test_films_have_even_sides_and_are_as_long_as_the_vendor_takes(vendors, tmp_path, monkeypatch):
    monkeypatch.setenv("RUNWAYML_API_SECRET", KEY)
    lengths = []

    def edit(film):
        path = tmp_path / "sent.mp4"
        path.write_bytes(film)
        lengths.append(len(describe(path).times))
        return film

    vendors.edit = edit
    chosen, given = service("aleph", vendors), piece(count=12)
    odd = Piece(frames=given.frames[:, :-1, :-1], fps=20.0)
    assert chosen.realize(odd, tmp_path / "a.mp4").shape == (12, 48, 64, 3)
    assert lengths == [40], "two seconds at 20 fps"
    assert chosen.usd(0.6) == chosen.usd(2.0) == pytest.approx(0.56)
