"""Gradients of exported models, as ordinary ONNX graphs."""

from xaionnx.autodiff.gradient import Gradient, gradient
from xaionnx.autodiff.products import HessianProduct, JacobianProduct, hessian_product, jacobian_product

__all__ = ["Gradient", "HessianProduct", "JacobianProduct", "gradient", "hessian_product", "jacobian_product"]
