"""Generated parts of pages: filled, checked, and refused where the marks are wrong."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / ".ci" / "parts.py"


@pytest.fixture(scope="module")
def parts():
    spec = importlib.util.spec_from_file_location("parts", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _text(name: str, body: str = "") -> str:
    return f"# Title\n\n<!-- generated: {name} -->\n{body}<!-- end -->\n\nThe rest.\n"


@pytest.mark.parametrize("name", ["help", "methods", "families"])
def test_write_then_check(parts, tmp_path, capsys, name):
    file = tmp_path / "page.md"
    file.write_text(_text(name, "stale\n"))
    assert parts.run(["--check", str(file)]) == 1
    assert "-stale" in capsys.readouterr().out
    assert parts.run(["--write", str(file)]) == 0
    assert parts.run(["--check", str(file)]) == 0
    written = file.read_text()
    assert "stale" not in written
    assert written.startswith(f"# Title\n\n<!-- generated: {name} -->\n\n")
    assert written.endswith("\n\n<!-- end -->\n\nThe rest.\n")


def test_help_holds_every_command(parts):
    text = parts.PARTS["help"]()
    commands = (
        "activations",
        "activations atlas",
        "compare",
        "compile",
        "compile saliency",
        "draw",
        "counterfactual",
        "counterfactual adversarial_distance",
        "dream",
        "evaluate",
        "explain",
        "explain rise",
        "inspect",
        "join",
        "masker",
        "merge",
        "methods",
        "patterns",
        "recommend",
        "visualize",
        "visualize channel",
    )
    lines = ("", *(f"{name} " for name in commands))
    for words in lines:
        assert f"$ xaionnx {words}--help\n" in text
    assert text.count("```text\n") == len(lines)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (_text("nothing"), "No generated part 'nothing'. Known: "),
        ("<!-- generated: help -->\n", "Each '<!-- generated: NAME -->' needs its own '<!-- end -->'."),
        ("<!-- end -->\n", "Each '<!-- generated: NAME -->' needs its own '<!-- end -->'."),
        (
            "<!-- generated: help -->\n<!-- generated: help -->\n<!-- end -->\n",
            "Each '<!-- generated: NAME -->' needs its own '<!-- end -->'.",
        ),
    ],
)
def test_wrong_marks(parts, text, message):
    with pytest.raises(parts.MarkError, match=message.replace("(", r"\(")):
        parts.filled(text)


def test_a_new_part_is_one_function(parts, monkeypatch):
    monkeypatch.setattr(parts, "PARTS", dict(parts.PARTS))

    @parts.part
    def made_up() -> str:
        return "made"

    assert parts.filled(_text("made-up")) == _text("made-up", "\nmade\n\n")
