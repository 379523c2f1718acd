"""Captions from a recording's facts, the same wherever a clip's text is used."""

import pytest
from footage import write_film, write_pair, write_recording

from realmaster_live.prompts import PRESETS
from realmaster_live.training.pairs.captions import caption_of
from realmaster_live.training.pairs.plan import PlanConfig, plan

SMALL = PlanConfig(frames=9, fps=20.0, size="keep")
RAIN = {"precipitation": 80.0, "sun_altitude_angle": 60.0}


@pytest.mark.parametrize("name", PRESETS)
def test_a_weather_has_the_text_that_it_is_asked_for_by(name):
    assert caption_of(name) == PRESETS[name]


def test_weathers_times_of_day_and_towns_are_joined():
    text = caption_of("night rain", town="Town05")
    assert text.startswith("A photorealistic dash camera video of a drive through a town of wide")
    assert "in steady rain at night" in text and "raindrops" in text and "street lamps" in text
    assert "long shadows" in caption_of("clear", sun_deg=5.0)
    assert "long shadows" not in caption_of("night", sun_deg=5.0)
    assert "dry asphalt" not in caption_of("wet clear")
    assert caption_of("WetCloudySunset") == caption_of("wet cloudy", sun_deg=3.0)
    assert caption_of("") == caption_of("plague of frogs", town="Elsewhere")


def test_clips_of_a_recording_say_its_weather_and_every_second_its_town(tmp_path):
    clips = plan(tmp_path / "set", SMALL, [write_recording(tmp_path / "d", weather=RAIN)]).clips
    assert [clip.prompt for clip in clips] == [
        PRESETS["rain"], caption_of("rain", town="Town05"),
    ]  # fmt: skip


def test_no_clip_is_without_a_caption_and_the_embedded_model_has_its_names(tmp_path):
    (film,) = plan(tmp_path / "a", SMALL, [write_film(tmp_path / "film.mp4")]).clips[:1]
    assert film.prompt == caption_of("")
    pair = write_pair(tmp_path / "pairs", 3, prompt="rain")
    plain = write_pair(tmp_path / "pairs", 4)
    named = plan(tmp_path / "b", SMALL, [pair, plain]).clips
    assert [clip.prompt for clip in named] == ["rain", "as simulated"]
    texts = PlanConfig(frames=9, fps=20.0, size="keep", captions="texts")
    told = plan(tmp_path / "c", texts, [pair, plain]).clips
    assert [clip.prompt for clip in told] == [PRESETS["rain"], PRESETS["overcast"]]
