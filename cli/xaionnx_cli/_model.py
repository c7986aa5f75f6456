"""The model of a command, opened as its options say."""

from __future__ import annotations

from xaionnx.runtime.model import Model
from xaionnx_cli._deadline import time_limit
from xaionnx_cli._input_options import read_axes
from xaionnx_cli._options import Options


def open_model(options: Options) -> Model:
    """Open the model.

    Raises
    ------
    XaionnxError
        It cannot be opened, or not in time.
    """
    with time_limit(options.timeout, f"Opening {options.model}"):
        return Model.load(
            options.model,
            options.device,
            options.batch_size,
            threads=options.threads,
            timeout_s=options.timeout,
            spec=options.spec,
            axes=read_axes(options.axes),
            rows=options.rows_are,
            allow_random=options.allow_random,
        )
