"""``xaionnx join``: save several models, each of which reads the one before it, as one ONNX file."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import click

from xaionnx_cli import _overwriting
from xaionnx_cli._options import TIMEOUT_HELP, FilePath, OptionValue, Seconds


@dataclass(frozen=True)
class Request:
    """The options of ``xaionnx join``."""

    models: tuple[str, ...]
    save: str
    connect: tuple[str, ...]
    timeout: float | None
    force: bool
    as_json: bool


@click.command(no_args_is_help=False)
@click.argument("models", nargs=-1, required=True, type=FilePath(), metavar="MODEL MODEL...")
@click.option("-o", "--save", "save", required=True, metavar="FILE", help="The .onnx file to write.")
@click.option(
    "--connect",
    multiple=True,
    metavar="INPUT=OUTPUT",
    help="Which input reads which output, as NAME, or FILE:NAME with the file's stem if several models have it. By "
    "default a model reads the one before it: outputs of the names of its inputs, or the only one that fits.",
)
@click.option("--timeout", type=Seconds(), metavar="SECONDS", help=TIMEOUT_HELP)
@click.option("--force", is_flag=True, help=_overwriting.HELP)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout and nothing else.")
def command(**given: OptionValue) -> None:
    """Save models that read each other's outputs as one file, for inspect, explain and compile.

    \b
    xaionnx join SPECTROGRAM.onnx EMBEDDING.onnx HEAD.onnx -o ALL.onnx

    Give them in the order in which they run. The file is checked to return what they return one after another.
    """
    from xaionnx import Model
    from xaionnx.errors import ParameterError
    from xaionnx.graph.parts import parts_of
    from xaionnx_cli import _report
    from xaionnx_cli._deadline import time_limit_between_runs
    from xaionnx_cli._destination import check_writable
    from xaionnx_cli._messages import write_lines

    request = Request(**given)
    place = Path(request.save)
    if place.suffix.lower() != ".onnx":
        raise ParameterError(f"-o must end in .onnx. Got '{request.save}' instead.")
    wrong = [text for text in request.connect if not all(text.partition("="))]
    if wrong:
        raise ParameterError(f"--connect must be INPUT=OUTPUT. Got '{wrong[0]}' instead.")
    check_writable(place.parent)
    read = _overwriting.real_paths(request.models)
    replaced = _overwriting.check_replaceable(place, "joined", read, request.force)
    connect = dict(text.split("=", 1) for text in request.connect)
    with time_limit_between_runs(request.timeout, "Joining the models"):
        joined = Model.join(*request.models, connect=connect, path=place, device="cpu", timeout_s=request.timeout)
    parts = parts_of(joined.file.proto)
    if request.as_json:
        document = {
            "file": request.save,
            "sha256": joined.sha256,
            "parts": parts,
            "inputs": {info.name: str(info) for info in joined.inputs},
            "outputs": {info.name: str(info) for info in joined.outputs},
        }
        sys.stdout.write(_report.dump_json(document) + "\n")
        return
    lines = [f"{request.save}: {' + '.join(part['name'] for part in parts)}{', replacing the earlier file' * replaced}"]
    for word, infos in (("input", joined.inputs), ("output", joined.outputs)):
        lines += [f"  {word:<6}  {info.name} {info}" for info in infos]
    write_lines(lines)
