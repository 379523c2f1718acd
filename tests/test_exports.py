"""What `import realmaster_live` gives, and what it costs."""

import ast
import importlib
import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import realmaster_live

PUBLIC = (
    "realmaster_live",
    "realmaster_live.annotations",
    "realmaster_live.bridges",
    "realmaster_live.bridges.carla",
    "realmaster_live.bridges.gtav",
    "realmaster_live.datasets",
    "realmaster_live.demo",
    "realmaster_live.engines",
    "realmaster_live.fidelity",
    "realmaster_live.frames",
    "realmaster_live.live",
    "realmaster_live.minitown",
    "realmaster_live.recording",
    "realmaster_live.replay",
    "realmaster_live.sinks",
)


def test_all_is_sorted_complete_and_importable() -> None:
    assert realmaster_live.__all__ == sorted(realmaster_live.__all__)
    for name in realmaster_live.__all__:
        assert getattr(realmaster_live, name).__module__.startswith("realmaster_live")
    with pytest.raises(AttributeError, match="no attribute 'recorder'"):
        realmaster_live.recorder  # noqa: B018


@pytest.mark.parametrize("package", PUBLIC)
def test_dir_of_a_public_package_shows_its_names(package: str) -> None:
    script = (
        f"import json, {package} as module; before = dir(module); "
        "print(json.dumps([before, module.__all__]))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    shown, public = json.loads(done.stdout)
    assert public
    assert set(public) <= set(shown)
    others = {name for name in set(shown) - set(public) if not name.startswith("__")}
    assert not others & {"TYPE_CHECKING", "annotations", "lazy", "lazy_names", "moved", "_HOMES"}
    assert not {name for name in others if name.startswith("follow")}


@pytest.mark.parametrize("package", PUBLIC)
def test_lazy_names_are_where_type_checkers_find_them(package: str) -> None:
    module = importlib.import_module(package)
    homes = vars(module).get("_HOMES")
    if homes is None:  # a package that imports its names at once
        return
    assert sorted(homes) == sorted(module.__all__)
    tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    typed = {
        alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert typed == homes
    submodules = {found.name for found in pkgutil.iter_modules(module.__path__)}
    assert not submodules & homes.keys()  # importing one would replace the public name


def test_importing_costs_numpy_and_nothing_else() -> None:
    code = (
        "import sys, json, numpy; before = set(sys.modules); import realmaster_live; "
        "print(json.dumps(sorted({m.split('.')[0] for m in set(sys.modules) - before})))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    allowed = {"realmaster_live", "numpy"} | sys.stdlib_module_names
    heavy = set(json.loads(out.stdout)) - allowed
    assert heavy == set()


def test_every_error_is_drawn_in_the_tree() -> None:
    from realmaster_live import errors

    classes = [c for c in vars(errors).values() if isinstance(c, type)]
    assert all(issubclass(c, errors.RealMasterError) for c in classes)
    assert all(c.__name__ in (errors.__doc__ or "") for c in classes)
