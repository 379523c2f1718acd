"""The completion script in a real shell."""

import shutil
import subprocess

import pytest

from realmaster_live.cli import main
from realmaster_live.cli.verbs import DATASET, VERBS

COMPLETE = """
COMP_WORDS=({words}) COMP_CWORD={place}
_realmaster
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    """The file of the bash script."""
    path = tmp_path_factory.mktemp("completion") / "realmaster.bash"
    with pytest.MonkeyPatch.context() as patch, path.open("w") as file:
        patch.setattr("sys.stdout", file)
        assert main(["completion", "bash"]) == 0
    return path


def replies(script, *words, folder=None):
    """Return what bash offers for the last of the words."""
    quoted = " ".join(f"'{word}'" for word in ("realmaster", *words))
    text = f"source '{script}'" + COMPLETE.format(words=quoted, place=len(words))
    done = subprocess.run(
        ["bash", "--norc", "-uc", text], capture_output=True, text=True, cwd=folder
    )
    assert done.returncode == 0 and not done.stderr, done.stderr
    return set(done.stdout.splitlines()) - {""}


def test_verbs_and_the_verbs_below_them(script):
    assert replies(script, "") == {*VERBS, "--help", "--version"}
    assert replies(script, "re") == {"record", "rehearse", "replay"}
    assert replies(script, "dataset", "") == {*DATASET, "--help"}
    assert "truth" in replies(script, "minitown", "")


def test_flags_of_the_verb_and_of_no_other(script):
    assert replies(script, "attach", "--fi") == {"--fidelity"}
    assert {"--gta", "--no-objects", "--config"} <= replies(script, "record", "drive", "--")
    assert "--gta" not in replies(script, "replay", "--")
    assert "--shard" not in replies(script, "replay", "--")  # executors start workers with it
    assert replies(script, "dataset", "export", "a", "--spl") == {
        "--split",
        "--split-by",
        "--split-salt",
    }


def test_values(script, tmp_path):
    assert replies(script, "attach", "--policy", "") == {"block", "drop_oldest"}
    assert replies(script, "dataset", "export", "--to", "co") == {"coco"}
    assert replies(script, "completion", "b") == {"bash"}
    (tmp_path / "rig.toml").touch()
    (tmp_path / "my rig.toml").touch()
    assert replies(script, "attach", "--rig", "my", folder=tmp_path) == {"my rig.toml"}
    assert replies(script, "attach", "--rig", "ri", folder=tmp_path) == {"rig.toml"}
    assert replies(script, "replay", "ri", folder=tmp_path) <= {"rig.toml"}


IN_ZSH = """
autoload -U compinit && compinit -u -d '{folder}/dump'
{text}
words=(realmaster {words}) COMP_WORDS=(realmaster {words}) COMP_CWORD={place}
CURRENT=$((COMP_CWORD + 1))
compgen -F _realmaster -- '{last}'
"""


@pytest.mark.skipif(shutil.which("zsh") is None, reason="needs zsh")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("re",), {*VERBS, "--help", "--version"}),
        (("dataset", "exp"), {*DATASET, "--help"}),
        (("attach", "--policy", "dr"), {"block", "drop_oldest"}),
    ],
)
def test_zsh_completes_by_the_same_script(script, words, expected, tmp_path, capsys):
    """It leaves out itself what does not begin as the last word does."""
    assert main(["completion", "zsh"]) == 0
    text = capsys.readouterr().out
    assert text.endswith(script.read_text())
    program = IN_ZSH.format(
        folder=tmp_path, text=text, words=" ".join(words), place=len(words), last=words[-1]
    )
    done = subprocess.run(["zsh", "-fc", program], capture_output=True, text=True)
    assert set(done.stdout.splitlines()) == expected and not done.stderr
