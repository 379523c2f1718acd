"""Import of optional packages; a missing one names the pip command that brings it."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from realmaster_live.errors import MissingDependency

DISTRIBUTION = "realmaster-live"
CHECKOUT = Path(__file__).resolve().parent.parent


OWN = __name__.partition(".")[0]


def require(module: str, *, extra: str) -> Any:
    """Return the imported `module`, or one of our own all of whose packages `extra` brings.

    Raises:
        MissingDependency: a package does not import; the message is the pip command of `extra`.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        cause = error.__cause__ if isinstance(error, MissingDependency) else error
        wrong = str(getattr(cause, "name", None) or module)
        if not isinstance(cause, ImportError) or wrong.partition(".")[0] == OWN:
            raise  # a fault of ours, or a sentence that says more
        raise missing(wrong, extra=extra, error=cause) from cause


def missing(module: str, *, extra: str, error: ImportError) -> MissingDependency:
    """Return the error for a module, of whatever package, that does not import."""
    package = module.partition(".")[0]
    is_absent = isinstance(error, ModuleNotFoundError) and error.name == package
    got = "none" if is_absent else f"one that does not import ({error})"
    return MissingDependency(f"expected the package {package}, got {got}: run {pip_command(extra)}")


def pip_command(extra: str) -> str:
    """Return the command that installs an extra from where this package itself came.

    An installation from a folder, a repository or a file remembers it (PEP 610); one without that
    came from an index.
    """
    import json  # these cost more than all the rest of a command line's start
    import shlex
    from importlib.metadata import distributions
    from urllib.parse import unquote, urlsplit

    # a checkout's own .egg-info, first where it is the working folder, remembers nothing
    remembered = (each.read_text("direct_url.json") for each in distributions(name=DISTRIBUTION))
    text = next(filter(None, remembered), None)
    origin: dict[str, Any]
    if text is None and (CHECKOUT / "pyproject.toml").is_file():
        origin = {"url": CHECKOUT.as_uri(), "dir_info": {"editable": True}}
    else:
        origin = json.loads(text or "{}")
    url = str(origin.get("url", ""))
    if "dir_info" in origin:
        folder = Path(unquote(urlsplit(url).path))
        if not (folder / "pyproject.toml").is_file():
            return f"pip install '.[{extra}]' in a checkout's folder"
        editable = "-e " if origin["dir_info"].get("editable") else ""
        return f"pip install {editable}{shlex.quote(f'{folder}[{extra}]')}"
    if "vcs_info" in origin:
        vcs = origin["vcs_info"]
        revision = vcs.get("requested_revision") or vcs.get("commit_id", "")
        url = f"{vcs.get('vcs', 'git')}+{url}" + (f"@{revision}" if revision else "")
    name = f"{DISTRIBUTION}[{extra}]"
    return f"pip install {shlex.quote(f'{name} @ {url}' if url else name)}"
