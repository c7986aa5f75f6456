"""Exit codes, one line on stderr for every mistake, and the first commands of a new user."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import click
import pytest
from xaionnx_cli.app import main

import xaionnx

OCCLUSION = ("explain", "occlusion")


def test_version(run):
    result = run("--version")
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"xaionnx {xaionnx.__version__}\n", "")


@pytest.mark.parametrize("words", [(), ("explain",)])
def test_help_where_a_command_is_missing(run, words):
    result = run(*words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("Usage: xaionnx")


def commands(group, context):
    """Every command and every method of one, each with its words."""
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        inner = click.Context(found, parent=context, info_name=name)
        if isinstance(found, click.Group):
            yield from commands(found, inner)
        else:
            yield inner.command_path, found.get_params(inner)


def test_no_two_parameters_of_a_command_have_one_name():
    """One would overwrite what was given for the other."""
    every = dict(commands(main, click.Context(main, info_name="xaionnx")))
    assert {"xaionnx activations spectrum", "xaionnx explain lime", "xaionnx merge"} <= every.keys()
    for words, params in every.items():
        # Flags may be ways to set one value.
        names = Counter(param.name for param in params if not getattr(param, "is_flag", False))
        options = Counter(word for param in params if isinstance(param, click.Option) for word in param.opts)
        assert [name for each in (names, options) for name, count in each.items() if count > 1] == [], words


def test_help_lists_every_command(run):
    result = run("-h")
    assert result.exit_code == 0
    for name in ("compile", "explain", "inspect", "methods"):
        assert f"\n  {name} " in result.stdout


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (("expl",), 2, "No command named 'expl'. Nearest: explain."),
        (("occlusion",), 2, "'occlusion' is a method, not a command. Run 'xaionnx explain occlusion MODEL INPUT'."),
        (("explain", "oclusion", "m.onnx", "x.png"), 2, "No method named 'oclusion'. Nearest: occlusion."),
        (
            ("explain", "m.onnx", "x.png"),
            2,
            "The method comes before the model: xaionnx explain METHOD m.onnx INPUT.",
        ),
        (OCCLUSION, 2, "Missing argument 'MODEL'. See 'xaionnx explain occlusion --help'."),
        ((*OCCLUSION, "m.onnx"), 2, "Missing argument 'INPUT...'. See 'xaionnx explain occlusion --help'."),
        (
            (*OCCLUSION, "m.onnx", "x.png", "--overla", "3"),
            2,
            "No such option '--overla'. (Did you mean one of: '--overlap', '--ray'?). "
            "See 'xaionnx explain occlusion --help'.",
        ),
        (
            (*OCCLUSION, "m.onnx", "x.png", "--window", "0"),
            2,
            "--window must be a positive int, or one positive int per axis. Got '0' instead.",
        ),
        (
            (*OCCLUSION, "m.onnx", "x.png", "--overlap", "max"),
            2,
            "--overlap must be one of 'mean', 'sum'. Got 'max' instead.",
        ),
        (
            (*OCCLUSION, "m.onnx", "x.png", "-o", "x.tif"),
            2,
            "-o must end in .png, .jpg, .jpeg, .gif, .html (a picture or page) or .npz (the whole record), or name a "
            "folder. Got 'x.tif' instead.",
        ),
        (
            (*OCCLUSION, "m.onnx", "x.png", "-o", "nowhere/x.png"),
            6,
            "The folder nowhere does not exist. Create it, or choose another with -o.",
        ),
        (
            (*OCCLUSION, "m.onnx", "x.png", "--output", "x.png"),
            2,
            "--output names a tensor of the model. To write x.png, use -o.",
        ),
        (
            ("methods", "--json", "--markdown"),
            2,
            "Choose one of --json and --markdown. See 'xaionnx methods --help'.",
        ),
    ],
)
def test_wrong_usage_is_one_line(run, tmp_path, monkeypatch, words, code, line):
    monkeypatch.chdir(tmp_path)
    result = run(*words)
    assert (result.exit_code, result.stdout, result.stderr) == (code, "", f"xaionnx: {line}\n")
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_is_none(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("page.onnx").write_text("<html>404</html>")
    for words in (("explain", "occlusion", "page.onnx", "x.png"), ("inspect", "page.onnx")):
        result = run(*words)
        assert result.exit_code == 3
        assert result.stderr == (
            "xaionnx: page.onnx is a web page (HTML), not an ONNX model. "
            "Download the file itself, not the page about it.\n"
        )


def test_an_input_that_is_missing(run, digits):
    result = run(*OCCLUSION, digits, "none.png")
    assert (result.exit_code, result.stderr) == (4, "xaionnx: There is no file 'none.png'. Check the path.\n")


def test_a_device_that_onnxruntime_lacks(run, digits, picture):
    result = run(*OCCLUSION, digits, picture, "--device", "abacus")
    assert result.exit_code == 6
    assert result.stderr.startswith("xaionnx: Device 'abacus' is not available in this build of onnxruntime ")


def test_an_error_of_ours_that_is_a_bug_shows_its_traceback(run, digits, picture, monkeypatch):
    def fail(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("xaionnx_cli._run._Job.run", fail)
    assert isinstance(run(*OCCLUSION, digits, picture).exception, ZeroDivisionError)


def test_help_loads_nothing_heavy(start):
    code = "import sys; from xaionnx_cli.app import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    code += (
        "heavy = {'numpy', 'onnx', 'onnxruntime', 'numba', 'rich', 'matplotlib'} & set(sys.modules); assert not heavy"
    )
    process = start("-c", code)
    assert process.communicate(timeout=60)[1] == ""
    assert process.returncode == 0


def test_a_reader_that_leaves_early(start, digits):
    process = start("inspect", digits, "--json")
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(timeout=60) == 141
