"""The chain of public commands: what passes, fails and is skipped, and what a step took."""

import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from realmaster_live.errors import ConfigError
from realmaster_live.training.rehearsal.chain import (
    FAILED,
    LOGS,
    PASSED,
    SKIPPED,
    STATE,
    State,
    Step,
    open_state,
    run_chain,
    table,
)
from realmaster_live.training.rehearsal.steps import Rehearsal, merged

DOCS = Path(__file__).parents[3] / "docs" / "training.md"


def test_a_chain_ends_with_the_first_step_that_fails(tmp_path):
    steps = [
        Step(name="version", command="--version"),
        Step(name="absent", command="--version", needs="no_such_module"),
        Step(name="wrong", command="no-such-verb"),
        Step(name="never", command="--version"),
    ]
    seen = []
    outcomes = run_chain(steps, tmp_path, State(settings={}), seen.append)
    assert seen == outcomes
    assert [each.result for each in outcomes] == [PASSED, SKIPPED, FAILED]
    assert outcomes[0].seconds > 0
    assert outcomes[1].reason == "no_such_module is not installed"
    assert "status 2" in outcomes[2].reason
    assert "no-such-verb" in outcomes[2].reason
    logs = sorted(path.name for path in (tmp_path / LOGS).iterdir())
    assert logs == ["00-version.log", "02-wrong.log"]
    lines = table(outcomes)
    assert lines[0].split() == ["step", "seconds", "peak", "memory", "written"]
    assert [line.split()[0] for line in lines[1:]] == ["version", "absent", "wrong"]


def test_a_step_that_makes_nothing_has_failed_and_one_that_does_is_weighed(tmp_path):
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "file").write_bytes(bytes(1234))
    nothing = Step(name="nothing", command="--version", makes=("absent",))
    [outcome] = run_chain([nothing], tmp_path, State(settings={}), print)
    assert (outcome.result, outcome.reason) == (
        FAILED, f"it ended with status 0 but did not make {tmp_path / 'absent'}",
    )  # fmt: skip
    help_text = Step(name="something", command="record --help", makes=("made",), resumes=True)
    [outcome] = run_chain([help_text], tmp_path, State(settings={}), print)
    assert (outcome.result, outcome.written_bytes) == (PASSED, 1234)


def test_a_terminated_chain_ends_its_step(tmp_path):
    program = (
        "import sys; from pathlib import Path\n"
        "from realmaster_live.system.termination import termination_raises\n"
        "from realmaster_live.training.rehearsal.chain import State, Step, run_chain\n"
        "step = Step(name='town', command='minitown --port 0 --no-raster')\n"
        "with termination_raises():\n"
        "    run_chain([step], Path(sys.argv[1]), State(settings={}), print)\n"
    )
    chain = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)])
    log = tmp_path / LOGS / "00-town.log"
    while not (log.exists() and "ready on" in log.read_text()):
        assert chain.poll() is None
        time.sleep(0.05)
    [step] = psutil.Process(chain.pid).children()
    chain.terminate()
    assert chain.wait(30) != 0
    assert not step.is_running()


def test_a_rehearsal_starts_in_a_folder_of_its_own(tmp_path):
    assert open_state(tmp_path, {}).outcomes == open_state(tmp_path / "new", {}).outcomes == []
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="expected a new or an empty folder for --out"):
        open_state(tmp_path, {})


def test_a_stopped_chain_continues_and_keeps_what_was_left_behind(tmp_path):
    steps = [
        Step(name="version", command="--version"),
        Step(name="wrong", command="no-such-verb", makes=("made",)),
    ]
    settings = {"scale": "tiny"}
    run_chain(steps, tmp_path, open_state(tmp_path, settings), print)
    (tmp_path / "made").mkdir()
    seen = []
    mended = [steps[0], Step(name="wrong", command="--version", makes=("made",))]
    outcomes = run_chain(mended, tmp_path, open_state(tmp_path, settings), seen.append)
    assert [each.step.name for each in outcomes] == ["version", "wrong"]
    assert seen == outcomes[1:]
    assert (tmp_path / "made.stopped-1").is_dir() and not (tmp_path / "made").exists()
    with pytest.raises(ConfigError, match=r"settings of the rehearsal in .*scale tiny.*scale full"):
        open_state(tmp_path, {"scale": "full"})
    (tmp_path / STATE).write_text("{")
    with pytest.raises(ConfigError, match="cannot be read"):
        open_state(tmp_path, settings)


def test_overrides_leave_the_rest_of_a_recipe():
    table_ = {"a": 1, "b": {"c": 2, "d": 3}}
    assert merged(table_, {"b": {"d": 4}, "e": 5}) == {"a": 1, "b": {"c": 2, "d": 4}, "e": 5}
    assert table_ == {"a": 1, "b": {"c": 2, "d": 3}}


def test_the_commands_are_those_of_the_documentation(tmp_path):
    """Each command of the page is a step; a step may have more flags, such as a port."""
    text = re.search(r"```bash\n(.*?)```", DOCS.read_text(), re.DOTALL)[1]
    shown = [shlex.split(line)[1:] for line in text.splitlines() if line.startswith("realmaster ")]
    rehearsal = Rehearsal(folder=tmp_path, port=2000, size=(832, 480), device="cpu", bfloat16=False)
    steps = [shlex.split(step.command) for step in rehearsal.steps()]
    assert len(shown) >= 7
    for command in shown:
        assert any(set(command) <= set(step) for step in steps), command
