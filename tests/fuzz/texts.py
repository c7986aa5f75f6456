"""Random specs and options: mostly right, often nearly right, sometimes anything."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any, Final

import click
from hypothesis import strategies as st

Draw = Callable[[st.SearchStrategy[Any]], Any]

# Of each key, values that mean something for the model of digits.
INPUT: Final[dict[str, list[str]]] = {
    "kind": ['"picture"', '"array"', '"table"', '"text"'],
    "name": ['"pixels"'],
    "axes": ['"N C H W"', '"N,C,H,W"', '"sample,channel,row,column"'],
    "layout": ['"NCHW"', '"NHWC"'],
    "size": ["[8, 8]", "[16, 8]"],
    "color": ['"L"', '"RGB"', '"BGR"'],
    "mean": ["0.0", "[0.5]", "127"],
    "scale": ["255.0", "[2.0]", "1"],
    "resize": ['"crop"', '"stretch"', '"pad"'],
    "columns": ['["a", "b"]', "[]"],
    "ignore": ['["class"]', "[]"],
    "categories": ['{ a = ["x", "y"] }', "{}"],
}
OUTPUT: Final[dict[str, list[str]]] = {
    "name": ['"logits"'],
    "activation": ['"logits"', '"softmax"', '"sigmoid"', '"none"'],
    "labels": [json.dumps([str(k) for k in range(10)]), '"labels.json"', "[]"],
    "concepts": ['"concepts"', '"y"'],
    "relevances": ['"relevances"', '""'],
    "boxes": ['"yolo_v8"', '"ssd"'],
    "blank": ["0", "9"],
}
_VALUES: Final = (
    "0", "-1", "1", "3.5", "nan", "inf", "-inf", "1e308", "true", "false", '""', '" "', "[]", "{}", "[[]]", "[1, 2, 3]",
    "[0, 0]", "[-8, 8]", "[8.0, 8.0]", '["a", "a"]', "1979-05-27", "07:32:00", "1979-05-27T07:32:00Z", "0x1F", "9" * 30,
    '"\\u202e"', '"\\u0000"', '"../x"', '"/dev/zero"', "[true]", "{ a = 1 }", "'''a\nb'''", "[0.0, nan]", "[1e-320]",
)  # fmt: skip


@st.composite
def specs(draw: Draw) -> str:
    """The text of a spec."""
    lines = []
    for section, keys in (("input", INPUT), ("output", OUTPUT)):
        names = draw(st.lists(st.sampled_from([*keys, "unknown", "Name"]), unique=True, max_size=6))
        if draw(st.booleans()) or names:
            lines.append(f"[{draw(st.sampled_from([section] * 12 + ['inputs', 'Input', 'input.input']))}]")
        for name in names:
            odd = draw(st.integers(0, 3)) == 0 or name not in keys
            lines.append(f"{name} = {draw(st.sampled_from(_VALUES if odd else keys[name]))}")
    text = "\n".join(lines)
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 3]))):
        at = draw(st.integers(0, len(text)))
        put = draw(st.sampled_from(["", "\n", '"', "[", "]", "=", "#", "\x00", "\x1b", "\u202e", "\ufeff", "."]))
        text = text[:at] + put + text[at + draw(st.integers(0, 2)) :]
    return text


_NUMBERS: Final = (
    "-1", "0", "1", "2", "3", "7", "40", "0.5", "1e-3", "nan", "inf", "-0", "1e400", "9" * 30, "x", "", "1,2", "2x3",
)  # fmt: skip
_TEXTS: Final = (
    "", "0", "1", "zero", "blur:1", "uniform:3", "shuffle:2", "mean", "background:array.npy", "background:rows.npy",
    "constant:nan", "max_distance", "grid:2", "grid:2x3", "superpixels:4", "elements", "channels", "windows:3",
    "pixels", "pixels=grid:2", "nothing=grid:2", "array.npy", "picture.png", "model.onnx", "nothing", "logits",
    "saliency", "occlusion", "lime", "integrated_gradients", "smooth_grad", "\x1b[2J", "\u202e", "a" * 300, "auto",
    "graph", "finite_differences", "finite_differences:random:4", "pixels=0.1", "pixels=", "=1", ",", "N C H W",
    "N,T,F", "./", "..",
)  # fmt: skip
_TARGETS: Final = (
    "3", "9", "10", "-1", "top:2", "margin:1,2", "probability", "probability:3", "sum", "region", "region:0.5",
    "element:1", "neuron:logits:2", "neuron:pixels:0,1,1", "loss:2", "peak", "label:3", "box", "segment:1",
    "similarity:array.npy", "path", "channel:0", "keypoint:0", "character:0", "boxes:2", "detection", "x", "",
)  # fmt: skip
# These decide where files are written, or how long a command may take.
_LEFT_OUT: Final = {"save", "force", "as_json", "help", "timeout_s", "device", "resume"}


@functools.cache
def commands(group: str) -> dict[str, click.Command]:
    """The commands of ``explain`` or ``compile`` by method."""
    from xaionnx_cli.app import main

    context = click.Context(main, info_name="xaionnx")
    found = main.get_command(context, group)
    assert isinstance(found, click.Group)
    inner = click.Context(found, info_name=group, parent=context)
    every = {name: found.get_command(inner, name) for name in found.list_commands(inner)}
    return {name: command for name, command in every.items() if command is not None}


@st.composite
def options(draw: Draw, group: str) -> tuple[str, ...]:
    """A method with some options, each given once or twice."""
    method = draw(st.sampled_from(sorted(commands(group))))
    words: list[str] = []
    known = [
        one for one in commands(group)[method].params if isinstance(one, click.Option) and one.name not in _LEFT_OUT
    ]
    for option in draw(st.lists(st.sampled_from(known), max_size=4, unique=True)):
        name = draw(st.sampled_from([*option.opts, *option.secondary_opts]))
        words.append(name)
        if not option.is_flag:
            words.append(draw(_value(option)))
    return method, *words


def _value(option: click.Option) -> st.SearchStrategy[str]:
    if option.name == "target":
        return st.sampled_from(_TARGETS)
    if isinstance(option.type, click.Choice):
        return st.sampled_from([*map(str, option.type.choices), "x", ""])
    numeric = isinstance(option.type, click.types.IntParamType | click.types.FloatParamType)
    pool = st.sampled_from(_NUMBERS) if numeric else st.sampled_from([*_NUMBERS, *_TEXTS])
    return st.one_of(pool, st.text(max_size=6).filter(lambda text: "\0" not in text))
