import contextlib
import itertools
import json
import multiprocessing
import os
import shutil
import signal
import time

import cv2
import pytest
import torch
import trained_child
from latent_clips import make_clips
from safetensors import safe_open
from safetensors.torch import load_file

from realmaster_live.errors import ConfigError, PairError
from realmaster_live.model.checkpoint import load_checkpoint
from realmaster_live.model.lora_files import load, read_facts
from realmaster_live.training.checkpoints import latest
from realmaster_live.training.iclora.train import Data, IcLoraRun
from realmaster_live.training.recipe_tables import read_table

SERVER = multiprocessing.get_context("forkserver")  # a fork of pytest may wait for its threads
SERVER.set_forkserver_preload([trained_child.__name__])


def lines_of(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@contextlib.contextmanager
def running(recipe, data, out):
    """A real process that trains."""
    process = SERVER.Process(target=trained_child.train, args=(recipe, data, out))
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join(60)


def wait_for(condition, process, seconds=90.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.is_alive() or condition(), process.exitcode
        assert time.monotonic() < deadline
        time.sleep(0.002)


def states_equal(one, other):
    for name in ("adapter.safetensors", "optimizer.safetensors"):
        left, right = load_file(one / name), load_file(other / name)
        assert left.keys() == right.keys()
        for key, tensor in left.items():
            assert torch.equal(tensor, right[key]), key


@pytest.mark.slow
def test_the_loss_falls_and_unseen_clips_come_nearer(recipe_of, tmp_path):
    """A fixed mixture of channels is learnt by an adapter alone, in seconds."""
    recipe = recipe_of(
        log_steps=20, adapter={"rank": 32, "alpha": 32.0},
        optimizer={"steps": 120, "learning_rate": 1e-2, "warm_up": 10, "ema": 0.95},
        validation={"every": 60, "clips": 2, "chunks": 3},
    )  # fmt: skip
    clips, unseen = (make_clips(n, seed=n, sizes=((6, 8),)) for n in (96, 2))
    assert IcLoraRun(recipe, Data(training=clips, validation=unseen, sha256=""), tmp_path).train()
    lines = lines_of(tmp_path)
    losses = [line["loss"] for line in lines if "loss" in line]
    assert losses[-1] < 0.65 * losses[0]
    looks = [line["validation"] for line in lines if "validation" in line]
    assert looks[-1]["mse"] < 0.65 * looks[-1]["mse_reference"]
    assert looks[-1]["mse"] < looks[0]["mse"]
    assert set(looks[-1]["loss_by_t"]) == {"0.1-0.2", "0.3-0.4", "0.5-0.6", "0.6-0.7", "0.8-0.9"}
    assert all(line["loss_by_t"] for line in lines if "loss" in line)
    picture = cv2.imread(str(tmp_path / "samples" / "step=120" / "000.png"))
    assert picture.shape == (3 * 96, 3 * 128, 3)  # render, realized, wanted of three chunks


def test_forty_steps_are_seventeen_kill_and_twenty_three(recipe_of, data, tmp_path):
    """Real processes, a real kill -9; weights, averages and moments are equal bit for bit."""
    recipe = recipe_of(save_steps=1, log_steps=1, optimizer={"steps": 40, "accumulate": 2})
    straight, parted = tmp_path / "straight", tmp_path / "parted"
    with running(recipe, data, straight) as process:
        process.join(120)
        assert process.exitcode == 0
    with running(recipe, data, parted) as process:
        pointer = parted / "ckpt" / "LATEST"
        wait_for(
            lambda: pointer.exists() and int(pointer.read_text().removeprefix("step=")) >= 17,
            process,
        )
        os.kill(process.pid, signal.SIGKILL)
        process.join(30)
        assert process.exitcode == -signal.SIGKILL
    found = latest(parted / "ckpt")
    assert 17 <= found[1]["step"] < 40
    with running(recipe, data, parted) as process:
        process.join(120)
        assert process.exitcode == 0
    states_equal(straight / "ckpt" / "step=40", parted / "ckpt" / "step=40")
    a, b = ((run / "adapter.safetensors").read_bytes() for run in (straight, parted))
    assert a == b


def test_sigterm_saves_within_a_step(recipe_of, data, tmp_path):
    recipe = recipe_of(optimizer={"steps": 100_000})
    with running(recipe, data, tmp_path) as process:
        metrics = tmp_path / "metrics.jsonl"
        wait_for(lambda: metrics.exists() and '"step": 2' in metrics.read_text(), process)
        process.terminate()
        process.join(30)
        assert process.exitcode == 3
    step = latest(tmp_path / "ckpt")[1]["step"]
    assert lines_of(tmp_path)[-1]["step"] == step


def test_a_broken_newest_state_costs_only_the_steps_since_the_one_before(
    recipe_of, data, tmp_path, caplog
):
    recipe = recipe_of(save_steps=2, optimizer={"steps": 6})
    assert IcLoraRun(recipe, data, tmp_path / "whole").train()
    assert IcLoraRun(recipe, data, tmp_path / "harmed").train()
    file = tmp_path / "harmed" / "ckpt" / "step=6" / "optimizer.safetensors"
    file.write_bytes(file.read_bytes()[:-4])
    assert IcLoraRun(recipe, data, tmp_path / "harmed").train()
    assert "step=6 is broken" in caplog.text
    states_equal(*(tmp_path / run / "ckpt" / "step=6" for run in ("whole", "harmed")))
    steps = [line["step"] for line in lines_of(tmp_path / "harmed") if "loss" in line]
    assert steps == [1, 2, 3, 4, 5, 6, 5, 6]


def test_other_conditions_stop_with_a_difference(recipe_of, data, tmp_path, caplog):
    short = recipe_of(optimizer={"steps": 2})
    assert IcLoraRun(short, data, tmp_path).train()
    longer = recipe_of(optimizer={"steps": 3, "weight_decay": 0.5})
    with pytest.raises(ConfigError) as told:
        IcLoraRun(longer, data, tmp_path).train()
    for words in ("optimizer.steps 2 -> 3", "optimizer.weight_decay 0.01 -> 0.5",
                  "--accept-change optimizer.steps"):  # fmt: skip
        assert words in str(told.value)
    with pytest.raises(ConfigError, match="weight_decay"):
        IcLoraRun(longer, data, tmp_path, accepted=["optimizer.steps"]).train()
    accepted = ["optimizer.steps", "optimizer.weight_decay"]
    assert IcLoraRun(longer, data, tmp_path, accepted=accepted).train()
    assert latest(tmp_path / "ckpt")[1]["step"] == 3
    assert "goes on with optimizer.steps 2 -> 3" in caplog.text
    other = Data(training=data.training, validation=None, sha256="other clips")
    with pytest.raises(ConfigError, match=r"data\.sha256"):
        IcLoraRun(longer, other, tmp_path).train()
    free = recipe_of(optimizer={"steps": 3, "weight_decay": 0.5}, log_steps=7,
                     validation={"every": 5})  # fmt: skip
    assert IcLoraRun(free, data, tmp_path).train()  # how it is looked at may change


def test_accumulated_batches_count_as_one_step(recipe_of, data, tmp_path):
    """Two batches of four samples are one of eight: losses are means over samples."""
    one = recipe_of(batch=8, conditions={"history_dropout": 0.0, "reference_dropout": 0.0},
                    optimizer={"steps": 1})  # fmt: skip
    two = recipe_of(batch=4, conditions={"history_dropout": 0.0, "reference_dropout": 0.0},
                    optimizer={"steps": 1, "accumulate": 2})  # fmt: skip
    clips = Data(training=make_clips(8, seed=5), validation=None, sha256="")
    for name, recipe in (("one", one), ("two", two)):
        assert IcLoraRun(recipe, clips, tmp_path / name).train()
    first, second = (lines_of(tmp_path / name)[0] for name in ("one", "two"))
    assert first["step"] == second["step"] == 1
    assert second["loss"] == pytest.approx(first["loss"], rel=1e-3)
    assert second["grad"] == pytest.approx(first["grad"], rel=1e-3)


def test_the_adapter_file_says_what_it_is_and_holds_the_averages(recipe_of, data, base, tmp_path):
    recipe = recipe_of(adapter={"trigger": "photo", "licence": "CC-BY-4.0"})
    run = IcLoraRun(recipe, data, tmp_path)
    assert run.train()
    file = tmp_path / "adapter.safetensors"
    facts = read_facts(file)
    assert (facts.base_model, facts.base_sha256) == ("tiny", run.base.sha256)
    assert (facts.licence, facts.trigger, facts.positions) == ("CC-BY-4.0", "photo", "shared")
    with safe_open(file, "pt") as opened:
        assert "lora_adapter_metadata" in opened.metadata()
    _, transformer = load_checkpoint(base)
    loaded = load(file, transformer, base_sha256=run.base.sha256)
    moments = load_file(tmp_path / "ckpt" / "step=4" / "optimizer.safetensors")
    for name, low_rank in loaded.low_ranks.items():
        assert torch.equal(low_rank.down, moments[f"averaged.{name}.low_rank.down"])
        assert torch.equal(low_rank.up, moments[f"averaged.{name}.low_rank.up"])
    told = json.loads((tmp_path / "facts.json").read_text())
    assert told["base"] == {"name": "tiny", "sha256": run.base.sha256, "licence": "unknown"}
    assert read_table(tmp_path / "config.toml")["adapter"]["trigger"] == "photo"


@pytest.fixture(scope="module")
def wan(tmp_path_factory):
    """A diffusers folder of a tiny Wan of random weights, and clips with embedded captions."""
    from diffusers import WanTransformer3DModel

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("wan")
    WanTransformer3DModel(
        patch_size=(1, 2, 2), num_attention_heads=2, attention_head_dim=24, in_channels=16,
        out_channels=16, text_dim=20, freq_dim=32, ffn_dim=64, num_layers=2, rope_max_seq_len=16,
    ).save_pretrained(folder / "transformer")  # fmt: skip
    (folder / "transformer").rename(folder / "transformer_2")
    shutil.copytree(folder / "transformer_2", folder / "transformer")
    text = torch.randn(6, 20)
    clips = make_clips(16, seed=1, channels=16, frames=13, prompts=("a street",), text=text)
    return folder, Data(training=clips, validation=clips, sha256="", empty_text=0 * text)


@pytest.mark.slow
def test_wan_learns_with_sink_ring_prefix_and_captions(recipe_of, wan, tmp_path):
    folder, data = wan
    recipe = recipe_of(
        base={"checkpoint": str(folder), "name": "Wan"}, batch=2, log_steps=10,
        optimizer={"steps": 60, "learning_rate": 1e-2},
        validation={"every": 60, "clips": 1, "chunks": 4},
    )  # fmt: skip
    assert IcLoraRun(recipe, data, tmp_path).train()
    lines = lines_of(tmp_path)
    losses = [line["loss"] for line in lines if "loss" in line]
    assert min(losses[-2:]) < 0.9 * losses[0]
    assert {"mse", "mse_reference", "loss_by_t"} == set(lines[-1]["validation"])
    picture = cv2.imread(str(tmp_path / "samples" / "step=60" / "000.png"))
    assert picture.shape == (3 * 32, 4 * 48, 3)  # false colours: there is no autoencoder


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "empty prompt .* or set caption_dropout = 0$"),
        ({"conditions": {"caption_dropout": 0.0}, "validation": {"clips": 1, "guidance": 5.0}},
         r"empty prompt .* or set guidance = 1 in \[validation\]$"),
    ],
)  # fmt: skip
def test_missing_embeddings_are_named_before_the_model_is_read(recipe_of, tmp_path, options, said):
    recipe = recipe_of(base={"checkpoint": str(tmp_path / "nowhere")}, **options)
    clips = make_clips(2, seed=1, channels=16, text=torch.randn(6, 20))
    with pytest.raises(PairError, match=said):
        IcLoraRun(recipe, Data(training=clips, validation=clips, sha256=""), tmp_path / "out")
    bare = make_clips(2, seed=1, channels=16)
    with pytest.raises(PairError, match=r"embeddings of the prompts for wan-1\.3b-480, got clips"):
        IcLoraRun(recipe, Data(training=bare, validation=None, sha256=""), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("expert", ["high_noise", "low_noise"])
def test_an_expert_learns_at_the_noise_levels_that_it_serves(recipe_of, wan, tmp_path, expert):
    folder, data = wan
    base = {"checkpoint": str(folder), "profile": "wan-a14b", "expert": expert}
    recipe = recipe_of(
        base=base, batch=2, optimizer={"steps": 3},
        validation={"every": 3, "clips": 1},
    )  # fmt: skip
    assert IcLoraRun(recipe, data, tmp_path).train()
    assert read_facts(tmp_path / "adapter.safetensors").expert == expert
    lines = lines_of(tmp_path)
    seen = {bin for line in lines if "loss" in line for bin in line["loss_by_t"]}
    high = {"0.8-0.9", "0.9-1.0"}
    assert seen <= high if expert == "high_noise" else "0.9-1.0" not in seen
    assert set(lines[-1]["validation"]) == {"loss_by_t"}  # half a model makes no pictures


@pytest.mark.parametrize(
    ("memory", "optimizer"),
    [
        ({"bfloat16": True, "weights": "bf16", "checkpointing": True}, {}),
        ({"weights": "int8", "checkpointing": True}, {"bits": 8}),
    ],
    ids=["bf16", "int8 and moments in bytes"],
)
@pytest.mark.slow
def test_what_saves_memory_learns_too_and_resumes(recipe_of, data, tmp_path, memory, optimizer):
    """The same run with less memory ends near the one without; parted, it is the same bits."""
    recipe = recipe_of(optimizer={"steps": 12})
    frugal = recipe_of(memory=memory, save_steps=4, optimizer={"steps": 12, **optimizer})
    assert IcLoraRun(recipe, data, tmp_path / "plain").train()
    assert IcLoraRun(frugal, data, tmp_path / "frugal").train()
    plain, small = (
        [line["loss"] for line in lines_of(tmp_path / name) if "loss" in line]
        for name in ("plain", "frugal")
    )
    assert small == pytest.approx(plain, rel=0.05)
    asked = itertools.count(1)
    assert not IcLoraRun(frugal, data, tmp_path / "parted", stop=lambda: next(asked) >= 5).train()
    assert latest(tmp_path / "parted" / "ckpt")[1]["step"] == 5
    assert IcLoraRun(frugal, data, tmp_path / "parted").train()
    states_equal(*(tmp_path / name / "ckpt" / "step=12" for name in ("frugal", "parted")))


def test_tensorboard_gets_the_same_numbers(recipe_of, data, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    recipe = recipe_of(tensorboard=True, validation={"every": 4, "clips": 1, "chunks": 1})
    assert IcLoraRun(recipe, data, tmp_path).train()
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    told = {event.step: event.value for event in events.Scalars("loss")}
    lines = lines_of(tmp_path)
    assert told == pytest.approx({x["step"]: x["loss"] for x in lines if "loss" in x}, rel=1e-6)
    assert "validation/mse" in events.Tags()["scalars"]
