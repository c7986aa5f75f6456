"""Einsum against central differences: repeated, omitted and broadcast letters, and ellipses of unequal ranks."""

import numpy as np
import pytest
from onnx import TensorProto, helper
from onnx.reference.op_run import OpRun

from tests.autodiff.differences import batch_error, in_numpy
from tests.tolerances import Tolerance, assert_close

# An equation, and the shape of each operand with "N" for the samples.
EQUATIONS = [
    ("ij->ij", [("N", 3)]),
    ("ij->ji", [("N", 3)]),
    ("ij->i", [("N", 3)]),
    ("ij->j", [("N", 3)]),
    ("ij->", [("N", 3)]),
    ("ij", [("N", 3)]),
    ("ba", [("N", 3)]),
    ("nij,nij->n", [("N", 3, 4), ("N", 3, 4)]),
    ("nij,njk->nik", [("N", 3, 4), ("N", 4, 2)]),
    ("nij,jk", [("N", 3, 4), (4, 2)]),
    ("nij,jk->nki", [("N", 3, 4), (4, 2)]),
    ("ni,nj->nij", [("N", 3), ("N", 4)]),
    ("ni,j->n", [("N", 3), (4,)]),
    ("nhtd,nhsd->nhts", [("N", 2, 3, 4), ("N", 2, 5, 4)]),
    ("n i , i j , j k -> n k", [("N", 3), (3, 4), (4, 2)]),
    ("ni,ni,ni->n", [("N", 3), ("N", 3), ("N", 3)]),
    ("nii->ni", [("N", 3, 3)]),
    ("nii->n", [("N", 3, 3)]),
    ("niij->nj", [("N", 3, 3, 2)]),
    ("niii->ni", [("N", 3, 3, 3)]),
    ("nii,nij->nj", [("N", 3, 3), ("N", 3, 2)]),
    ("nii,nj->nj", [("N", 3, 3), ("N", 2)]),
    ("...i,...i->...", [("N", 2, 3), ("N", 2, 3)]),
    ("...ij,...jk->...ik", [("N", 2, 3, 4), ("N", 2, 4, 5)]),
    ("...ij,...jk", [("N", 2, 3, 4), (4, 5)]),
    ("n...i,ij->n...j", [("N", 2, 3), (3, 4)]),
    ("i...->...i", [("N", 2, 3)]),
    ("...ij,...jk->...ik", [("N", 2, 3, 4), ("N", 1, 4, 5)]),
    ("...ij,...jk->...ik", [("N", 2, 3, 4), (1, 1, 4, 5)]),
    ("...,...->...", [("N", 2, 3), (1, 3)]),
    ("AbC,Cb->bA", [("N", 3, 4), (4, 3)]),
]


class Einsum(OpRun):
    """numpy accepts the equations with spaces that the reference passes to it; onnxruntime lacks some diagonals."""

    op_domain = ""

    def _run(self, *operands, equation):
        return (np.asarray(np.einsum(equation, *operands)),)


@pytest.mark.parametrize(("equation", "shapes"), EQUATIONS)
def test_einsum_agrees_with_central_differences(equation, shapes):
    names = [f"x{i}" for i in range(len(shapes))]
    rank = np.einsum(equation, *(np.zeros([2 if s == "N" else s for s in shape]) for shape in shapes)).ndim
    values = [helper.make_tensor_value_info(n, TensorProto.DOUBLE, list(s)) for n, s in zip(names, shapes, strict=True)]
    y = helper.make_tensor_value_info("y", TensorProto.DOUBLE, [None] * rank)
    node = helper.make_node("Einsum", names, ["y"], name="n", equation=equation)
    made = helper.make_model(
        helper.make_graph([node], "g", values, [y]), opset_imports=[helper.make_opsetid("", 20)], ir_version=10
    )
    batched = {n for n, s in zip(names, shapes, strict=True) if s[0] == "N"}
    fixed = {n: tuple(size for size in s if size != "N") for n, s in zip(names, shapes, strict=True)}
    assert_close(batch_error(made, fixed, names, batched=batched, evaluate=in_numpy(Einsum)), 0, Tolerance.DIFFERENCES)
    assert_close(batch_error(made, fixed, names, batched=batched), 0, Tolerance.DIFFERENCES)
