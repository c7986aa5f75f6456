"""Products with Jacobians and Hessians equal those of another implementation; see make_onnx_ad.py."""

from pathlib import Path

import numpy as np
import pytest

from tests.tiny import trained
from tests.tolerances import Tolerance, assert_close
from xaionnx.autodiff import hessian_product, jacobian_product

FILE = Path(__file__).parent / "onnx_ad.npz"
NAMES = sorted({name.partition("/")[0] for name in np.load(FILE).files})


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n == "mnist_vit")) for n in NAMES])
def test_products_equal_those_of_onnx_ad(name):
    golden = np.load(FILE)
    x, v, u, along, gradient, hessian = (
        golden[f"{name}/{key}"] for key in ("x", "v", "u", "along", "gradient", "hessian")
    )
    model = trained(name)
    given, out = model.input().name, model.outputs[0].name
    _, found = jacobian_product(model, out, [given]).run({given: x}, {given: v})
    assert_close(found, along, Tolerance.DEEP)
    gradients, products = hessian_product(model, out, [given]).run({given: x}, u, {given: v})
    assert_close(gradients[given], gradient, Tolerance.DEEP)
    assert_close(products[given], hessian, Tolerance.DEEP)
