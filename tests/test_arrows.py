"""Which room may import which: the table in docs/architecture.md, held by the syntax tree."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = "realmaster_live"
FOLDERS = (PACKAGE, "bridges", "engines", "minitown", "training")
TORCH_SIDE = ("model", "training", "engines.torch", "engines.export", "datasets.torch")
HEAVY = {"torch", "diffusers", "peft", "tensorrt", "pycuda", "transformers"}
ROW = re.compile(r"^([\w.]+) +->([^|\n]*)(?:\|(.*))?$", re.M)


class Import(NamedTuple):
    name: str  # dotted, what is imported of a module included
    line: int
    at_module_level: bool  # not inside a function, nor for type checkers only


class Row(NamedTuple):
    always: set[str]
    inside_functions: set[str]


@cache
def rows() -> dict[str, Row]:
    """Return room -> what it may import, as the docs draw it."""
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    block = text.split("## Arrows")[1].split("```")[1]

    def names(part: str | None) -> set[str]:
        return set(re.split(r"[, ]+", (part or "").strip())) - {""}

    return {room: Row(names(always), names(lazily)) for room, always, lazily in ROW.findall(block)}


@cache
def modules() -> dict[str, Path]:
    """Return import name, without the package's, -> file of every module of the product."""
    found = {}
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if any(parent.is_symlink() for parent in path.parents):
                continue  # the links for editors and type checkers
            parts = path.relative_to(ROOT).with_suffix("").parts
            parts = parts[folder == PACKAGE :]
            found[".".join(parts).removesuffix(".__init__")] = path
    return found


@cache
def imports(path: Path) -> tuple[Import, ...]:
    """Return every absolute import of a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nested = {id(node) for block in ast.walk(tree) if _is_lazy(block) for node in ast.walk(block)}
    found = []
    for node in ast.walk(tree):
        top = id(node) not in nested
        if isinstance(node, ast.Import):
            found += [Import(alias.name, node.lineno, top) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [
                Import(f"{node.module}.{alias.name}", node.lineno, top) for alias in node.names
            ]
    return tuple(found)


def _is_lazy(block: ast.AST) -> bool:
    if isinstance(block, ast.If):
        return isinstance(block.test, ast.Name) and block.test.id == "TYPE_CHECKING"
    return isinstance(block, ast.FunctionDef | ast.AsyncFunctionDef)


def own_imports(path: Path) -> Iterator[Import]:
    """Yield what a file imports of this package, named without the package's own name."""
    for found in imports(path):
        package, _, rest = found.name.partition(".")
        if package == PACKAGE and rest:
            yield found._replace(name=rest)


def room_of(name: str) -> str | None:
    """Return the room of the table that a dotted name lies in: the longest that fits."""
    parts = name.split(".")
    prefixes = [".".join(parts[:length]) for length in range(len(parts), 0, -1)]
    return next((prefix for prefix in prefixes if prefix in rows()), None)


def allowed(name: str, rooms: set[str]) -> bool:
    """Return whether a dotted name lies in one of the rooms, or in a room of theirs."""
    return any(name == room or name.startswith(f"{room}.") for room in rooms)


@pytest.mark.parametrize("room", sorted(rows()))
def test_rooms_import_only_along_the_arrows(room: str) -> None:
    own = {name: path for name, path in modules().items() if room_of(name) == room}
    assert own, f"no modules found for {room}"
    always, inside_functions = rows()[room]
    wrong = [
        f"{path.relative_to(ROOT)}:{found.line} imports {found.name}"
        for path in own.values()
        for found in own_imports(path)
        if room_of(found.name) not in (room, None)
        and not allowed(found.name, always)
        and (found.at_module_level or not allowed(found.name, inside_functions))
    ]
    assert not wrong


def test_every_module_lies_in_a_room_of_the_table() -> None:
    front = {"__init__", "__main__", "lazy", "moved"}
    assert [n for n in modules() if room_of(n) is None and n not in front] == []
    assert all(room_of(name) for row in rows().values() for part in row for name in part)


def test_no_circle_of_imports() -> None:
    """Imports inside functions and for type checkers count: a circle of them is one too."""
    graph = {}
    for name, path in modules().items():
        names = [found.name for found in own_imports(path)]
        heads = [n if n in modules() else n.rpartition(".")[0] for n in names]
        graph[name] = {head for head in heads if head in modules()} - {name}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_only_the_model_side_imports_torch() -> None:
    """The live side runs without torch: engines that need it are opened by name."""
    wrong = [
        f"{path.relative_to(ROOT)}:{found.line} imports {found.name}"
        for name, path in modules().items()
        if room_of(name) not in TORCH_SIDE
        for found in imports(path)
        if found.name.split(".")[0] in HEAVY
    ]
    assert not wrong


def test_nothing_imports_the_top_level_folders() -> None:
    suspect = re.compile(rf"(?:\bimport|\bfrom|,)\s+(?:{'|'.join(set(FOLDERS) - {PACKAGE})})\b")
    wrong = [
        f"{path.relative_to(ROOT)}:{found.line} imports {found.name}"
        for folder in (*FOLDERS, "tests", "examples", "benchmarks")
        for path in (ROOT / folder).rglob("*.py")
        if not any(parent.is_symlink() for parent in path.parents)
        if suspect.search(path.read_text(encoding="utf-8"))
        for found in imports(path)
        if found.name.split(".")[0] in set(FOLDERS) - {PACKAGE}
    ]
    assert not wrong
