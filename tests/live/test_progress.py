"""What a run prints for people: names as they are, however odd."""

import pytest

from realmaster_live.live.progress import CountProgress, RunProgress, console

ODD = "[red]c[/]:a:b [/x"


def test_lines_are_printed_as_they_are(capsys):
    console().print(ODD, soft_wrap=True)
    assert capsys.readouterr().out == f"{ODD}\n"


@pytest.mark.parametrize("bar", [RunProgress, CountProgress])
def test_bars_show_titles_as_they_are(bar, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "160")
    with bar(ODD, 12):
        pass
    assert ODD in capsys.readouterr().err
