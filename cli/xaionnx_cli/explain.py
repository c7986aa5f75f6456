"""``xaionnx explain``: each method is a subcommand, with its parameters as options."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from xaionnx.explainer import Explainer

from xaionnx_cli._input_options import INPUT_OPTIONS
from xaionnx_cli._method_group import MethodGroup
from xaionnx_cli._options import MANY, MOST, FilePath, RowsOption, ShareOption, TopOption, timeout_option
from xaionnx_cli.app import help_instead


class Methods(MethodGroup):
    """All methods."""

    usage = "xaionnx explain METHOD {} INPUT"

    def method_names(self) -> list[str]:
        from xaionnx import discovery

        return discovery.methods()

    def method_command(self, name: str) -> click.Command:
        from xaionnx import discovery
        from xaionnx_cli import _parameters, _run

        method = discovery.method(name)
        return _parameters.command(name, method, _common(), functools.partial(_run.explain, method), _help(method))


def _help(method: type[Explainer]) -> str:
    from xaionnx_cli import _parameters

    return (
        f"{_parameters.summary(method)}\n\n"
        "INPUT is a picture, a text, a .wav, .csv, .npy or .npz file, or a folder of them. For a model with several "
        "inputs it is an .npz file with an array for each input, by name, or NAME=FILE for each, image=cat.png "
        "row=a.csv.\n\n"
        f"After {method.reference}."
    )


class _PictureName(click.ParamType):  # type: ignore[type-arg]  # not generic in older releases of click
    """The name of a picture kind, checked before anything is computed."""

    name = "kind"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value != "auto":
            from xaionnx.render.picture import PICTURES

            PICTURES.find(value)
        return value


def _pictures() -> str:
    from xaionnx.render.picture import PICTURES

    kinds = [f"{name} (needs {PICTURES.find(name).needs})" for name in PICTURES.names()]
    return f"How to draw the result: auto (the kind that fits), {', '.join(kinds)}.  [default: auto]"


def _common() -> list[click.Parameter]:
    from xaionnx_cli import _overwriting, _targets
    from xaionnx_cli._parameters import LateOption

    return [
        click.Argument(["model"], type=FilePath()),
        click.Argument(["inputs"], type=FilePath(), nargs=-1, required=True, metavar="INPUT..."),
        click.Option(
            ["-o", "--save", "save"],
            metavar="FILE|FOLDER",
            help="Where to save: a picture (.png, .jpg), a film of --picture deletion (.gif), a page (.html), the "
            "whole record of all inputs (.npz), or a folder, which gets a picture and a record of each input. With "
            "several inputs NAME.png becomes NAME-INPUT.png. Nothing is saved if not given.",
        ),
        LateOption(["-t", "--target", "target"], _targets.repeated_target_help, multiple=True, metavar="TARGET"),
        click.Option(
            ["--output"],
            metavar="NAME",
            help="The output or internal tensor that the target refers to. (The file to write is -o.)",
        ),
        click.Option(
            ["--device"],
            default="auto",
            metavar="NAME",
            help="The device: auto, cpu, cuda, tensorrt or another of onnxruntime.  [default: auto]",
        ),
        click.Option(
            ["--threads"],
            type=click.IntRange(1, MOST),
            metavar="INT",
            help="Threads for a run of the model (default: one per core).",
        ),
        click.Option(
            ["--batch-size"],
            type=click.IntRange(1, MOST),
            metavar="INT",
            help="Samples in a run of the model (default: tuned while running).",
        ),
        timeout_option(),
        click.Option(
            ["--sign"],
            type=click.Choice(["auto", "signed", "positive", "absolute"]),
            default="auto",
            show_default=True,
            help="Which values a picture shows: both signs, those above zero, or absolute values.",
        ),
        click.Option(
            ["--top"],
            type=TopOption(),
            metavar="INT|PERCENT",
            help="Draw only this many features, the strongest, or of a map over a photo this share: 10%.",
        ),
        click.Option(
            ["--smooth"],
            type=click.FloatRange(0),
            metavar="PIXELS",
            help="Smooth a map over a photo by a Gaussian of this standard deviation; 0 for none.  [default: a "
            "hundredth of the shorter side for speckled maps]",
        ),
        LateOption(["--picture"], _pictures, type=_PictureName(), default="auto", metavar="KIND"),
        click.Option(
            ["--original", "original"], type=str, flag_value="beside", help="Show the photo itself beside the map."
        ),
        click.Option(
            ["--inset", "original"], type=str, flag_value="inset", help="Show the photo itself, small, inside the map."
        ),
        click.Option(
            ["--theme"],
            type=click.Choice(["light", "dark"]),
            default="light",
            show_default=True,
            help="The colours of a picture's page.",
        ),
        click.Option(["--details"], is_flag=True, help="Say in the caption all about scales and parameters."),
        click.Option(
            ["--feature"], metavar="NAME", help="The feature of --picture dependence (default: the most important one)."
        ),
        click.Option(
            ["--removal-steps"],
            type=click.IntRange(1, MOST),
            metavar="INT",
            help="Steps in which --picture deletion removes and inserts.  [default: 20]",
        ),
        click.Option(
            ["--removal-baseline"],
            metavar="BASELINE",
            help="What --picture deletion puts in place of removed parts: a number, a name such as black or blur:10, "
            "or an array in a .npy file.  [default: zero]",
        ),
        click.Option(
            ["--each"], is_flag=True, help="Draw each row of a table in a picture of its own, rather than all in one."
        ),
        click.Option(
            ["--rows"],
            type=RowsOption(),
            metavar="NUMBERS",
            help="The rows to explain of tables and arrays: 17, or 17,20-30, counted from 0 below the header, as in "
            "the names of the results. Messages add the line of the file.  [default: all]",
        ),
        *(click.Option(names, **settings) for names, settings in INPUT_OPTIONS),
        click.Option(
            ["--continuation"],
            metavar="TEXT",
            help="Append this text to each prompt, and explain why a language model writes it: its log probability, "
            "each token after all before it. Begin it with the space before its first word.",
        ),
        click.Option(
            ["--next-token"],
            metavar="TEXT",
            help="Explain the log probability that a language model writes this token next (default: the most probable "
            "one). Begin it with the space before it, if there is one.",
        ),
        _overwriting.option(),
        click.Option(
            ["--resume/--no-resume"],
            default=True,
            help="Keep the results in the folder or .npz file of -o that an earlier run of the same request left "
            "there, and compute only what is missing.  [default: on]",
        ),
        click.Option(
            ["--shards/--no-shards"],
            default=None,
            help="Write a run into the folder of -o, a part for many inputs, without pictures; 'xaionnx draw' draws "
            f"them.  [default: with more than {MANY:,} inputs]",
        ),
        click.Option(
            ["--workers"],
            type=click.IntRange(1, MOST),
            metavar="INT",
            help="Processes that share the work of a run (default: this one alone).",
        ),
        click.Option(["--ray"], is_flag=True, help="Share the work of a run among actors of Ray, --workers of them."),
        click.Option(
            ["--shard"],
            type=ShareOption(),
            metavar="I/N",
            help="Do only the I-th of N equal shares of a run, so that N machines can share it; 'xaionnx merge' joins "
            "folders.",
        ),
        click.Option(
            ["--pictures"],
            type=click.IntRange(0, MOST),
            metavar="INT",
            help="Draw the first rows of a run, too, so many, in worker processes.",
        ),
        click.Option(
            ["--labels"],
            metavar="FILE|COLUMN",
            help="The label of each input of a run, kept with its row: a CSV file of the columns file and label, the "
            "column of a table, or the array of an .npz file.  [default: the names of subfolders]",
        ),
        click.Option(["--allow-random"], is_flag=True, help="Accept a model that draws random numbers."),
        click.Option(
            ["--json", "as_json"],
            is_flag=True,
            help="Print one JSON document on stdout and nothing else. It contains the arrays, unless -o saves them in "
            "an .npz file.",
        ),
    ]


@click.command(
    cls=Methods, invoke_without_command=True, options_metavar="", subcommand_metavar="METHOD MODEL INPUT... [OPTIONS]"
)
@click.pass_context
def command(context: click.Context) -> int:
    """Explain a model's predictions for pictures, table rows or arrays.

    \b
    xaionnx explain rise MODEL.onnx PICTURE.png -o OUT.png
    xaionnx explain occlusion MODEL.onnx FOLDER -o RESULTS/ --target 281
    xaionnx explain METHOD --help     show the options of a method
    """
    return help_instead(context)
