"""The generated parts of a README: filled, checked, and refused where the marks are wrong."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from xaionnx import discovery, parameters

SCRIPT = Path(__file__).resolve().parents[2] / ".ci" / "readme.py"


@pytest.fixture(scope="module")
def readme():
    spec = importlib.util.spec_from_file_location("readme", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _text(name: str, body: str = "") -> str:
    return f"# Title\n\n<!-- generated: {name} -->\n{body}<!-- end -->\n\nThe rest.\n"


@pytest.mark.parametrize("name", ["help", "methods", "options"])
def test_write_then_check(readme, tmp_path, capsys, name):
    file = tmp_path / "README.md"
    file.write_text(_text(name, "stale\n"))
    assert readme.run(["--check", str(file)]) == 1
    assert "-stale" in capsys.readouterr().out
    assert readme.run(["--write", str(file)]) == 0
    assert readme.run(["--check", str(file)]) == 0
    written = file.read_text()
    assert "stale" not in written
    assert written.startswith(f"# Title\n\n<!-- generated: {name} -->\n\n")
    assert written.endswith("\n\n<!-- end -->\n\nThe rest.\n")


def test_help_holds_every_command(readme):
    text = readme.PARTS["help"]()
    lines = ("", "compile ", "compile saliency ", "explain ", "explain rise ", "inspect ", "methods ", "patterns ")
    for words in lines:
        assert f"$ xaionnx {words}--help\n" in text
    assert text.count("```text\n") == len(lines)


def test_options_hold_every_field(readme):
    text = readme.PARTS["options"]()
    for name in discovery.methods():
        for field in parameters.declared(discovery.method(name)):
            assert f"| `{name}` | `--{field.replace('_', '-')} " in text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (_text("nothing"), "No generated part 'nothing'. Known: "),
        ("<!-- generated: help -->\n", "A '<!-- generated: NAME -->' and its '<!-- end -->' do not stand in pairs."),
        ("<!-- end -->\n", "A '<!-- generated: NAME -->' and its '<!-- end -->' do not stand in pairs."),
        (
            "<!-- generated: help -->\n<!-- generated: help -->\n<!-- end -->\n",
            "A '<!-- generated: NAME -->' and its '<!-- end -->' do not stand in pairs.",
        ),
    ],
)
def test_wrong_marks(readme, text, message):
    with pytest.raises(readme.MarkError, match=message.replace("(", r"\(")):
        readme.filled(text)


def test_a_new_part_is_one_function(readme, monkeypatch):
    monkeypatch.setattr(readme, "PARTS", dict(readme.PARTS))

    @readme.part
    def made_up() -> str:
        return "made"

    assert readme.filled(_text("made-up")) == _text("made-up", "\nmade\n\n")
