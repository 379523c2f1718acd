import pytest

from realmaster_live import errors
from realmaster_live.optional import require


def test_errors_can_be_caught_as_the_built_in_ones():
    with pytest.raises(ValueError):
        raise errors.ConfigError("expected a, got b: do c")
    with pytest.raises(ImportError):
        raise errors.MissingDependency("expected a, got b: do c")


def test_require_names_the_command_that_installs():
    assert require("json", extra="live").dumps([1]) == "[1]"
    with pytest.raises(errors.MissingDependency, match=r"pip install 'realmaster-live\[live\]'"):
        require("a_package_that_does_not_exist", extra="live")
