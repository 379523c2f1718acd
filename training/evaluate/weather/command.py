"""What `realmaster evaluate weather` chooses: the classifier, and the prompts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from realmaster_live.errors import ConfigError
from realmaster_live.prompts import check_prompt
from realmaster_live.protocols import PromptedEngine
from realmaster_live.training.data import AS_SIMULATED
from realmaster_live.training.evaluate.clips import gather, unpacked
from realmaster_live.training.evaluate.weather import judging
from realmaster_live.training.evaluate.weather.judging import WeatherJudge


def get_judge(data: Sequence[Path], classifier: Path | None) -> WeatherJudge:
    """Return the classifier of a file, or one that is trained on pairs and written to it.

    Raises:
        ConfigError: there is neither. PairError: the pairs are too few.
    """
    if not data:
        if classifier is None or not classifier.is_file():
            raise ConfigError(
                "expected path-traced pairs under prompts for a classifier of weathers, got "
                f"{'none' if classifier is None else f'no file {classifier}'}: give --data with a "
                "folder of realmaster pairs render --prompts clear,rain,snow,fog,night,overcast"
            )
        return judging.load(classifier)
    with unpacked(data) as folders:
        judge = judging.learn(gather(folders, "training"))
    if classifier is not None:
        judge.classifier.save(classifier)
    return judge


def choose_prompts(wanted: Sequence[str], engine: PromptedEngine, judge: WeatherJudge) -> list[str]:
    """Return the prompts to measure.

    Raises:
        ConfigError: the engine takes no prompts, or the classifier does not know one.
        EngineError: the engine does not know one.
    """
    known = [name for name in getattr(engine, "prompts", ()) if name != AS_SIMULATED]
    if not known:
        raise ConfigError(
            f"expected an engine that takes prompts, got {engine!r}: give the folder of a model "
            "with prompts"
        )
    for name in wanted:
        check_prompt(name, known)
        if name not in judge.names:
            raise ConfigError(
                f"expected a weather that the classifier knows ({', '.join(judge.names)}), got "
                f"{name!r}: render pairs under it for --data"
            )
    return list(wanted) or [name for name in known if name in judge.names]
