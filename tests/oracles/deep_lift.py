"""DeepLIFT by loops over single units, from the equations of Shrikumar et al. 2017, sections 3.3 to 3.5.

A net is a list of steps: ``("linear", W (O, I), b (O,))``, ``("relu",)``, ``("tanh",)``, ``("residual", steps)``,
which adds what its steps make to what they take, ``("joined", [steps, ...])``, which puts side by side what each of
several makes of it, and ``("kept", W (O, I), b (O,))``, a linear step that keeps the parts of what it takes, as it were
one layer with what lies before.
"""

from dataclasses import dataclass

import numpy as np


@dataclass
class Units:
    """The units of a layer at the input and at the baseline, with the two parts of their differences."""

    x: np.ndarray
    b: np.ndarray
    plus: np.ndarray
    minus: np.ndarray

    @property
    def change(self):
        return self.x - self.b


def leaf(x, b):
    return Units(x, b, np.maximum(x - b, 0), np.minimum(x - b, 0))


FUNCTIONS = {"relu": lambda v: np.maximum(v, 0), "tanh": np.tanh}
SLOPES = {"relu": lambda v: float(v > 0), "tanh": lambda v: 1 - np.tanh(v) ** 2}


def signed_sums(terms, outputs):
    """Sums (O,) of the positive and of the negative values in ``terms``, pairs of an output's index and a value."""
    plus, minus = np.zeros(outputs), np.zeros(outputs)
    for j, term in terms:
        if term > 0:
            plus[j] += term
        else:
            minus[j] += term
    return plus, minus


def forward(steps, units):
    """The input units of each step, and the output units of the last one."""
    taken = []
    for step in steps:
        taken.append(units)
        if step[0] == "linear":
            w, bias = step[1:]
            terms = [(j, w[j, i] * units.change[i]) for j in range(len(w)) for i in range(w.shape[1])]
            units = Units(w @ units.x + bias, w @ units.b + bias, *signed_sums(terms, len(w)))
        elif step[0] == "kept":
            w, bias = step[1:]
            parts = [(units.plus[i], units.minus[i]) for i in range(w.shape[1])]
            terms = [(j, w[j, i] * part) for j in range(len(w)) for i in range(w.shape[1]) for part in parts[i]]
            units = Units(w @ units.x + bias, w @ units.b + bias, *signed_sums(terms, len(w)))
        elif step[0] == "joined":
            made = [forward(branch, units)[1] for branch in step[1]]
            units = Units(*(np.concatenate([getattr(one, name) for one in made]) for name in Units.__annotations__))
        elif step[0] == "residual":
            _, inner = forward(step[1], units)
            skip = leaf(units.x, units.b)
            units = Units(inner.x + units.x, inner.b + units.b, inner.plus + skip.plus, inner.minus + skip.minus)
        else:
            units = leaf(FUNCTIONS[step[0]](units.x), FUNCTIONS[step[0]](units.b))
    return taken, units


def backward(steps, units, plus, minus, rule):
    """Multipliers of the input parts of the first step, from those of the output parts of the last one."""
    taken, _ = forward(steps, units)
    for step, before in zip(steps[::-1], taken[::-1], strict=True):
        if step[0] == "linear":
            w, m = step[1], np.zeros(step[1].shape[1])
            for i in range(w.shape[1]):
                for j in range(len(w)):
                    contribution = w[j, i] * before.change[i]
                    chosen = plus[j] if contribution > 0 else minus[j] if contribution < 0 else (plus[j] + minus[j]) / 2
                    m[i] += w[j, i] * chosen
            plus, minus = m, m.copy()
        elif step[0] == "kept":
            w, above, below = step[1], np.zeros(step[1].shape[1]), np.zeros(step[1].shape[1])
            for i in range(w.shape[1]):
                for j in range(len(w)):
                    above[i] += w[j, i] * (plus[j] if w[j, i] > 0 else minus[j])
                    below[i] += w[j, i] * (minus[j] if w[j, i] > 0 else plus[j])
            plus, minus = above, below
        elif step[0] == "joined":
            ends = np.cumsum([len(forward(branch, before)[1].x) for branch in step[1]])[:-1]
            sides = zip(step[1], np.split(plus, ends), np.split(minus, ends), strict=True)
            found = [backward(branch, before, *side, rule) for branch, *side in sides]
            plus, minus = (sum(one[side] for one in found) for side in (0, 1))
        elif step[0] == "residual":
            inner_plus, inner_minus = backward(step[1], before, plus, minus, rule)
            skip = joined(before, plus, minus)
            plus, minus = inner_plus + skip, inner_minus + skip
        else:
            f, one = FUNCTIONS[step[0]], (rescale if rule == "rescale" else reveal_cancel)
            pairs = [
                one(f, SLOPES[step[0]], before.b[k], before.plus[k], before.minus[k]) for k in range(len(before.x))
            ]
            whole = joined(leaf(f(before.x), f(before.b)), plus, minus)
            plus, minus = (whole * np.array([pair[side] for pair in pairs]) for side in (0, 1))
    return plus, minus


def joined(units, plus, minus):
    """The multiplier of units that have only one part each."""
    return np.where(units.change > 0, plus, np.where(units.change < 0, minus, (plus + minus) / 2))


def rescale(f, slope, b, up, down):
    x = b + up + down
    m = (f(x) - f(b)) / (x - b) if up + down else slope(b)
    return m, m


def reveal_cancel(f, slope, b, up, down):
    """If a part is zero, its multiplier is the limit for a small part."""
    raised = (f(b + up) - f(b) + f(b + up + down) - f(b + down)) / 2
    lowered = (f(b + down) - f(b) + f(b + up + down) - f(b + up)) / 2
    return (
        raised / up if up else (slope(b) + slope(b + down)) / 2,
        lowered / down if down else (slope(b) + slope(b + up)) / 2,
    )


def explained(steps, x, b, target, rule):
    """Contributions of each input to one output."""
    x, b = (np.asarray(v, dtype=np.float64).ravel() for v in (x, b))
    _, last = forward(steps, leaf(x, b))
    start = np.eye(len(last.x))[target]
    plus, minus = backward(steps, leaf(x, b), start, start.copy(), rule)
    return joined(leaf(x, b), plus, minus) * (x - b)


def convolution(w, bias, shape, pad):
    """A convolution (O, I, k, k) of stride 1 as a linear step on flattened pictures, and its output's shape."""
    count, channels, k, _ = w.shape
    height, width = (size + 2 * pad - k + 1 for size in shape[1:])
    matrix = np.zeros((count, height, width, *shape))
    for o in range(count):
        for r in range(height):
            for c in range(width):
                for i in range(channels):
                    for u in range(k):
                        for v in range(k):
                            row, column = r + u - pad, c + v - pad
                            if 0 <= row < shape[1] and 0 <= column < shape[2]:
                                matrix[o, r, c, i, row, column] += w[o, i, u, v]
    flat = matrix.reshape(count * height * width, -1)
    return ("linear", flat, np.repeat(bias, height * width)), (count, height, width)
