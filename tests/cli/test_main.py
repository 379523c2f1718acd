import subprocess
import sys

import pytest

from realmaster_live.cli import MODULES, VERBS, main, parse
from realmaster_live.errors import ConfigError


@pytest.mark.parametrize("verb", [*VERBS, *MODULES])
def test_every_verb_explains_itself(verb, capsys):
    with pytest.raises(SystemExit) as ended:
        main([verb, "--help"])
    assert ended.value.code == 0
    assert "--help" in capsys.readouterr().out


def test_the_overview_names_every_verb(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    out = capsys.readouterr().out
    assert all(f"\n    {verb}" in out for verb in [*VERBS, *MODULES])


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fly"],
        ["attach", "--size", "big"],
        ["attach", "--labels", "normals"],
        ["attach", "--seconds", "-1"],
        ["attach", "--policy", "newest"],
        ["record"],
        ["replay"],
        ["bench", "--sizes", "512x288,0x5"],
    ],
)
def test_a_wrong_use_is_one_line_and_status_2(arguments, capsys):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("realmaster: error: ")
    assert error.count("\n") == 1


def test_values_are_read():
    options = parse(["attach", "--ego", "17", "--labels", "none", "--camera", "4"])
    assert (options.ego, options.labels, options.camera) == (17, (), 4)
    assert parse(["attach", "--ego", "hero"]).ego == "hero"
    assert parse(["bench", "--sizes", "256x144,512x288"]).sizes == [(256, 144), (512, 288)]
    with pytest.raises(ConfigError, match="--sizes"):
        parse(["bench", "--sizes", ""])


def test_a_recording_that_is_not_there_is_status_1(tmp_path, capsys):
    assert main(["replay", str(tmp_path / "none")]) == 1
    assert "meta.json" in capsys.readouterr().err


def test_a_server_that_is_not_there_is_status_1(capsys):
    assert main(["attach", "--port", "21499", "--timeout", "1", "--engine", "identity"]) == 1
    error = capsys.readouterr().err
    assert "expected a CARLA server at 127.0.0.1:21499" in error
    assert error.count("\n") == 1


def test_the_program_is_installed_and_quick_to_start():
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c",
         "from realmaster_live.cli import main; main(['--version'])"],
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0
    assert done.stdout.strip().startswith("0.")
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert not loaded & {"cv2", "av", "pyarrow", "carla", "torch", "onnxruntime", "rich", "numba"}


def test_a_missing_package_is_one_line_with_its_command():
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "from realmaster_live.cli import main; sys.exit(main(['fit', 'recipe.toml']))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "pip install 'realmaster-live[training]'" in done.stderr
