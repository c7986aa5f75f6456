"""``xaionnx draw``: pictures of rows of a run."""

from __future__ import annotations

import click

from xaionnx_cli._options import MOST, FilePath, OptionValue, RowsOption, TopOption


@click.command(no_args_is_help=False)
@click.argument("run", type=FilePath())
@click.option(
    "-o", "--save", "save", metavar="FOLDER", required=True, help="The folder of the pictures: row-17.png and so on."
)
@click.option(
    "--rows",
    type=RowsOption(),
    metavar="NUMBERS",
    help="The rows to draw: 17, or 17,20-30, counted from 0 among those that were explained.  [default: the first 10]",
)
@click.option("--picture", default="auto", metavar="KIND", help="How to draw them, as in xaionnx explain.")
@click.option(
    "--sign",
    type=click.Choice(["auto", "signed", "positive", "absolute"]),
    default="auto",
    help="Which values to show.",
)
@click.option("--top", type=TopOption(), metavar="INT|PERCENT", help="Draw only this many features, or this share.")
@click.option("--smooth", type=click.FloatRange(0), metavar="PIXELS", help="Smooth a map over a photo.")
@click.option("--original", type=str, flag_value="beside", help="Show the photo itself beside the map.")
@click.option("--theme", type=click.Choice(["light", "dark"]), default="light", help="The colours of the page.")
@click.option("--details", is_flag=True, help="Say in the caption all about scales and parameters.")
@click.option("--workers", type=click.IntRange(1, MOST), metavar="INT", help="Processes that draw (default: cores).")
def command(**given: OptionValue) -> None:
    """Draw rows of a run that 'xaionnx explain METHOD MODEL FOLDER -o RUN' made."""
    from xaionnx.render.picture import PICTURES
    from xaionnx.runs import Run
    from xaionnx_cli._destination import folder_to_write
    from xaionnx_cli._drawn_rows import DrawnRows, picture_lines
    from xaionnx_cli._messages import write_lines

    folder, chosen, path, workers = given.pop("save"), given.pop("rows"), given.pop("run"), given.pop("workers")
    if given["picture"] != "auto":
        PICTURES.find(given["picture"])
    run, target = Run.open(path), folder_to_write(folder, "-o")
    rows = range(min(10, len(run))) if chosen is None else chosen.of(len(run), f"The run '{path}'")
    drawing = DrawnRows(run.folder, {**given, "original": given["original"] or False}, workers)
    paths = drawing.save(rows, target)
    write_lines(picture_lines(run, rows, paths))
