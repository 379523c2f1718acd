import pytest

from realmaster_live import errors


def test_errors_can_be_caught_as_the_built_in_ones():
    with pytest.raises(ValueError):
        raise errors.ConfigError("expected a, got b: do c")
    with pytest.raises(ImportError):
        raise errors.MissingDependency("expected a, got b: do c")
