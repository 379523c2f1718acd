"""What the tests cost: processor time of each test, fixture and file's import, children included.

    SUITE_PROFILE=FOLDER PYTHONPATH=benchmarks pytest -p suite_profile [...]
    python benchmarks/suite_profile.py FOLDER [LINES]

The first command leaves a file for each process of pytest in FOLDER, which must be new; the second
prints the sums and the costliest of each kind. A child counts in the test that waited for its end,
and a server that lives for a whole session in the test after which it is stopped.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

KINDS = {"collect": "imports of test files", "fixture": "fixtures", "test": "tests with theirs"}
Cost = tuple[float, float]  # processor seconds of the process, and of its children that ended


class Profile:
    """Writes a row for all that pytest does: kind, name, own seconds, children's seconds."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{os.environ.get('PYTEST_XDIST_WORKER', 'main')}-{os.getpid()}.jsonl"
        self._file = (folder / name).open("a", encoding="utf-8", buffering=1)
        self._within: list[Cost] = []  # of each fixture that is being set up: its own fixtures

    @contextmanager
    def row(self, kind: str, name: str) -> Iterator[None]:
        """Count what is done meanwhile, without the rows of the same kind inside it."""
        begin = _now()
        self._within.append((0.0, 0.0))
        try:
            yield
        finally:
            end, inner = _now(), self._within.pop()
            whole = end[0] - begin[0], end[1] - begin[1]
            if self._within and kind == "fixture":
                before = self._within[-1]
                self._within[-1] = before[0] + whole[0], before[1] + whole[1]
            own = whole if kind == "test" else (whole[0] - inner[0], whole[1] - inner[1])
            self._file.write(json.dumps([kind, name, *(round(each, 4) for each in own)]) + "\n")

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self, collector: pytest.Collector) -> Iterator[Any]:
        """Count the import of a test file."""
        if not isinstance(collector, pytest.Module):
            return (yield)
        with self.row("collect", collector.nodeid):
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Iterator[Any]:
        """Count one making of a fixture."""
        with self.row("fixture", f"{fixturedef.argname} ({fixturedef.scope}) {fixturedef.baseid}"):
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[Any]:
        """Count a test from its fixtures to its end."""
        with self.row("test", item.nodeid):
            return (yield)

    def pytest_unconfigure(self) -> None:
        """Close the file."""
        self._file.close()


def _now() -> Cost:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time(), children.ru_utime + children.ru_stime


def pytest_configure(config: pytest.Config) -> None:
    """Profile every process that runs tests, not the one that only hands them out."""
    is_worker = hasattr(config, "workerinput")
    if is_worker or not getattr(config.option, "numprocesses", None):
        config.pluginmanager.register(Profile(Path(os.environ["SUITE_PROFILE"])))


def report(folder: Path, lines: int = 20) -> str:
    """Return the sums, and the costliest of each kind."""
    costs: dict[str, dict[str, list[float]]] = defaultdict(
        lambda: defaultdict(lambda: [0, 0.0, 0.0])
    )
    for file in sorted(folder.glob("*.jsonl")):
        for line in file.read_text(encoding="utf-8").splitlines():
            kind, name, own, children = json.loads(line)
            cost = costs[kind][name]
            cost[0], cost[1], cost[2] = cost[0] + 1, cost[1] + own, cost[2] + children
    text = []
    for kind, title in KINDS.items():
        rows = sorted(costs[kind].items(), key=lambda row: -row[1][1] - row[1][2])
        own, children = (sum(cost[place] for _, cost in rows) for place in (1, 2))
        text.append(f"{title}: {len(rows)}, {own:.1f} s and {children:.1f} s of children")
        text += [
            f"  {cost[1] + cost[2]:8.2f} s  {cost[0]:4.0f} x  {name}" for name, cost in rows[:lines]
        ]
    return "\n".join(text)


if __name__ == "__main__":
    print(report(Path(sys.argv[1]), *map(int, sys.argv[2:3])))
