"""Record: from what a method found to an explanation that can be repeated."""

from __future__ import annotations

import dataclasses
import hashlib
import platform
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from xaionnx import parameters
from xaionnx.data.sample import Sample
from xaionnx.displays import displays
from xaionnx.explanation import Arrays, Explanation
from xaionnx.runtime.model import Model
from xaionnx.typing import Array, Document

if TYPE_CHECKING:
    from xaionnx.attribution import Attribution
    from xaionnx.explainer import Explainer
    from xaionnx.request import Request
    from xaionnx.targets.resolve import ResolvedTargets


def record(explainer: Explainer, request: Request, found: Attribution) -> Explanation:
    """The explanation of a request: what the method found, what it cost, and all that is needed to repeat it."""
    resolved = request.resolved

    def axis(array: Array) -> Array:
        return array if request.several else array[0]

    values, errors = dict(found.values), dict(found.standard_error or {})
    others = {info.name for info in request.model.inputs} - {request.main}
    # The explained input, or a layer, needs no name.
    alone = next(iter(values)) if len(values) == 1 and others.isdisjoint(values) else None
    players = found.players
    error = None
    if players is not None:
        error = None if players.standard_error is None else axis(players.standard_error)
    elif alone is not None and alone in errors:
        error = axis(errors.pop(alone))
    # Standard errors of several inputs have a map each.
    maps = {**found.maps, **{f"standard_error_{name}": array for name, array in errors.items()}}
    spent = request.evaluations
    return Explanation(
        method=explainer.name(),
        values=axis(values[alone]) if alone is not None else {name: axis(array) for name, array in values.items()},
        target=axis(resolved.names),
        prediction=axis(resolved.prediction),
        baseline_prediction=None if found.baseline is None else axis(found.baseline),
        feature_values=None if players is None else axis(players.values),
        features=None if players is None else _unnamed(players.labels, request.main),
        standard_error=error,
        maps={key: axis(array) for key, array in maps.items()},
        display=displays(request),
        diagnostics={
            "evaluations": spent.rows.tolist(),
            **({"gradients": spent.gradients.tolist()} if spent.gradients.any() else {}),
            "seconds": request.seconds,
            **{key: _by_sample(told, request.several) for key, told in found.diagnostics.items()},
        },
        provenance={
            **_provenance(explainer, request),
            "quantity": _quantity(resolved),
            "parameters": told_parameters(explainer, {**explainer.resolved_parameters(), **found.parameters}),
            **found.facts,
        },
    )


def _quantity(resolved: ResolvedTargets) -> str | dict[str, str]:
    """What the targets are, such as ``probability``; by their names where they are not alike."""
    told = resolved.quantities
    if len(set(told)) == 1:
        return told[0]
    return {str(name): what for names, what in zip(resolved.names, told, strict=True) for name in names}


def _unnamed(arrays: Mapping[str, Array], main: str) -> Arrays:
    return arrays[main] if list(arrays) == [main] else dict(arrays)


def _by_sample(told: Any, several: bool) -> Any:
    """A diagnostic as it is listed, one entry a sample, from an array (T, N), a list of N, or what holds for all."""
    if isinstance(told, np.ndarray):
        return (told if several else told[0]).T.tolist()
    return told


def _provenance(explainer: Explainer, request: Request) -> Document:
    """Versions, hashes of model and input, device, and the targets as they were given."""
    from xaionnx.runtime.session import runtime_version
    from xaionnx.version import __version__

    model = request.model
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
        "input_sha256": [_sha256(sample) for sample in request.samples],
        **request.inputs.provenance(),
        "provider": model.provider,
        "device": model.settings.device,
        "threads": model.settings.threads,
        "target": _described(request.target),
    }


def _sha256(sample: Sample) -> str:
    """The hash of a sample by itself, whatever batch it was in."""
    digest = hashlib.sha256()
    for name in sorted(sample.x):
        array = sample.x[name]
        shape = array.shape if name in sample.shared else (1, *array.shape)
        digest.update(f"{name}{array.dtype}{shape}".encode())
        digest.update(_bytes(array))
    return digest.hexdigest()


def told_parameters(explainer: Explainer, resolved: Mapping[str, object]) -> Document:
    """The parameters of a method as JSON holds them; ``resolved`` replaces what it names."""
    known = {name: resolved.get(name, getattr(explainer, name)) for name in parameters.declared(type(explainer))}
    return {name: _described(value) for name, value in known.items()}


@cache
def _version(package: str) -> str:
    from importlib.metadata import version

    return version(package)


def _bytes(array: Array) -> bytes | memoryview:
    if array.dtype == object:
        return repr(array.tolist()).encode()
    # Hashed where they lie: copies of pictures take as long as a small model.
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _described(value: Any) -> Any:  # of any parameter, as JSON holds it
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
