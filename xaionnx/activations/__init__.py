"""What is inside a model: filters, feature maps, and the inputs for which its channels are strongest.

Each view is a file in ``views``; :func:`xaionnx.show_activations` finds it by name.
"""

from __future__ import annotations

from typing import Any

from xaionnx.activations.sheet import ActivationSheet, Row, Tile
from xaionnx.activations.view import VIEWS, ActivationView
from xaionnx.data.dataset import Dataset
from xaionnx.errors import ParameterError
from xaionnx.runtime import progress
from xaionnx.runtime.model import Model
from xaionnx.typing import ModelLike


def show_activations(
    model: ModelLike,
    view: str | ActivationView,
    x: Any = None,  # Any: users may pass anything
    **settings: object,
) -> ActivationSheet:
    """Show what is inside a model.

    Parameters
    ----------
    model : Model or path
    view : str or ActivationView
        The name of a view, such as ``filters``, ``feature_maps`` or ``patches``, or the view with its parameters.
    x : Dataset or what :meth:`xaionnx.Dataset.of` takes, optional
        The input or the data set that the view reads.
    **settings
        Parameters of a view that is given by name.

    Returns
    -------
    ActivationSheet
        Its ``numbers`` are the arrays behind the pictures; :func:`xaionnx.render.activation_sheet` draws it.

    Raises
    ------
    ParameterError
        The view reads inputs and there are none, or the other way round.
    XaionnxError
        See :meth:`ActivationView.show`.

    Examples
    --------
    >>> import xaionnx
    >>> sheet = xaionnx.show_activations("models/mnist_cnn.onnx", "filters")
    >>> sheet.numbers["weights"].shape
    (16, 1, 3, 3)
    """
    chosen: ActivationView = VIEWS.configured(view, settings)
    if (x is None) != (chosen.reads == "nothing"):
        got = "and got none" if x is None else "and got some"
        raise ParameterError(f"The view '{chosen.name()}' reads {chosen.reads} beside the model, {got}.")
    opened = model if isinstance(model, Model) else Model.load(model)
    with progress.bar():
        return chosen.show(opened, None if x is None else Dataset.of(x))


__all__ = ["VIEWS", "ActivationSheet", "ActivationView", "Row", "Tile", "show_activations"]
