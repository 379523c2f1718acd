"""What every engine must do, whatever runs the network."""

import gc
import tracemalloc

import numpy as np
import pytest
import torch

from realmaster_live.engines.identity_engine import IdentityEngine
from realmaster_live.engines.onnx_engine import STAGES, OnnxEngine
from realmaster_live.engines.tensorrt.build import build
from realmaster_live.engines.tensorrt.compilers import find_flavour
from realmaster_live.engines.tensorrt.cuda_driver import find_gpu
from realmaster_live.engines.tensorrt.engine import TrtEngine
from realmaster_live.engines.tensorrt.request import BuildRequest
from realmaster_live.engines.torch.engine import TorchEngine
from realmaster_live.errors import EngineError, MissingDependency
from realmaster_live.frames.chunk import Chunk, ChunkSpec
from realmaster_live.protocols import Engine, RetryingEngine, SeededEngine

WIDTH, HEIGHT = 96, 64
SPEC = ChunkSpec(frames=4, height=HEIGHT, width=WIDTH, fps=20.0)
LEVELS, MEAN_LEVELS = 2, 0.05  # how far two engines may be apart: an export rounds its weights
WARM, STEADY = 40, 20  # chunks; Python specialises code for longer than one would think
TIMINGS_BYTES = 600  # what a chunk may leave: a float for every stage, and the tracer's own

NETWORKS = [
    "onnx",
    "torch",
    pytest.param("torch compiled", marks=[pytest.mark.slow, pytest.mark.timeout(1800)]),
    pytest.param("torch cuda", marks=pytest.mark.gpu),
    pytest.param("torch cuda compiled", marks=[pytest.mark.gpu, pytest.mark.slow]),
    pytest.param("trt", marks=[pytest.mark.gpu, pytest.mark.timeout(1800)]),
]
CAN_RECOMPUTE = NETWORKS[:-1]  # plans keep the reference


def make_chunk(index: int, width: int = WIDTH, height: int = HEIGHT) -> Chunk:
    frames = np.random.default_rng(index).integers(0, 256, (4, height, width, 3), np.uint8)
    return Chunk(
        index=index,
        camera="front",
        frames=frames,
        frame_ids=np.arange(4) + index * 4,
        timestamps=np.arange(4) / 20.0,
        captured_at=np.zeros(4),
        intrinsics=np.eye(3),
        cam_to_world=np.tile(np.eye(4), (4, 1, 1)),
        labels={"depth": np.ones((4, height, width), np.float32)},
    )


def run(engine: Engine, count: int = 3) -> list[np.ndarray]:
    return [engine.realize(make_chunk(index)).frames for index in range(count)]


@pytest.fixture(scope="module")
def plans(tiny_checkpoint, tmp_path_factory):
    """The checkpoint, built in float32 for the GPU here."""
    gpu = find_gpu()
    if gpu is None:
        pytest.skip("TensorRT's plans run on an NVIDIA GPU, and none is here")
    pytest.importorskip("pycuda.driver", exc_type=ImportError)
    try:
        flavour = find_flavour(gpu=True)
    except MissingDependency as error:
        pytest.skip(str(error))
    if not flavour.serves(gpu.sm):
        pytest.skip(f"{flavour.name} {flavour.version} makes no plans for SM {gpu.sm}")
    folder = tmp_path_factory.mktemp("built")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(folder / "state"))
        build(
            BuildRequest(
                checkpoint=tiny_checkpoint,
                out=folder / "plans",
                size=(WIDTH, HEIGHT),
                precision="fp32",
            )
        )
        yield folder / "plans"


@pytest.fixture
def open_engine(request, tiny_checkpoint):
    """A function that opens an engine by name; all of them are closed in the end."""
    opened, compiled = [], False

    def open_one(name: str, **options) -> Engine:
        nonlocal compiled
        options = {"width": WIDTH, "height": HEIGHT, "threads": 1, **options}
        if name == "identity":
            engine = IdentityEngine(SPEC)
        elif name == "onnx":
            engine = OnnxEngine(request.getfixturevalue("tiny_model"), **options)
        elif name == "trt":
            plans, _ = request.getfixturevalue("plans"), options.pop("threads")
            engine = TrtEngine(plans, **options)
        else:
            if "cuda" in name:
                if not torch.cuda.is_available():
                    pytest.skip("needs a CUDA device")
                options["device"] = "cuda"
            compiled = "compiled" in name
            engine = TorchEngine(tiny_checkpoint, compile=compiled, **options)
        opened.append(engine)
        return engine

    yield open_one
    for engine in opened:
        engine.close()
    if compiled:
        torch.compiler.reset()  # torch compiles a function for only so many engines


@pytest.mark.parametrize("name", ["identity", *NETWORKS])
def test_carries_everything_but_the_pixels(open_engine, name):
    engine = open_engine(name)
    assert isinstance(engine, Engine)
    assert engine.spec == SPEC
    chunk = make_chunk(0)
    before = chunk.frames.copy()
    realized = engine.realize(chunk)
    assert realized.frames.dtype == np.uint8
    assert realized.rendered is chunk.frames
    for field in ("frame_ids", "timestamps", "captured_at", "intrinsics", "cam_to_world"):
        assert getattr(realized, field) is getattr(chunk, field)
    assert realized.labels["depth"] is chunk.labels["depth"]
    assert np.array_equal(chunk.frames, before)
    assert np.array_equal(realized.frames, before) == (name == "identity")


@pytest.mark.parametrize("name", ["identity", *NETWORKS])
def test_answers_stay_as_they_are(open_engine, name):
    """The next chunk is not written over the frames that a sink still holds."""
    engine = open_engine(name)
    first = engine.realize(make_chunk(0)).frames
    kept = first.copy()
    engine.realize(make_chunk(1))
    assert np.array_equal(first, kept)


@pytest.mark.parametrize("name", ["identity", *NETWORKS])
def test_takes_frames_that_are_read_only(open_engine, name):
    chunk = make_chunk(0)
    expected = open_engine(name).realize(chunk).frames
    chunk.frames.flags.writeable = False
    assert np.array_equal(open_engine(name).realize(chunk).frames, expected)


@pytest.mark.parametrize("name", NETWORKS[1:])
def test_answers_as_the_exported_graphs(open_engine, name):
    """Five chunks with ring and memories."""
    pairs = zip(run(open_engine(name), 5), run(open_engine("onnx"), 5), strict=True)
    for got, expected in pairs:
        difference = np.abs(got.astype(int) - expected.astype(int))
        assert difference.max() <= LEVELS
        assert difference.mean() < MEAN_LEVELS


@pytest.mark.parametrize("name", NETWORKS)
def test_is_deterministic_and_reset_equals_a_new_engine(open_engine, name):
    engine = open_engine(name)
    once = run(engine)
    carried = engine.realize(make_chunk(0)).frames
    assert not np.array_equal(carried, once[0])  # the past has a say
    engine.reset()
    assert all(np.array_equal(a, b) for a, b in zip(run(engine), once, strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(run(open_engine(name)), once, strict=True))


@pytest.mark.parametrize("name", NETWORKS)
def test_another_seed_or_number_of_steps_differs(open_engine, name):
    base = run(open_engine(name), 1)[0]
    for options in ({"seed": 1}, {"steps": 1}, {"steps": 4}):
        assert not np.array_equal(run(open_engine(name, **options), 1)[0], base), options


@pytest.mark.parametrize("name", NETWORKS)
def test_a_chunk_is_realized_again_and_the_next_goes_on_from_it(open_engine, name):
    """Under its own seed nothing changes; another seed has a say in the chunks that follow."""
    base, engine, other = run(open_engine(name), 6), open_engine(name), open_engine(name)
    assert isinstance(engine, RetryingEngine)
    for index, expected in enumerate(base):
        chunk = make_chunk(index)
        assert engine.realize(chunk).seed == 0
        tried = engine.realize_again(chunk, 7)
        assert tried.seed == 7
        assert tried.rendered is chunk.frames
        assert not np.array_equal(tried.frames, expected)
        assert np.array_equal(engine.realize_again(chunk, 7).frames, tried.frames)
        again = engine.realize_again(chunk, 0)
        assert again.seed == 0
        assert np.array_equal(again.frames, expected), index
        other.realize(chunk)
        kept = other.realize_again(chunk, 7).frames
        if index == 0:
            assert np.array_equal(kept, tried.frames)
        else:
            assert not np.array_equal(kept, tried.frames)  # its past is another


@pytest.mark.parametrize("name", NETWORKS)
def test_a_chunk_from_another_seed_is_as_an_engine_of_that_seed_makes_it(open_engine, name):
    engine = open_engine(name)
    engine.realize(make_chunk(0))
    answer = engine.realize_again(make_chunk(0), 7).frames
    assert np.array_equal(answer, run(open_engine(name, seed=7), 1)[0])


@pytest.mark.parametrize("name", NETWORKS)
def test_a_seed_that_is_set_holds_from_the_next_chunk_on(open_engine, name):
    engine = open_engine(name)
    assert isinstance(engine, SeededEngine) and engine.seed == 0
    engine.realize(make_chunk(0))
    engine.set_seed(7)
    assert engine.seed == 7 and engine.realize(make_chunk(1)).seed == 7
    engine.reset()
    assert np.array_equal(run(engine, 1), run(open_engine(name, seed=7), 1))


@pytest.mark.parametrize("name", NETWORKS)
def test_nothing_is_realized_again_after_a_reset(open_engine, name):
    engine = open_engine(name)
    for _ in range(2):
        with pytest.raises(EngineError, match="realized just before, got none since the last"):
            engine.realize_again(make_chunk(0), 7)
        engine.realize(make_chunk(0))
        engine.reset()


@pytest.mark.parametrize("name", CAN_RECOMPUTE)
def test_a_recomputed_reference_gives_the_same_pictures(open_engine, name):
    cached, recomputed = (
        run(open_engine(name, recompute_reference=choice)) for choice in (False, True)
    )
    assert all(np.array_equal(a, b) for a, b in zip(cached, recomputed, strict=True))


@pytest.mark.parametrize("name", NETWORKS)
def test_times_every_stage(open_engine, name):
    engine = open_engine(name)
    assert not any(engine.timings.values())
    run(engine, 2)
    assert tuple(engine.timings) == STAGES
    assert all(len(seconds) == 2 and min(seconds) > 0 for seconds in engine.timings.values())
    engine.reset()
    assert not any(engine.timings.values())


@pytest.mark.parametrize("name", ["identity", *NETWORKS])
def test_closes_twice(open_engine, name):
    with open_engine(name) as engine:
        engine.realize(make_chunk(0))
    engine.close()
    engine.reset()
    if name != "identity":
        with pytest.raises(EngineError, match="open engine, got a closed one: make a new"):
            engine.realize(make_chunk(0))


@pytest.mark.parametrize("name", ["onnx", "torch"])
def test_refuses_what_does_not_fit(open_engine, name):
    with pytest.raises(EngineError, match="multiples of 32, got 640x360: use 640x352 or 640x384"):
        open_engine(name, width=640, height=360)
    steps, words = {"onnx": (3, "among 1, 2, 4, got 3"), "torch": (0, "from 1 to 100, got 0")}[name]
    with pytest.raises(EngineError, match=f"steps {words}"):
        open_engine(name, steps=steps)
    with pytest.raises(EngineError, match=r"\(4, 64, 96, 3\), got \(4, 60, 96, 3\).*96x64"):
        open_engine(name).realize(make_chunk(0, height=60))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_prompt_takes_effect_at_the_next_chunk(open_engine, name):
    """There, not before; the prompt that is shown already changes no bit; a reset keeps it."""
    base, engine = run(open_engine(name), 4), open_engine(name)
    got = []
    for index in range(4):
        if index == 2:
            engine.set_prompt("rain")
        got.append(engine.realize(make_chunk(index)))
    assert [chunk.prompt for chunk in got] == ["as simulated"] * 2 + ["rain"] * 2
    assert [chunk.prompt_weight for chunk in got] == [1.0] * 4
    same = [np.array_equal(a.frames, b) for a, b in zip(got, base, strict=True)]
    assert same == [True, True, False, False]
    engine.reset()
    rain = run(engine, 2)
    begun = run(open_engine(name, prompt="rain"), 2)
    assert all(np.array_equal(a, b) for a, b in zip(rain, begun, strict=True))
    engine.reset()
    engine.set_prompt("rain")
    assert all(np.array_equal(a, b) for a, b in zip(run(engine, 2), rain, strict=True))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_fade_goes_from_one_prompt_to_the_other(open_engine, name):
    engine = open_engine(name)
    run(engine, 2)
    engine.set_prompt("rain", fade_chunks=3)
    shown = [engine.realize(make_chunk(9)) for _ in range(5)]
    assert [chunk.prompt_weight for chunk in shown] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert {chunk.prompt for chunk in shown} == {"rain"}
    # of one chunk after a reset, however the weights got there: nearer to rain with each step
    pictures = {}
    for done in range(5):
        mixed = open_engine(name)
        mixed.set_prompt("rain", fade_chunks=3)
        run(mixed, done)
        mixed.reset()
        chunk = mixed.realize(make_chunk(5))
        pictures[chunk.prompt_weight] = chunk.frames.astype(int)
    distances = [np.abs(pictures[w] - pictures[1.0]).mean() for w in (0.25, 0.5, 0.75, 1.0)]
    assert distances == sorted(distances, reverse=True)
    assert distances[0] > distances[2] > distances[3] == 0.0


@pytest.mark.parametrize("name", ["identity", "onnx", "torch"])
def test_refuses_a_prompt_without_an_embedding(open_engine, name):
    near = "'as simulated'" if name == "identity" else "'rain'"
    engine = open_engine(name)
    with pytest.raises(EngineError, match=f"embedding of, got 'rian': use {near}"):
        engine.set_prompt("rian")
    if name != "identity":
        with pytest.raises(EngineError, match="fade_chunks of 0 or more, got -1"):
            engine.set_prompt("rain", fade_chunks=-1)
        with pytest.raises(EngineError, match="got 'rian'"):
            open_engine(name, prompt="rian")


@pytest.mark.parametrize("name", NETWORKS[1:])
def test_answers_as_the_exported_graphs_in_rain(open_engine, name):
    engines = open_engine(name, prompt="rain"), open_engine("onnx", prompt="rain")
    for got, expected in zip(*(run(engine) for engine in engines), strict=True):
        assert np.abs(got.astype(int) - expected.astype(int)).max() <= LEVELS


def live_tensors() -> tuple[int, int]:
    """Return how many tensors live, and their bytes; a compiler's symbolic ones do not count."""
    gc.collect()
    tensors = [x for x in gc.get_objects() if type(x) in (torch.Tensor, torch.nn.Parameter)]
    return len(tensors), sum(x.numel() * x.element_size() for x in tensors)


@pytest.mark.parametrize("name", NETWORKS)
def test_memory_is_steady(open_engine, name):
    engine = open_engine(name)
    chunk = make_chunk(0)
    peaks = []
    gc.collect()
    gc.freeze()  # what other tests left need not be looked through at every chunk
    tracemalloc.start()
    try:
        for count in range(WARM + STEADY):
            if count == WARM:
                before = live_tensors()
                device = torch.cuda.memory_allocated() if "cuda" in name else 0
            gc.collect()
            tracemalloc.reset_peak()
            engine.realize(chunk)
            peaks.append(tracemalloc.get_traced_memory()[1])
        after = live_tensors()
    finally:
        tracemalloc.stop()
        gc.unfreeze()
    assert all(now <= then for now, then in zip(after, before, strict=True))
    early, late = peaks[WARM : WARM + 5], peaks[-5:]  # the least of some: others allocate too
    assert min(late) - min(early) < STEADY * TIMINGS_BYTES
    assert (torch.cuda.memory_allocated() if "cuda" in name else 0) <= device
