"""Layer-wise relevance propagation from its papers, number by number, on layers written out as matrices.

A net is a list of layers, each a pair of its kind and what it needs:

("linear", (matrix (in, out), bias (out,), connected (in, out)))    connected is False where there is no weight at all
("relu", None)
("max", windows)                                                    a list of the inputs of each output
("skip", net)                                                       the answer of that net plus its input

A rule takes (x, w, b, connected, relevance of the outputs) and answers the relevance of the inputs.
"""

import numpy as np


def stabilised(z, epsilon, relative):
    offset = epsilon * np.abs(z).mean() if relative else epsilon
    return np.array([one + (offset if one >= 0 else -offset) or 1.0 for one in z])


def shared(contributions, z, relevance):
    """sum_j c_ij / z_j R_j, one number at a time."""
    found = np.zeros(len(contributions))
    for i in range(len(contributions)):
        for j in range(len(relevance)):
            found[i] += contributions[i, j] / z[j] * relevance[j]
    return found


def epsilon_rule(epsilon=1e-6, relative=True):
    def rule(x, w, b, connected, relevance):
        c = x[:, None] * w
        return shared(c, stabilised(c.sum(axis=0) + b, epsilon, relative), relevance)

    return rule


def gamma_rule(gamma, epsilon=1e-6, relative=True):
    """Contributions (including the bias) with the sign of the output count 1 + gamma times."""

    def rule(x, w, b, connected, relevance):
        c = x[:, None] * w
        answer = c.sum(axis=0) + b
        found = np.zeros(len(x))
        # Outputs of either sign, each stabilised by the mean of its own kind of denominator over all outputs.
        for above in (True, False):
            favoured = (lambda v: np.maximum(v, 0)) if above else (lambda v: np.minimum(v, 0))
            more, bias = c + gamma * favoured(c), b + gamma * favoured(b)
            z = stabilised(more.sum(axis=0) + bias, epsilon, relative)
            found += shared(more, z, np.where((answer > 0) == above, relevance, 0))
        return found

    return rule


def alpha_beta_rule(alpha, beta, epsilon=1e-6, relative=True):
    def rule(x, w, b, connected, relevance):
        c = x[:, None] * w
        above, below = np.maximum(c, 0), np.minimum(c, 0)
        up = stabilised(above.sum(axis=0) + np.maximum(b, 0), epsilon, relative)
        down = stabilised(below.sum(axis=0) + np.minimum(b, 0), epsilon, relative)
        return alpha * shared(above, up, relevance) - beta * shared(below, down, relevance)

    return rule


def z_plus_rule(epsilon=1e-6, relative=True):
    def rule(x, w, b, connected, relevance):
        above = np.maximum(x[:, None] * w, 0)
        return shared(above, stabilised(above.sum(axis=0), epsilon, relative), relevance)

    return rule


def z_box_rule(low, high, epsilon=1e-6, relative=True):
    def rule(x, w, b, connected, relevance):
        c = x[:, None] * w - low * np.maximum(w, 0) - high * np.minimum(w, 0)
        return shared(c, stabilised(c.sum(axis=0), epsilon, relative), relevance)

    return rule


def w_square_rule(epsilon=1e-6, relative=True):
    return lambda x, w, b, connected, relevance: shared(
        w**2, stabilised((w**2).sum(axis=0), epsilon, relative), relevance
    )


def flat_rule(epsilon=1e-6, relative=True):
    return lambda x, w, b, connected, relevance: shared(
        connected.astype(float), stabilised(connected.sum(axis=0).astype(float), epsilon, relative), relevance
    )


def propagate(net, x, choose, start):
    """The output of a net, and the relevance of its input if that of the output is ``start(output)``.

    ``choose(number)`` is the rule of the linear layer of that number, counted from the input.
    """
    return _through(net, np.asarray(x, dtype=float), choose, start, [0])


def _through(net, x, choose, start, counted):
    if not net:
        return x, start(x)
    (kind, what), rest = net[0], net[1:]
    if kind == "linear":
        w, b, connected = what
        rule = choose(counted[0])
        counted[0] += 1
        y, relevance = _through(rest, x @ w + b, choose, start, counted)
        return y, rule(x, w, b, connected, relevance)
    if kind == "relu":
        return _through(rest, np.maximum(x, 0), choose, start, counted)
    if kind == "max":
        winners = [max(window, key=lambda i: x[i]) for window in what]
        y, relevance = _through(rest, x[winners], choose, start, counted)
        found = np.zeros(len(x))
        for winner, one in zip(winners, relevance, strict=True):
            found[winner] += one
        return y, found
    if kind == "skip":
        box = {}

        def behind(inner):
            """The rest of the net, from the sum; each operand gets its contribution."""
            z = inner + x
            box["y"], relevance = _through(rest, z, choose, start, counted)
            share = relevance / stabilised(z, 1e-6, True)
            box["skip"] = x * share
            return inner * share

        _, found = _through(what, x, choose, behind, counted)
        return box["y"], found + box["skip"]
    raise ValueError(kind)


def unrolled(kernel, bias, shape, stride=1, pad=0, group=1, dilation=1):
    """A convolution as a matrix: (matrix, bias, connected), and the shape of its output."""
    channels, height, width = shape
    out, each, kh, kw = kernel.shape
    rows = (height + 2 * pad - dilation * (kh - 1) - 1) // stride + 1
    columns = (width + 2 * pad - dilation * (kw - 1) - 1) // stride + 1
    matrix = np.zeros((channels, height, width, out, rows, columns))
    connected = np.zeros(matrix.shape, dtype=bool)
    for o, r, c, e, i, j in np.ndindex(out, rows, columns, each, kh, kw):
        h, w = r * stride - pad + i * dilation, c * stride - pad + j * dilation
        if 0 <= h < height and 0 <= w < width:
            channel = o // (out // group) * each + e
            matrix[channel, h, w, o, r, c] = kernel[o, e, i, j]
            connected[channel, h, w, o, r, c] = True
    flat = (channels * height * width, out * rows * columns)
    return (matrix.reshape(flat), np.repeat(bias, rows * columns), connected.reshape(flat)), (out, rows, columns)


def windows(shape, size):
    """The inputs of each output of a max pooling whose windows tile a picture."""
    channels, height, width = shape
    numbers = np.arange(channels * height * width).reshape(shape)
    return [
        numbers[c, r : r + size, k : k + size].ravel().tolist()
        for c in range(channels)
        for r in range(0, height - size + 1, size)
        for k in range(0, width - size + 1, size)
    ], (channels, height // size, width // size)
