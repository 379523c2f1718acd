"""Every old import path gives the module that moved, with one warning that names its place."""

import importlib.util
import json
import subprocess
import sys

import pytest

from realmaster_live.moved import MOVED

SCRIPT = """
import importlib, json, sys, warnings
from realmaster_live.errors import MissingDependency
from realmaster_live.moved import MOVED
found = {}
for old, new in sorted(MOVED.items()):  # packages before what is in them
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            module = importlib.import_module(old)
        except MissingDependency:
            found[old] = None
            continue
    named = [str(one.message) for one in caught if one.category is DeprecationWarning]
    same = module is sys.modules[new] and module.__name__ == new and module.__spec__.name == new
    found[old] = [same, [text for text in named if "realmaster_live" in text]]
print(json.dumps(found))
"""


def test_every_old_path_is_the_new_module_and_says_so_once() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found.keys() == MOVED.keys()
    imported = {old: what for old, what in found.items() if what is not None}
    assert len(imported) > len(MOVED) // 2
    for old, (same, warned) in imported.items():
        assert same, old
        assert len(warned) == 1, (old, warned)
        assert warned[0].startswith(f"{old} is {MOVED[old]} now"), warned


def test_a_name_that_moved_out_of_a_module_that_stayed_says_where_it_is() -> None:
    from realmaster_live.replay import footage, kinds

    with pytest.warns(DeprecationWarning, match=r"now .*\.replay\.kinds\.find_footage"):
        assert footage.find_footage is kinds.find_footage
    with pytest.raises(AttributeError, match="footage' has no attribute 'find_films'"):
        _ = footage.find_films


def test_every_new_path_exists_and_no_old_one_hides_a_module() -> None:
    for old, new in MOVED.items():
        assert importlib.util.find_spec(new) is not None, f"{new}, where {old} moved"
        parent = old.rpartition(".")[0]
        if parent in MOVED:
            continue
        home = importlib.util.find_spec(parent)
        assert home is None or not any(
            (importlib.machinery.PathFinder.find_spec(old, [place]) is not None)
            for place in home.submodule_search_locations or ()
        ), f"{old} is a module of its own"


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        (
            "from realmaster_live.bridges.carla_bridge import CarlaBridge",
            "realmaster_live.bridges.carla.bridge",
        ),
        ("from realmaster_live import pipeline", "realmaster_live.live.pipeline"),
        ("import realmaster_live.bridges.carla_wire.rpc", "realmaster_live.bridges.carla.wire.rpc"),
        ("from realmaster_live.workers import leases", "realmaster_live.jobs"),
    ],
)
def test_a_statement_of_a_user_warns_once_at_its_own_line(statement: str, says: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "always::DeprecationWarning", "-c", f"{statement}\n{statement}"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if "realmaster_live" in line]
    assert len(lines) == 1 and f" is {says} now" in lines[0], done.stderr
    assert lines[0].startswith("<string>:1:")
