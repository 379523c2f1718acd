import pytest

from realmaster_live.cli import parse
from realmaster_live.errors import ConfigError


def write(tmp_path, text):
    path = tmp_path / "run.toml"
    path.write_text(text)
    return str(path)


def test_a_file_sets_flags_and_the_command_line_wins(tmp_path):
    path = write(
        tmp_path,
        """
        [attach]
        size = "640x352"
        passive = true
        port = 2345
        labels = ["depth", "semantic"]
        view = false
        [demo]
        seed = 3
        """,
    )
    options = parse(["attach", "--port", "2001", "--config", path])
    assert options.size == (640, 352)
    assert options.passive
    assert not options.view
    assert options.labels == ("depth", "semantic")
    assert options.port == 2001
    assert parse(["demo", "--config", path]).seed == 3
    assert parse(["bench", "--config", path]).seed == 7


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[attach]\nsice = '512x288'", "did you mean size"),
        ("[atach]\nport = 1", "did you mean attach"),
        ("[attach]\nverb = 'x'", "expected a known option of attach"),
        ("port = 1", "expected a known table"),
        ("attach = 1", r"below a line \[attach\]"),
        ("[attach]\nport = [", "expected TOML"),
        ("[attach]\nport = 'many'", "--port"),
        ("[attach]\nport = {a = 1}", "text or a number"),
        ("[attach]\nsize = '512'", "512x288"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        parse(["attach", "--config", write(tmp_path, text)])


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.toml"):
        parse(["attach", "--config", str(tmp_path / "none.toml")])
