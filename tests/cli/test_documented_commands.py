"""Every `realmaster` command of README and docs parses; those of data sets run as written."""

import re
import shlex
from pathlib import Path

import pytest
from driven_scene import record_drive

from realmaster_live.cli import main
from realmaster_live.cli.command import parse
from realmaster_live.cli.options import options_of
from realmaster_live.cli.verbs import VERBS, all_verbs

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^( *)```\w*\n(.*?)^\1```", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`realmaster\s+([^`]+)`")
EVERYWHERE = {"--config", "--help"}


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def commands(page: Path) -> list[list[str]]:
    """Return the commands in a page's blocks, without the program's name."""
    found = []
    for _, block in BLOCK.findall(text_of(page)):
        for line in block.replace("\\\n", " ").replace("$seed", "1").splitlines():
            if line.strip().startswith("realmaster "):
                words = shlex.split(re.sub(r"\s#.*", "", line))[1:]
                found.append([word for word in words if word != "&"])
    return found


COMMANDS = [(page.name, command) for page in PAGES for command in commands(page)]
MENTIONED = [
    (page.name, " ".join(words.split()))
    for page in PAGES
    for words in INLINE.findall(BLOCK.sub("", text_of(page)))
]


def test_there_are_commands_to_test():
    assert len(COMMANDS) > 25 and len(MENTIONED) > 25


@pytest.mark.parametrize(("page", "command"), COMMANDS, ids=lambda part: "-".join(part)[:60])
def test_a_command_parses_without_a_note(page, command, capsys):
    verb, _ = parse(command)
    assert verb.options and capsys.readouterr().err == ""


@pytest.mark.parametrize(("page", "text"), MENTIONED)
def test_a_command_in_a_sentence_has_a_verb_and_its_flags(page, text):
    words = text.partition(" -- ")[0].split()  # what follows is another program's
    if words[0].isupper() or words[0].startswith("-"):
        return  # realmaster VERB --help, realmaster --version
    name, verbs = [], VERBS
    while words and words[0] in verbs:
        name.append(words.pop(0))
        verbs = verbs[name[-1]].verbs
    assert name, f"no verb {text!r} in {page}"
    verb = dict(all_verbs())[tuple(name)]
    known = {option.name for option in options_of(verb.cls)} if verb.options else set()
    ours = words[: words.index("--")] if "--" in words else words  # then another program's
    for word in ours:
        flag = word.partition("=")[0].strip("[].,…")
        assert not flag.startswith("--") or flag in known | EVERYWHERE, (page, text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pip_commands_name_extras_that_there_are_and_no_index(page):
    text = text_of(page)
    extras = re.search(
        r"^\[project.optional-dependencies\](.*?)^\[", text_of(ROOT / "pyproject.toml"), re.S | re.M
    )
    assert "pip install realmaster-live" not in text and "realmaster-live[" not in text
    for group in re.findall(r"pip install (?:-e )?[\"']\.\[([\w,-]+)\][\"']", text):
        for extra in group.split(","):
            assert re.search(rf"^{extra} = \[", extras[1], re.MULTILINE), (page, extra)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a recording `drive`, and what demos and `dataset collect` leave behind."""
    folder = tmp_path_factory.mktemp("docs")
    record_drive(folder / "drive", chunks=1)
    for number in range(1, 4):
        record_drive(folder / f"towns/{number}/recording", town=f"Town{number:02}", chunks=1)
    for time, weather in (("day", "clear"), ("night", "night")):
        place = folder / f"drives/MiniTown1-ClearNoon-{time}-s1"
        record_drive(place, town="MiniTown01", weather=weather, chunks=1)
    return folder


@pytest.mark.parametrize("page", ["recording.md", "datasets.md"])
def test_commands_about_data_sets_run_as_they_are_written(page, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    found = [command for command in commands(ROOT / "docs" / page) if command[0] == "dataset"]
    # what collect leaves is there already; tests/datasets/test_docs.py records it
    found = [one for one in found if one[1] != "collect" or "--list" in one]
    found = [one for one in found if one[1] != "view"]  # it serves until Ctrl-C
    assert found
    for table in re.findall(r"```toml\n(.*?)```", text_of(ROOT / "docs" / page), re.DOTALL):
        named = re.match(r"# (\w+\.toml)\n", table)
        Path(named[1] if named else "mine.toml").write_text(table)
    for command in found:
        words = [
            word for part in command for word in (sorted(map(str, Path().glob(part))) or [part])
        ]
        assert main(words) == 0, (command, capsys.readouterr().err)
