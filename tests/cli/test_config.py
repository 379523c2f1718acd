import pytest

from realmaster_live.cli.command import parse
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
    _, options = parse(["attach", "--port", "2001", "--config", path])
    assert options.size == (640, 352)
    assert options.passive
    assert not options.display.view
    assert options.labels == ("depth", "semantic")
    assert options.port == 2001
    assert parse(["demo", "--config", path])[1].seed == 3
    assert parse(["bench", "--config", path])[1].seed == 7
    assert not parse(["attach", "--config", path, "--no-passive"])[1].passive


def test_verbs_below_others_have_tables_below_theirs(tmp_path):
    path = write(
        tmp_path,
        """
        [minitown]
        seed = 3
        raster = false
        [minitown.truth]
        every = 5
        [dataset.export]
        recordings = ["a", "b"]
        to = "coco"
        cameras = ["front", "back"]
        split = [0.8, 0.2]
        [attach]
        no-objects = true
        thresholds = { edges = 0.8 }
        [evaluate.embedded]
        data = ["x"]
        """,
    )
    _, town = parse(["minitown", "--config", path])
    assert (town.seed, town.raster) == (3, False)
    assert parse(["minitown", "truth", "drive", "--config", path])[1].every == 5
    _, export = parse(["dataset", "export", "--out", "c", "--config", path])
    assert [folder.name for folder in export.recordings] == ["a", "b"]
    assert export.cameras == ("front", "back")
    _, options = parse(["attach", "--config", path])
    assert not options.objects and options.fidelity.thresholds == {"edges": 0.8}
    assert len(parse(["evaluate", "embedded", "--out", "d", "--config", path])[1].data) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[attach]\nsice = '512x288'", "did you mean size"),
        ("[atach]\nport = 1", "did you mean attach"),
        ("[attach]\nverb = 'x'", "expected a known option of attach"),
        ("port = 1", "expected a known table"),
        ("attach = 1", r"below a line \[attach\]"),
        ("[attach]\nport = [", "expected TOML"),
        ("[attach]\nport = 'many'", "for port in"),
        ("[attach]\nport = {a = 1}", "a whole number from 0 to 65535 for port in .*, got 'a=1'"),
        ("[attach]\nport = 1979-05-27", "text or a number"),
        ("[attach]\npassive = 1", "true or false for passive"),
        ("[dataset]\nexprt = 1\n[dataset.exprt]", "expected TOML"),
        ("[dataset.exprt]\nto = 1", "did you mean export"),
        ("[attach]\nsize = '512'", "512x288"),
        ("[attach]\nleast = { edges = 0.8 }", "got 'least', which is now called thresholds"),
        ("[gta-replay]\nx = 1", "'gta-replay', which is now called gta-standin"),
        ("[dataset]\nto = 1", r"put it below a line \[dataset\.info\]"),
        ("[truth]\nevery = 1", r"'truth', which is now called minitown\.truth"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        verb = ["dataset", "info", "drive"] if "dataset" in text else ["attach"]
        parse([*verb, "--config", write(tmp_path, text)])


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.toml"):
        parse(["attach", "--config", str(tmp_path / "none.toml")])


def test_earlier_names_of_other_verbs_are_named(tmp_path):
    path = write(tmp_path, "[build]\nlora = ['a.safetensors']")
    with pytest.raises(ConfigError, match="'lora', which is now called adapter"):
        parse(["build", "--checkpoint", "c", "--out", "o", "--size", "96x64", "--config", path])
