"""`realmaster rehearse`: every public command from a model's folder to a live engine."""

import pytest

from realmaster_live import Recording
from realmaster_live.cli import main


@pytest.mark.slow
def test_the_whole_chain_passes_on_random_weights(tmp_path, capsys):
    pytest.importorskip("diffusers")
    out = tmp_path / "out"
    status = main(["rehearse", "--out", str(out)])
    printed = capsys.readouterr().out
    assert status == 0, printed
    rows = [line.split()[0] for line in printed.splitlines() if line.endswith("PASS")]
    for name in ("pairs", "fit", "distill", "model", "attach", "export", "dataset"):
        assert name in rows
    for drive in ("live-01", "live-02"):
        pairs = list(Recording(out / drive).pairs())
        assert len(pairs) >= 21  # a first chunk of nine frames and one of twelve
        assert all((rendered != realized).any() for rendered, realized in pairs)


def test_a_folder_with_something_in_it_is_refused(tmp_path, capsys):
    pytest.importorskip("diffusers")
    (tmp_path / "file").touch()
    assert main(["rehearse", "--out", str(tmp_path)]) == 2
    assert "expected a new or an empty folder for --out" in capsys.readouterr().err
