"""Films of methods of recorded drives: made once, in pieces, resumed, billed, and skipped."""

import json

import numpy as np
import pytest
from driven_scene import SIZE, record_drive
from vendors import KEY, Vendors

from realmaster_live.cli import main
from realmaster_live.errors import ConfigError, PairError
from realmaster_live.training.evaluate.baselines import methods
from realmaster_live.training.evaluate.baselines.films import Render, make, plan
from realmaster_live.training.evaluate.baselines.fitting import (
    at_times,
    fitted_size,
    four_k_plus_one,
    spans,
)
from realmaster_live.training.evaluate.drives.run import evaluate_drives
from realmaster_live.training.evaluate.drives.sources import RecordedDrive
from realmaster_live.training.pairs.videos import read_video


@pytest.fixture(scope="module")
def drive(tmp_path_factory):
    return record_drive(tmp_path_factory.mktemp("drives") / "drive", chunks=6)


class Inverter:
    """A method that inverts pieces of ten frames, at half of their size; it may end early."""

    def __init__(self, stop=None, drop=0):
        self.made, self.stop, self.drop = [], stop, drop
        self.parameters = {"by": "inversion"}

    def window(self, fps):
        return 10

    def check(self):
        pass

    def realize(self, piece, place):
        if len(self.made) == self.stop:
            raise PairError("expected a GPU, got none: wait")
        self.made.append(len(piece.frames))
        return (255 - piece.frames[:, ::2, ::2])[: len(piece.frames) - self.drop]


@pytest.fixture
def render(drive):
    return Render.of(RecordedDrive(drive))


def test_pieces_are_kept_and_only_the_missing_ones_are_made(render, tmp_path):
    film, kept = tmp_path / "film.mp4", tmp_path / "kept"
    stopped = Inverter(stop=2)
    with pytest.raises(PairError, match="expected a GPU"):
        make(plan("other", stopped, render, kept), film)
    rest = Inverter()
    chosen = plan("other", rest, render, kept)
    facts = make(chosen, film)
    assert stopped.made == [8, 8] and rest.made == [8]
    assert facts["frames"] == 24 and facts["seconds"] > 0 and facts["usd"] == 0
    pieces = np.concatenate([read_video(part.path) for part in chosen.parts])
    np.testing.assert_array_equal(read_video(film), pieces, "joined without encoding it again")
    [whole] = render.pieces([range(24)])
    assert pieces.shape == whole.frames.shape == (24, SIZE[1], SIZE[0], 3)
    assert np.abs(pieces.astype(int) - (255 - whole.frames)).mean() < 12, "in order, at its size"
    make(plan("other", idle := Inverter(stop=0), render, kept), film)
    assert not idle.made
    other = Inverter()
    other.parameters = {"by": "another inversion"}
    make(plan("other", other, render, kept), film)
    assert other.made == [8, 8, 8], "other parameters make another film"


def test_a_method_that_changes_the_length_is_refused_with_the_numbers(render, tmp_path):
    with pytest.raises(PairError, match=r"expected 8 frames of other for frames 0 to 7 .* got 7"):
        make(plan("other", Inverter(drop=1), render, tmp_path), tmp_path / "film.mp4")


def evaluate(drive, out, films, *options):
    return main(
        ["evaluate", "recording", str(drive), "--out", str(out), "--kept", str(films), *options]
    )


def test_the_command_pays_once_asks_first_and_says_what_it_skipped(tmp_path, monkeypatch, capsys):
    drive = record_drive(tmp_path / "drive", chunks=2)
    monkeypatch.setenv("DECART_API_KEY", KEY)
    monkeypatch.delenv("RUNWAYML_API_SECRET", raising=False)
    recipe = tmp_path / "methods.toml"
    with Vendors() as vendors:
        recipe.write_text(f'[decart]\nurl = "{vendors.url}"\npoll_s = 0.01\nseconds = 0.2\n')
        films, out = tmp_path / "films", tmp_path / "out"
        named = ["--methods", "raw,decart,aleph,perframe", "--methods-recipe", str(recipe)]
        assert evaluate(drive, out, films, *named) == 0
        printed = capsys.readouterr().out
        assert "decart: 2 pieces, 0.4 s of the render, sent to Decart for about $0.02" in printed
        assert not vendors.orders, "nobody said yes"
        facts = json.loads((out / "evaluation.json").read_text())
        assert "decart" not in facts["methods"]
        assert "give --yes" in facts["skipped"]["method decart"]
        assert "RUNWAYML_API_SECRET" in facts["skipped"]["method aleph"]
        assert "REGEN" in facts["skipped"]["method perframe"]
        for _ in range(2):
            assert evaluate(drive, out, films, *named, "--yes") == 0
            assert len(vendors.orders) == 2, "one a piece, and none the second time"
        facts = json.loads((out / "evaluation.json").read_text())
        assert facts["methods"]["decart"]["edge F1"]["value"] > 0.9, "the vendor sent it back"
        assert facts["made"]["decart"]["usd"] == pytest.approx(0.016)
        assert len(read_video(out / "films" / "decart.mp4")) == 8
        page = (out / "report.html").read_text()
        assert "RUNWAYML_API_SECRET" in page and KEY not in page


def test_several_drives_have_films_of_their_own(drive, tmp_path, monkeypatch):
    other = record_drive(tmp_path / "other", chunks=2)
    monkeypatch.setenv("DECART_API_KEY", KEY)
    with Vendors() as vendors:
        made = methods.make_films(
            [RecordedDrive(drive), RecordedDrive(other)],
            ["decart"],
            tmp_path / "out",
            tables={"decart": {"url": vendors.url, "poll_s": 0.01}},
            kept=tmp_path / "films",
            allow=lambda bills: True,
        )
    assert [film.drive for film in made.films] == [0, 1] and not made.skipped
    assert [len(read_video(film.path)) for film in made.films] == [24, 8]
    drives = [RecordedDrive(drive), RecordedDrive(other)]
    found = evaluate_drives(drives, films=made.films, seconds=0.2)
    assert found.values["decart"]["edge F1"].value > 0.9


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--methods", "vase"], "did you mean 'vace'"),
        (["--methods", "vace", "--film", "vace=a.mp4"], "one that is given and one to be made"),
        (["--methods-recipe", "{recipe}"], "expected tables of methods in"),
    ],
)
def test_wrong_methods_are_one_sentence(drive, tmp_path, capsys, options, expected):
    recipe = tmp_path / "methods.toml"
    recipe.write_text("[lucy]\nsteps = 3\n")
    given = [each.format(recipe=recipe) for each in options]
    assert evaluate(drive, tmp_path / "out", tmp_path / "films", *given) != 0
    error = capsys.readouterr().err
    assert expected in error and error.strip().count("\n") == 0


def test_a_wrong_option_of_one_method_leaves_the_others(drive, tmp_path):
    made = methods.make_films(
        [RecordedDrive(drive)], ["perframe", "vace"], tmp_path,
        tables={"perframe": {"onx": "a"}, "vace": {"steps": 0}},
        kept=tmp_path, allow=lambda bills: False,
    )  # fmt: skip
    assert "did you mean 'onnx'" in made.skipped["perframe"]
    assert "steps of 1 or more" in made.skipped["vace"]


def test_pieces_sizes_and_times_by_hand():
    assert [len(span) for span in spans(25, 10)] == [8, 9, 8]
    assert spans(10, 10) == [range(10)] and spans(11, 10)[1].stop == 11
    assert [four_k_plus_one(n) for n in (1, 2, 5, 6, 80, 81)] == [1, 5, 5, 9, 81, 81]
    assert fitted_size((1920, 1080), 832 * 480, 32) == (832, 480)
    assert fitted_size((160, 96), 160 * 96, 16) == (160, 96)
    shown = np.arange(15) / 30  # half a second
    assert at_times(10, 20.0, shown) == [0, 1, 3, 4, 6, 7, 9, 10, 12, 13]
    with pytest.raises(PairError, match=r"1\.00 s, got one of 0\.50 s"):
        at_times(20, 20.0, shown)


def test_the_shipped_options_are_the_defaults():
    from importlib.resources import files

    path = files("realmaster_live.training") / "recipes" / "methods.toml"
    tables = methods.read_tables(path)
    assert tuple(tables) == methods.BASELINES
    for name, table in tables.items():
        shown, plain = methods.load(name, table).config, methods.load(name, {}).config
        assert shown == plain, name


def test_a_name_is_known():
    with pytest.raises(ConfigError, match="raw, histogram, realmaster, pipeline"):
        methods.check_names(["cosmo"])
