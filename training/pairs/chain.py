"""The stages of a dataset, which file each makes of a clip, and whether it is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from realmaster_live.errors import ConfigError
from realmaster_live.jobs.work import DONE
from realmaster_live.training.pairs.manifest import Row, read_clips, rows
from realmaster_live.training.pairs.recipe import Recipe, read_recipe
from realmaster_live.training.pairs.stage import Clip, Stage, StageSpec
from realmaster_live.training.pairs.stages import PER_CLIP, make_stage, short_name
from realmaster_live.training.pairs.store import object_path


class Chain:
    """The stages of a dataset and the keys of their files, under one recipe.

    Args:
        dataset: its folder.
        recipe: by default the one that the dataset keeps.
    """

    def __init__(self, dataset: Path, recipe: Recipe | None = None) -> None:
        self.dataset = dataset
        self.recipe = recipe or read_recipe(dataset)
        self._names = {short_name(name): name for name in (*PER_CLIP, *self.recipe.own)}
        self._stages: dict[str, Stage] = {}
        self._specs: dict[str, StageSpec] = {}
        self._keys: dict[tuple[str, str], str] = {}

    @cached_property
    def clips(self) -> Sequence[Clip]:
        """Return the clips of the plan."""
        return read_clips(self.dataset)

    def stage(self, name: str) -> Stage:
        """Return a stage; the same one each time, and without networks until it runs."""
        name = short_name(name)
        if name not in self._names:
            raise ConfigError(
                f"expected a stage among {', '.join(self._names)}, got {name!r}: name one of them"
            )
        if name not in self._stages:
            whole = self._names[name]
            self._stages[name] = make_stage(whole, self.recipe.config(whole), self.dataset)
        return self._stages[name]

    def spec(self, name: str) -> StageSpec:
        """Return what decides the keys of a stage, cached, because it may hash a model's files."""
        name = short_name(name)
        if name not in self._specs:
            self._specs[name] = self.stage(name).spec
        return self._specs[name]

    def key(self, name: str, clip: Clip) -> str:
        """Return the key of a stage's file of a clip, made or not."""
        place = (short_name(name), clip.clip_id)
        if place not in self._keys:
            self._keys[place] = self.spec(name).key(clip, self.inputs(name, clip))
        return self._keys[place]

    def inputs(self, name: str, clip: Clip) -> dict[str, str]:
        """Return earlier stage -> key of the file that a stage reads of a clip."""
        return {earlier: self.key(earlier, clip) for earlier in self.spec(name).after}

    def path(self, name: str, clip: Clip) -> Path:
        """Return where a stage's file of a clip is, or would be."""
        return object_path(self.dataset, self.key(name, clip), self.spec(name).suffix)

    def needed(self, goals: Sequence[str]) -> list[str]:
        """Return the goals and every stage that they read, earlier ones first."""
        found: list[str] = []
        for goal in goals:
            for name in (*self.needed(self.spec(goal).after), short_name(goal)):
                if name not in found:
                    found.append(name)
        return found

    def finished(self, name: str) -> dict[str, Path]:
        """Return clip_id -> file of a stage, for the clips that have one, in the plan's order."""
        done = {clip_id for clip_id, row in self.rows(name).items() if row.status == DONE}
        return {c.clip_id: self.path(name, c) for c in self.clips if c.clip_id in done}

    def rows(self, name: str) -> dict[str, Row]:
        """Return clip_id -> newest row of a stage, where there is one under this recipe.

        A finished row whose file is missing does not count.
        """
        newest = {row.key: row for row in rows(self.dataset, short_name(name))}
        found = {}
        for clip in self.clips:
            row = newest.get(self.key(name, clip))
            if row and (row.status != DONE or self.path(name, clip).exists()):
                found[clip.clip_id] = replace(row, clip_id=clip.clip_id)
        return found
