import http.server
import importlib.util
import json
import threading
from pathlib import Path

import numpy as np
import pytest
from tiny_editors import PictureProcessor, qwen_parts, save_klein, save_kontext, save_qwen

from realmaster_live.errors import ConfigError, MissingDependency, PairError
from realmaster_live.training.pairs.editors import EDITORS, find_editor, load_editor
from realmaster_live.training.pairs.editors.forms import KONTEXT, QWEN
from realmaster_live.training.pairs.editors.path_traced import PathTracedEditor
from realmaster_live.training.pairs.editors.pipeline_editor import (
    PipelineEditor,
    resized,
    working_size,
)
from realmaster_live.training.pairs.editors.protocol import Editor
from realmaster_live.training.pairs.pipelines import Weights, load_pipeline

HEIGHT, WIDTH = 90, 160  # 90 is no multiple of 16: the answer is resized back
OPTIONS = {"steps": 2, "guidance": 2.0, "pixels": 64 * 128}
TORCHVISION = importlib.util.find_spec("torchvision") is not None


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    at = tmp_path_factory.mktemp("editors")
    return {
        "flux2-klein-4b": save_klein(at / "klein"),
        "flux1-kontext-dev": save_kontext(at / "kontext"),
    }


def tiny(name: str, folder: Path) -> Editor:
    kind = find_editor(name, EDITORS[name].accept)
    weights = Weights(
        model=kind.model, licence=kind.licence, folder=str(folder), dtype="float32", device="cpu"
    )
    return load_editor(kind, weights, **OPTIONS)


@pytest.fixture
def small_qwen(monkeypatch) -> None:
    """Let the pipeline see its pictures at 64 x 96 rather than at a million pixels."""
    from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit_plus as module

    monkeypatch.setattr(module, "VAE_IMAGE_SIZE", 64 * 96)


def check_editor(editor: Editor, *, takes_two: bool) -> None:
    """Size, seed, prompt and reference do what the protocol says."""
    image = picture()
    edited = editor.edit(image, "photograph", 3)
    assert (edited.shape, edited.dtype) == (image.shape, np.uint8)
    np.testing.assert_array_equal(edited, editor.edit(image, "photograph", 3))
    assert not np.array_equal(edited, editor.edit(image, "photograph", 4))
    assert not np.array_equal(edited, editor.edit(image, "rain", 3))
    assert not np.array_equal(edited, editor.edit(picture(1), "photograph", 3))
    led = editor.edit(image, "photograph", 3, picture(2))
    assert led.shape == image.shape
    assert np.array_equal(edited, led) != takes_two


def test_klein_edits(folders) -> None:
    check_editor(tiny("flux2-klein-4b", folders["flux2-klein-4b"]), takes_two=True)


def test_kontext_edits(folders) -> None:
    check_editor(tiny("flux1-kontext-dev", folders["flux1-kontext-dev"]), takes_two=False)


def test_qwen_edits(small_qwen) -> None:
    import diffusers

    parts = qwen_parts()
    pipeline = diffusers.QwenImageEditPlusPipeline(
        processor=PictureProcessor(parts["tokenizer"]), **parts
    )
    pipeline.set_progress_bar_config(disable=True)
    check_editor(PipelineEditor(pipeline, QWEN, **OPTIONS), takes_two=True)


@pytest.mark.skipif(not TORCHVISION, reason="Qwen's own processor needs torchvision")
def test_qwen_edits_from_a_folder(tmp_path, small_qwen) -> None:
    check_editor(tiny("qwen-image-edit-2511", save_qwen(tmp_path)), takes_two=True)


@pytest.mark.skipif(TORCHVISION, reason="torchvision is here")
def test_qwen_says_what_it_lacks(tmp_path) -> None:
    with pytest.raises(MissingDependency, match=r"pip install .*\[qwen\]"):
        tiny("qwen-image-edit-2509", tmp_path)


def test_path_traced_answers_a_frame_with_its_truth() -> None:
    rendered, truth = np.stack([picture(0), picture(1)]), np.stack([picture(2), picture(3)])
    editor = PathTracedEditor(rendered, truth)
    np.testing.assert_array_equal(editor.edit(picture(1), "", 0, picture(2)), picture(3))
    with pytest.raises(PairError, match="another picture"):
        editor.edit(picture(7), "", 0)


def test_licences_are_asked_for_where_they_bind() -> None:
    with pytest.raises(ConfigError, match=r"FLUX\.1 \[dev\] Non-Commercial License.*flux-1-dev"):
        find_editor("flux1-kontext-dev")
    assert find_editor("flux1-kontext-dev", "flux-1-dev-non-commercial").form is KONTEXT
    for name, kind in EDITORS.items():
        assert bool(kind.accept) == ("non-commercial" in kind.licence.lower()), name


def test_unknown_editors_are_named_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'flux2-klein-4b'"):
        find_editor("flux2-klein-4")


@pytest.mark.parametrize("size", [(288, 512), (480, 832), (720, 1280), (512, 288)])
@pytest.mark.parametrize("multiple", [16, 32])
def test_editors_work_near_the_size_they_were_trained_at(size, multiple) -> None:
    height, width = working_size(*size, pixels=1024 * 1024, multiple=multiple)
    assert height % multiple == width % multiple == 0
    assert height * width == pytest.approx(1024 * 1024, rel=0.06)
    assert width / height == pytest.approx(size[1] / size[0], rel=0.04)


def test_resizing_there_and_back_does_not_move_a_picture() -> None:
    ramp = np.tile(np.linspace(0, 255, WIDTH), (HEIGHT, 1))[..., None].repeat(3, 2)
    ramp = ramp.astype(np.uint8)
    back = resized(resized(ramp, 2 * HEIGHT, 2 * WIDTH), HEIGHT, WIDTH)
    assert np.abs(back.astype(int) - ramp).max() <= 1


def test_weights_that_are_nowhere_are_reported_in_one_sentence(tmp_path, monkeypatch) -> None:
    absent = Weights(model="black-forest-labs/FLUX.2-klein-4B", folder=str(tmp_path / "none"))
    with pytest.raises(ConfigError, match=r"\(no such folder\): run hf download \S+ --local-dir"):
        load_pipeline("Flux2KleinPipeline", absent)
    empty = Weights(model="black-forest-labs/FLUX.2-klein-4B", folder=str(tmp_path))
    with pytest.raises(ConfigError, match=r"diffusers' layout in .* got \w+Error"):
        load_pipeline("Flux2KleinPipeline", empty)


def test_a_hub_out_of_reach_is_reported_with_what_to_run(monkeypatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    weights = Weights(model="nobody/nothing")
    with pytest.raises(ConfigError, match=r"offline mode.*: run hf download nobody/nothing"):
        load_pipeline("FluxKontextPipeline", weights)


class Hub(http.server.BaseHTTPRequestHandler):
    """Answers as the hub does for a gated model, and for one that is not there."""

    def do_GET(self) -> None:
        known = self.path.startswith("/api/models/gated/")
        facts = {"id": "gated/model", "sha": "a" * 40, "siblings": []}
        body = json.dumps(facts).encode() if known else b""
        self.send_response(200 if known else 403)
        if not known:
            missing = self.path.startswith("/api/models/")
            self.send_header("X-Error-Code", "RepoNotFound" if missing else "GatedRepo")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *line: object) -> None:
        pass


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub on this machine, which huggingface_hub takes for its own."""
    from diffusers.pipelines import pipeline_utils
    from huggingface_hub import HfApi, constants

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(
        constants,
        "HUGGINGFACE_CO_URL_TEMPLATE",
        address + "/{repo_id}/resolve/{revision}/{filename}",
    )
    api = HfApi(endpoint=address)
    monkeypatch.setattr(pipeline_utils, "model_info", api.model_info)
    yield
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            "gated/model",
            r"accept its licence \(its own\) at \S+/gated/model, then run hf",
        ),
        ("no/model", "got none that this account may see: check its name"),
    ],
)
def test_gated_and_unknown_models_are_reported_with_what_to_do(hub, model, message) -> None:
    with pytest.raises(ConfigError, match=message):
        load_pipeline("FluxKontextPipeline", Weights(model=model, licence="its own"))


@pytest.mark.parametrize(
    ("options", "message"),
    [({"dtype": "int8"}, "dtype in float32"), ({"offload": "disk"}, "offload in none, model")],
)
def test_unknown_ways_to_hold_weights_are_refused(options, message) -> None:
    with pytest.raises(ConfigError, match=message):
        Weights(model="a/b", **options)


def test_offloading_needs_a_gpu(folders) -> None:
    weights = Weights(
        model="a/b", folder=str(folders["flux2-klein-4b"]), device="cpu", offload="model"
    )
    with pytest.raises(ConfigError, match="expected a GPU for offload"):
        load_pipeline("Flux2KleinPipeline", weights)
