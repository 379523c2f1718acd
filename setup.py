"""Map the top-level folders into one import package; everything else is in pyproject.toml."""

from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).parent
FOLDERS = {
    "realmaster_live": "realmaster_live",
    "realmaster_live.bridges": "bridges",
    "realmaster_live.engines": "engines",
    "realmaster_live.minitown": "minitown",
    "realmaster_live.training": "training",
}


def packages() -> dict[str, str]:
    """Return import name -> folder of every package, the mapped folders' subpackages included."""
    found = {}
    for name, folder in FOLDERS.items():
        for init in sorted((ROOT / folder).rglob("__init__.py")):
            parts = init.parent.relative_to(ROOT / folder).parts
            if folder == "realmaster_live" and parts[:1] and parts[0] in FOLDERS.values():
                continue  # the links for editors and type checkers
            found[".".join((name, *parts))] = "/".join((folder, *parts))
    return found


setup(packages=list(packages()), package_dir=packages())
