"""Editors of anchor frames: a table of names, and the modules that run them."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from realmaster_live.errors import ConfigError
from realmaster_live.optional import require
from realmaster_live.training.pairs.editors.forms import FLUX2, KONTEXT, QWEN
from realmaster_live.training.pairs.editors.pipeline_editor import Form, PipelineEditor
from realmaster_live.training.pairs.editors.protocol import Editor
from realmaster_live.training.pairs.pipelines import Weights, load_pipeline


@dataclass(frozen=True, slots=True, kw_only=True)
class EditorKind:
    """An editor, before it is loaded.

    Attributes:
        form: how its pipeline is called; None takes the source's own frames.
        model: id of its weights on the hub.
        licence: of the weights.
        accept: what a recipe must write into `accept_licence`, where that is asked.
        steps: denoising steps that its makers advise.
        guidance: guidance scale that its makers advise.
    """

    form: Form | None = None
    model: str = ""
    licence: str = ""
    accept: str = ""
    steps: int = 0
    guidance: float = 0.0


EDITORS = {
    "qwen-image-edit-2511": EditorKind(
        form=QWEN, model="Qwen/Qwen-Image-Edit-2511", licence="Apache-2.0", steps=50, guidance=4
    ),
    "qwen-image-edit-2509": EditorKind(
        form=QWEN, model="Qwen/Qwen-Image-Edit-2509", licence="Apache-2.0", steps=50, guidance=4
    ),
    "flux2-klein-4b": EditorKind(
        form=FLUX2,
        model="black-forest-labs/FLUX.2-klein-4B",
        licence="Apache-2.0",
        steps=4,
        guidance=1,
    ),
    "flux1-kontext-dev": EditorKind(
        form=KONTEXT,
        model="black-forest-labs/FLUX.1-Kontext-dev",
        licence="FLUX.1 [dev] Non-Commercial License",
        accept="flux-1-dev-non-commercial",
        steps=28,
        guidance=2.5,
    ),
    "path-traced": EditorKind(),
}


def find_editor(name: str, accept_licence: str = "") -> EditorKind:
    """Return an editor by its name; raise ConfigError for an unknown or not accepted one."""
    if name not in EDITORS:
        near = difflib.get_close_matches(name, EDITORS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "choose one of them"
        raise ConfigError(f"expected an editor of {', '.join(EDITORS)}, got {name!r}: {hint}")
    kind = EDITORS[name]
    if kind.accept and accept_licence != kind.accept:
        raise ConfigError(
            f"expected consent to the licence of {kind.model} ({kind.licence}: no commercial use "
            f"of it), got accept_licence = {accept_licence!r}: read it at "
            f'https://huggingface.co/{kind.model} and write accept_licence = "{kind.accept}" into '
            "[anchors], or take another editor"
        )
    return kind


def load_editor(
    kind: EditorKind,
    weights: Weights,
    *,
    steps: int,
    guidance: float,
    pixels: int,
) -> Editor:
    """Return an editor with its networks loaded; see AnchorsConfig for the options."""
    form = kind.form
    assert form is not None, "the source's own frames need no networks"
    if form.needs is not None:
        needed, extra = form.needs
        require(needed, extra=extra)
    pipeline = load_pipeline(form.pipeline, weights)
    return PipelineEditor(pipeline, form, steps=steps, guidance=guidance, pixels=pixels)
