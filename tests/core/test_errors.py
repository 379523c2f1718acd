import inspect

import pytest

import realmaster_live
from realmaster_live import errors
from realmaster_live.optional import require


def test_every_error_hangs_on_one_root():
    classes = [thing for _, thing in inspect.getmembers(errors, inspect.isclass)]
    assert len(classes) >= 14
    assert all(issubclass(thing, realmaster_live.RealMasterError) for thing in classes)


def test_the_drawn_tree_names_every_error():
    for name, _ in inspect.getmembers(errors, inspect.isclass):
        assert name in (errors.__doc__ or "")


def test_errors_can_be_caught_as_the_built_in_ones():
    with pytest.raises(ValueError):
        raise errors.ConfigError("expected a, got b: do c")
    with pytest.raises(ImportError):
        raise errors.MissingDependency("expected a, got b: do c")


def test_public_names_are_sorted_and_there():
    assert realmaster_live.__all__ == sorted(realmaster_live.__all__)
    assert all(hasattr(realmaster_live, name) for name in realmaster_live.__all__)


def test_require_names_the_command_that_installs():
    assert require("json", extra="live").dumps([1]) == "[1]"
    with pytest.raises(errors.MissingDependency, match=r"pip install 'realmaster-live\[live\]'"):
        require("a_package_that_does_not_exist", extra="live")
