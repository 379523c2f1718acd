"""A training run of the embedded model: its stages, in a folder.

RUN/checkpoint always holds the result of the stages finished so far, ready for export.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Any

import torch

from realmaster_live.engines.export.restore import restore
from realmaster_live.errors import PairError
from realmaster_live.model.checkpoint import load_checkpoint, load_into, save_checkpoint
from realmaster_live.model.dit import InContextTransformer
from realmaster_live.model.sampling import sigmas
from realmaster_live.model.vae import StreamingAutoencoder
from realmaster_live.training.checkpoints import latest
from realmaster_live.training.data import AS_SIMULATED, Clip, find_clips, step_rng, torch_rng
from realmaster_live.training.embedded.autoencoder import AutoencoderStage, DecoderStage
from realmaster_live.training.embedded.distill import DistillStage
from realmaster_live.training.embedded.joint import JointStage
from realmaster_live.training.embedded.stage_inputs import StageInputs
from realmaster_live.training.embedded.transformer import TransformerStage
from realmaster_live.training.embedded.vgg import vgg
from realmaster_live.training.latents import LatentSequence, encode_clips, roll_out, set_statistics
from realmaster_live.training.loop import (
    Interval,
    StageState,
    autocast,
    check_fingerprint,
    never,
    run_stage,
    write_entry,
)
from realmaster_live.training.recipe import (
    Recipe,
    StageRecipe,
    fingerprint,
    recipe_hash,
)
from realmaster_live.training.session import machine

logger = logging.getLogger(__name__)

PHASES = (0, 1, 2, 3)  # offsets of the first chunk: a live run may start at any of them
LOOK_CLIPS = 32  # maximum number of validation clips
STATISTICS_CLIPS = 12
ROLLOUT_BATCH = 8


AnyStage = AutoencoderStage | TransformerStage | DistillStage | DecoderStage | JointStage


class Run:
    """A training run of the embedded model in its folder."""

    def __init__(
        self,
        recipe: Recipe,
        data: Path,
        out: Path,
        start: Path | None = None,
        accepted: Collection[str] = (),
        stop: Callable[[], bool] = never,
    ) -> None:
        """Make the networks on torch's default device.

        `accepted` names the conditions in which a resumed stage may differ. Where `stop` returns
        true, the running stage saves and ends within a step.
        """
        self.recipe, self.data, self.out, self.start = recipe, data, out, start
        self.accepted, self.stop = accepted, stop
        self.device = torch.get_default_device()
        out.mkdir(parents=True, exist_ok=True)
        torch.set_num_threads(recipe.threads)
        torch.manual_seed(recipe.seed)
        self.autoencoder = StreamingAutoencoder(recipe.profile)
        self.transformer = InContextTransformer(recipe.profile)
        if self.device.type == "cuda":  # the layout that the convolutions are fastest with
            self.autoencoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.preview_clips = find_clips(data, "validation")[:LOOK_CLIPS]
        self.encoded: dict[str, list[LatentSequence]] = {}

    def log(self, entry: dict[str, Any]) -> None:
        """Append a line to metrics.jsonl."""
        write_entry(self.out, entry)

    def facts(self) -> dict[str, Any]:
        """Return the facts of the stages done so far."""
        path = self.out / "checkpoint" / "facts.json"
        facts: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        return facts

    def restore(self, checkpoint: Path) -> None:
        """Load a checkpoint, or what an export holds of one, into the networks.

        Parameters that it lacks keep initial values.
        """
        exported = (checkpoint / "manifest.json").exists()
        found = restore(checkpoint) if exported else load_checkpoint(checkpoint)
        for own, read in zip((self.autoencoder, self.transformer), found, strict=True):
            load_into(own, {**own.state_dict(), **read.state_dict()}, source=str(checkpoint))

    def clips_of(self, name: str) -> list[Clip]:
        """Return a stage's clips: all that are finished when it starts; when resumed, the same."""
        clips = find_clips(self.data, "training")
        self.check_prompts([*clips, *self.preview_clips])
        found = latest(self.out / name)
        if found is None:
            return clips
        by_name = {clip.name: clip for clip in clips}
        return [by_name[name] for name in found[1]["clips"] if name in by_name]

    def check_prompts(self, clips: list[Clip]) -> None:
        """Raise PairError if a clip has a prompt that the model does not have."""
        known = self.recipe.profile.prompts or (AS_SIMULATED,)
        unknown = sorted({clip.prompt for clip in clips} - {*known})
        if unknown:
            raise PairError(
                f"expected clips of the prompts {', '.join(known)} in {self.data}, got {unknown}: "
                "name them in the profile's `prompts`, or train on other clips"
            )

    def sequences(self, clips: list[Clip]) -> list[LatentSequence]:
        """Return the latents of clips from every phase, as they are and mirrored.

        The encoder is frozen after its stage, so each clip is encoded once.
        """
        started = time.monotonic()
        for clip in clips:
            if clip.name not in self.encoded:
                self.encoded[clip.name] = encode_clips(
                    self.autoencoder, [clip], phases=PHASES, mirrors=(False, True)
                )
        sequences = [sequence for clip in clips for sequence in self.encoded[clip.name]]
        self.log({"encoded": len(sequences), "s": round(time.monotonic() - started, 1)})
        return sequences

    def stage(self, name: str, clips: list[Clip]) -> AnyStage:
        """Return a stage over clips, with its networks prepared."""
        samples = self.out / "samples"
        if name == "autoencoder":
            return AutoencoderStage(
                self.recipe, self.autoencoder, clips, self.preview_clips, samples
            )
        sequences = self.sequences(clips)
        if name == "decoder":
            self.roll_out(sequences)
        kinds: dict[str, type[TransformerStage | DistillStage | DecoderStage | JointStage]] = {
            "transformer": TransformerStage,
            "distill": DistillStage,
            "decoder": DecoderStage,
            "joint": JointStage,
        }
        inputs = StageInputs(
            recipe=self.recipe,
            autoencoder=self.autoencoder,
            transformer=self.transformer,
            sequences=sequences,
            preview_clips=self.preview_clips,
            samples=samples,
        )
        return kinds[name](inputs)

    def roll_out(self, sequences: list[LatentSequence]) -> None:
        """Compute the student's rollout of every sequence, batched by shape."""
        profile = self.recipe.profile
        levels = sigmas(profile.steps, profile.shift)
        started = time.monotonic()
        groups: dict[torch.Size, list[LatentSequence]] = {}
        for sequence in sequences:
            groups.setdefault(sequence.reference.shape, []).append(sequence)
        batches = [
            group[first : first + ROLLOUT_BATCH]
            for group in groups.values()
            for first in range(0, len(group), ROLLOUT_BATCH)
        ]
        for index, batch in enumerate(batches):
            rng = torch_rng(step_rng(self.recipe.seed, index, purpose=5))
            references = torch.stack([sequence.reference for sequence in batch], 1)
            with autocast(self.recipe):
                names = [sequence.clip.prompt for sequence in batch]
                made = roll_out(self.transformer, references, levels, rng, names)
            for sequence, latents in zip(batch, made.unbind(1), strict=True):
                sequence.rollout = latents.float()
        self.log({"rolled_out": len(sequences), "s": round(time.monotonic() - started, 1)})

    def train(self) -> bool:
        """Run the remaining stages; return False if a signal ended the run."""
        joint = self.recipe.joint
        if "joint" in self.recipe.stages and joint.perceptual_weight + joint.adversarial_weight:
            vgg()  # fail now, not hours later, if the package is missing
        done = self.facts().get("stages", {})
        if done:
            self.restore(self.out / "checkpoint")
        elif self.start is not None:
            self.restore(self.start)
        for name in self.recipe.stages:
            if name in done:
                continue
            clips = self.clips_of(name)
            conditions = fingerprint(self.recipe, name)
            found = latest(self.out / name)
            if found is not None:
                saved = {**found[1]["conditions"], "clips": found[1]["clips"]}
                wanted = {**conditions, "clips": [clip.name for clip in clips]}
                check_fingerprint(saved, wanted, self.out / name, self.accepted)
            stage_recipe: StageRecipe = getattr(self.recipe, name)
            self.log({"stage": name, "clips": len(clips), "frames": sum(map(len, clips))})
            stage = self.stage(name, clips)
            finished = run_stage(
                stage,
                StageState(
                    stage.module,
                    stage_recipe.optimization,
                    judges=stage.judges if isinstance(stage, JointStage) else None,
                ),
                self.out / name,
                facts=partial(self.conditions, clips, conditions),
                save=Interval(seconds=self.recipe.save_s),
                validate=Interval(seconds=self.recipe.validate_s),
                log=self.log,
                refresh=partial(self.refresh, stage, clips),
                stop=self.stop,
            )
            if not finished:
                return False
            if name == "autoencoder":
                set_statistics(self.autoencoder, clips[:STATISTICS_CLIPS])
            self.write_checkpoint(name, clips)
        return True

    @staticmethod
    def conditions(clips: list[Clip], conditions: dict[str, Any]) -> dict[str, Any]:
        """Return the conditions that must not change when a state is resumed."""
        return {"clips": [clip.name for clip in clips], "conditions": conditions}

    def refresh(self, stage: AnyStage, clips: list[Clip]) -> None:
        """Add clips that were finished since the last validation to a running stage."""
        known = {clip.name for clip in clips}
        new = [c for c in find_clips(self.data, "training") if c.name not in known]
        if not new:
            return
        if not isinstance(stage, AutoencoderStage):
            sequences = self.sequences(new)
            if isinstance(stage, DecoderStage):
                self.roll_out(sequences)
            stage.sequences += [s for s in sequences if len(s) >= stage.chunks]
        clips += new  # the autoencoder's stage holds this very list
        self.log({"stage": stage.name, "new_clips": len(new), "clips": len(clips)})

    def write_checkpoint(self, name: str, clips: list[Clip]) -> None:
        """Write the checkpoint with this stage's result."""
        facts = self.facts()
        found = latest(self.out / name)
        assert found is not None
        stages = {
            **facts.get("stages", {}),
            name: {
                "steps": found[1]["step"],
                "seconds": round(found[1]["elapsed_s"]),
                "clips": len(clips),
                "frames": sum(map(len, clips)),
                "seeds": sorted({clip.seed for clip in clips}),
            },
        }
        folder = self.out / "checkpoint"
        save_checkpoint(folder, self.autoencoder, self.transformer)
        facts = {
            "recipe": recipe_hash(self.recipe),
            "machine": machine(self.recipe.threads),
            "stages": stages,
        }
        (folder / "facts.json").write_text(json.dumps(facts, indent=2) + "\n")


def fit(
    recipe: Recipe,
    data: Path | str,
    out: Path | str,
    *,
    start: Path | str | None = None,
    accepted: Collection[str] = (),
    stop: Callable[[], bool] = never,
) -> bool:
    """Start or resume the training run in `out`; return False if it was stopped.

    A new run starts from the weights of the checkpoint or export `start`, if given. Where `stop`
    returns true, the run saves and ends within a step.
    """
    return Run(
        recipe, Path(data), Path(out), Path(start) if start else None, accepted, stop
    ).train()
