"""What `import realmaster_live` gives, and what it costs."""

import json
import subprocess
import sys

import realmaster_live


def test_all_is_sorted_complete_and_importable() -> None:
    assert realmaster_live.__all__ == sorted(realmaster_live.__all__)
    for name in realmaster_live.__all__:
        assert getattr(realmaster_live, name).__module__.startswith("realmaster_live")


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
