"""Explain the outputs of exported ONNX models.

Examples
--------
>>> import numpy as np, xaionnx
>>> x = np.random.default_rng(0).normal(size=(2, 1, 28, 28)).astype(np.float32)
>>> result = xaionnx.explain("models/mnist_cnn.onnx", x, "occlusion", window=7, stride=7)
>>> result.values.shape
(2, 1, 28, 28)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Unpack

from xaionnx import discovery
from xaionnx.data.spec import InputSpec
from xaionnx.explainer import Explainer
from xaionnx.explanation import Explanation
from xaionnx.perturb.baseline import Baseline
from xaionnx.perturb.features import Features
from xaionnx.runtime import progress
from xaionnx.runtime.model import Model
from xaionnx.runtime.progress import show_progress
from xaionnx.targets.target import Target
from xaionnx.typing import InputLike, ModelLike, TargetLike
from xaionnx.version import __version__

if TYPE_CHECKING:
    from xaionnx import activations as activations
    from xaionnx import autodiff as autodiff
    from xaionnx import compilation as compilation
    from xaionnx import errors as errors
    from xaionnx import evaluation as evaluation
    from xaionnx import explainers as explainers
    from xaionnx import gradients as gradients
    from xaionnx import methods as methods
    from xaionnx import optimization as optimization
    from xaionnx import patterns as patterns
    from xaionnx import render as render
    from xaionnx import runs as runs
    from xaionnx.activations import show_activations
    from xaionnx.compilation import Compiled, compile
    from xaionnx.data.dataset import Dataset
    from xaionnx.deletion import removal_curves
    from xaionnx.evaluation import Scores, evaluate
    from xaionnx.gradients.finite_differences import FiniteDifferences
    from xaionnx.methods import Settings
    from xaionnx.optimization import counterfactual, dream, visualize
    from xaionnx.runs import Run, explain_all

__all__ = [
    "Baseline",
    "Compiled",
    "Dataset",
    "Explainer",
    "Explanation",
    "Features",
    "FiniteDifferences",
    "InputSpec",
    "Model",
    "Run",
    "Scores",
    "Target",
    "__version__",
    "compile",
    "counterfactual",
    "dream",
    "evaluate",
    "explain",
    "explain_all",
    "removal_curves",
    "show_activations",
    "show_progress",
    "visualize",
]


def explain(
    model: ModelLike,
    x: InputLike,
    method: str | Explainer = "rise",
    target: TargetLike = None,
    **settings: Unpack[Settings],
) -> Explanation:
    """Explain outputs of a model for a batch of samples.

    Parameters
    ----------
    model : Model or path
        The model, or its .onnx file, which is opened with the defaults of :meth:`Model.load`.
    x : array (N, ...), mapping of arrays by input name, path, PIL image, or list of paths and pictures
        Arrays are model inputs, batch axis first. Files (pictures, CSV tables, .npy and .npz arrays), folders of them,
        PIL images and uint8 pixels (H, W, 3) or (N, H, W, 3) are converted to model inputs as declared in the
        :class:`InputSpec`; ``provenance`` records the files, their hashes, and the conversions.
    method : str or Explainer
        A method's name, or the method itself with its parameters.
    target : optional
        What is explained: None (the top class of each sample), an int, an array of one int a sample, a label, a
        :class:`Target`, or a list of several at once.
    **settings
        Parameters of the method, if it is given by name. :mod:`xaionnx.methods` provides each method as a typed
        function, for completion and type checking of its parameters.

    Returns
    -------
    Explanation
        The attribution of every sample and target, and the record of how it was made.

    Raises
    ------
    UnknownNameError
        There is no such method or parameter.
    XaionnxError
        The model, the data or a parameter is invalid; see :mod:`xaionnx.errors`.

    Examples
    --------
    >>> import numpy as np
    >>> from models import planted
    >>> model = planted.load(planted.linear([[1.0, 2.0, -3.0]]))
    >>> explain(model, np.ones((1, 3), np.float32), "feature_ablation", baseline=0.5).values
    array([[ 0.5,  1. , -1.5]], dtype=float32)
    """
    explainer = discovery.configured(method, settings)
    opened = model if isinstance(model, Model) else Model.load(model)
    with progress.bar():
        return explainer.attribute(opened, x, target)


# Imported on first access: explaining by removal does not need the gradient rules.
_LATER = {
    "Compiled": "xaionnx.compilation",
    "Dataset": "xaionnx.data.dataset",
    "Run": "xaionnx.runs",
    "FiniteDifferences": "xaionnx.gradients.finite_differences",
    "Scores": "xaionnx.evaluation",
    "compile": "xaionnx.compilation",
    "counterfactual": "xaionnx.optimization",
    "dream": "xaionnx.optimization",
    "evaluate": "xaionnx.evaluation",
    "explain_all": "xaionnx.runs",
    "removal_curves": "xaionnx.deletion",
    "show_activations": "xaionnx.activations",
    "visualize": "xaionnx.optimization",
}
_ROOMS = (
    "activations",
    "autodiff",
    "compilation",
    "discovery",
    "errors",
    "evaluation",
    "explainers",
    "gradients",
    "methods",
    "optimization",
    "patterns",
    "render",
    "runs",
)


def __getattr__(name: str) -> Any:  # a module, a class or a function
    if name in _ROOMS:
        return importlib.import_module(f"xaionnx.{name}")
    if name not in _LATER:
        raise AttributeError(f"module 'xaionnx' has no attribute '{name}'")
    return getattr(importlib.import_module(_LATER[name]), name)


def __dir__() -> list[str]:
    return sorted({*__all__, *_ROOMS})
