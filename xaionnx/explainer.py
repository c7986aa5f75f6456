"""Explainer: the one contract of a method."""

from __future__ import annotations

import dataclasses
import hashlib
import platform
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from xaionnx import parameters
from xaionnx.explanation import Explanation, ValueKind
from xaionnx.runtime.model import Model
from xaionnx.short_repr import short_repr
from xaionnx.targets.target import Target
from xaionnx.typing import Array

if TYPE_CHECKING:
    from xaionnx.layers.dry_run import DryRun


class Explainer(ABC):
    """A method: a frozen dataclass whose fields are its parameters, and which keeps no state.

    Attributes
    ----------
    needs : str
        What it asks of a model: ``output``, ``gradient`` or ``activation``.
    axioms : tuple of str
        The axioms that its attributions satisfy exactly, checked by tests: ``completeness``, ``efficiency``,
        ``linearity``, ``null player``, ``symmetry``.
    reference : str
        The publication that it follows.
    """

    needs: ClassVar[str]
    axioms: ClassVar[tuple[str, ...]] = ()
    reference: ClassVar[str]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "__repr__" not in vars(cls):
            # A dataclass keeps this one; its own would print whole arrays.
            cls.__repr__ = short_repr  # type: ignore[method-assign]

    def __post_init__(self) -> None:
        parameters.check_all(self)

    @classmethod
    def name(cls) -> str:
        """The method's name: that of its file, and of its command."""
        return cls.__module__.rpartition(".")[2]

    @property
    @abstractmethod
    def value_kind(self) -> ValueKind:
        """What its values mean; a constant of the class where no parameter changes it."""

    def default_target(self, model: Model) -> Target | None:
        """What is explained where no target is given; None for the score of the top class."""
        del model
        return None

    def bind(self, model: Model) -> Explainer:
        """The method for a model, with what it takes from outside and not from a sample; refused before any sample.

        Raises
        ------
        DataError, ParameterError
            What it takes is missing, or does not fit the model.
        """
        del model
        return self

    def validate(self, dry_run: DryRun) -> dict[str, str | None]:
        """What can be told of explaining a model before there is a sample.

        A method refuses here by the same checks, and so in the same words, as :meth:`attribute` refuses every sample
        of the model; where the graph tells too little it does not.

        Returns
        -------
        dict
            Of a method of gradients ``gradient``, their source, and ``remark``, what is to be said of that.

        Raises
        ------
        UnsupportedModelError, InputMismatchError
            The model cannot be explained this way, whatever the sample.
        ParameterError
            It can, with other parameters.
        """
        dry_run.model.output()
        return {}

    @abstractmethod
    def attribute(self, model: Model, x: Array | Mapping[str, Array], target: Any = None) -> Explanation:
        """Explain a batch.

        Parameters
        ----------
        model : Model
        x : array (N, ...) or mapping of arrays by input name
            Batch axis first.
        target : optional
            What is explained; see :meth:`xaionnx.targets.target.Target.of`. The top class of each sample if None.

        Returns
        -------
        Explanation
        """


def provenance(
    explainer: Explainer, model: Model, x: Mapping[str, Array], target: Any, resolved: Mapping[str, Any]
) -> dict[str, Any]:
    """What is needed to read and repeat a result: its meaning, versions, hashes, device and parameters.

    ``resolved`` holds what stands behind a parameter's shorthand or default, and replaces it.
    """
    from xaionnx.runtime.session import runtime_version
    from xaionnx.version import __version__

    digest = hashlib.sha256()
    for name in sorted(x):
        array = x[name]
        digest.update(f"{name}{array.dtype}{array.shape}".encode())
        digest.update(_bytes(array))
    return {
        "value_kind": explainer.value_kind,
        "xaionnx": __version__,
        "onnxruntime": runtime_version(),
        "numpy": np.__version__,
        "numba": _version("numba"),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "model": model.name,
        "model_sha256": model.sha256,
        "opset": model.file.opset,
        # Labels are known by the model's own folder, and may be a thousand.
        "spec": _described(None if model.spec is None else dataclasses.replace(model.spec, labels=())),
        "input_sha256": digest.hexdigest(),
        "provider": model.provider,
        "device": model.settings.device,
        "threads": model.settings.threads,
        "target": _described(target),
        "parameters": told_parameters(explainer, resolved),
    }


def told_parameters(explainer: Explainer, resolved: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a method as JSON holds them; ``resolved`` replaces what it names."""
    given = {name: getattr(explainer, name) for name in parameters.declared(type(explainer))}
    return {name: _described(value) for name, value in {**given, **resolved}.items()}


@cache
def _version(package: str) -> str:
    from importlib.metadata import version

    return version(package)


def _bytes(array: Array) -> bytes | memoryview:
    if array.dtype == object:
        return repr(array.tolist()).encode()
    # Hashed where they lie: copies of pictures take as long as a small model.
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _described(value: Any) -> Any:
    """A parameter's value as JSON holds it; an array by its shape and hash."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return {
            "shape": list(value.shape),
            "dtype": str(value.dtype),
            "sha256": hashlib.sha256(_bytes(value)).hexdigest(),
        }
    if isinstance(value, (list, tuple)):
        return [_described(item) for item in value]
    if isinstance(value, Model):
        # A model that was rewritten in memory is told by the file that it came from.
        return {"kind": "Model", "name": value.name, "derived": value.is_derived, "sha256": value.sha256}
    if isinstance(value, Mapping):
        return {str(key): _described(item) for key, item in value.items()}
    if dataclasses.is_dataclass(value):
        fields = {f.name: _described(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"kind": type(value).__name__, **fields}
    return repr(value)
