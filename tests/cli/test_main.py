"""The command line as a whole: its verbs, their help, wrong uses, earlier names."""

import subprocess
import sys

import pytest

from realmaster_live.cli import main
from realmaster_live.cli.command import parse
from realmaster_live.cli.options import options_of, summary
from realmaster_live.cli.values import nearest
from realmaster_live.cli.verbs import GROUPS, all_verbs
from realmaster_live.errors import ConfigError

NAMES = [name for name, _ in all_verbs()]
BLOCKED = (
    *("numpy", "cv2", "av", "pyarrow", "rich", "aiohttp", "carla", "onnxruntime", "onnx", "torch"),
    *("diffusers", "transformers", "numba", "msgpack", "mitsuba", "tensorrt", "zmq", "mss", "ray"),
    *("pycocotools", "h5py", "safetensors"),
)
BUILD = ["build", "--checkpoint", "DIR", "--out", "OUT", "--size", "96x64"]


def fails(arguments, capsys, status=2):
    """Return the one line that a wrong use is answered with."""
    assert main(arguments) == status
    error = capsys.readouterr().err
    assert error.startswith("realmaster: error: expected ") and error.count("\n") == 1
    return error


def test_every_verb_explains_itself_without_any_other_package():
    script = (
        f"import sys\nsys.modules |= dict.fromkeys({BLOCKED!r})\n"
        "from realmaster_live.cli import main\n"
        f"for name in [(), *{NAMES}]:\n"
        "    try:\n        main([*name, '--help'])\n"
        "    except SystemExit as ended:\n        assert ended.code == 0\n"
        "    else:\n        raise AssertionError(name)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    usages = [line for line in done.stdout.splitlines() if line.startswith("usage: ")]
    assert len(usages) == len(NAMES) + 1
    for name, usage in zip(NAMES, usages[1:], strict=True):
        assert usage.startswith(f"usage: realmaster {' '.join(name)} ")


def test_the_overview_names_every_verb_in_its_group(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    out = capsys.readouterr().out
    for group, verbs in GROUPS.items():
        part = out.partition(f"\n{group}:\n")[2].partition("\n\n")[0]
        assert [line.split()[0] for line in part.splitlines() if line[2] != " "] == list(verbs)


@pytest.mark.parametrize("name", NAMES, ids=" ".join)
def test_help_is_whole_sentences_and_defaults_are_values(name):
    verb = dict(all_verbs())[name]
    assert (verb.summary or summary(verb.cls)).endswith(".")
    keys = set()
    for option in options_of(verb.cls) if verb.options else ():
        assert option.help[:1].isupper() and option.help.endswith("."), option.path
        assert "efault:" not in option.help, option.path  # the mechanism says it
        assert option.key not in keys, option.key
        keys.add(option.key)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "a verb after realmaster, got none"),
        (["fly"], "got 'fly'"),
        (["atach"], "did you mean attach?"),
        (["dataset"], "see realmaster dataset --help"),
        (["dataset", "verfy"], "did you mean verify?"),
        (["attach", "--sise", "512x288"], "did you mean --size?"),
        (["attach", "drive"], "no more arguments, got 'drive'"),
        (["attach", "--size"], "a value after --size, got none"),
        (["attach", "--size", "big"], "a size such as 512x288 for --size, got 'big'"),
        (["attach", "--labels", "normals"], "labels out of"),
        (["help", "fly"], "got 'fly'"),
        (["attach", "--seconds", "-1"], "a number above 0"),
        (["attach", "--seconds", "nan"], "a number above 0"),
        (["attach", "--fps", "inf"], "a number above 0"),
        (["attach", "--port", "65536"], "a whole number from 0 to 65535"),
        (["attach", "--port", "2e3"], "a whole number"),
        (["attach", "--policy", "block_"], "did you mean block?"),
        (["attach", "--rig", ""], "a path for --rig"),
        (["record"], "expected DIR, got none"),
        (["replay"], "expected a recording"),
        (["replay", "x", "--carla", "here"], "HOST:PORT"),
        (["bench", "--sizes", "512x288,0x5"], "--sizes, got '512x288,0x5'"),
        (["demo", "--seconds", "0"], "--seconds above 0"),
        (["minitown", "--vehicles", "-3"], "vehicles from 0"),
        (["minitown", "--fps", "nan"], "a number"),
        (["build", "--size", "64x64"], "--checkpoint and --out, got none"),
        (["dataset", "export", "a", "--to", "pascal", "--out", "b"], "one of coco"),
        (["gta-relay", "--game", "device://0", "--listen", "nowhere"], "HOST:PORT"),
    ],
)
def test_a_wrong_use_is_one_line_and_status_2(arguments, words, capsys):
    assert words in fails(arguments, capsys)


@pytest.mark.parametrize(
    ("arguments", "same"),
    [
        (["help"], ["--help"]),
        (["help", "attach"], ["attach", "--help"]),
        (["help", "dataset", "export"], ["dataset", "export", "--help"]),
        (["dataset", "help"], ["dataset", "--help"]),
        (["help", "help"], ["--help"]),
    ],
)
def test_help_is_a_word_as_well(arguments, same, capsys):
    shown = []
    for words in (arguments, same):
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code == 0
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[1] != ""


def test_the_program_to_inject_into_is_shown_where_it_is_written(capsys):
    with pytest.raises(SystemExit):
        main(["inject", "--help"])
    usage = capsys.readouterr().out.splitlines()[0]
    assert usage == "usage: realmaster inject [options] -- COMMAND ..."


@pytest.mark.parametrize(
    "arguments",
    [
        ["fit", "none.toml"],
        ["distill", "none.toml"],
        ["pairs", "run", "data", "--recipe", "none.toml"],
        ["record", "drive", "--rig", "none.toml"],
        ["record", "drive", "--rig", "."],
        ["attach", "--config", "none.toml"],
        ["replay", "none.mp4", "--out", "drive"],
        ["evaluate", "embedded", "none", "--data", "none", "--out", "e"],
        ["model", "info", "none"],
        ["dataset", "verify", "none"],
    ],
    ids=" ".join,
)
def test_a_file_that_is_not_there_is_named_without_an_error_number(
    arguments, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) in (1, 2)
    error = capsys.readouterr().err
    assert error.startswith("realmaster: error: expected ") and error.count("\n") == 1
    assert "Errno" not in error


def test_values_are_read():
    _, options = parse(["attach", "--ego", "17", "--labels", "none", "--camera", "4"])
    assert (options.ego, options.labels, options.camera) == (17, (), 4)
    assert parse(["attach", "--ego", "hero"])[1].ego == "hero"
    _, options = parse(["bench", "--sizes", "256x144,512x288", "--no-alone"])
    assert options.sizes == ((256, 144), (512, 288)) and not options.alone
    _, options = parse(["replay", "a", "--out", "x", "b", "--no-quiet", "--workers=2"])
    assert options.inputs == ("a", "b") and options.pool.workers == 2
    _, options = parse(["evaluate", "embedded", "--data", "a", "b", "--data", "c", "--out", "d"])
    assert [path.name for path in options.data] == ["a", "b", "c"]
    _, options = parse(["prompts", "DIR", "--prompt", "rain, heavy", "--prompt", "fog"])
    assert options.prompt == ("rain, heavy", "fog")
    with pytest.raises(ConfigError, match="--sizes"):
        parse(["bench", "--sizes", ""])


@pytest.mark.parametrize(
    ("old", "note", "new"),
    [
        (["truth", "drive"], "realmaster minitown truth", ["minitown", "truth", "drive"]),
        (["gta-replay", "tcp://x"], "realmaster gta-standin", ["gta-standin", "tcp://x"]),
        (
            ["evaluate", "identity", "--data", "a", "--out", "b"],
            "realmaster evaluate embedded",
            ["evaluate", "embedded", "identity", "--data", "a", "--out", "b"],
        ),
        (["bench", "--no-compare"], "--no-alone", ["bench", "--no-alone"]),
        (
            [*BUILD, "--lora", "a.safetensors", "--lora=b.safetensors:0.5"],
            "--adapter",
            [*BUILD, "--adapter", "a.safetensors", "--adapter", "b.safetensors:0.5"],
        ),
    ],
)
def test_earlier_names_work_and_say_the_new_one_once(old, note, new, capsys):
    _, options = parse(old)
    error = capsys.readouterr().err
    assert f"is now called {note}\n" in error and error.count("\n") == 1
    assert parse(new)[1] == options
    assert capsys.readouterr().err == ""


def test_the_nearest_name_is_offered_only_where_it_is_near():
    assert nearest("--sise", ["--size", "--seed"]) == "--size"
    assert nearest("xyz", ["attach", "record"]) is None


def test_a_recording_that_is_not_there_is_status_1(tmp_path, capsys):
    assert "meta.json" in fails(["replay", str(tmp_path / "none")], capsys, status=1)


def test_a_server_that_is_not_there_is_status_1(capsys):
    flags = ["--port", "21499", "--timeout", "1", "--engine", "identity"]
    error = fails(["attach", *flags], capsys, status=1)
    assert "expected a CARLA server at 127.0.0.1:21499" in error


def test_the_program_is_installed_and_imports_little():
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "realmaster_live", "--version"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    assert done.stdout.strip().startswith("0.")
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert not loaded & set(BLOCKED)


@pytest.mark.parametrize(
    ("verb", "extra"), [("fit", "training"), ("evaluate embedded", "evaluate")]
)
def test_a_missing_package_is_one_line_with_its_command(verb, extra, tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("")
    flags = {"fit": [str(recipe)], "evaluate embedded": ["--data", "a", "--out", "b"]}[verb]
    script = (
        "import sys; sys.modules['torch'] = None\n"
        f"from realmaster_live.cli import main; sys.exit(main({[*verb.split(), *flags]}))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "the package torch," in done.stderr and f"[{extra}]" in done.stderr


INTERRUPTING = """
import importlib.abc, os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)

class Interrupts(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == {module!r}:
            sys.meta_path.remove(self)
            {interrupt}

sys.meta_path.insert(0, Interrupts())
from realmaster_live.cli import main
status = main({argv})
assert not any(isinstance(one, Interrupts) for one in sys.meta_path), "never imported"
sys.exit(status)
"""


@pytest.mark.parametrize(
    "interrupt", ["os.kill(os.getpid(), signal.SIGINT)", "exec('raise KeyboardInterrupt')"]
)
@pytest.mark.parametrize(
    ("module", "argv"),
    [
        ("realmaster_live.cli.command", ["doctor"]),
        ("realmaster_live.cli.options", ["doctor"]),
        ("realmaster_live.cli.attach", ["record", "out", "--port", "1"]),
        ("numpy", ["attach", "--port", "1"]),
    ],
)
def test_ctrl_c_ends_a_command_that_is_still_importing(module, argv, interrupt, tmp_path):
    script = INTERRUPTING.format(module=module, argv=argv, interrupt=interrupt)
    (tmp_path / "interrupting.py").write_text(script)  # as `python -m realmaster_live` runs
    done = subprocess.run(
        [sys.executable, "-m", "interrupting"], capture_output=True, text=True, cwd=tmp_path
    )
    assert (done.returncode, done.stderr) == (130, "")


def test_usage_and_defaults_read_as_they_are_written(capsys):
    for verb, words in (
        (["gta-standin"], "realmaster gta-standin URL [RECORDING] [options]"),
        (["pairs", "run"], "realmaster pairs run DATASET [SOURCE ...] [options]"),
        (["dataset", "export"], "realmaster dataset export RECORDING ... [options]"),
        (["gta-relay"], "Default: 127.0.0.1:8010."),
    ):
        with pytest.raises(SystemExit):
            main([*verb, "--help"])
        assert words in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("arguments", [["--help"], ["attach", "--help"], ["--version"]])
def test_output_that_nobody_reads_ends_without_a_word(arguments):
    program = [sys.executable, "-m", "realmaster_live", *arguments]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode in (0, 1)
