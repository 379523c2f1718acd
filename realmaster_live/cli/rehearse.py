"""`realmaster rehearse`: the whole chain from a model's folder to a live engine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from realmaster_live.cli.values import Flag

if TYPE_CHECKING:
    from realmaster_live.training.rehearsal.chain import Outcome

SIZES = {"tiny": (64, 32), "full": (128, 96)}  # pixels, on a CPU
GPU_SIZE = (832, 480)


@dataclass(frozen=True, kw_only=True)
class Rehearse:
    """Run the whole chain, from a video model's folder to a live engine, on random weights.

    A rehearsal that was stopped continues where the same command is given again.

    Attributes:
        out: A new folder for everything that is made, or that of a rehearsal to continue.
        scale: Sizes of the networks; full has the true ones of Wan's 1.3B.
        device: Where networks run, cpu or cuda.
        size: Size of the pictures. Without it, 64x32 for tiny, 832x480 for full on a GPU, and
            128x96 for full elsewhere.
    """

    out: Annotated[Path, Flag(metavar="DIR")]
    scale: Literal["tiny", "full"] = "tiny"
    device: Annotated[str, Flag(metavar="NAME")] = "cpu"
    size: tuple[int, int] | None = None


def run(options: Rehearse) -> int:
    """Make the folders, run every step and print the table; returns 1 where a step failed."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    from realmaster_live.demo.local_town import local_town
    from realmaster_live.system.termination import termination_raises
    from realmaster_live.training.rehearsal import chain, folders
    from realmaster_live.training.rehearsal.steps import Rehearsal, multiplies_bfloat16

    out = options.out.absolute()
    full = options.scale == "full"
    on_gpu = full and options.device.startswith("cuda")
    size = options.size or (GPU_SIZE if on_gpu else SIZES[options.scale])
    state = chain.open_state(
        out,
        {"scale": options.scale, "device": options.device, "size": "{}x{}".format(*size)},
    )
    if not (out / chain.STATE).exists():
        print(f"writing model folders of random weights to {out} ...", flush=True)
        # In a process of its own: what the models take in memory goes with it.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as writer:
            writer.submit(folders.write_folders, out, folders.SCALES[options.scale]).result()
        chain.write_state(out, state)
    with termination_raises(), local_town(seed=7, vehicles=4, walkers=2) as port:
        rehearsal = Rehearsal(
            folder=out,
            port=port,
            size=size,
            device=options.device,
            bfloat16=full and multiplies_bfloat16(options.device),
        )
        rehearsal.write_recipes()
        outcomes = chain.run_chain(rehearsal.steps(), out, state, report)
    print("\n".join(["", *chain.table(outcomes)]))
    failed = [each for each in outcomes if each.result == chain.FAILED]
    if failed:
        print(f"{failed[0].step.name} failed: its output is in {out / chain.LOGS}")
    return 1 if failed else 0


def report(outcome: Outcome) -> None:
    """Print a step's result as soon as it is known."""
    print(f"{outcome.step.name}: {outcome.result} in {outcome.seconds:.1f} s", flush=True)
