import logging
import multiprocessing
import signal
import subprocess

import pytest
import torch

from realmaster_live.errors import ConfigError
from realmaster_live.training import checkpoints
from realmaster_live.training.checkpoints import damage, latest, states, write_state


def save(folder, step, **numbers):
    return write_state(
        folder, step, {"weights.safetensors": {"w": torch.full((4,), float(step))}}, numbers
    )


def test_a_state_is_written_whole_and_the_newest_two_are_kept(tmp_path):
    assert latest(tmp_path) is None
    for step in (5, 10, 15):
        save(tmp_path, step, seconds=step / 10)
    assert [path.name for path in states(tmp_path)] == ["step=10", "step=15"]
    assert (tmp_path / "LATEST").read_text() == "step=15"
    state, numbers = latest(tmp_path)
    assert numbers == {"step": 15, "seconds": 1.5}
    assert sorted(path.name for path in state.iterdir()) == [
        "MANIFEST.sha256", "state.json", "weights.safetensors",
    ]  # fmt: skip
    output = subprocess.run(
        ["sha256sum", "--check", "MANIFEST.sha256"], cwd=state, capture_output=True, text=True
    )
    assert output.returncode == 0, output.stdout


@pytest.mark.parametrize("harm", ["flip", "cut", "missing", "no manifest"])
def test_a_broken_newest_falls_back_one_loudly(tmp_path, caplog, harm):
    save(tmp_path, 1)
    newest = save(tmp_path, 2)
    file = newest / "weights.safetensors"
    content = bytearray(file.read_bytes())
    if harm == "flip":
        content[-1] ^= 1
        file.write_bytes(content)
    elif harm == "cut":
        file.write_bytes(content[:20])
    elif harm == "missing":
        file.unlink()
    else:
        (newest / "MANIFEST.sha256").unlink()
    with caplog.at_level(logging.ERROR):
        state, numbers = latest(tmp_path)
    assert numbers["step"] == 1
    assert "step=2 is broken" in caplog.text
    save(tmp_path, 3)  # what goes on from there leaves the broken one behind
    assert latest(tmp_path)[1]["step"] == 3
    assert damage(state) is None


def test_nothing_begins_anew_where_all_states_are_broken(tmp_path):
    for step in (1, 2):
        (save(tmp_path, step) / "state.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"step=2: state\.json is not what was written"):
        latest(tmp_path)


def test_a_run_that_fell_back_drops_the_states_that_it_left(tmp_path):
    for step in (10, 20):
        save(tmp_path, step)
    (tmp_path / "LATEST").write_text("step=10")
    assert latest(tmp_path)[1]["step"] == 10  # whoever sets the pointer back means it
    save(tmp_path, 15)
    assert [path.name for path in states(tmp_path)] == ["step=10", "step=15"]


def halt_in_second_save(folder, moment, halted):
    """Write a state, and stand still in the middle of the next."""
    original = getattr(checkpoints, moment)
    save(folder, 1)

    def wait(*arguments):
        if moment == "write_tensors":
            arguments[0].write_bytes(b"half of a file")
        else:
            original(*arguments)
        halted.set()
        signal.pause()

    setattr(checkpoints, moment, wait)
    save(folder, 2)


@pytest.mark.parametrize("moment", ["write_tensors", "write_json", "write_text", "sha256_of"])
def test_kill_during_a_save_leaves_the_state_before(tmp_path, moment):
    """A real process is killed in the middle of its second save."""
    context = multiprocessing.get_context("fork")  # torch is imported already
    halted = context.Event()
    process = context.Process(target=halt_in_second_save, args=(tmp_path, moment, halted))
    process.start()
    try:
        assert halted.wait(60)
    finally:
        process.kill()
        process.join(30)
    assert process.exitcode == -signal.SIGKILL
    assert latest(tmp_path)[1] == {"step": 1}
    save(tmp_path, 2)
    assert latest(tmp_path)[1] == {"step": 2}
    assert not list(tmp_path.glob(".*"))
