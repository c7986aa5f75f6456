"""The models of catalogue.toml."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
# What `refuse = {gradients = ...}` stands for.
GRADIENTS = ("saliency", "integrated_gradients", "lrp", "deep_lift")


@dataclass(frozen=True)
class Input:
    """One input: the meaning of its axes, how it is made, and how it is cut into players."""

    axes: str
    make: dict[str, Any]
    cut: dict[str, int] = field(default_factory=dict)
    pad: int | None = None
    stated: str | None = None

    @property
    def roles(self) -> list[str]:
        return self.axes.split()

    def labels(self, shape: tuple[int, ...], first: int) -> np.ndarray[Any, Any]:
        """Labels of the players over an array, the axis of samples included: ``first`` and the following numbers."""
        labels = np.zeros((1,) * len(shape), dtype=np.int64)
        for axis, (role, size) in enumerate(zip(self.roles, shape, strict=True)):
            pieces = self.cut.get(role)
            if pieces is not None:
                along = np.arange(size) * pieces // size
                labels = labels * pieces + along.reshape([size if other == axis else 1 for other in range(len(shape))])
        return first + np.broadcast_to(labels, shape)


@dataclass(frozen=True)
class Entry:
    """One model: where it comes from, its inputs, what is explained, and what may be refused."""

    name: str
    kind: str
    package: str
    file: str
    licence: str
    sha256: str
    inputs: dict[str, Input]
    target: dict[str, Any]
    refuse: dict[str, str]
    rows: str | None = None
    layer: str | None = None

    @property
    def stated(self) -> dict[str, str] | None:
        """The axes that the file does not tell, so that a user must."""
        return {name: given.stated for name, given in self.inputs.items() if given.stated} or None

    @property
    def path(self) -> str:
        """The name of the file in the cache."""
        return "".join(letter if letter.isalnum() else "_" for letter in self.name.lower()) + ".onnx"

    def reason(self, method: str) -> str | None:
        """Why a method cannot mean anything for the model, if so."""
        if "all" in self.refuse:
            return self.refuse["all"]
        if method in GRADIENTS and "gradients" in self.refuse:
            return self.refuse["gradients"]
        return self.refuse.get(method)


def catalogue() -> list[Entry]:
    """All models, in the order of the file."""
    found = []
    for row in tomllib.loads((HERE / "catalogue.toml").read_text())["model"]:
        inputs = {name: Input(**given) for name, given in row.pop("inputs").items()}
        found.append(Entry(**{"sha256": "", "refuse": {}, **row}, inputs=inputs))
    return found
