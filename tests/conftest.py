"""What tests share: the embedded simulator as a process, its carla clients, one exported model."""

import contextlib
import fcntl
import functools
import gc
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from settled import actors_of
from street import SIZE, make_chunk

from realmaster_live import ChunkSpec

READY = re.compile(r"ready on ([\w.]+):(\d+)")

# A shell that runs pytest in the background, or under nohup, has them ignored, and so would every
# process that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

COMPILING_S = 600  # a first test that needs a drawn town may wait for its renderer's compilation
LONG = {"soak": 4 * 3600, "slow": 900}  # seconds that a test of a marker may take

# Files that run in one process, by what they name: packages whose import takes seconds and
# hundreds of megabytes, a drawn town, which takes seconds to start, and an exported model.
PACKAGES = "diffusers|peft|transformers|lora_samples|wan_folder|tiny_(editors|umt5|vace|wan)"
TOGETHER = {
    "packages": rf"^\s*(from|import) ({PACKAGES})\b",
    "drawn town": r"^\s*def .*\b(minitown|carla_client|drawn_owner|drawn_car)\b",
    "exported model": r"\btiny_model\b",
}
TESTS = Path(__file__).parent


def pytest_configure(config: pytest.Config) -> None:
    """Let each process of a run of everything begin to collect at another folder.

    pytest compiles a test file where that was not done before, and keeps the result: so they
    divide this work.
    """
    gc.disable()  # until all is imported: nothing of it becomes garbage
    worker = getattr(config, "workerinput", None)
    if worker is None or [Path(each).resolve() for each in config.args] != [TESTS]:
        return
    places = sorted(str(path) for path in TESTS.iterdir() if path.name[0] not in "._")
    first = len(places) * int(worker["workerid"].removeprefix("gw")) // worker["workercount"]
    config.args[:] = places[first:] + places[:first]


def pytest_collection_finish() -> None:
    """Have the collector of garbage pass over what was imported."""
    gc.enable()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Give a file to one process, as loadfile does, and files that share something to the same."""
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class ByFile(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return scope_of(super()._split_scope(nodeid))

    return ByFile(config, log)


@functools.cache
def scope_of(file: str) -> str:
    """Return the name of the files that are to run in one process with a file."""
    text = (TESTS.parent / file).read_text(encoding="utf-8")
    kinds = (kind for kind, pattern in TOGETHER.items() if re.search(pattern, text, re.MULTILINE))
    return next(kinds, file)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give long tests their time, and put files in the same order in all processes."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: str(item.path))
    for item in items:
        for marker, limit_s in LONG.items():
            if item.get_closest_marker(marker) and not item.get_closest_marker("timeout"):
                item.add_marker(pytest.mark.timeout(limit_s))
        if "minitown" in item.fixturenames and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(COMPILING_S))


def folder_of_the_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the temporary folder that all processes of a run share."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@contextlib.contextmanager
def one_process(lock: Path) -> Iterator[None]:
    """Hold a lock that one process may have at a time."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """The function that returns a folder which one process of a run fills for all of them.

    `made_once(name, make)` calls `make(folder)` unless some process has. Nobody may write to it.
    """
    root = folder_of_the_run(tmp_path_factory)

    def folder_of(name: str, make: Callable[[Path], object]) -> Path:
        folder = root / f"once-{name}"
        with one_process(root / f"once-{name}.lock"):
            if not folder.exists():
                begun = tmp_path_factory.mktemp(name)
                make(begun)
                begun.rename(folder)
        return folder

    return folder_of


@dataclass(frozen=True)
class MinitownServer:
    host: str
    port: int
    process: subprocess.Popen

    def client(self):
        """Return a fresh carla.Client; eight workers, as one waits for the other in callbacks."""
        carla = pytest.importorskip("carla")
        client = carla.Client(self.host, self.port, 8)
        client.set_timeout(30.0)
        return client


@contextlib.contextmanager
def running_minitown(*options: str, port: int = 0) -> Iterator[MinitownServer]:
    """Run a server, on a free port unless one is given."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "realmaster_live", "minitown"),
            *("--port", str(port), "--exit-with-parent", str(os.getpid()), *options),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    lines: list[str] = []
    reader = threading.Thread(target=lines.extend, args=(process.stderr,), daemon=True)
    reader.start()
    try:
        line = process.stdout.readline()
        found = READY.search(line)
        assert found, f"no ready line but {line!r}, {lines}"
        yield MinitownServer(found[1], int(found[2]), process)
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        reader.join(60)
        process.stdout.close()
        process.stderr.close()


@pytest.fixture(scope="session")
def minitown(tmp_path_factory) -> Iterator[MinitownServer]:
    """Town 7 with its pictures drawn."""
    with contextlib.ExitStack() as stack:
        # On a new machine the first one to start compiles the renderer for all.
        with one_process(folder_of_the_run(tmp_path_factory) / "renderer.lock"):
            server = stack.enter_context(running_minitown("--seed", "7"))
        yield server


@pytest.fixture(scope="session")
def blank_minitown() -> Iterator[MinitownServer]:
    """Town 7 that sends a fixed picture: quicker where only the protocol counts."""
    with running_minitown("--seed", "7", "--no-raster") as server:
        yield server


@pytest.fixture(scope="session")
def running():
    """The function that runs a server with options of the test's own."""
    return running_minitown


def restored(server: MinitownServer) -> Iterator:
    """Yield a client, and leave the world as it was: its settings, weather and actors."""
    client = server.client()
    world = client.get_world()
    before = {actor.id for actor in actors_of(world)}
    settings, weather = world.get_settings(), world.get_weather()
    yield client
    world = client.get_world()
    extra = [actor for actor in actors_of(world) if actor.id not in before]
    for actor in extra:
        if actor.type_id.startswith("sensor.") and actor.is_listening():
            actor.stop()
    _destroy(client, extra)
    world.set_weather(weather)
    world.apply_settings(settings)
    time.sleep(0.3)  # the client's threads end after stop()


def _destroy(client, actors: Sequence) -> None:
    import carla

    client.apply_batch_sync([carla.command.DestroyActor(actor.id) for actor in actors], False)


@pytest.fixture
def carla_client(minitown):
    """A client of the drawn town that cleans up after itself."""
    yield from restored(minitown)


@pytest.fixture
def blank_client(blank_minitown):
    """A client of the undrawn town that cleans up after itself."""
    yield from restored(blank_minitown)


@pytest.fixture
def spec():
    return ChunkSpec(frames=4, height=SIZE[1], width=SIZE[0], fps=20)


@pytest.fixture
def chunk_at():
    return make_chunk


@pytest.fixture(scope="session")
def tiny_checkpoint(made_once):
    """A checkpoint of random weights, all different, in which every part has a say."""
    torch = pytest.importorskip("torch")
    from realmaster_live.model.checkpoint import save_checkpoint
    from realmaster_live.model.dit import InContextTransformer
    from realmaster_live.model.profile import TINY
    from realmaster_live.model.vae import StreamingAutoencoder

    def make(folder):
        torch.manual_seed(3)
        autoencoder, transformer = StreamingAutoencoder(TINY), InContextTransformer(TINY)
        with torch.no_grad():
            for module in (autoencoder, transformer):
                for parameter in module.parameters():
                    is_constant = bool(parameter.min() == parameter.max())
                    parameter.add_((0.1 if is_constant else 0.01) * torch.randn(parameter.shape))
            autoencoder.light.out.weight.mul_(10.0)  # what an engine does wrong with it must show
            autoencoder.latents_mean.normal_(std=0.05)
            autoencoder.latents_std.uniform_(0.2, 0.5)
        save_checkpoint(folder, autoencoder, transformer)

    return made_once("tiny-checkpoint", make)


@pytest.fixture(scope="session")
def tiny_model(tiny_checkpoint, made_once):
    """The checkpoint, exported."""
    from realmaster_live.engines.export.export import export

    facts = {"data": "none: random weights"}
    return made_once(
        "tiny-model",
        lambda folder: export(tiny_checkpoint, folder, height=64, width=96, facts=facts),
    )
