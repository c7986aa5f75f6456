"""The pictures of samples: draw and save those of all targets, unless they are there already."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from xaionnx.explanation import Explanation
from xaionnx.runtime.model import Model
from xaionnx_cli import _report
from xaionnx_cli._destination import Destination
from xaionnx_cli._options import Options
from xaionnx_cli._samples import Sample, is_row

if TYPE_CHECKING:
    from PIL import Image


class Pictures:
    """The pictures of a run.

    Parameters
    ----------
    model : Model
    destination : Destination
    options : Options
    """

    def __init__(self, model: Model, destination: Destination, options: Options) -> None:
        self._model, self._destination, self._options = model, destination, options
        self._drawn: set[str] = set()

    def save(self, sample: Sample, record: Explanation) -> list[str]:
        """Draw and save the pictures of all targets, and return their paths.

        Those that a folder has of the same request and with the same looks are left as they are.
        """
        from xaionnx import render
        from xaionnx.render.files import request_of

        files = []
        in_folder = self._destination.kind == "folder"
        count = len(record.target) if record.several_targets and not self._of_targets() else 1
        request = sample.request and hashlib.sha256(f"{sample.request} {self._looks(sample)}".encode()).hexdigest()
        for target in range(count):
            place = sample.file, sample.several, target if count > 1 else None
            path = self._destination.path_of_picture(*place)
            if request is None or not in_folder or request_of(path) != request:
                self._destination.picture(*place)
                if path.suffix.lower() == ".html":
                    render.save_page(self._page(sample, record, target), path)
                else:
                    draw = self._film if path.suffix.lower() == ".gif" else self._draw
                    render.save(draw(sample, record, target), path, request)
                self._drawn.add(str(path))
            files.append(str(path))
        return files

    def _of_targets(self) -> bool:
        """Whether all targets are drawn in one picture."""
        from xaionnx.render.picture import PICTURES

        return self._options.picture != "auto" and PICTURES.find(self._options.picture).of_targets

    def is_joint(self, sample: Sample) -> bool:
        """Whether all rows of a table go into one picture, which a file takes: NAME.png names a single one."""
        from xaionnx.render.picture import PICTURES

        options = self._options
        if self._destination.kind != "picture" or options.each:
            return False
        if options.picture != "auto" and options.picture != "bar" and not PICTURES.find(options.picture).of_rows:
            return False
        return is_row(sample, self._model)

    @staticmethod
    def fits_one(whole: Explanation) -> bool:
        """Whether samples are drawn in one picture: they are several, and have the same features."""
        from xaionnx import render

        return whole.samples > 1 and render.has_rows(whole)

    def save_joint(self, whole: Explanation) -> list[str]:
        """Draw and save one picture for each target of all rows, and return their paths."""
        from xaionnx import render

        options = self._options
        files = []
        count = len(whole.target) if whole.several_targets else 1
        for target in range(count):
            path = self._destination.picture("", False, target if count > 1 else None)
            image = self._drawing()(whole, options.picture, target=target)
            if path.suffix.lower() == ".html":
                render.save_page(render.picture_page(image, whole, target), path)
            else:
                render.save(image, path)
            files.append(str(path))
        return files

    def drawn(self, files: list[str]) -> list[str]:
        """Those files that are pictures which this run has drawn."""
        return [file for file in files if file in self._drawn]

    def _looks(self, sample: Sample) -> str:
        """What a picture depends on besides its record."""
        options = self._options
        looks = (options.picture, options.sign, options.top, options.original, options.theme, options.details)
        return " ".join(map(str, (sample.sha256, options.exif, *looks, options.feature, options.smooth)))

    def _page(self, sample: Sample, result: Explanation, target: int) -> str:
        """The page of one target: a text with coloured words, or the picture."""
        from xaionnx import render
        from xaionnx.render.picture import whole_number

        options = self._options
        if options.picture in ("auto", "text", "bytes") and render.is_text(result, 0, target):
            return render.text_page(result, 0, target, options.sign, whole_number(options.top))
        return render.picture_page(self._draw(sample, result, target), result, target)

    def _film(self, sample: Sample, result: Explanation, target: int) -> list[Image.Image]:
        """Draw the frames of the film of one target."""
        from xaionnx import render

        stretched = self._model.input_spec.resize == "stretch"
        return render.film(result, sample.display, stretched=stretched, target=target, theme=self._options.theme)

    def _drawing(self) -> Callable[..., Image.Image]:
        """Return the function that draws pictures as the options say."""
        from xaionnx import render

        options = self._options
        return functools.partial(
            render.picture,
            sign=options.sign,
            top=options.top,
            smooth=options.smooth,
            original=options.original,
            feature=options.feature,
            theme=options.theme,
            details=options.details,
        )

    def _draw(self, sample: Sample, result: Explanation, target: int) -> Image.Image:
        """Draw the picture of one target."""
        from xaionnx.data.series import series

        model, options = self._model, self._options
        name, spec = model.input().name, model.input_spec
        x = sample.feeds[name][0]
        over = series(model.samples(sample.feeds, name)[0])
        return self._drawing()(
            result,
            options.picture,
            photo=sample.display,
            stretched=spec.resize == "stretch",
            signal=None if over is None else x,
            channel=0 if over is None else over.channel,
            names=_report.bar_names(result, x, spec),
            # Of several inputs all are drawn.
            input=None if isinstance(result.values, dict) else name,
            target=target,
        )
