"""LSTM, GRU and RNN step by step in numpy, from the formulas of the ONNX operators, in the dtype of the inputs."""

import numpy as np
from onnx.reference.op_run import OpRun

DEFAULTS = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",)}
# name: onnxruntime's defaults of alpha and beta, and the function of z, alpha and beta
ACTIVATIONS = {
    "affine": ((0.0, 0.0), lambda z, a, b: a * z + b),
    "elu": ((1.0,), lambda z, a: np.where(z < 0, a * np.expm1(np.minimum(z, 0)), z)),
    "hardsigmoid": ((0.2, 0.5), lambda z, a, b: np.clip(a * z + b, 0, 1)),
    "leakyrelu": ((0.01,), lambda z, a: np.where(z < 0, a * z, z)),
    "relu": ((), lambda z: np.maximum(z, 0)),
    "scaledtanh": ((0.0, 0.0), lambda z, a, b: a * np.tanh(b * z)),
    "sigmoid": ((), lambda z: 1 / (1 + np.exp(-z))),
    "softplus": ((), lambda z: np.logaddexp(0, z)),
    "softsign": ((), lambda z: z / (1 + np.abs(z))),
    "tanh": ((), np.tanh),
    "thresholdedrelu": ((0.0,), lambda z, a: np.where(z > a, z, 0)),
}


def squashes(names, alphas, betas, clip, each):
    left = [list(alphas or ()), list(betas or ())]
    found = []
    for index, name in enumerate(names):
        defaults, function = ACTIVATIONS[name.lower()]
        numbers = [rest.pop(0) if rest else default for default, rest in zip(defaults, left, strict=False)]
        # Gates are clipped; the cell of an LSTM is not.
        bound = clip if clip and index % each < 2 else np.inf
        found.append(lambda z, f=function, n=tuple(numbers), b=bound: f(np.clip(z, -b, b), *n))
    return found


def lstm_step(z, h, c, r, rb, p, f, coupled, after):
    zi, zo, zf, zc = np.split(z + h @ r.T + rb, 4, axis=-1)
    pi, po, pf = np.split(p, 3)
    i = f[0](zi + pi * c)
    forget = 1 - i if coupled else f[0](zf + pf * c)
    c = forget * c + i * f[1](zc)
    return f[0](zo + po * c) * f[2](c), c


def gru_step(z, h, c, r, rb, p, f, coupled, after):
    (zz, zr, zn), (rz, rr, rn), (bz, br, bn) = np.split(z, 3, axis=-1), np.split(r, 3), np.split(rb, 3)
    update, reset = f[0](zz + h @ rz.T + bz), f[0](zr + h @ rr.T + br)
    new = f[1](zn + (reset * (h @ rn.T + bn) if after else (reset * h) @ rn.T + bn))
    return (1 - update) * new + update * h, c


def rnn_step(z, h, c, r, rb, p, f, coupled, after):
    return f[0](z + h @ r.T + rb), c


STEPS = {"LSTM": lstm_step, "GRU": gru_step, "RNN": rnn_step}


def layer(
    op, x, w, r, b=None, lengths=None, h0=None, c0=None, p=None, *, activations=None, activation_alpha=None,
    activation_beta=None, clip=None, direction="forward", input_forget=0, linear_before_reset=0, layout=0,
):  # fmt: skip
    """``(Y, Y_h, Y_c)``."""
    directions, _, hidden = r.shape
    if layout:
        x, h0, c0 = (None if a is None else np.swapaxes(a, 0, 1) for a in (x, h0, c0))
    time, samples, _ = x.shape
    zero = np.zeros((directions, samples, hidden), x.dtype)
    h0, c0 = (zero if a is None else a for a in (h0, c0))
    b = np.zeros((directions, 2 * r.shape[1]), x.dtype) if b is None else b
    p = np.zeros((directions, 3 * hidden), x.dtype) if p is None else p
    lengths = np.full(samples, time) if lengths is None else lengths
    each = len(DEFAULTS[op])
    f = squashes(activations or DEFAULTS[op] * directions, activation_alpha, activation_beta, clip, each)
    y = np.zeros((time, directions, samples, hidden), x.dtype)
    last_h, last_c = zero.copy(), zero.copy()
    for d in range(directions):
        wb, rb = np.split(b[d], 2)
        own = f[d * each : (d + 1) * each]
        for n in range(samples):
            h, c = h0[d, n], c0[d, n]
            steps = range(lengths[n])
            for t in steps[::-1] if direction == "reverse" or d == 1 else steps:
                z = x[t, n] @ w[d].T + wb
                h, c = STEPS[op](z, h, c, r[d], rb, p[d], own, input_forget, linear_before_reset)
                y[t, d, n] = h
            last_h[d, n], last_c[d, n] = h, c
    if layout:
        return np.transpose(y, (2, 0, 1, 3)), np.swapaxes(last_h, 0, 1), np.swapaxes(last_c, 0, 1)
    return y, last_h, last_c


class _Layer(OpRun):
    op_domain = ""

    def _run(self, *inputs, hidden_size=None, **attributes):
        op = type(self).__name__
        names = ("x", "w", "r", "b", "lengths", "h0", "c0", "p")
        given = dict(zip(names, inputs, strict=False))
        return layer(op, **given, **{k: v for k, v in attributes.items() if v is not None})[
            : len(self.onnx_node.output)
        ]


class LSTM(_Layer):
    pass


class GRU(_Layer):
    pass


class RNN(_Layer):
    pass


OPS = [LSTM, GRU, RNN]
