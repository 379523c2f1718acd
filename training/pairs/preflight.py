"""Names every model, text encoder and licence that a run lacks, before any long work begins."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from realmaster_live.errors import ConfigError, RealMasterError
from realmaster_live.optional import require
from realmaster_live.training.pairs.anchors import AnchorsConfig
from realmaster_live.training.pairs.chain import Chain
from realmaster_live.training.pairs.editors import find_editor
from realmaster_live.training.pairs.encode import EncodeConfig
from realmaster_live.training.pairs.encoders import LICENCE, identify
from realmaster_live.training.pairs.hub import fetch
from realmaster_live.training.pairs.pipelines import Weights, missing_weights
from realmaster_live.training.pairs.propagate import PropagateConfig
from realmaster_live.training.pairs.stages import PER_CLIP
from realmaster_live.training.pairs.status import read_status

PIPELINE = "model_index.json"  # of a folder in diffusers' layout
SMALL_FILES = ("*.json",)  # that tell whether a model may be fetched
OURS = "profile.json"
Check = Callable[[], object]


def preflight(chain: Chain, names: Sequence[str]) -> None:
    """Look for all that the stages need which still have clips to make.

    Raises:
        ConfigError: something is missing; it names all of it, and what to run or accept.
    """
    problems: list[str] = []
    for name in names:
        if name in CHECKS and _has_work(chain, name):
            for check in CHECKS[name](chain.recipe.config(name)):
                try:
                    check()
                except RealMasterError as error:
                    problems.append(f"[{name}] {error}")
    bare = sum(not clip.prompt for clip in chain.clips)
    if bare and {"propagate", "encode"} & {*names}:
        problems.append(
            f"expected a caption of every clip, got {bare} without: plan their sources again"
        )
    if problems:
        raise ConfigError("\n".join(problems))


def stages_for(chain: Chain, goals: Sequence[str]) -> Sequence[str]:
    """Return the stages that lead to some goals, or all where that cannot be told yet."""
    try:
        return chain.needed(goals)
    except ConfigError:  # one of the things that are looked for says what a stage reads
        return PER_CLIP


def _has_work(chain: Chain, name: str) -> bool:
    """Return whether clips of a stage are still to be made, as far as can be told."""
    try:
        return bool(read_status(chain, name).waiting)
    except ConfigError:  # one of the things that are looked for decides the names of its files
        return True


def anchors(config: AnchorsConfig) -> Iterator[Check]:
    """Yield the checks of the editor: its licence, and its weights."""
    yield lambda: find_editor(config.editor, config.accept_licence)
    try:
        kind = find_editor(config.editor, config.accept_licence)
    except ConfigError:
        return
    if kind.form is not None:
        yield lambda: check_pipeline(
            config.model or kind.model, config.folder, config.revision,
            licence=config.licence or kind.licence,
        )  # fmt: skip


def propagate(config: PropagateConfig) -> Iterator[Check]:
    """Yield the checks of VACE."""
    if config.method == "vace":
        yield lambda: require("ftfy", extra="pairs")
        yield lambda: check_pipeline(
            config.model, config.folder, config.revision, licence=config.licence
        )


def encode(config: EncodeConfig) -> Iterator[Check]:
    """Yield the checks of the autoencoder and the text encoder."""
    yield lambda: identify(config.autoencoder)
    if not Path(config.autoencoder).is_dir():
        yield lambda: fetch(
            config.autoencoder, "autoencoder", files=SMALL_FILES, licence=LICENCE,
            revision=config.revision,
        )  # fmt: skip
    yield lambda: check_text_encoder(config)


CHECKS: dict[str, Callable[..., Iterator[Check]]] = {
    "anchors": anchors,
    "propagate": propagate,
    "encode": encode,
}


def check_pipeline(model: str, folder: str, revision: str, *, licence: str) -> None:
    """Raise ConfigError unless a pipeline is in its folder, or can be fetched."""
    require("diffusers", extra="pairs")
    if not folder:
        fetch(model, "model", files=SMALL_FILES, licence=licence, revision=revision)
    elif not (Path(folder) / PIPELINE).is_file():
        weights = Weights(model=model, folder=folder, licence=licence)
        lack = PIPELINE if Path(folder).is_dir() else "such folder"
        raise ConfigError(missing_weights(weights, FileNotFoundError(f"no {lack}")))


def check_text_encoder(config: EncodeConfig) -> None:
    """Raise ConfigError unless captions can be embedded, or the model learns its prompts."""
    source = config.text_encoder
    if not source:
        if not (Path(config.autoencoder) / OURS).is_file():
            raise ConfigError(
                "expected a text_encoder for the latents of a Wan autoencoder, whose models "
                f'attend to captions, got none: write text_encoder = "{config.autoencoder}", or '
                "the folder of the pipeline"
            )
        return
    require("transformers", extra="training")
    folder = fetch(source, "text_encoder", files=SMALL_FILES, licence=LICENCE)
    places = [folder / "text_encoder", folder]
    if not any((place / "config.json").is_file() for place in places):
        raise ConfigError(
            f"expected a UMT5 encoder in {folder} or its text_encoder, got no config.json: name "
            "the folder of a Wan pipeline"
        )
