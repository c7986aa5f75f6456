"""Inputs and outputs of a graph as the file declares them, and the purposes that inputs have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, final

import numpy as np
from onnx import TensorProto, helper

if TYPE_CHECKING:
    import onnx

Purpose: TypeAlias = Literal["data", "mask", "length", "setting", "state", "token types", "positions"]

_INTEGERS: Final = frozenset(
    kind
    for kind in TensorProto.DataType.values()
    if kind not in (TensorProto.UNDEFINED, TensorProto.STRING)
    if np.dtype(helper.tensor_dtype_to_np_dtype(kind)).kind in "iub"
)


@final
@dataclass(frozen=True)
class DeclaredTensor:
    """An input or output as declared; free sizes are names or None."""

    name: str
    kind: int
    shape: tuple[int | str | None, ...]

    @classmethod
    def of(cls, value: onnx.ValueInfoProto) -> DeclaredTensor:
        tensor = value.type.tensor_type
        sizes = [d.dim_value if d.HasField("dim_value") else d.dim_param or None for d in tensor.shape.dim]
        return cls(value.name, tensor.elem_type, tuple(sizes))

    @property
    def is_integer(self) -> bool:
        return self.kind in _INTEGERS

    @property
    def is_free(self) -> bool:
        """Whether the size of a sample is not fixed."""
        return any(not isinstance(size, int) for size in self.shape[1:])

    @property
    def has_positions(self) -> bool:
        """Whether a sample may have more than one element."""
        return any(size != 1 for size in self.shape[1:])

    @property
    def has_features(self) -> bool:
        """Whether the last axis is of a fixed size beside one of positions, of another size or name, ahead of it."""
        last = self.shape[-1] if len(self.shape) > 2 else None
        return isinstance(last, int) and last > 1 and any(size not in (1, last) for size in self.shape[1:-1])
