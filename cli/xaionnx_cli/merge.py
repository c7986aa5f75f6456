"""``xaionnx merge``: join runs over shares of one data set."""

from __future__ import annotations

import click

from xaionnx_cli._options import FilePath


@click.command(no_args_is_help=False)
@click.argument("folder", type=FilePath())
@click.argument("runs", type=FilePath(), nargs=-1, required=True, metavar="RUN...")
def command(folder: str, runs: tuple[str, ...]) -> None:
    """Join runs that 'xaionnx explain ... --shard I/N' made into FOLDER.

    They must be of the same model, method, settings and data. Files are linked where that is possible.
    """
    from xaionnx.counting import counted
    from xaionnx.runs import Run
    from xaionnx_cli._destination import folder_to_write
    from xaionnx_cli._messages import write_lines

    run = Run.merge(folder_to_write(folder, "FOLDER"), runs)
    write_lines([f"{run.coverage}, in {counted(len(run.parts), 'part')} in {folder}"])
