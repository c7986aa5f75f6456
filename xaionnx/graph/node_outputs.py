"""The outputs of a single node, computed by ONNX's reference implementation."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import helper

from xaionnx.typing import Array


def node_outputs(node: onnx.NodeProto, opsets: Mapping[str, int], fed: Mapping[str, Array]) -> list[Array]:
    """Return the outputs of a node for arrays by name of its operands; optional outputs without a name are left out.

    Examples
    --------
    >>> node = helper.make_node("Transpose", ["x"], ["y"], perm=[1, 0])
    >>> [y] = node_outputs(node, {"": 17}, {"x": np.array([[1, 2, 3]])})
    >>> y.tolist()
    [[1], [2], [3]]
    """
    from onnx.reference import ReferenceEvaluator

    read = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in fed.items()
    ]
    made = [onnx.ValueInfoProto(name=name) for name in node.output if name]
    imports = [helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    inner = helper.make_model(helper.make_graph([node], "one", read, made), opset_imports=imports)
    return [np.asarray(array) for array in ReferenceEvaluator(inner).run(None, dict(fed))]
