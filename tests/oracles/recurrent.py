"""Relevance and multipliers of LSTM, GRU and RNN, sample by sample and step by step, in float64.

A tape keeps every number with a function that propagates what arrives at it to the numbers it was made from. The layers
are those of the ONNX operators; how a product or an activation propagates depends on the tape:

- relevance (Arras et al. 2017, arXiv:1706.07206, section 3.1; Arras et al. 2019, arXiv:1904.11829, "signal-take-all"):
  linear maps by the epsilon rule, products give all to the signal and nothing to the gate, activations pass;
- multipliers of DeepLIFT (Shrikumar et al. 2017, arXiv:1704.02685): rescale at activations, and at a product u v the
  mean of the other factor, since ``D(u v) = mean(v) D u + mean(u) D v``.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tests.autodiff.recurrent_oracle import ACTIVATIONS, DEFAULTS


class Relevance:
    """A tape of layer-wise relevance propagation with the epsilon rule."""

    def __init__(self, epsilon=1e-9, relative=True):
        self.values, self.senders = [], []
        self.epsilon, self.relative = epsilon, relative

    def number(self, value, *parents, send=None):
        self.values.append(np.asarray(value, dtype=np.float64))
        self.senders.append((parents, send))
        return len(self.values) - 1

    def stabilised(self, z):
        offset = self.epsilon * (np.abs(z).mean() if self.relative else 1.0)
        z = z + np.where(z < 0, -offset, offset)
        return np.where(z == 0, 1.0, z)

    def linear(self, w, b, *parts):
        x = np.concatenate([self.values[part] for part in parts])
        z = w @ x + b

        def send(relevance):
            found = x * (w.T @ (relevance / self.stabilised(z)))
            return np.split(found, np.cumsum([len(self.values[part]) for part in parts])[:-1])

        return self.number(z, *parts, send=send)

    def add(self, a, b):
        z = self.values[a] + self.values[b]

        def send(relevance):
            return [self.values[part] * relevance / self.stabilised(z) for part in (a, b)]

        return self.number(z, a, b, send=send)

    def product(self, gate, signal):
        return self.number(self.values[gate] * self.values[signal], gate, signal, send=lambda r: [np.zeros_like(r), r])

    def function(self, f, a):
        return self.number(f(self.values[a]), a, send=lambda r: [r])

    def scaled(self, factor, a):
        return self.number(factor * self.values[a], a, send=lambda r: [r])

    def part(self, a, start, stop):
        def send(r):
            whole = np.zeros_like(self.values[a])
            whole[start:stop] = r
            return [whole]

        return self.number(self.values[a][start:stop], a, send=send)

    def propagate(self, end, arriving):
        """What arrives at each number, for ``arriving`` at the number ``end``; several ends as mappings."""
        held = [np.zeros_like(value) for value in self.values]
        for number, relevance in zip(end, arriving, strict=True):
            held[number] = held[number] + relevance
        for number in range(len(self.values) - 1, -1, -1):
            parents, send = self.senders[number]
            if send is not None:
                for parent, relevance in zip(parents, send(held[number]), strict=True):
                    held[parent] = held[parent] + relevance
        return held


class Multipliers(Relevance):
    """A tape of DeepLIFT: numbers are pairs, the values at the input and at the baseline."""

    def linear(self, w, b, *parts):
        x = np.concatenate([self.values[part] for part in parts], axis=1)
        sizes = np.cumsum([self.values[part].shape[1] for part in parts])[:-1]
        return self.number(x @ w.T + b, *parts, send=lambda m: np.split(m @ w, sizes, axis=1))

    def add(self, a, b):
        return self.number(self.values[a] + self.values[b], a, b, send=lambda m: [m, m])

    def product(self, gate, signal):
        u, v = self.values[gate], self.values[signal]
        return self.number(u * v, gate, signal, send=lambda m: [m * v.mean(axis=0), m * u.mean(axis=0)])

    def function(self, f, a):
        x = self.values[a]
        y = f(x)
        run = x[0] - x[1]
        slope = (f(x.mean(axis=0) + 1e-6) - f(x.mean(axis=0) - 1e-6)) / 2e-6
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = np.where(np.abs(run) > 1e-9, (y[0] - y[1]) / run, slope)
        return self.number(y, a, send=lambda m: [m * slope])

    def scaled(self, factor, a):
        return self.number(factor * self.values[a], a, send=lambda m: [m * factor])

    def part(self, a, start, stop):
        def send(m):
            whole = np.zeros_like(self.values[a])
            whole[:, start:stop] = m
            return [whole]

        return self.number(self.values[a][:, start:stop], a, send=send)


def _functions(op, options, direction):
    names = options.get("activations") or DEFAULTS[op] * 2
    each, clip = len(DEFAULTS[op]), options.get("clip") or np.inf
    left = [list(options.get(f"activation_{which}") or ()) for which in ("alpha", "beta")]
    found = []
    for index, name in enumerate(names):
        defaults, function = ACTIVATIONS[name.lower()]
        numbers = [rest.pop(0) if rest else default for default, rest in zip(defaults, left, strict=False)]
        bound = clip if index % each < 2 else np.inf
        found.append(lambda z, f=function, n=tuple(numbers), b=bound: f(np.clip(z, -b, b), *n))
    return found[direction * each : (direction + 1) * each]


def _lstm(t, x, h, c, w, r, b, p, f, options):
    size = r.shape[1]
    wb, rb = np.split(b, 2)
    both = np.concatenate([w, r], axis=1)
    i, o, forget, z = (
        t.linear(both[k * size : (k + 1) * size], (wb + rb)[k * size : (k + 1) * size], x, h) for k in range(4)
    )
    pi, po, pf = np.split(p, 3)
    if p.any():
        i, forget = t.add(i, t.scaled(pi, c)), t.add(forget, t.scaled(pf, c))
    i = t.function(f[0], i)
    forget = t.function(lambda v: 1 - v, i) if options.get("input_forget") else t.function(f[0], forget)
    after = t.add(t.product(forget, c), t.product(i, t.function(f[1], z)))
    if p.any():
        o = t.add(o, t.scaled(po, after))
    return t.product(t.function(f[0], o), t.function(f[2], after)), after


def _gru(t, x, h, c, w, r, b, p, f, options):
    size = r.shape[1]
    (wz, wr, wn), (rz, rr, rn) = np.split(w, 3), np.split(r, 3)
    bz, br, bn, cz, cr, cn = np.split(b, 6)
    z = t.function(f[0], t.linear(np.concatenate([wz, rz], axis=1), bz + cz, x, h))
    reset = t.function(f[0], t.linear(np.concatenate([wr, rr], axis=1), br + cr, x, h))
    if options.get("linear_before_reset"):
        new = t.add(t.linear(wn, bn, x), t.product(reset, t.linear(rn, cn, h)))
    else:
        new = t.linear(np.concatenate([wn, rn], axis=1), bn + cn, x, t.product(reset, h))
    new = t.function(f[1], new)
    assert size == len(bz)
    return t.add(t.product(t.function(lambda v: 1 - v, z), new), t.product(z, h)), c


def _rnn(t, x, h, c, w, r, b, p, f, options):
    return t.function(f[0], t.linear(np.concatenate([w, r], axis=1), sum(np.split(b, 2)), x, h)), c


STEPS: dict[str, Callable] = {"LSTM": _lstm, "GRU": _gru, "RNN": _rnn}


def propagated(tape, op, x, start, h0, c0, weights, which, arriving, length, options):
    """What arrives at the input (T, F) and at the first states (D, H) of one sample.

    Parameters
    ----------
    tape : Relevance or Multipliers
        For the latter ``x``, ``h0`` and ``c0`` are pairs (2, ...), of which ``start`` says that.
    arriving : array
        At the output ``which``: (T, D, H) for y, (D, H) for h and c; a function of the values for relevance.
    """
    w, r, b, p = weights
    pick = (lambda a, k: a[:, k]) if start else (lambda a, k: a[k])
    time = x.shape[1] if start else len(x)
    inputs = [tape.number(pick(x, step)) for step in range(time)]
    firsts, outputs, lasts = [], {}, []
    for d in range(len(w)):
        h, c = tape.number(pick(h0, d)), tape.number(pick(c0, d))
        firsts.append((h, c))
        backwards = options.get("direction") == "reverse" or d == 1
        f = _functions(op, options, d)
        for step in range(length)[::-1] if backwards else range(length):
            h, c = STEPS[op](tape, inputs[step], h, c, w[d], r[d], b[d], p[d], f, options)
            outputs[step, d] = h
        lasts.append((h, c))
    if which == "y":
        ends, sent = list(outputs.values()), [arriving[step, d] for step, d in outputs]
    else:
        ends, sent = [last["hc".index(which)] for last in lasts], list(arriving)
    values = [tape.values[end] for end in ends]
    if not start:
        sent = [value * weight for value, weight in zip(values, sent, strict=True)]
    else:
        sent = [np.broadcast_to(weight, value.shape) for value, weight in zip(values, sent, strict=True)]
    held = tape.propagate(ends, sent)
    first = (lambda a: a[0]) if start else (lambda a: a)
    return (
        np.stack([first(held[number]) for number in inputs]),
        np.stack([first(held[h]) for h, _ in firsts]),
        np.stack([first(held[c]) for _, c in firsts]),
        sum(float(np.sum(s)) for s in sent) if not start else None,
    )
