"""Executors: processes, an array of a scripted sbatch, and a real Ray on this machine."""

import os
import signal
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from trial_dataset import calls, make_dataset
from waiting import until

from realmaster_live.errors import ConfigError, PairError
from realmaster_live.jobs import supervisor
from realmaster_live.jobs.executors import Died
from realmaster_live.jobs.local import LocalWorker
from realmaster_live.jobs.slurm import script
from realmaster_live.jobs.supervisor import Progress
from realmaster_live.jobs.work import RunConfig
from realmaster_live.training.pairs.chain import Chain
from realmaster_live.training.pairs.supervise import run_stage
from realmaster_live.training.pairs.work import task_of

PARTS = Path(__file__).parents[1] / "parts"
SBATCH = """#!/bin/bash
# Runs the tasks of an array one after the other, as `sbatch --wait script` reports them.
[ "$1" = --wait ] || { echo "expected --wait" >&2; exit 9; }
last=$(sed -n 's/^#SBATCH --array=0-//p' "$2")
worst=0
for task in $(seq 0 "$last"); do
    SLURM_ARRAY_TASK_ID=$task bash "$2" >> "$SBATCH_LOG" 2>&1 || worst=$?
done
exit $worst
"""


PARENT = """
import sys
from pathlib import Path
from realmaster_live.training.pairs.supervise import run_stage
if __name__ == "__main__":
    run_stage(Path(sys.argv[1]), "copies", workers=2)
"""


def run_with_two_workers(dataset: Path) -> tuple[subprocess.Popen, list[int]]:
    """Start a run in a process group of its own; returns it once both its workers are at work."""
    (dataset / "parent.py").write_text(PARENT)
    parent = subprocess.Popen(
        [sys.executable, str(dataset / "parent.py"), str(dataset)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(PARTS), *filter(None, sys.path)])},
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    )
    until(lambda: len(calls(dataset)) == 2)
    lines = (dataset / "journal.txt").read_text().splitlines()
    return parent, [int(line.split()[1]) for line in lines]


@pytest.fixture
def sbatch(tmp_path, monkeypatch):
    """A Slurm of one machine; the path of what its tasks print."""
    folder = tmp_path / "bin"
    folder.mkdir()
    command = folder / "sbatch"
    command.write_text(SBATCH)
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    monkeypatch.setenv("PYTHONPATH", str(PARTS))
    monkeypatch.setenv("SBATCH_LOG", str(tmp_path / "tasks.log"))
    return tmp_path / "tasks.log"


def test_processes_share_the_clips(tmp_path):
    dataset = make_dataset(tmp_path, clips=8, together=2)
    seen = []
    status = run_stage(dataset, "copies", workers=2, on_progress=seen.append)
    assert (status.done, status.waiting, status.quarantined) == (8, 0, 0)
    assert sorted(calls(dataset)) == [f"c{index:02d}" for index in range(8)]
    workers = {line.split()[1] for line in (dataset / "journal.txt").read_text().splitlines()}
    assert len(workers) == 2
    assert str(os.getpid()) not in workers
    assert [status.done for status in seen] == sorted(status.done for status in seen)


def test_a_worker_that_crashes_is_replaced_and_its_clip_given_up(tmp_path):
    dataset = make_dataset(tmp_path, crash=["c01"], run={"attempts": 2})
    status = run_stage(dataset, "copies")
    assert (status.done, status.quarantined) == (3, 1)
    assert "died" in status.errors["c01"]
    assert calls(dataset).count("c01") == 2


def test_a_worker_that_loses_its_gpu_takes_no_other_clip_with_it(tmp_path):
    dataset = make_dataset(tmp_path, lose_gpu=["c01"], run={"attempts": 1})
    status = run_stage(dataset, "copies")
    assert (status.done, status.quarantined) == (3, 1)
    assert status.errors["c01"].startswith("RuntimeError: CUDA error")


def test_a_worker_that_is_killed_is_replaced_and_its_clip_made(tmp_path):
    dataset = make_dataset(tmp_path, clips=2, wait_s=3.0)
    killed = []

    def kill_once(status):
        if not killed and calls(dataset):
            killed.append(int((dataset / "journal.txt").read_text().split()[1]))
            os.kill(killed[0], signal.SIGKILL)

    status = run_stage(dataset, "copies", on_progress=kill_once)
    assert status.done == 2
    assert Chain(dataset).rows("copies")["c00"].attempts == 2


def test_one_clip_can_be_made_to_measure(tmp_path):
    dataset = make_dataset(tmp_path, poison=["c00"])
    status = run_stage(dataset, "copies", workers=2, limit=1)
    assert status.done == 1


def test_a_worker_that_dies_with_its_work_done_gets_no_second_share(tmp_path, monkeypatch):
    made, limits = [], []

    class Dying:
        def __init__(self, task):
            limits.append(task.limit)

        def poll(self):
            made.append("a piece")
            raise Died("the process ended with exit status -6")

        def stop(self):
            pass

    monkeypatch.setattr(supervisor, "starter", lambda executor: Dying)
    task = replace(task_of(make_dataset(tmp_path), "copies", RunConfig()), limit=2)
    supervisor.supervise(
        task, lambda: Progress(ready=4 - len(made), done=len(made), attempts=len(made))
    )
    assert (limits, len(made)) == ([2, 1], 2)


def test_an_error_of_a_worker_ends_the_run_in_its_own_words(tmp_path):
    dataset = make_dataset(tmp_path, txt="copy")
    worker = LocalWorker(task_of(dataset, "copies", RunConfig()))
    with pytest.raises(ConfigError, match="got 'txt': did you mean 'text'"):
        until(lambda: not worker.poll())
    worker.stop()
    worker.stop()


def test_work_that_another_run_holds_is_waited_for(tmp_path):
    dataset = make_dataset(tmp_path, clips=1, wait_s=1.5)
    other = LocalWorker(task_of(dataset, "copies", RunConfig()))
    until(lambda: calls(dataset))
    assert run_stage(dataset, "copies").done == 1
    assert calls(dataset) == ["c00"]
    until(lambda: not other.poll())
    other.stop()


def test_work_that_nobody_can_begin_is_no_endless_loop(tmp_path):
    dataset = make_dataset(tmp_path, clips=2)
    run_stage(dataset, "copies")

    def remove(status):
        for path in Chain(dataset).finished("copies").values():
            path.unlink()

    with pytest.raises(PairError, match="2 pieces of counts to be made, got no attempt"):
        run_stage(dataset, "counts", on_progress=remove)
    assert run_stage(dataset, "counts").blocked == 2


def test_a_stopped_worker_gives_its_lease_back(tmp_path):
    dataset = make_dataset(tmp_path, wait_s=60.0)
    worker = LocalWorker(task_of(dataset, "copies", RunConfig()))
    until(lambda: calls(dataset))
    worker.stop()
    assert not list((dataset / "leases").glob("*.json"))
    assert Chain(dataset).rows("copies") == {}


def test_the_batch_script_is_an_array_of_the_work_command(tmp_path):
    run = RunConfig(sbatch=("--gres=gpu:1", "--time=04:00:00"))
    text = script(replace(task_of(tmp_path, "propagate", run), shard=(0, 8)))
    assert text.startswith("#!/bin/bash\n#SBATCH --job-name=realmaster-propagate\n")
    assert "#SBATCH --array=0-7\n" in text
    assert "#SBATCH --gres=gpu:1\n#SBATCH --time=04:00:00\n" in text
    assert f"{sys.executable} -m realmaster_live pairs work {tmp_path} --stage propagate" in text
    assert text.endswith('--shard "$SLURM_ARRAY_TASK_ID/8"\n')


def test_slurm_runs_the_array(tmp_path, sbatch):
    dataset = make_dataset(tmp_path / "set")
    status = run_stage(dataset, "copies", executor="slurm", workers=2)
    assert status.done == 4
    assert sorted(calls(dataset)) == ["c00", "c01", "c02", "c03"]
    assert [line.split()[1] for line in sbatch.read_text().splitlines()] == ["4", "0"]


def test_a_failed_array_says_where_its_logs_are(tmp_path, sbatch):
    dataset = make_dataset(tmp_path / "set", crash=["c01"])
    with pytest.raises(PairError, match=r"array job of copies .* exit status .*logs"):
        run_stage(dataset, "copies", executor="slurm", workers=1)
    assert run_stage(dataset, "copies").done == 3


def test_slurm_without_sbatch_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="expected the command sbatch"):
        run_stage(make_dataset(tmp_path / "set"), "copies", executor="slurm")


def test_an_unknown_executor_is_named(tmp_path):
    with pytest.raises(ConfigError, match="local, slurm, ray, got 'cloud'"):
        run_stage(make_dataset(tmp_path), "copies", executor="cloud")


def test_a_worker_whose_parent_is_killed_ends_and_gives_its_lease_back(tmp_path):
    dataset = make_dataset(tmp_path / "set", wait_s=60.0)
    parent, workers = run_with_two_workers(dataset)
    parent.kill()
    parent.wait()
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
    assert not list((dataset / "leases").glob("*.json"))
    assert Chain(dataset).rows("copies") == {}, "no attempt is counted"


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_stopped_stops_its_workers(sent, tmp_path):
    dataset = make_dataset(tmp_path / "set", wait_s=60.0)
    parent, workers = run_with_two_workers(dataset)
    os.killpg(parent.pid, sent)  # as a terminal does it
    assert parent.wait(60) != 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
    assert not list((dataset / "leases").glob("*.json"))
    assert Chain(dataset).rows("copies") == {}


@pytest.fixture(scope="module")
def ray_stops():
    ray = pytest.importorskip("ray")
    yield
    ray.shutdown()


@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("default")  # Ray's own
@pytest.mark.usefixtures("ray_stops")
@pytest.mark.slow
def test_ray_runs_actors_that_crash_without_harm_to_their_neighbours(tmp_path):
    dataset = make_dataset(tmp_path, clips=6, poison=["c02"], crash=["c04"], run={"attempts": 1})
    status = run_stage(dataset, "copies", executor="ray", workers=2)
    assert (status.done, status.quarantined) == (4, 2)
    assert "expected another clip" in status.errors["c02"]
    assert "died" in status.errors["c04"]
    assert sorted(set(calls(dataset))) == [f"c{index:02d}" for index in range(6)]
    assert len(calls(dataset)) == 6
    assert run_stage(dataset, "copies", executor="ray", workers=2).done == 4
    assert len(calls(dataset)) == 6
    assert len(Chain(dataset).finished("copies")) == 4
