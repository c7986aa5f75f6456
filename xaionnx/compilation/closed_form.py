"""A model and a method with a closed form as one graph."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, cast

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from xaionnx.autodiff.gradient import first_rows
from xaionnx.errors import ParameterError, UnsupportedModelError
from xaionnx.explainer import Explainer
from xaionnx.graph.adapt import import_default_ops
from xaionnx.perturb.baselines.background import Background
from xaionnx.runtime.model import Model
from xaionnx.targets.target import Target
from xaionnx.typing import Array, Feeds, TargetLike

if TYPE_CHECKING:
    from xaionnx.explainers import ClosedForm, GraphValues
    from xaionnx.explanation import Explanation

VALUES: Final = "shap_values"
"""The name of the output with the values, (N, P, T)."""
BASE: Final = "base_values"
"""The name of the output with what the values of a row add up to beside the target, (T,)."""

_PREFIX: Final = "xaionnx_"
# Rows for which the file is compared with the explanation, and by how much of the largest value they may differ.
_ROWS: Final = 8
_APART: Final = 1e-4


def closed_form(
    model: Model, explainer: Explainer, target: TargetLike, shapes: Mapping[str, Sequence[int]], limit: float
) -> tuple[onnx.ModelProto, dict[str, str]]:
    """Return the model's graph with the values of all its targets, and what the file says about them.

    Raises
    ------
    ParameterError
        The target is chosen by an input.
    UnsupportedModelError
        The method cannot explain this model, or its tables pass the limit, or the file would not return what the
        explanation is.
    """
    if isinstance(target, str) and target == "input":
        raise ParameterError(
            f"A compiled {explainer.name()} returns the values of all classes. Leave the target out, or name some."
        )
    method = cast("ClosedForm", explainer)
    rows = _rows(model, explainer, shapes)
    given = Target.of(target)[0]
    if target is None or (len(given) == 1 and given[0].follows and given[0].output is not None):
        given = method.every_target(model, given[0].output, rows)
    request = explainer.request(model, rows, list(given))
    prefix = _free_prefix(model.graph)
    found = method.in_graph(request, prefix, limit)
    proto = onnx.ModelProto()
    proto.CopyFrom(model.graph)
    import_default_ops(proto)
    outputs = {info.name for info in model.outputs}
    values, base = (name if name not in outputs else _PREFIX + name for name in (VALUES, BASE))
    if {values, base} & {name for node in proto.graph.node for name in node.output}:
        values, base = prefix + VALUES, prefix + BASE
    _add(proto, found, prefix, values, base)
    told = explainer.explain(explainer.request(model, rows, list(given)))
    _check(proto, rows, told, values, model)
    targets = [str(names[0]) for names in np.atleast_2d(told.target)]
    words = ", ".join(targets[:6]) + (f" and {len(targets) - 6} more" if len(targets) > 6 else "")
    return proto, {
        "target": words,
        "targets": json.dumps(targets),
        "features": json.dumps([*told.feature_names]),
        "explained": found.explained,
    }


def _rows(model: Model, explainer: Explainer, shapes: Mapping[str, Sequence[int]]) -> dict[str, Array]:
    """A few background rows, or an artificial one."""
    background = getattr(explainer, "background", None)
    known = dict[str, Array]()
    if isinstance(background, Background):
        given = background.rows
        named = given if isinstance(given, Mapping) else {model.input().name: given}
        types = {info.name: info.dtype for info in model.inputs}
        known = {name: np.asarray(array)[:_ROWS].astype(types[name], copy=False) for name, array in named.items()}
    shapes = {**{name: array.shape[1:] for name, array in known.items()}, **shapes}
    rows = first_rows(model, shapes=shapes)
    count = max((len(array) for array in known.values()), default=1)
    repeated = {n: a if n in model.shared else np.repeat(a, count, axis=0) for n, a in rows.items()}
    return {**repeated, **known}


def _free_prefix(proto: onnx.ModelProto) -> str:
    names = {name for node in proto.graph.node for name in (*node.input, *node.output)}
    prefix = f"{_PREFIX}shap/"
    while any(name.startswith(prefix) for name in names):
        prefix = f"{_PREFIX}{prefix}"
    return prefix


def _add(proto: onnx.ModelProto, found: GraphValues, prefix: str, values: str, base: str) -> None:
    graph = proto.graph
    graph.node.extend(found.nodes)
    graph.node.append(helper.make_node("Identity", [found.values], [values]))
    graph.initializer.extend(found.constants)
    graph.initializer.append(numpy_helper.from_array(found.base.astype(np.float32), f"{prefix}base"))
    graph.node.append(helper.make_node("Identity", [f"{prefix}base"], [base]))
    del graph.value_info[:]
    count = len(found.base)
    graph.output.append(helper.make_tensor_value_info(values, TensorProto.FLOAT, ["N", found.players, count]))
    graph.output.append(helper.make_tensor_value_info(base, TensorProto.FLOAT, [count]))


def _check(proto: onnx.ModelProto, rows: Feeds, told: Explanation, name: str, model: Model) -> None:
    """Check that the graph returns the values of the explanation.

    Raises
    ------
    UnsupportedModelError
        It does not.
    """
    made = model.derived(("closed form", id(proto)), lambda _: proto)
    got = made.run(model.check(rows), [name])[name].astype(np.float64)
    assert told.feature_values is not None  # a method of players has them
    expected = np.moveaxis(told.feature_values.reshape(-1, *got.shape[:2]), 0, 2)
    apart, scale = np.abs(got - expected).max(initial=0), np.abs(expected).max(initial=0)
    if not apart <= _APART * (scale + 1e-6):
        raise UnsupportedModelError(
            f"The graph made for {model.name} returns values that differ from those of xaionnx explain by up to "
            f"{apart:.3g} (of {scale:.3g}), so it is not saved. Use xaionnx explain."
        )
