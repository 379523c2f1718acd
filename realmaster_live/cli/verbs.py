"""The table of verbs: a verb is one module of this package and one line here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Verb:
    """One verb.

    Attributes:
        module: Of this package; it is light, and imports what it needs when it runs.
        options: Name of the dataclass there; "" for a verb that only holds others.
        run: Name of the function there, which takes the options and returns the exit status.
        extra: The extra of the distribution that brings what the verb imports.
        summary: For a verb that only holds others.
        formerly: The verb below it whose options were its own before it only held others.
        verbs: The verbs below it, by name.
    """

    module: str = ""
    options: str = ""
    run: str = "run"
    extra: str = "live"
    summary: str = ""
    formerly: str = ""
    verbs: Mapping[str, Verb] = field(default_factory=dict)

    @property
    def cls(self) -> type:
        """The dataclass of the options."""
        cls: type = getattr(self._module(), self.options)
        return cls

    def __call__(self, options: Any) -> int:
        """Do what the verb does; returns the exit status."""
        status: int = getattr(self._module(), self.run)(options)
        return status

    def _module(self) -> Any:
        return import_module(f"realmaster_live.cli.{self.module}")


def _stage(options: str) -> Verb:
    return Verb(module="pairs", options=options, run="run_stage", extra="training")


DATASET = {
    "collect": Verb(module="dataset_collect", options="Collect", extra="demo"),
    "info": Verb(module="dataset_info", options="Info"),
    "stats": Verb(module="dataset_stats", options="Stats"),
    "view": Verb(module="dataset_view", options="View"),
    "verify": Verb(module="dataset_verify", options="Verify"),
    "repair": Verb(module="dataset_repair", options="Repair"),
    "export": Verb(module="dataset_export", options="Export"),
}
MODEL = {
    "import": Verb(module="model_import", options="Import", extra="training"),
    "info": Verb(module="model_info", options="ModelInfo", extra="training"),
}
PAIRS = {
    "run": Verb(module="pairs", options="Run", run="run_all", extra="training"),
    "plan": Verb(module="pairs", options="Plan", run="plan", extra="training"),
    "anchors": _stage("Anchors"),
    "edges": _stage("Edges"),
    "propagate": _stage("Propagate"),
    "gate": _stage("Gate"),
    "encode": _stage("Encode"),
    "split": Verb(module="pairs", options="Split", run="run_step", extra="training"),
    "pack": Verb(module="pairs", options="Pack", run="run_step", extra="training"),
    "status": Verb(module="pairs_status", options="Status", extra="training"),
    "gallery": Verb(module="pairs_gallery", options="Gallery", extra="training"),
    "gc": Verb(module="pairs_collect", options="Collect", extra="training"),
    "render": Verb(module="pairs_render", options="Render", extra="truth"),
    "work": Verb(module="pairs", options="Work", run="work", extra="training"),
}
GROUPS: Mapping[str, Mapping[str, Verb]] = {
    "drive": {
        "attach": Verb(module="attach", options="Attach"),
        "record": Verb(module="attach", options="Record"),
        "inject": Verb(module="inject", options="Inject", extra="demo"),
        "proxy": Verb(module="proxy", options="Proxy", extra="demo"),
        "replay": Verb(module="replay", options="Replay"),
        "demo": Verb(module="demo", options="Demo", extra="demo"),
    },
    "data": {
        "dataset": Verb(
            summary="Collect, view, count, verify, repair and export recordings.", verbs=DATASET
        ),
    },
    "train": {
        "model": Verb(summary="Make checkpoints of Wan's weights, and look at them.", verbs=MODEL),
        "pairs": Verb(summary="Make photoreal pairs from recordings, stage by stage.", verbs=PAIRS),
        "fit": Verb(module="fit", options="Fit", extra="training"),
        "distill": Verb(module="distill", options="Distill", extra="training"),
        "export": Verb(module="export", options="Export", extra="training"),
        "build": Verb(module="build", options="Build", extra="training"),
        "prompts": Verb(module="prompts", options="Prompts", extra="training"),
        "evaluate": Verb(
            summary="Measure models, and films of recordings and clips.",
            formerly="embedded",
            verbs={
                "embedded": Verb(module="evaluate", options="Evaluate", extra="evaluate"),
                "recording": Verb(
                    module="evaluate_films",
                    options="EvaluateRecording",
                    run="run_recording",
                    extra="export",
                ),
                "clip": Verb(
                    module="evaluate_films", options="EvaluateClip", run="run_clip", extra="export"
                ),
                "weather": Verb(
                    module="evaluate_weather", options="EvaluateWeather", extra="evaluate"
                ),
                "looks": Verb(module="evaluate_looks", options="EvaluateLooks", extra="demo"),
                "perception": Verb(module="perception", options="Perception", extra="export"),
            },
        ),
    },
    "tools": {
        "minitown": Verb(
            module="minitown",
            options="Minitown",
            extra="minitown",
            verbs={"truth": Verb(module="truth", options="Truth", extra="truth")},
        ),
        "gta-relay": Verb(module="gta_relay", options="GtaRelay", extra="gta"),
        "gta-standin": Verb(module="gta_standin", options="GtaStandin", extra="gta"),
        "rehearse": Verb(module="rehearse", options="Rehearse", extra="pairs"),
        "bench": Verb(module="bench", options="Bench", extra="demo"),
        "doctor": Verb(module="doctor", options="Doctor"),
        "completion": Verb(module="completion", options="Completion"),
    },
}
VERBS: Mapping[str, Verb] = {
    name: verb for group in GROUPS.values() for name, verb in group.items()
}
RENAMED = {("gta-replay",): ("gta-standin",), ("truth",): ("minitown", "truth")}


def all_verbs(
    verbs: Mapping[str, Verb] = VERBS, above: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Verb]]:
    """Yield every verb with its full name, ("dataset", "export")."""
    for name, verb in verbs.items():
        yield (*above, name), verb
        yield from all_verbs(verb.verbs, (*above, name))
