"""The gallery: one page, every clip, nothing from elsewhere."""

import html.parser
import json
import re

import cv2
import pytest
from panned_scene import write_scene

from realmaster_live.errors import PairError
from realmaster_live.jobs.worker import Worker
from realmaster_live.training.pairs.chain import Chain
from realmaster_live.training.pairs.gallery import GalleryConfig, gallery
from realmaster_live.training.pairs.plan import PlanConfig, plan
from realmaster_live.training.pairs.recipe import FILE
from realmaster_live.training.pairs.verdicts import read_verdicts
from realmaster_live.training.pairs.videos import read_video
from realmaster_live.training.pairs.work import StageWork

RECIPE = '[propagate]\nmethod = "exact"\n'
PROMPT = 'rain <script>alert("x")</script> & wind'
PLAN = PlanConfig(frames=9, fps=20.0, size="keep", prompt=PROMPT)


class Page(html.parser.HTMLParser):
    """What is in a page: tags with attributes, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gallery")
    for seed, fault in ((1, ""), (2, "shifted")):
        write_scene(folder / "pairs", seed, fault=fault)
    dataset = folder / "dataset"
    dataset.mkdir()
    (dataset / FILE).write_text(RECIPE)
    plan(dataset, PLAN, [folder / "pairs"])
    for stage in ("propagate", "gate"):
        Worker(StageWork(Chain(dataset), stage)).run()
    return dataset


@pytest.fixture(scope="module")
def page(dataset, tmp_path_factory):
    path = gallery(dataset, tmp_path_factory.mktemp("page") / "out")
    return path, Page(path.read_text())


def test_every_clip_is_there_with_figures_and_reasons_and_rejected_ones_first(dataset, page):
    verdicts = read_verdicts(dataset)
    _, found = page
    articles = found.all("article")
    assert [entry["data-state"].split()[0] for entry in articles] == ["rejected", "accepted"]
    assert "max_shift_px" in articles[0]["data-state"]
    (bad,) = [v for v in verdicts.values() if not v.passed]
    assert json.loads(articles[0]["data-metrics"]) == {**bad.metrics, "weight": 0}
    for reason in bad.reasons:
        assert reason in found.words
    assert "1 accepted, 1 rejected, 2 shown here" in found.words


def test_pictures_and_previews_lie_beside_the_page(page):
    path, found = page
    images, videos = found.all("img"), found.all("video")
    assert (len(images), len(videos)) == (12, 4)
    for entry in images:
        picture = cv2.imread(str(path.parent / entry["src"]))
        assert picture.shape == (128, 192, 3)
    assert read_video(path.parent / videos[0]["src"]).shape == (9, 128, 192, 3)


def test_nothing_is_loaded_from_elsewhere(page):
    path, _ = page
    assert not re.search(r"(src|href)=\"(?!media/)|url\(|@import|//\w+\.", path.read_text())


def test_text_is_escaped(page):
    _, found = page
    assert len(found.all("script")) == 1, "the page's own"
    assert any(PROMPT in words for words in found.words)


def test_fewer_clips_and_no_previews_on_demand(dataset, tmp_path):
    path = gallery(dataset, tmp_path, GalleryConfig(most=1, preview_s=0))
    found = Page(path.read_text())
    assert len(found.all("article")) == 1
    assert not found.all("video")
    assert not list((tmp_path / "media").glob("*.mp4"))


def test_a_dataset_without_verdicts_says_what_to_run(tmp_path):
    write_scene(tmp_path / "pairs", 1)
    (tmp_path / FILE).write_text(RECIPE)
    plan(tmp_path, PLAN, [tmp_path / "pairs"])
    with pytest.raises(PairError, match="run realmaster pairs gate"):
        gallery(tmp_path, tmp_path / "out")
