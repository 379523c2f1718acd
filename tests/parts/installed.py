"""What a test file needs, found without importing it: a process imports what its own tests use."""

from importlib.util import find_spec

import pytest


def needs(*modules: str) -> pytest.MarkDecorator:
    """Return the mark that skips a file's tests unless all modules are installed."""
    absent = [module for module in modules if find_spec(module) is None]
    return pytest.mark.skipif(bool(absent), reason=f"{', '.join(absent)} not installed")
