import subprocess
import sys

import numpy as np
import pytest

from realmaster_live.errors import BuildError, EngineError
from realmaster_live.prompts import PRESETS, Fade, PromptTable, check_prompt, key


def table(names=("clear", "rain"), encoder="small"):
    embeddings = {name: np.full((2, 3), i, np.float32) for i, name in enumerate(names)}
    return PromptTable(embeddings, encoder=encoder, texts=PRESETS)


def test_presets_have_a_text_each():
    assert list(PRESETS) == ["clear", "rain", "snow", "fog", "night", "overcast"]
    assert len({*PRESETS.values()}) == len(PRESETS)
    assert min(map(len, PRESETS.values())) > 80


def test_a_prompt_is_found_by_name_and_by_text():
    prompts = table()
    assert [*prompts] == ["clear", "rain"]
    assert np.array_equal(prompts["rain"], prompts[PRESETS["rain"]])
    assert PRESETS["rain"] in prompts
    assert "snow" not in prompts


@pytest.mark.parametrize(
    ("asked", "offered"),
    [("rian", "'rain'"), ("cleer", "'clear'"), ("quite another", "'clear' or 'rain'")],
)
def test_a_prompt_without_an_embedding_offers_the_nearest(asked, offered):
    with pytest.raises(EngineError, match=f"got {asked!r}: use {offered}$"):
        table()[asked]
    with pytest.raises(EngineError, match=offered):
        check_prompt(asked, ("clear", "rain"))


def test_prompts_keep_their_encoder_and_texts(tmp_path):
    prompts = table()
    prompts.save(tmp_path / "prompts.safetensors")
    again = PromptTable.load(tmp_path / "prompts.safetensors")
    assert again.encoder == "small"
    assert again.texts == {name: PRESETS[name] for name in ("clear", "rain")}
    assert all(np.array_equal(again[name], prompts[name]) for name in prompts)


def test_embeddings_are_kept_by_encoder_and_text(tmp_path):
    from safetensors import safe_open

    path = tmp_path / "prompts.safetensors"
    table().save(path)
    with safe_open(path, framework="numpy") as file:
        assert {*file.keys()} == {key("small", PRESETS[name]) for name in ("clear", "rain")}
    assert key("small", "rain") != key("large", "rain") != key("large", "snow")


def test_damaged_prompts_are_build_errors(tmp_path):
    path = tmp_path / "prompts.safetensors"
    table().save(path)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(BuildError, match=r"prompts\.safetensors.*embed them again"):
        PromptTable.load(path)


def test_a_fade_ends_with_the_new_prompt_alone():
    fade = Fade("clear")
    assert not fade.step()
    fade.start("rain", 3)
    weights = []
    while fade.step():
        weights.append(fade.weight)
    assert weights == [0.25, 0.5, 0.75, 1.0]
    assert fade.prompt == "rain"
    fade.start("clear", 0)
    assert fade.step()
    assert fade.weight == 1.0


def test_needs_numpy_only():
    code = (
        "import sys, realmaster_live.prompts; assert not {'torch','safetensors'} & {*sys.modules}"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
