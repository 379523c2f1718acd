"""Which package may import which: the drawing in docs/architecture.md, held by the syntax tree."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CORE = {
    "chunk",
    "classes",
    "errors",
    "geometry",
    "objects",
    "optional",
    "prompts",
    "protocols",
    "rig",
    "trust",
    "weather",
}
# the live side runs without torch: only these may import it
TORCH_ALLOWED = (
    "engines/build.py",
    "engines/export.py",
    "engines/export_graphs.py",
    "engines/torch_engine.py",
    "engines/torch_buffers.py",
    "engines/torch_device.py",
    "engines/torch_expert.py",
    "engines/torch_graphs.py",
    "engines/torch_stages.py",
)
HEAVY = {"torch", "diffusers", "peft", "tensorrt", "pycuda", "transformers"}

# package -> what of realmaster_live its modules may import at module level or below
ALLOWED = {
    "bridges": CORE | {"bridges"},
    "engines": CORE | {"engines"},
    "training": CORE
    | {"training", "model", "recording", "engines", "annotations", "datasets", "fidelity"}
    | {"replay", "workers", "atomic_files"},
    "model": CORE | {"model"},
}
EXCEPTIONS = {name: {"model"} for name in TORCH_ALLOWED}
FOLDERS = ("realmaster_live", "bridges", "engines", "training", "tests", "examples", "benchmarks")


def modules(folder: str) -> list[Path]:
    return sorted(p for p in (ROOT / folder).rglob("*.py") if not p.is_symlink())


def imports(path: Path) -> list[tuple[str, int, bool]]:
    """Return (dotted name, line, is at module level) of every absolute import."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = {id(node) for node in tree.body}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno, id(node) in top) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [(name, node.lineno, id(node) in top) for name in names]
    return found


def own_part(name: str) -> str | None:
    parts = name.split(".")
    return parts[1] if parts[0] == "realmaster_live" and len(parts) > 1 else None


def folder_of(package: str) -> str:
    return "realmaster_live/model" if package == "model" else package


@pytest.mark.parametrize("package", sorted(ALLOWED))
def test_packages_import_only_along_the_arrows(package: str) -> None:
    paths = modules(folder_of(package))
    assert paths, f"no modules found for {package}"
    wrong = []
    for path in paths:
        relative = path.relative_to(ROOT).as_posix()
        allowed = ALLOWED[package] | EXCEPTIONS.get(relative, set())
        wrong += [
            f"{relative}:{line} imports {name}"
            for name, line, _ in imports(path)
            if (part := own_part(name)) is not None and part not in allowed
        ]
    assert not wrong


def test_only_the_model_side_imports_torch() -> None:
    wrong = []
    for folder in ("realmaster_live", "bridges", "engines"):
        for path in modules(folder):
            relative = path.relative_to(ROOT).as_posix()
            if "realmaster_live/model/" in relative or relative.startswith(TORCH_ALLOWED):
                continue
            wrong += [
                f"{relative}:{line} imports {name}"
                for name, line, _ in imports(path)
                if name.split(".")[0] in HEAVY
            ]
    assert not wrong


def test_core_reaches_the_concrete_packages_only_lazily() -> None:
    wrong = []
    for path in sorted((ROOT / "realmaster_live").rglob("*.py")):
        if "model" in path.parts or any(parent.is_symlink() for parent in path.parents):
            continue
        wrong += [
            f"{path.relative_to(ROOT)}:{line} imports {name} at module level"
            for name, line, top in imports(path)
            if top and own_part(name) in {"bridges", "engines", "training", "model"}
        ]
    assert not wrong


def test_nothing_imports_the_top_level_folders() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for folder in FOLDERS
        for path in modules(folder)
        for name, line, _ in imports(path)
        if name.split(".")[0] in {"bridges", "engines", "training"}
    ]
    assert not wrong
