"""What the site takes from other folders while it is built, so that nothing is kept twice."""

import contextlib
import io
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from realmaster_live.cli.command import parse
from realmaster_live.cli.verbs import GROUPS, all_verbs

ROOT = Path(__file__).parent.parent
PICTURES = {
    "pictures/held_out.jpg": "engines/weights/embedded/held_out.jpg",
    "pictures/curves.png": "engines/weights/embedded/curves.png",
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the model's pictures, the changelog and the help of every verb."""
    for path, source in PICTURES.items():
        files.append(File.generated(config, path, abs_src_path=str(ROOT / source)))
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    files.append(File.generated(config, "changelog.md", content=changelog))
    files.append(File.generated(config, "reference/command-line.md", content=_command_line()))
    return files


def _command_line() -> str:
    page = ["# Command line\n", "```text", _help(), "```\n"]
    for group, verbs in GROUPS.items():
        page.append(f"## {group.capitalize()}\n")
        for name, _ in all_verbs(verbs):
            page += [f"### realmaster {' '.join(name)}\n", "```text", _help(*name), "```\n"]
    return "\n".join(page)


def _help(*verb: str) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):
        parse([*verb, "--help"])
    return out.getvalue().rstrip()
