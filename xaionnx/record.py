"""Record: the explanation built from an attribution, with all that is needed to repeat it."""

from __future__ import annotations

import dataclasses
import hashlib
import platform
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np

from xaionnx import parameters
from xaionnx.data.display import Display
from xaionnx.data.sample import Positions
from xaionnx.displays import displays
from xaionnx.explanation import Arrays, Explanation
from xaionnx.graph.missing_values import nan_handling
from xaionnx.graph.parts import parts_of
from xaionnx.graph.steps import steps_between
from xaionnx.layers.embeddings import embeddings
from xaionnx.layers.graph_facts import graph_fact
from xaionnx.perturb.background import replacement
from xaionnx.perturb.baselines.by_input import ByInput
from xaionnx.perturb.element_types import has_nan, is_row
from xaionnx.runtime.axes import in_file_order
from xaionnx.runtime.model import Model
from xaionnx.targets.chances import chances
from xaionnx.text_record import text_facts, with_words
from xaionnx.typing import Array, BaselineLike, Document, Entry

if TYPE_CHECKING:
    from xaionnx.attribution import Attribution
    from xaionnx.explainer import Explainer
    from xaionnx.request import Request
    from xaionnx.targets.resolve import ResolvedTargets


_FAR: Final = 5.0
_FLAT: Final = 0.02


def record(explainer: Explainer, request: Request, attribution: Attribution) -> Explanation:
    """The explanation of a request: the attribution, its cost, and all that is needed to repeat it."""
    resolved, whole = request.resolved, attribution.data_set
    attribution = with_words(attribution, request.samples, explainer.value_kind)

    def axis(array: Array) -> Array:
        return array if request.several else array[0]

    values, errors = dict(attribution.values), dict(attribution.standard_error or {})
    moved = {name: where for name, where in request.model.axes.sample_axes().items() if name in values}
    for name, where in moved.items():
        values[name] = in_file_order(values[name], where, 1)
        if name in errors:
            errors[name] = in_file_order(errors[name], where, 1)
    others = {info.name for info in request.model.inputs} - {request.main}
    # The explained input or a layer needs no name.
    only_name = next(iter(values)) if len(values) == 1 and others.isdisjoint(values) else None
    players = attribution.players
    error = None
    if players is not None:
        error = None if players.standard_error is None else axis(players.standard_error)
    elif only_name is not None and only_name in errors:
        error = axis(errors.pop(only_name))
    # With several inputs, each standard error becomes a map.
    maps = {**attribution.maps, **{f"standard_error_{name}": array for name, array in errors.items()}}
    arithmetic, in_floats = _arithmetic(request, attribution)
    spent = request.evaluations
    evaluations = spent.rows.tolist() if whole is None else [int(spent.rows.sum())]
    return Explanation(
        method=explainer.name(),
        values=axis(values[only_name])
        if only_name is not None
        else {name: axis(array) for name, array in values.items()},
        target=axis(resolved.names if whole is None else np.array(whole.names)[:, None]),
        prediction=axis(resolved.prediction if whole is None else np.asarray(whole.prediction)[:, None]),
        baseline_prediction=None if attribution.baseline is None else axis(attribution.baseline),
        feature_values=None if players is None else axis(players.values),
        features=None
        if players is None
        else _array_or_mapping(
            {name: in_file_order(array, moved.get(name, 0)) for name, array in players.labels.items()},
            only_name or request.main,
        ),
        standard_error=error,
        maps={key: axis(array) for key, array in maps.items()},
        display=displays(request) if whole is None else _columns_alone(request),
        diagnostics={
            "evaluations": evaluations,
            **({"gradients": spent.gradients.tolist()} if spent.gradients.any() else {}),
            "seconds": request.seconds,
            **(
                {**_findings(resolved, request.several), **_chances(resolved, request.several)}
                if whole is None
                else {"samples": len(request.samples)}
            ),
            **{
                key: _by_sample(value, request.several)
                for key, value in {**attribution.diagnostics, **in_floats}.items()
            },
        },
        provenance={
            **_provenance(explainer, request),
            **(_together(request) if whole is not None else {}),
            **({"sample_axes": moved} if moved else {}),
            "quantity": _quantity(resolved) if whole is None or whole.quantity is None else whole.quantity,
            **({"not_logits": doubtful} if (doubtful := resolved.called_logits) else {}),
            **_left_as_is(request, attribution),
            **_zero_by_default(explainer, request, attribution),
            **_nan_not_taken(request),
            **_steps(explainer, request, attribution),
            "parameters": recorded_parameters(explainer, {**explainer.resolved_parameters(), **attribution.parameters}),
            **arithmetic,
            **attribution.facts,
            **text_facts(request, attribution),
        },
    )


def _together(request: Request) -> Document:
    """Entries of the provenance with one entry a sample, of all samples together: one hash, and the common file."""
    digest = hashlib.sha256("".join(_sha256s(request)).encode()).hexdigest()
    found: Document = {"input_sha256": [digest]}
    given = request.inputs.provenance()
    files = list(dict.fromkeys(without_row(name) for name in given.get("inputs", ())))
    hashes = list(dict.fromkeys(given.get("file_sha256", ())))
    if files:
        found |= {"inputs": [", ".join(files)], "file_sha256": [hashes[0] if len(hashes) == 1 else None]}
    return found


def without_row(name: str) -> str:
    """Return the file of a sample's name, without the number of its row.

    Examples
    --------
    >>> without_row("rows.csv[17]"), without_row("series.csv:3"), without_row("cat.png")
    ('rows.csv', 'series.csv', 'cat.png')
    """
    return re.sub(r"(\[\d+\]|:\d+)$", "", name)


def _columns_alone(request: Request) -> dict[str, Display]:
    """The names, units and words of the columns, without any row; of other inputs nothing is kept."""
    return {name: one.some([]) for name, one in displays(request).items() if one.kind == "row"}


def _arithmetic(request: Request, attribution: Attribution) -> tuple[Document, dict[str, Array]]:
    """What a gradient graph computes in another way than the model, and the targets (T, N) that it saw."""
    built = attribution.diagnostics.get("gradient", "graph") == "graph" and "approximations" in attribution.facts
    if not built:
        return {}, {}
    from xaionnx.gradients.arithmetic import other_arithmetic, predictions_in_floats

    said = other_arithmetic(request.model)
    if said is None:
        return {}, {}
    seen = predictions_in_floats(request.model, request.feeds, request.resolved, request.evaluations)
    return {"arithmetic": said}, {"gradient_prediction": seen}


def _findings(resolved: ResolvedTargets, several: bool) -> Document:
    """Diagnostics about the targets: ``box``, the corners of the explained boxes, and ``label_disagrees``."""
    found: Document = {}
    each_term = {
        "box": [term.boxes for term in resolved.terms],
        "label_disagrees": [term.disagrees for term in resolved.terms],
    }
    for key, known in each_term.items():
        if any(array is not None and array.any() for array in known):
            each = [
                [None if array is None else array[n].tolist() for array in known] for n in range(len(resolved.names.T))
            ]
            found[key] = each if several else [one[0] for one in each]
    return found


def _chances(resolved: ResolvedTargets, several: bool) -> Document:
    """Diagnostics on how sure the model is: ``probability`` of the class, and ``rival``, the highest other one."""
    each = [chances(resolved, t) for t in range(resolved.count)]
    if all(found is None for found in each):
        return {}
    count = resolved.values.shape[1]
    own = [[None] * count if found is None else found.probability.tolist() for found in each]
    rivals = [
        [*map(list, zip(found.rivals, found.rival_probability.tolist(), strict=True))]
        if found is not None and found.rivals
        else [None] * count
        for found in each
    ]
    if not several:
        return {"probability": own[0], "rival": rivals[0]}
    return {"probability": [*map(list, zip(*own, strict=True))], "rival": [*map(list, zip(*rivals, strict=True))]}


def _quantity(resolved: ResolvedTargets) -> str | dict[str, str]:
    """The quantity of the targets, such as ``probability``; a mapping by name if they differ."""
    quantities = resolved.quantities
    if len(set(quantities)) == 1:
        return quantities[0]
    return {str(name): what for names, what in zip(resolved.names, quantities, strict=True) for name in names}


def _array_or_mapping(arrays: Mapping[str, Array], main: str) -> Arrays:
    return arrays[main] if list(arrays) == [main] else dict(arrays)


def _by_sample(value: Entry, several: bool) -> Entry:
    """A diagnostic as a list with one entry per sample; any value but an array (T, N) is returned as it is."""
    if isinstance(value, np.ndarray):
        return (value if several else value[0]).T.tolist()
    return value


def _provenance(explainer: Explainer, request: Request) -> Document:
    """Versions, hashes of model and input, device, and the targets as given."""
    model = request.model
    return {
        "value_kind": explainer.value_kind,
        **recorded_versions(),
        "model": model.name,
        "model_sha256": model.sha256,
        **({"model_parts": parts} if (parts := parts_of(model.file.proto)) else {}),
        "opset": model.file.opset,
        # There may be a thousand labels, and they are stored beside the model.
        "spec": recorded_value(None if model.spec is None else dataclasses.replace(model.spec, labels=())),
        **_axes_words(request),
        "input_sha256": _sha256s(request),
        **request.inputs.provenance(),
        **_off_scale(model, request.feeds[request.main]),
        "provider": model.provider,
        "device": model.settings.device,
        "threads": model.settings.threads,
        "target": recorded_value(request.target),
    }


def _left_as_is(request: Request, attribution: Attribution) -> Document:
    """The inputs that the values do not cover, by name: what each is for, ``data`` if it could have been explained.

    Values of a layer cover the data on which it depends. Data on which no target depends are not listed.
    """
    model, view = request.model, request.model.view
    known = set(attribution.values)
    if not known <= set(model.purposes):
        # Whether the layer is a tensor of the file or of a rewritten graph, it follows the explained input.
        layers = known & {*view.tensor_names} - set(model.purposes)
        known |= {request.main, *(name for name in model.purposes if layers & view.descendants([name]))}
    left = {name: str(purpose) for name, purpose in model.purposes.items() if name not in attribution.values}
    targets = {*request.tensors}
    for name in [name for name, purpose in left.items() if purpose == "data"]:
        if name in known or targets.isdisjoint(view.data_descendants([name])):
            del left[name]
    return {"left_as_is": left} if left else {}


def _zero_by_default(explainer: Explainer, request: Request, attribution: Attribution) -> Document:
    """The explained rows of tables whose baseline is zero because none was given."""
    explained = [name for name in attribution.values if name in request.feeds]
    # The path to a layer starts at the explained input.
    rows = [name for name in explained or [request.main] if _is_row(request, name)]
    found: list[str] = []
    for given in _given_baselines(explainer, attribution):
        known = given if isinstance(given, Mapping) else given.parts if isinstance(given, ByInput) else None
        found += [name for name in rows if given is None or (known is not None and name not in known)]
    return {"zero_by_default": found} if found else {}


def _given_baselines(explainer: Explainer, attribution: Attribution) -> Iterator[BaselineLike]:
    """The baselines as given, of a method and of its inner method; that of a method that is only named is None."""
    if hasattr(explainer, "baseline"):
        yield replacement(explainer)
    if hasattr(attribution.parameters.get("inner"), "baseline"):
        yield replacement(getattr(explainer, "inner", None))


def _is_row(request: Request, name: str) -> bool:
    """Whether an input is a row of a table. Whole numbers are one if they are not looked up, as tokens are."""
    sample = request.samples[0]
    x, fixed = sample.x[name], name in sample.purposes and not sample.purposes[name].is_free
    if sample.spec is None and name == request.main and x.ndim == 1 and x.dtype.kind in "iu":
        return fixed and not embeddings(request.model)
    return is_row(sample, name)


def _nan_not_taken(request: Request) -> Document:
    """The inputs that hold NaN although the graph does not treat it as a missing value; empty if there are none."""
    view = request.model.view
    names = [
        n for n, x in request.feeds.items() if x.dtype.kind == "f" and has_nan(x) and nan_handling(view, n) is None
    ]
    return {"nan_not_taken": names} if names else {}


def _steps(explainer: Explainer, request: Request, attribution: Attribution) -> Document:
    """The ops on the way to the targets that round, or have no slope, for a method by gradients."""
    if explainer.needs != "gradient":
        return {}
    model = request.model
    layer = attribution.parameters.get("layer")
    named = [layer] if isinstance(layer, str) else [*layer] if isinstance(layer, list | tuple) else []
    starts = [name for name in named or attribution.values if name in model.view.tensor_names] or [request.main]
    # Methods around others keep no source.
    passed = attribution.diagnostics.get("gradient") == "graph"
    ends = tuple(request.tensors)
    key = ("steps", tuple(starts), ends, passed)
    found = graph_fact(model, key, lambda view: steps_between(view, starts, ends, quantisers=not passed))
    kept = {"rounding": list(found.rounding), "all_paths": list(found.all_paths)}
    return {"steps": {key: ops for key, ops in kept.items() if ops}} if any(kept.values()) else {}


def _axes_words(request: Request) -> Document:
    """What the axes of the inputs mean and where that is known from, and whether the rows are one sample."""
    axes = request.model.axes
    guessed = [name for name in request.samples[0].own if _is_guessed(request.samples[0].positions(name))]
    return {
        "axes": {one.name: str(axes.of(one.name)) for one in axes.inputs},
        **({"guessed_axes": guessed} if guessed else {}),
        **({"rows": axes.rows} if axes.rows else {}),
        **({"fixed_batch": request.model.fixed_batch} if request.model.fixed_batch else {}),
    }


def _is_guessed(positions: Positions | None) -> bool:
    return positions is not None and positions.guessed


def _off_scale(model: Model, x: Array) -> Document:
    """The range of a picture's numbers, where it is not that of the spec's black and white; empty where it is.

    Off is what reaches further than `_FAR` times the span of black and white, as pixels do that were not scaled, or
    varies by less than the share `_FLAT` of it, as pictures from 0 to 1 do where the model takes 0 to 255.
    """
    spec = model.spec
    if spec is None or spec.guessed or spec.kind != "picture" or x.dtype.kind != "f":
        return {}
    ends = np.stack([spec.pixel(0), spec.pixel(255)])
    black, white = float(ends[0].flat[0]), float(ends[1].flat[0])
    low, high = float(x.min()), float(x.max())
    span = float(ends.max() - ends.min())
    far = max(float(ends.min()) - low, high - float(ends.max())) > _FAR * span
    flat = 0 < high - low < _FLAT * span
    return {"off_scale": {"given": [low, high], "black_and_white": [black, white]}} if far or flat else {}


def _sha256s(request: Request) -> list[str]:
    """The hash of each sample, independent of its batch."""
    shared = request.samples[0].shared
    parts: list[tuple[bytes, Callable[[int], bytes | memoryview]]] = []
    for name in sorted(request.feeds):
        array = request.feeds[name]
        shape = array.shape if name in shared else (1, *array.shape[1:])
        parts.append((f"{name}{array.dtype}{shape}".encode(), _bytes_by_sample(array, name in shared)))
    (head, first), *others = parts
    # There may be many short samples: what is the same for all is hashed once.
    begun, found = hashlib.sha256(head), list[str]()
    for n in range(len(request.samples)):
        digest = begun.copy()
        digest.update(first(n))
        for title, other in others:
            digest.update(title)
            digest.update(other(n))
        found.append(digest.hexdigest())
    return found


def _bytes_by_sample(array: Array, shared: bool) -> Callable[[int], bytes | memoryview]:
    """Return a function that returns the bytes of an input of sample n."""
    if array.dtype == object:
        return lambda n: _bytes(array if shared else array[n, ...])
    flat = _bytes(array)
    size = len(flat) // (1 if shared else len(array))
    step = 0 if shared else size
    return lambda n: flat[n * step : n * step + size]


def recorded_parameters(owner: object, resolved: Mapping[str, object]) -> Document:
    """The parameters of a method or a metric as JSON values; entries of ``resolved`` replace them."""
    known = {name: resolved.get(name, getattr(owner, name)) for name in parameters.declared(type(owner))}
    return {name: recorded_value(value) for name, value in known.items()}


def recorded_versions() -> Document:
    """The versions of what computes, and the kind of machine."""
    from xaionnx.runtime.session import runtime_version
    from xaionnx.version import __version__

    return {
        "xaionnx": __version__,
        "onnxruntime": runtime_version(),
        "numpy": np.__version__,
        "numba": _version("numba"),
        "python": platform.python_version(),
        "machine": platform.machine(),
    }


@cache
def _version(package: str) -> str:
    from importlib.metadata import version

    return version(package)


def _bytes(array: Array) -> bytes | memoryview:
    if array.dtype == object:
        return repr(array.tolist()).encode()
    # Hashed without a copy: copying pictures takes as long as running a small model.
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def recorded_value(value: object) -> Entry:
    """A parameter as a JSON value; an array becomes its shape, type and hash."""
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
        return [recorded_value(item) for item in value]
    if isinstance(value, Model):
        # A model rewritten in memory is identified by its original file.
        return {"kind": "Model", "name": value.name, "derived": value.is_derived, "sha256": value.sha256}
    if isinstance(value, Mapping):
        return {str(key): recorded_value(item) for key, item in value.items()}
    if dataclasses.is_dataclass(value):
        known = [f.name for f in dataclasses.fields(value) if f.metadata.get("recorded", True)]
        fields = {name: recorded_value(getattr(value, name)) for name in known}
        return {"kind": type(value).__name__, **fields}
    if callable(value):
        return str(getattr(value, "__name__", type(value).__name__))  # a repr would have its address
    return repr(value)
