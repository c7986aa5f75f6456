"""The page on pictures shows one of each kind."""

import re
from pathlib import Path

import pytest
from PIL import Image

from xaionnx.render.picture import PICTURES

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "how-to" / "pictures.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PICTURES.names())
def test_each_kind_is_in_the_table_and_shown(name):
    table = [line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| `")]
    assert any(f"`{name}`" in cells for cells in table)
    assert re.search(rf"!\[[A-Z0-9][^\]]+\]\(\.\./pictures/kinds/{name}\.jpg\)", PAGE)
    with Image.open(DOCS / "pictures" / "kinds" / f"{name}.jpg") as picture:
        assert min(picture.size) >= 200


def test_no_picture_is_of_an_unknown_kind():
    assert {file.stem for file in (DOCS / "pictures" / "kinds").iterdir()} == set(PICTURES.names())
