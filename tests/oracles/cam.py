"""Class activation maps from the papers' equations, position by position, for a small convolutional net in float64.

The net: a 3x3 convolution with pads and bias, ReLU (the mapped layer, A), a second 3x3 convolution with stride 2, ReLU,
the spatial mean, a linear layer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from xaionnx.typing import Array


def conv(x: Array, kernel: Array, bias: Array, stride: int, pad: int) -> Array:
    """(C, H, W) to (D, h, w), by the definition."""
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
    size = kernel.shape[-1]
    rows, columns = ((n - size) // stride + 1 for n in padded.shape[1:])
    out = np.empty((len(kernel), rows, columns))
    for k in range(len(kernel)):
        for i in range(rows):
            for j in range(columns):
                window = padded[:, i * stride : i * stride + size, j * stride : j * stride + size]
                out[k, i, j] = (window * kernel[k]).sum() + bias[k]
    return out


def conv_back(slope: Array, kernel: Array, stride: int, pad: int, shape: tuple[int, ...]) -> Array:
    """The gradient at the input (C, H, W) of :func:`conv`, from the gradient at its output."""
    size = kernel.shape[-1]
    padded = np.zeros((shape[0], shape[1] + 2 * pad, shape[2] + 2 * pad))
    for k, i, j in np.ndindex(slope.shape):
        padded[:, i * stride : i * stride + size, j * stride : j * stride + size] += slope[k, i, j] * kernel[k]
    return padded[:, pad : pad + shape[1], pad : pad + shape[2]]


@dataclass(frozen=True)
class Net:
    """The weights."""

    first: Array
    first_bias: Array
    second: Array
    second_bias: Array
    head: Array
    head_bias: Array

    @classmethod
    def random(cls, rng: np.random.Generator) -> Net:
        shapes = (4, 3, 3, 3), (4,), (5, 4, 3, 3), (5,), (6, 5), (6,)
        return cls(*(rng.normal(size=shape).astype(np.float32).astype(np.float64) for shape in shapes))

    def layer(self, x: Array) -> Array:
        return np.maximum(conv(x, self.first, self.first_bias, 1, 1), 0)

    def behind(self, a: Array) -> Array:
        held = np.maximum(conv(a, self.second, self.second_bias, 2, 0), 0)
        return self.head @ held.mean(axis=(1, 2)) + self.head_bias

    def scores(self, x: Array) -> Array:
        return self.behind(self.layer(x))

    def slope(self, a: Array, weights: Array) -> Array:
        """The gradient of the weighted scores at the layer."""
        z = conv(a, self.second, self.second_bias, 2, 0)
        each = (weights @ self.head) / z[0].size
        return conv_back(each[:, None, None] * (z > 0), self.second, 2, 0, a.shape)


def enlarged(small: Array, height: int, width: int) -> Array:
    """Bilinear resizing between the centres of cells, constant beyond the outermost centres."""
    out = np.empty((height, width))
    for i in range(height):
        for j in range(width):
            y = min(max((i + 0.5) * small.shape[0] / height - 0.5, 0), small.shape[0] - 1)
            x = min(max((j + 0.5) * small.shape[1] / width - 0.5, 0), small.shape[1] - 1)
            top, left = int(y), int(x)
            bottom, right = min(top + 1, small.shape[0] - 1), min(left + 1, small.shape[1] - 1)
            upper = small[top, left] * (1 - x + left) + small[top, right] * (x - left)
            lower = small[bottom, left] * (1 - x + left) + small[bottom, right] * (x - left)
            out[i, j] = upper * (1 - y + top) + lower * (y - top)
    return out


def weighted(a: Array, weights: Array) -> Array:
    out = np.zeros(a.shape[1:])
    for k in range(len(a)):
        out += weights[k] * a[k]
    return out


def one_hot(k: int, count: int) -> Array:
    return np.eye(count)[k]


def softmax(y: Array) -> Array:
    return np.exp(y - y.max()) / np.exp(y - y.max()).sum()


def grad_cam_of(net: Net, a: Array, weights: Array) -> Array:
    slope = net.slope(a, weights)
    return weighted(a, np.array([slope[k].mean() for k in range(len(a))]))


def grad_cam(net: Net, x: Array, c: int) -> Array:
    return grad_cam_of(net, net.layer(x), one_hot(c, 6))


def counterfactual_cam(net: Net, x: Array, c: int) -> Array:
    return grad_cam_of(net, net.layer(x), -one_hot(c, 6))


def grad_cam_pp(net: Net, x: Array, c: int) -> Array:
    a = net.layer(x)
    slope = net.slope(a, one_hot(c, 6))
    weights = np.zeros(len(a))
    for k, i, j in np.ndindex(a.shape):
        g = slope[k, i, j]
        below = 2 * g**2 + a[k].sum() * g**3
        weights[k] += (g**2 / below if below else 0) * max(g, 0)
    return weighted(a, weights)


def x_grad_cam(net: Net, x: Array, c: int) -> Array:
    a = net.layer(x)
    slope = net.slope(a, one_hot(c, 6))
    weights = [(slope[k] * a[k]).sum() / a[k].sum() if a[k].sum() else 0 for k in range(len(a))]
    return weighted(a, np.array(weights))


def hi_res_cam(net: Net, x: Array, c: int) -> Array:
    a = net.layer(x)
    return (net.slope(a, one_hot(c, 6)) * a).sum(axis=0)


def layer_cam(net: Net, x: Array, c: int) -> Array:
    a = net.layer(x)
    return (np.maximum(net.slope(a, one_hot(c, 6)), 0) * a).sum(axis=0)


def _principal(planes: Array, centred: bool = False) -> Array:
    """By the largest eigenvalue of the matrix of channels, instead of singular values."""
    rows = planes.reshape(len(planes), -1).T
    rows = rows - rows.mean(axis=0) if centred else rows
    vector = np.linalg.eigh(rows.T @ rows)[1][:, -1]
    line = rows @ vector
    return (line * (-1 if line @ rows.sum(axis=1) < 0 else 1)).reshape(planes.shape[1:])


def eigen_cam(net: Net, x: Array, c: int) -> Array:
    return _principal(net.layer(x))


def eigen_cam_centred(net: Net, x: Array, c: int) -> Array:
    return _principal(net.layer(x), centred=True)


def eigen_grad_cam(net: Net, x: Array, c: int, centred: bool = False) -> Array:
    a = net.layer(x)
    return _principal(net.slope(a, one_hot(c, 6)) * a, centred)


def score_cam(net: Net, x: Array, c: int) -> Array:
    a = net.layer(x)
    scores = []
    for k in range(len(a)):
        mask = enlarged(a[k], *x.shape[1:])
        spread = mask.max() - mask.min()
        mask = (mask - mask.min()) / (spread or 1)
        scores.append(net.scores(x * mask)[c] - net.scores(0 * x)[c])
    return weighted(a, softmax(np.array(scores)))


def ablation_cam(net: Net, x: Array, c: int) -> Array:
    a = net.layer(x)
    y, weights = net.behind(a)[c], []
    for k in range(len(a)):
        without = a.copy()
        without[k] = 0
        weights.append((y - net.behind(without)[c]) / abs(y))
    return weighted(a, np.array(weights))


def finer_cam(net: Net, x: Array, c: int, similar: int = 3, strength: float = 0.6) -> Array:
    a = net.layer(x)
    y = net.behind(a)
    others = sorted((d for d in range(len(y)) if d != c), key=lambda d: abs(y[d] - y[c]))[:similar]
    chance = softmax(y)
    weights, whole = np.zeros(len(y)), sum(chance[d] for d in others)
    for d in others:
        weights += chance[d] / whole * (one_hot(c, 6) - strength * one_hot(d, 6))
    return grad_cam_of(net, a, weights)


def contrast_cam(net: Net, x: Array, c: int) -> Array:
    a = net.layer(x)
    y = net.behind(a)
    q = max((d for d in range(len(y)) if d != c), key=lambda d: y[d])
    return grad_cam_of(net, a, softmax(y) - one_hot(q, 6))


def causal_cam(net: Net, x: Array, c: int) -> Array:
    a = net.layer(x)
    chance = 1 / (1 + np.exp(-net.behind(a)))

    def shown(weights: Array) -> Array:
        positive = np.maximum(grad_cam_of(net, a, weights), 0)
        return positive / positive.max() if positive.max() else positive

    context = shown(chance) - shown(chance - 1) - shown(chance - (1 - one_hot(c, 6)))
    return shown(one_hot(c, 6)) - np.maximum(context, 0)


def full_grad(net: Net, x: Array, c: int) -> tuple[Array, float]:
    """The map (H, W), and the sum of the contributions of the input and the biases."""
    a = net.layer(x)
    z = conv(a, net.second, net.second_bias, 2, 0)
    at_z = (net.head[c] / z[0].size)[:, None, None] * (z > 0)
    at_a = conv_back(at_z, net.second, 2, 0, a.shape) * (a > 0)
    at_x = conv_back(at_a, net.first, 1, 1, x.shape)
    parts = [x * at_x, at_a * net.first_bias[:, None, None], at_z * net.second_bias[:, None, None]]
    drawn = np.zeros(x.shape[1:])
    for part in parts:
        size = np.abs(part) - np.abs(part).min()
        for plane in size / (size.max() or 1):
            drawn += enlarged(plane, *x.shape[1:])
    return drawn, sum(part.sum() for part in parts) + net.head_bias[c]


ORACLES: dict[str, Callable[[Net, Array, int], Array]] = {
    "grad_cam": grad_cam,
    "counterfactual_cam": counterfactual_cam,
    "grad_cam_pp": grad_cam_pp,
    "x_grad_cam": x_grad_cam,
    "hi_res_cam": hi_res_cam,
    "layer_cam": layer_cam,
    "eigen_cam": eigen_cam,
    "eigen_grad_cam": eigen_grad_cam,
    "score_cam": score_cam,
    "ablation_cam": ablation_cam,
    "finer_cam": finer_cam,
    "contrast_cam": contrast_cam,
    "causal_cam": causal_cam,
}
