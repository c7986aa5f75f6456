"""Texts on the command line: files, lines, pages in HTML, and what is refused."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

pytest.importorskip("tokenizers")
SPAM = str(Path(__file__).resolve().parents[2] / "models" / "spam.onnx")
Run = Callable[..., Result]


@pytest.fixture
def mail(tmp_path: Path) -> Path:
    path = tmp_path / "mail.txt"
    path.write_text("Click here to claim your free money!\nDear list, the patch fixes the build.\n")
    return path


def test_a_mail_becomes_a_page(run: Run, mail: Path) -> None:
    page = mail.with_name("mail.html")
    result = run("explain", "feature_ablation", SPAM, mail, "-o", page)
    assert result.exit_code == 0, result.output
    assert "Click" in result.stdout
    written = page.read_text()
    assert written.startswith("<!DOCTYPE html>")
    assert "money" in written
    assert "baseline mask token" in written
    # Its own page is replaced, and no other file.
    assert run("explain", "feature_ablation", SPAM, mail, "-o", page).exit_code == 0
    page.write_text("<p>of the user</p>")
    refused = run("explain", "feature_ablation", SPAM, mail, "-o", page)
    assert refused.exit_code != 0
    assert "is not a page written by xaionnx" in refused.output


def test_each_line_is_a_text_on_request(run: Run, mail: Path) -> None:
    result = run(
        "explain", "feature_ablation", SPAM, mail, "--lines", "--features", "words", "-o", mail.with_name("out.png")
    )
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in mail.parent.glob("*.png")) == ["out-mail-0.png", "out-mail-1.png"]


def test_an_empty_text_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "blank.txt").write_text("  \n ")
    result = run("explain", "feature_ablation", SPAM, tmp_path / "blank.txt")
    assert result.exit_code != 0
    assert "nothing to explain" in result.output


def test_what_is_cut_off_is_told(run: Run, tmp_path: Path) -> None:
    (tmp_path / "long.txt").write_text("free money now " * 200)
    result = run("explain", "saliency", SPAM, tmp_path / "long.txt")
    assert result.exit_code == 0, result.output
    assert "the model sees 160 of 602 tokens" in result.stderr
