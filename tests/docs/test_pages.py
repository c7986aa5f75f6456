"""The README and the pages of docs/: every block of Python and every command runs, and prints what the page says.

The blocks of a page run in turn, in one namespace, in a folder that has the models. A ``text`` block is the expected
output of the block before it, with ``...`` for any text. A page with the mark ``<!-- slow -->`` takes long. Commands
that install or test are those of ``.ci/run``; a block with placeholders in capitals shows a form.
"""

import doctest
import re
import shlex
from pathlib import Path

import pytest
from xaionnx_cli.app import main

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(?P<language>\w+)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
# A generated part, such as the help of a command.
GENERATED = re.compile(r"<!-- generated: .*?<!-- end -->", re.DOTALL)
LANGUAGES = {"python", "bash", "text", "toml"}
# Commands that `.ci/run` runs, or that change the repository.
ELSEWHERE = ("pip ", "pytest", "mkdocs ", ".ci/run", "git ", "ruff ", "python ", "mypy", "lint-imports")


def marked(page):
    slow = [pytest.mark.slow] if "<!-- slow -->" in page.read_text(encoding="utf-8") else []
    return pytest.param(page, id=str(page.relative_to(ROOT)), marks=slow)


def blocks(page):
    text = GENERATED.sub("", page.read_text(encoding="utf-8"))
    return [(found["language"], found["code"]) for found in BLOCK.finditer(text)]


def run_command(line, capsys):
    words = shlex.split(line, comments=True)
    if not words or line.startswith(ELSEWHERE):
        return
    assert words[0] == "xaionnx", line
    try:
        code = main(words[1:], standalone_mode=False)
    except SystemExit as ended:
        code = ended.code
    assert not code, capsys.readouterr().err


@pytest.mark.sampled(percent=10)
@pytest.mark.parametrize("page", [marked(page) for page in PAGES])
def test_the_blocks_of_a_page_run(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("models", "docs"):
        (tmp_path / name).symlink_to(ROOT / name)
    namespace, printed = {"__name__": "page"}, ""
    for language, code in blocks(page):
        assert language in LANGUAGES
        if language == "text" and printed is not None:
            assert same(code, printed), f"{page.name} says:\n{code}\nprinted:\n{printed}"
        elif language == "python":
            exec(compile(code, str(page), "exec"), namespace)
        elif language == "bash":
            for line in code.replace("\\\n", " ").splitlines():
                run_command(line, capsys)
        printed = capsys.readouterr().out if language in ("python", "bash") else None


@pytest.mark.parametrize("page", [pytest.param(page, id=str(page.relative_to(ROOT))) for page in PAGES])
def test_the_blocks_of_a_page_import_nothing_private(page):
    code = "\n".join(code for language, code in blocks(page) if language == "python")
    assert not re.findall(r"^\s*(?:from|import) xaionnx[\w.]*(?:\._| import .*\b_).*$", code, re.MULTILINE)


def test_ci_runs_the_first_commands_of_the_readme():
    first, second = blocks(ROOT / "README.md")[0][1].splitlines()
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8").replace("install --quiet", "install")
    assert first.replace("cat.png -o cat.png", 'cat.png -o "$work/cat.png"') in script
    assert second in script


def same(expected, printed):
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    return doctest.OutputChecker().check_output(expected, printed, flags)
