"""Settings: all that the result of a row depends on besides the row itself, and their fingerprint."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from xaionnx.explainer import Explainer
from xaionnx.record import recorded_parameters, recorded_value
from xaionnx.runtime.model import Model
from xaionnx.runtime.session import runtime_version
from xaionnx.targets.target import Target
from xaionnx.typing import Document, Entry, TargetLike
from xaionnx.version import __version__

# Differences that a message names.
_SHOWN: Final = 3


def settings_of(model: Model, method: Explainer, target: TargetLike) -> Document:
    """Return all that the result of a row depends on besides the row.

    Those are the model, the provider and versions, the method with its parameters, and the target; not the names of
    files.
    """
    spec = None if model.spec is None else recorded_value(dataclasses.replace(model.spec, labels=()))
    targets = None if target is None else [recorded_value(one) for one in Target.of(target)[0]]
    return {
        "xaionnx": __version__,
        "onnxruntime": runtime_version(),
        "model_sha256": model.sha256,
        "provider": model.provider,
        "spec": spec,
        "labels_sha256": hashlib.sha256(json.dumps(model.labels).encode()).hexdigest(),
        "axes": model.stated_by_name(),
        "rows": model.axes.rows,
        "method": method.name(),
        "parameters": recorded_parameters(method, method.resolved_parameters()),
        "target": targets,
        "several_targets": isinstance(target, list),
    }


def fingerprint(settings: Mapping[str, Entry]) -> str:
    """Return the hash of settings, which is that of settings read from a file too."""
    # Keys that are numbers sort as the text that they are in a file.
    written = json.loads(json.dumps(settings, default=str))
    return hashlib.sha256(json.dumps(written, sort_keys=True).encode()).hexdigest()


def differences(earlier: Mapping[str, Entry], now: Mapping[str, Entry]) -> str:
    """Return what differs between two settings, in words.

    Examples
    --------
    >>> differences({"method": "rise", "parameters": {"masks": 10}}, {"method": "rise", "parameters": {"masks": 20}})
    'parameters.masks is 10 there and 20 here'
    >>> differences({"data": {"key": "5f9e", "count": 7}}, {"data": {"key": "c20d", "count": 13}})
    'the data differ, data.count is 7 there and 13 here'
    """
    pairs = list(_pairs(earlier, now, ""))
    if any(name == "method" for name, _, _ in pairs):
        # Two methods have other parameters, which say no more.
        pairs = [pair for pair in pairs if not pair[0].startswith("parameters.")]
    found = [
        f"{_HASHED[name]} differ" if name in _HASHED else f"{name} is {_short(one)} there and {_short(other)} here"
        for name, one, other in pairs
    ]
    return ", ".join(found[:_SHOWN]) + (f" (and {len(found) - _SHOWN} more)" if len(found) > _SHOWN else "")


# Settings of which there is only a hash, which says nothing to a reader.
_HASHED: Final = {
    "model_sha256": "the contents of the model's file",
    "labels_sha256": "the names of the classes",
    "data.key": "the data",
    "data.labels_sha256": "the labels of the data",
}

_Pair = tuple[str, Entry, Entry]


def _pairs(one: Mapping[str, Entry], other: Mapping[str, Entry], prefix: str) -> Iterator[_Pair]:
    for name in dict.fromkeys([*one, *other]):
        mine, theirs = one.get(name), other.get(name)
        if isinstance(mine, dict) and isinstance(theirs, dict):
            yield from _pairs(mine, theirs, f"{prefix}{name}.")
        elif mine != theirs:
            yield f"{prefix}{name}", mine, theirs


def _short(value: Entry) -> str:
    if value is None:
        return "not set"
    text = _target_words(value) if _are_targets(value) else json.dumps(value, default=str)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _are_targets(value: Entry) -> bool:
    return isinstance(value, list) and all(isinstance(one, dict) and "kind" in one for one in value)


def _target_words(targets: Sequence[Mapping[str, Entry]]) -> str:
    """Targets as Python writes them, without what is not given: ``Margin(p=3, q=5)``."""
    each = []
    for one in targets:
        given = [f"{name}={value!r}" for name, value in one.items() if name != "kind" and value is not None]
        each.append(f"{one['kind']}({', '.join(given)})")
    return ", ".join(each)


_LONGEST: Final = 48
