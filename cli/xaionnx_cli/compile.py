"""``xaionnx compile``: save a method and a model as one ONNX file."""

from __future__ import annotations

import functools
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from xaionnx_cli._method_group import MethodGroup
from xaionnx_cli._options import FilePath, OptionValue, timeout_option
from xaionnx_cli.app import help_instead

if TYPE_CHECKING:
    from xaionnx.compilation import Compiled
    from xaionnx.explainer import Explainer
    from xaionnx.typing import TargetLike


class GraphMethods(MethodGroup):
    """The methods that can be written as an ONNX graph."""

    usage = "xaionnx compile METHOD {} -o FILE.onnx"

    def method_names(self) -> list[str]:
        from xaionnx import compilation

        return compilation.methods()

    def method_command(self, name: str) -> click.Command:
        from xaionnx import compilation
        from xaionnx_cli import _parameters

        method = compilation.method(name)
        words = f"{_parameters.summary(method)}\n\nAfter {method.reference}."
        return _parameters.command(name, method, _common(), functools.partial(_compile, method), words)


def _target_help() -> str:
    from xaionnx_cli import _targets

    return f"{_targets.target_help()} Or input: the class number, given to the file as a further input at each run."


def _common() -> list[click.Parameter]:
    from xaionnx_cli import _overwriting
    from xaionnx_cli._parameters import LateOption

    return [
        click.Argument(["model"], type=FilePath()),
        click.Option(["-o", "--save", "save"], required=True, metavar="FILE", help="The .onnx file to write."),
        LateOption(["-t", "--target", "target"], _target_help, metavar="TARGET"),
        click.Option(
            ["--output"],
            metavar="NAME",
            help="The output or internal tensor that the target refers to. (The file to write is -o.)",
        ),
        click.Option(
            ["--shape", "shapes"],
            multiple=True,
            metavar="[NAME=]SIZES",
            help="The size of one sample, such as 3,224,224, if the model leaves it free. "
            "NAME is the input (default: the explained one).",
        ),
        click.Option(
            ["--max-added-mb"],
            type=click.FloatRange(0, min_open=True),
            default=256.0,
            show_default=True,
            metavar="MB",
            help="The most megabytes that the explanation may add to the model, such as by the tables of tree_shap.",
        ),
        click.Option(
            ["--spec"], metavar="FILE", help="The InputSpec to use instead of the .toml file beside the model."
        ),
        timeout_option(),
        _overwriting.option(),
        click.Option(["--json", "as_json"], is_flag=True, help="Print one JSON document on stdout and nothing else."),
    ]


@dataclass(frozen=True)
class Request:
    """The options of ``xaionnx compile``."""

    model: str
    save: str
    target: str | None
    output: str | None
    shapes: tuple[str, ...]
    max_added_mb: float
    spec: str | None
    timeout: float | None
    force: bool
    as_json: bool


def _compile(kind: type[Explainer], **given: OptionValue) -> int:
    from xaionnx import Model, compilation, parameters
    from xaionnx.errors import ParameterError
    from xaionnx.explainers import ClosedForm
    from xaionnx.targets.in_graph import Chosen
    from xaionnx.targets.scores import default_output, default_shape
    from xaionnx_cli import _report, _targets
    from xaionnx_cli._deadline import time_limit, time_limit_between_runs
    from xaionnx_cli._destination import check_writable
    from xaionnx_cli._messages import write_lines
    from xaionnx_cli._overwriting import check_replaceable, check_weights_replaceable, files_in, real_paths

    settings = {name: given.pop(name) for name in parameters.declared(kind)}
    request = Request(**given)
    place, target = Path(request.save), request.target
    if place.suffix.lower() != ".onnx":
        raise ParameterError(f"-o must end in .onnx. Got '{request.save}' instead.")
    check_writable(place.parent)
    read = real_paths([request.model, *files_in([*settings.values(), target, request.spec])])
    replaced = check_replaceable(place, "compiled", read, request.force)
    with time_limit(request.timeout, f"Opening {request.model}"):
        opened = Model.load(request.model, "cpu", timeout_s=request.timeout, spec=request.spec)
    explained = default_shape(opened)[1:]
    every = issubclass(kind, ClosedForm)
    if not every and target is None and request.output is None and sum(size != 1 for size in explained) > 1:
        raise _report.no_top_class_error(opened, default_output(opened), explained)
    sizes = dict(_size(text, opened.input().name) for text in request.shapes)
    asked: TargetLike = None
    if target == "input":
        asked = target if every else Chosen(request.output)
    elif target is not None or request.output is not None or not every:
        asked = _targets.read_targets(() if target is None else (target,), request.output, opened)
    with time_limit_between_runs(request.timeout, f"Compiling {request.model}"):
        made = compilation.compile(opened, kind(**settings), asked, shapes=sizes, max_added_mb=request.max_added_mb)
    check_weights_replaceable(place, made.files(place)[1:], request.force)
    files = made.save(place)
    if request.as_json:
        document = {
            **made.facts,
            "inputs": {info.name: str(info) for info in made.inputs},
            "outputs": {info.name: str(info) for info in made.outputs},
            "fixed": list(made.fixed),
            "files": [str(file) for file in files],
        }
        sys.stdout.write(_report.dump_json(document) + "\n")
    else:
        write_lines(_lines(made, files, replaced))
    return 0


def _size(text: str, main: str) -> tuple[str, tuple[int, ...]]:
    from xaionnx.errors import ParameterError

    name, _, sizes = text.rpartition("=")
    try:
        return name or main, tuple(int(size) for size in sizes.split(","))
    except ValueError:
        raise ParameterError(
            f"--shape must be whole numbers, as in '3,224,224' or 'mask=128'. Got '{text}' instead."
        ) from None


def _file_size(file: Path) -> str:
    """The size of a file in words: ``25 kB``, ``4.6 MB``."""
    count = file.stat().st_size
    return f"{count / 1e6:,.1f} MB" if count >= 1e6 else f"{max(1, round(count / 1e3))} kB"


def _lines(made: Compiled, files: Sequence[Path], replaced: bool) -> list[str]:
    lines = [f"{made.facts['method']} of {made.facts['source']}: {made.facts['target']}"]
    width = max(len(info.name) for info in (*made.inputs, *made.outputs))
    for word, infos in (("inputs", made.inputs), ("outputs", made.outputs)):
        for number, info in enumerate(infos):
            lines.append(f"  {word if number == 0 else '':<7}  {info.name:<{width}}  {info}")
    lines += [
        f"  the model takes '{name}' in other sizes too, but the gradient is valid for this size only"
        for name in made.fixed
    ]
    earlier = ", replacing the earlier one" if replaced else ""
    saved = [f"  saved {file} ({_file_size(file)})" for file in files]
    return [*lines, saved[0] + earlier, *saved[1:]]


@click.command(
    cls=GraphMethods,
    invoke_without_command=True,
    options_metavar="",
    subcommand_metavar="METHOD MODEL -o FILE [OPTIONS]",
)
@click.pass_context
def command(context: click.Context) -> int:
    """Save a method and a model as one ONNX file, which runs without xaionnx.

    \b
    xaionnx compile saliency MODEL.onnx -o OUT.onnx
    xaionnx compile integrated_gradients MODEL.onnx -o OUT.onnx --steps 16 --target 281
    xaionnx compile METHOD --help     show the options of a method
    """
    return help_instead(context)
