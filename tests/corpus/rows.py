"""Numbers of rows, groups and units of columns, and looks of pictures, that mean nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.corpus.case import MODELS, REFUSED, Build, Case
from tests.corpus.parquet import copy_table

_METHOD = ("explain", "feature_ablation", "table.onnx", "rows.csv")
_OF_ONE = ("waterfall", "force", "interaction", "text", "map", "--each")
_PICTURES = tuple(f"out{more}.png" for more in ("", "-0", "-1", "-2", "-rows-0", "-rows-1", "-rows-2"))


def cases() -> Iterator[Case]:
    for number, text in enumerate(_NUMBERS):
        yield Case(f"rows/numbers-{number}", (*_METHOD, "--rows", text, "--json"), {0, *REFUSED}, _builds())
    for name, lines in {**_groups(), **_units()}.items():
        words = (*_METHOD, "--rows", "0", "--json")
        yield Case(f"rows/{name}", words, {0, *REFUSED}, _builds(lines))
    for number, more in enumerate(_LOOKS):
        # Kinds of one row are refused for each row.
        rows = "0" if more[-1] in _OF_ONE else "0-2"
        words = (*_METHOD, "--rows", rows, *more, "-o", "out.png", "--json")
        yield Case(f"rows/look-{number}", words, {0, *REFUSED}, _builds(), written=_PICTURES)


def _builds(lines: str = "") -> Build:
    def build(folder: Path) -> None:
        copy_table(folder)
        rows = (MODELS / "data" / "german_credit_sample.csv").read_text().splitlines()[:4]
        (folder / "rows.csv").write_text("\n".join(rows))
        if lines:
            spec = (folder / "table.toml").read_text()
            text = spec.replace("[input.units]", lines, 1) if lines.startswith("[input.units]") else f"{spec}\n{lines}"
            (folder / "table.toml").write_text(text)

    return build


_NUMBERS = (
    "",
    " ",
    ",",
    "-",
    "-1",
    "0",
    "3",
    "0,0,0",
    "2-0",
    "0-",
    "-2",
    "0--1",
    "0-99",
    "0:2",
    "0..2",
    "1.0",
    "1e3",
    "0x1",
    "all",
    "nan",
    "\u0661",
    "0,\x1b[2J",
    "\u202e0",
    "9" * 30,
    "9" * 400,
    "9" * 5000,
    "0-" + "9" * 30,
    "0-999999999999",
    ",".join(["0"] * 20_000),
    "0,1,2,",
    "0;1",
    "0 1",
    "a\nb",
)


def _groups() -> dict[str, str]:
    lines = {
        "group of nothing": "a = []",
        "group of a strange column": 'a = ["nothing"]',
        "group of a number": "a = 3",
        "group of numbers": "a = [1, 2]",
        "group of one": 'a = ["housing"]',
        "group of text": 'a = "housing"',
        "same column twice": 'a = ["housing", "housing"]',
        "column in two groups": 'a = ["housing", "job"]\nb = ["job"]',
        "group named as a column": 'housing = ["housing", "job"]',
        "group without a name": '"" = ["housing", "job"]',
        "hostile group": '"\\u001b[2J" = ["housing", "job"]',
        "group of lines": '"a\\nb" = ["housing", "job"]',
        "group of direction": '"\\u202eb" = ["housing", "job"]',
        "group of markup": '"[red]<b>" = ["housing", "job"]',
        "group of groups": '[input.groups.a]\nb = ["housing"]',
        "long name": f'"{"a" * 5000}" = ["housing", "job"]',
    }
    return {name: f"[input.groups]\n{text}\n" for name, text in lines.items()} | {
        "groups a list": "[[input.groups]]\na = ['housing']\n",
        "groups of no table": "[input.groups]\n",
    }


def _units() -> dict[str, str]:
    lines = {
        "unit of a strange column": 'nothing = "m"',
        "unit a number": "housing = 3",
        "unit a list": 'housing = ["m"]',
        "unit empty": 'housing = ""',
        "hostile unit": 'housing = "\\u001b[2J"',
        "unit of lines": 'housing = "a\\nb"',
        "unit of direction": 'housing = "\\u202em"',
        "unit of markup": 'housing = "[red]<b>$x$"',
        "unit of a backslash": 'housing = "\\\\frac{1"',
        "long unit": f'housing = "{"m" * 5000}"',
    }
    return {name: f"[input.units]\n{text}" for name, text in lines.items()}


_LOOKS = (
    ("--theme", ""),
    ("--theme", "pink"),
    ("--theme", "DARK"),
    ("--theme", "\x1b[2J"),
    ("--theme", "dark", "--details"),
    ("--details", "--details"),
    ("--details", "yes"),
    ("--feature", ""),
    ("--feature", "housing"),
    ("--picture", "dependence", "--feature", "housing"),
    ("--picture", "dependence", "--feature", "nothing"),
    ("--picture", "dependence", "--feature", ""),
    ("--picture", "dependence", "--feature", "\x1b[2J"),
    ("--picture", "dependence", "--feature", "\u202ehousing"),
    ("--picture", "dependence", "--feature", "x" * 5000),
    ("--picture", "dependence", "--feature", "3"),
    ("--picture", "beeswarm", "--top", "0"),
    ("--picture", "beeswarm", "--top", "9" * 400),
    ("--picture", "heatmap", "--sign", "positive"),
    ("--picture", "waterfall"),
    ("--picture", "force"),
    ("--picture", "interaction"),
    ("--picture", "text"),
    ("--picture", "map"),
    ("--picture", "signal"),
    ("--picture", "beeswarm", "--each"),
    ("--original",),
    ("--each", "--picture", "waterfall"),
)
