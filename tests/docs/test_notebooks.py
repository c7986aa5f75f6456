"""The notebooks run and give their stored output; pictures are not compared."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


@pytest.mark.slow  # .ci/run runs them
@pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in NOTEBOOKS])
def test_a_notebook_shows_what_its_cells_print(hook, path, monkeypatch):
    monkeypatch.chdir(ROOT)
    notebooks = hook("notebooks")
    notebook = notebooks.read(path)
    kept = [cell["outputs"] for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [notebooks.texts(shown) for shown in notebooks.run(notebook)] == [notebooks.texts(shown) for shown in kept]


def test_there_are_three(hook):
    assert [path.stem for path in NOTEBOOKS] == ["photo", "table", "transformer"]


def test_a_notebook_becomes_a_page(hook, tmp_path):
    notebooks = hook("notebooks")
    source = "from PIL import Image\nprint('said')\nImage.new('L', (2, 3))"
    cells = [
        {"cell_type": "markdown", "source": ["# Title"]},
        {"cell_type": "code", "source": [source], "outputs": [], "execution_count": None},
        {"cell_type": "code", "source": ["6 * 7"], "outputs": [], "execution_count": None},
    ]
    path = tmp_path / "one.ipynb"
    path.write_text(json.dumps({"cells": cells}))
    notebooks.main([str(path)])
    written = notebooks.read(path)
    assert [cell["execution_count"] for cell in written["cells"][1:]] == [1, 2]
    text, pictures = notebooks.page(written, "one")
    assert text == (
        f"# Title\n\n```python\n{source}\n```\n\n```text\nsaid\n```\n\n![What the cell above shows](one-1.jpg)\n\n"
        "```python\n6 * 7\n```\n\n```text\n42\n```\n"
    )
    assert pictures["one-1.jpg"].startswith(b"\xff\xd8")
